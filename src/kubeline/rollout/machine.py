"""The state machine: for each state one pure function from what is recorded and observed to the next move."""

from collections.abc import Callable, Mapping

from kubeline.deployment.inference_service import HIDDEN
from kubeline.kubernetes.merge import merge, replacing
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout import transitions as ways
from kubeline.rollout.actions import Ask, Change, Go, Move, Situation, Wait
from kubeline.rollout.spec import Plan
from kubeline.rollout.status import Record, State


def locked(now: Situation) -> Move:
    """The lock is ours and the preflight passed."""
    if now.record.stable is None:
        return Go(State.BOOTSTRAP, "there is no stable model yet: the candidate becomes it")
    busy = now.observed.stable_replicas or 0
    return Go(State.START, "the candidate is put beside the stable model", {"busy": busy})


def bootstrap(now: Situation) -> Move:
    """Create the service, hidden where the plan says so, and wait for its pods."""
    if not now.wrote:
        return Change(_first(now), "the service is created")
    if now.record.mode and now.observed.ready and now.observed.candidate_url:
        return Go(State.SMOKE, "the first model is ready")
    if now.late(now.plan.ready_seconds):
        what = "is ready, but got no address" if now.observed.ready else "did not become ready"
        return ways.hold(State.BOOTSTRAP, now.tell(f"the first model {what} in {now.plan.ready_seconds:g} s"))
    return Wait()


def start(now: Situation) -> Move:
    """Put the candidate beside the stable model, without traffic."""
    if now.wrote:
        return Go(State.READY, "the candidate is in the specification, without traffic")
    first = now.plan.shares[0] if now.plan.shares else 100
    patch = now.mode.start(now.service, now.sides, first, now.record.busy)
    return Change(patch, "the candidate is added at 0 %")


def ready(now: Situation) -> Move:
    """Wait for the candidate's pods."""
    routed = now.observed.candidate_url and now.observed.share is not None
    if now.observed.ready and routed:
        return Go(State.SMOKE, f"{now.observed.revision} is ready", {"candidate_revision": now.observed.revision})
    if now.observed.revision and not now.record.candidate_revision:
        return Go(State.READY, f"{now.observed.revision} starts", {"candidate_revision": now.observed.revision})
    if now.late(now.plan.ready_seconds):
        what = "is ready, but no route leads to it" if now.observed.ready else "did not become ready"
        return ways.withdraw(now.tell(f"the candidate {what} in {now.plan.ready_seconds:g} s"))
    return Wait()


def smoke(now: Situation) -> Move:
    """Ask the candidate for the golden rows."""
    return Ask("smoke") if now.plan.smoke.rows else ways.after_smoke(now, "no smoke test, as planned")


def expose(now: Situation) -> Move:
    """Let the world see the first model."""
    if not now.record.hidden:
        return Go(State.VERIFY, "the first model passed")
    if now.wrote:
        return Go(State.VERIFY, "the first model passed and is exposed")
    return Change({"metadata": {"labels": dict.fromkeys(HIDDEN)}}, "the service is no longer hidden")


def shadow(now: Situation) -> Move:
    """Ask the candidate what users asked the stable model."""
    del now
    return Ask("shadow")


def scale(now: Situation) -> Move:
    """Give the candidate the pods of its next share, while the traffic stays where it is."""
    share = ways.next_share(now.plan, now.record.step)
    service = now.service or {}
    patch = {} if now.wrote else now.mode.scale(service, now.sides, share, now.observed.stable_replicas or 0)
    if merge(service, patch) != service:
        return Change(patch, f"the candidate is given the pods of {share} %")
    if now.observed.ready:
        return Go(ways.given(share), f"the pods for {share} % are ready")
    if now.late(now.plan.ready_seconds):
        return ways.withdraw(now.tell(f"{_unready(now)} {now.plan.ready_seconds:g} s after they were asked for"))
    return Wait()


def shift(now: Situation) -> Move:
    """Give the candidate the share of this step, and see that it really gets it."""
    share = now.plan.shares[now.record.step]
    if not now.wrote:
        return Change(now.mode.shift(now.service, now.sides, share), f"the candidate is given {share} %")
    if now.observed.share == share and now.observed.ready:
        return Go(State.BAKE, f"{share} % are observed")
    return _unless_late(now, share)


def bake(now: Situation) -> Move:
    """Watch the step for long enough."""
    record, plan = now.record, now.plan
    if not record.baked_from:
        return Ask("snapshot")
    if now.observed.share != plan.shares[record.step]:
        return Go(State.SHIFT, f"the observed share is {now.observed.share}, no longer {plan.shares[record.step]}")
    looked = sum(look["step"] == record.step for look in record.looks)
    seconds = min(plan.bake_seconds * (looked + 1), plan.max_bake_seconds)
    return Go(State.JUDGE, "the step has been watched") if now.now - record.baked_from >= seconds else Wait()


def judge(now: Situation) -> Move:
    """Ask the metrics."""
    del now
    return Ask("evidence")


def approval(now: Situation) -> Move:
    """Wait for a person."""
    if now.request == "promote":
        return ways.toward(now, len(now.plan.shares), "a person promotes")
    if now.late(now.plan.approval_seconds):
        return ways.hold(State.APPROVAL, f"nobody promoted within {now.plan.approval_seconds:g} s")
    return Wait()


def fill(now: Situation) -> Move:
    """Give the candidate everything, while the stable model is still there, and see that nobody asks that any more."""
    if not now.wrote:
        return Change(now.mode.shift(now.service, now.sides, 100), "the candidate is given 100 %")
    if now.observed.share == 100 and now.observed.ready:
        return Ask("arrivals") if now.mode.ROUTES_LAG else Go(State.PROMOTE, "100 % are observed")
    return _unless_late(now, 100)


def promote(now: Situation) -> Move:
    """Make the candidate the stable model."""
    if now.wrote:
        return Go(State.VERIFY, "the candidate is the stable model")
    return Change(now.mode.promote(now.service, now.sides), "the candidate takes the stable model's place")


def verify(now: Situation) -> Move:
    """See for a while that the routing is what it should be."""
    alone = now.record.stable is None and now.observed.share is None  # no route to read where nothing is split
    good = now.observed.ready and (alone or now.observed.share == 100) and now.followed and not now.unreached
    since = now.record.baked_from
    if good and not since:
        return Go(State.VERIFY, "the candidate answers everything", {"baked_from": now.now})
    if good and now.now - since >= now.plan.verify_seconds:
        return Go(State.DONE, "promoted", {"outcome": "promoted", "reason": "the candidate is the stable model"})
    if now.late(now.plan.settle_seconds + now.plan.ready_seconds + now.plan.verify_seconds):
        return ways.hold(State.VERIFY, now.tell(_unverified(now)))
    return Wait()


def withdraw(now: Situation) -> Move:
    """Take all traffic from the candidate, and see that it really gets none."""
    if not now.wrote:
        return Change(now.mode.shift(now.service, now.sides, 0), "the candidate is given 0 %")
    if now.mode.ROUTES_LAG and not now.record.exposed:
        return ways.taken(now)  # a gateway that follows nothing gives it nothing either
    if now.observed.share == 0 and now.followed:
        return Ask("arrivals") if now.mode.ROUTES_LAG else ways.taken(now)
    if now.late(now.plan.settle_seconds):
        return ways.fail(now.tell(f"the observed share of the candidate is {now.observed.share} after it was set to 0"))
    return Wait()


def restore(now: Situation) -> Move:
    """Take the candidate out of the specification."""
    if now.wrote:
        return Go(State.SETTLE, "the specification is that of the stable model")
    return Change(now.mode.restore(now.service, now.sides), "the candidate leaves the specification")


def settle(now: Situation) -> Move:
    """Finish the return without letting the candidate have traffic."""
    patch = now.mode.settle(now.service, now.sides)
    over = Go(State.ROLLED_BACK, "rolled back", {"outcome": _outcome(now)})
    if not patch or now.wrote:
        back = now.observed.share == 0 and now.observed.stable_share == 100
        never_away = now.mode.ROUTES_LAG and not now.record.exposed and now.observed.restored
        if (back or never_away) and now.followed:
            return over
        if now.late(now.plan.settle_seconds + now.plan.ready_seconds):
            return ways.fail(now.tell("the traffic of the stable model is not observed after the return"))
        return Wait()
    if now.observed.restored:
        return Change(patch, "the restored predictor takes over")
    if now.late(now.plan.ready_seconds):  # the old revision goes on serving at 100 %
        return over
    return Wait()


TABLE: Mapping[State, Callable[[Situation], Move]] = {
    State.LOCKED: locked,
    State.BOOTSTRAP: bootstrap,
    State.START: start,
    State.READY: ready,
    State.SMOKE: smoke,
    State.EXPOSE: expose,
    State.SHADOW: shadow,
    State.SCALE: scale,
    State.SHIFT: shift,
    State.BAKE: bake,
    State.JUDGE: judge,
    State.APPROVAL: approval,
    State.FILL: fill,
    State.PROMOTE: promote,
    State.VERIFY: verify,
    State.WITHDRAW: withdraw,
    State.RESTORE: restore,
    State.SETTLE: settle,
}

RETURNING = frozenset({State.WITHDRAW, State.RESTORE, State.SETTLE})
# States in which the candidate may have a part of the traffic, beside the stable model.
SHARING = frozenset({State.SCALE, State.SHIFT, State.BAKE, State.JUDGE, State.APPROVAL, State.FILL})
# States from which a person may abort: the candidate has not taken the stable model's place.
ABORTABLE = frozenset(TABLE) - RETURNING - {State.PROMOTE, State.VERIFY}


def decide(now: Situation) -> Move:
    """The next move: what a person asks for comes first."""
    if now.request == "abort" and (move := aborted(now.record, "aborted by request")):
        return move
    return _held(now) if now.record.state == State.HELD else TABLE[now.record.state](now)


def aborted(record: Record, reason: str) -> Go | None:
    """What follows when the rollout is to be aborted; None where there is no way back, or nothing to do."""
    if record.state in ABORTABLE and not record.wrote and not record.intent:
        changes = {"outcome": "rolled_back", "reason": reason}
        return Go(State.ROLLED_BACK, f"{reason} before anything was changed", changes)
    if record.stable is None:  # nothing to go back to
        return ways.hold(record.state, reason) if record.state in ABORTABLE else None
    return ways.withdraw(reason) if record.state in ABORTABLE | {State.HELD} else None


def gone_wrong(record: Record, plan: Plan, reason: str) -> Go:
    """What follows when something has gone wrong for too long: what `on_error` says, where there is a way back."""
    back = aborted(record, reason) if plan.on_error == "rollback" else None
    return back or ways.hold(record.state, reason)


def looks(plan: Plan) -> int:
    """How often the judge may look at most; alpha is divided among so many looks."""
    return max(1, len(plan.shares)) * (1 + plan.rules.inconclusive_limit)


def _held(now: Situation) -> Move:
    """A held rollout goes on when a person promotes; `resume` brings it back otherwise."""
    if now.request == "promote" and now.record.resume in {State.APPROVAL, State.BAKE, State.JUDGE}:
        return ways.toward(now, len(now.plan.shares), "a person promotes", {"outcome": "", "reason": ""})
    return Wait()


def _outcome(now: Situation) -> str:
    return "reported" if now.record.outcome == "reported" else "rolled_back"


def _unless_late(now: Situation, share: int) -> Move:
    """Wait for a share that was given: for the traffic to move, or, where it has, for pods that are not ready now."""
    moved = now.observed.share == share
    if now.late(now.plan.ready_seconds if moved else now.plan.settle_seconds):
        return ways.withdraw(now.tell(_unready(now) if moved else _unsplit(now, share)))
    return Wait()


def _unready(now: Situation) -> str:
    if now.observed.replicas is None:
        return "the candidate is not ready"
    return f"only {now.observed.replicas} of {now.observed.wanted} pods of the candidate are ready"


def _unsplit(now: Situation, share: int) -> str:
    if now.observed.share is None:
        return f"nothing tells which share the candidate has, where {share} % were asked for"
    if now.record.mode == "standard" and now.observed.share == 0:
        return (
            f"the HTTPRoutes give the candidate 0 % where {share} are asked for: this KServe writes no weights (the "
            "release 0.20.0 does not); use a later one, Knative mode or a plain deploy"
        )
    return f"the observed share of the candidate is {now.observed.share} % where {share} were asked for"


def _unverified(now: Situation) -> str:
    if now.unreached:
        return f"the first model passed and is no longer hidden, but {now.unreached}"
    if not now.observed.ready:
        return "promoted, but not all pods are ready"
    return f"promoted, but the observed share is {now.observed.share} %"


def _first(now: Situation) -> Manifest:
    """The whole service, or what makes of an unfinished one the candidate's."""
    if now.service is None:
        return {"spec": {"predictor": now.record.candidate}}
    return {"spec": {"predictor": replacing(now.service["spec"]["predictor"], now.record.candidate)}}
