"""The state machine: for each state one pure function from what is recorded and observed to the next move."""

from collections.abc import Callable, Mapping
from typing import Any

from kubeline.rollout.inference_service import HIDDEN, Manifest
from kubeline.rollout.modes.observed import replacing
from kubeline.rollout.moves import Ask, Change, Go, Move, Question, Situation, Wait
from kubeline.rollout.plan import Plan
from kubeline.rollout.record import Record, State


def locked(now: Situation) -> Move:
    """The lock is ours and the preflight passed."""
    if now.record.stable is None:
        return Go(State.BOOTSTRAP, "there is no stable model yet: the candidate becomes it")
    return Go(State.START, "the candidate is put beside the stable model")


def bootstrap(now: Situation) -> Move:
    """Create the service, hidden where the plan says so, and wait for its pods."""
    if not now.wrote:
        return Change(_first(now), "the service is created")
    if now.record.mode and now.observed.ready:
        return Go(State.SMOKE, "the first model is ready")
    if now.late(now.plan.ready_seconds):
        return _hold(State.BOOTSTRAP, now.tell("the first model did not become ready in time"))
    return Wait()


def start(now: Situation) -> Move:
    """Put the candidate beside the stable model, without traffic."""
    if now.wrote:
        return Go(State.READY, "the candidate is in the specification, without traffic")
    return Change(now.mode.start(now.service, now.sides, _ahead(now.plan, -1)), "the candidate is added at 0 %")


def ready(now: Situation) -> Move:
    """Wait for the candidate's pods."""
    if now.observed.ready and now.observed.candidate_url:
        return Go(State.SMOKE, f"{now.observed.revision} is ready", {"candidate_revision": now.observed.revision})
    if now.observed.revision and not now.record.candidate_revision:
        return Go(State.READY, f"{now.observed.revision} starts", {"candidate_revision": now.observed.revision})
    if now.late(now.plan.ready_seconds):
        return _withdraw(now.tell(f"the candidate did not become ready in {now.plan.ready_seconds:g} s"))
    return Wait()


def smoke(now: Situation) -> Move:
    """Ask the candidate for the golden rows."""
    return Ask("smoke") if now.plan.smoke.rows else _after_smoke(now, "no smoke test, as planned")


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


def shift(now: Situation) -> Move:
    """Give the candidate the share of this step, and see that it really gets it."""
    share = now.plan.shares[now.record.step]
    if not now.wrote:
        patch = now.mode.shift(now.service, now.sides, share, _ahead(now.plan, now.record.step))
        return Change(patch, f"the candidate is given {share} %")
    if now.observed.share == share and now.observed.ready:
        return Go(State.BAKE, f"{share} % are observed")
    if now.late(now.plan.settle_seconds):
        return _withdraw(now.tell(_unsplit(now, share)))
    return Wait()


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
        return Go(State.FILL, "a person promotes")
    if now.late(now.plan.approval_seconds):
        return _hold(State.APPROVAL, f"nobody promoted within {now.plan.approval_seconds:g} s")
    return Wait()


def fill(now: Situation) -> Move:
    """Give the candidate everything, while the stable model is still there."""
    if not now.wrote:
        return Change(now.mode.shift(now.service, now.sides, 100, 100), "the candidate is given 100 %")
    if now.observed.share == 100 and now.observed.ready:
        return Go(State.PROMOTE, "100 % are observed")
    if now.late(now.plan.settle_seconds + now.plan.ready_seconds):
        return _withdraw(now.tell(_unsplit(now, 100)))
    return Wait()


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
        return _hold(State.VERIFY, now.tell(_unverified(now)))
    return Wait()


def withdraw(now: Situation) -> Move:
    """Take all traffic from the candidate, and see that it really gets none."""
    if not now.wrote:
        share = now.observed.share or 1
        return Change(now.mode.shift(now.service, now.sides, 0, share), "the candidate is given 0 %")
    if now.observed.share == 0 and now.followed:
        known = {"candidate_revision": now.record.candidate_revision or now.observed.revision}
        return Go(State.RESTORE, "the stable model answers everything", known)
    if now.late(now.plan.settle_seconds):
        return _fail(now.tell(f"the observed share of the candidate is {now.observed.share} after it was set to 0"))
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
        if now.observed.share == 0 and now.observed.stable_share == 100 and now.followed:
            return over
        if now.late(now.plan.settle_seconds + now.plan.ready_seconds):
            return _fail(now.tell("the traffic of the stable model is not observed after the return"))
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
        return _hold(record.state, reason) if record.state in ABORTABLE else None
    return _withdraw(reason) if record.state in ABORTABLE | {State.HELD} else None


def looks(plan: Plan) -> int:
    """How often the judge may look at most; alpha is divided among so many looks."""
    return max(1, len(plan.shares)) * (1 + plan.rules.inconclusive_limit)


def answered(now: Situation, question: Question, answer: Mapping[str, Any]) -> Go | Wait:
    """What follows from an answer.

    Args:
        now: the situation it was asked in.
        question: which one.
        answer: smoke and shadow: ``{passed, sentence, …}``; snapshot: a window, or ``{error}``; evidence: a look
            ``{outcome, sentence, …}``, whose outcome is pass, fail, inconclusive, error or waiting.
    """
    return _ANSWERS[question](now, answer)


def _after_snapshot(now: Situation, answer: Mapping[str, Any]) -> Go | Wait:
    if "error" in answer:
        late = now.late(now.plan.max_bake_seconds)
        return _undecided(now, "error", str(answer["error"]), {}) if late else Wait()
    return Go(State.BAKE, "the step is being watched", {"baked_from": now.now, "snapshot": dict(answer)})


def _after_test(now: Situation, answer: Mapping[str, Any]) -> Go:
    kept = {"smoke": dict(answer)}
    if answer["passed"]:
        return _after_smoke(now, answer["sentence"], kept)
    reason = f"the smoke test failed: {answer['sentence']}"
    return _hold(State.SMOKE, reason, kept) if now.record.stable is None else _withdraw(reason, kept)


def _after_shadow(now: Situation, answer: Mapping[str, Any]) -> Go:
    kept = {"shadow": dict(answer)}
    if answer["passed"] and now.plan.promotes:
        return _onward(now, answer["sentence"], kept)
    return _withdraw(answer["sentence"], {**kept, "outcome": "reported" if answer["passed"] else ""})


def _after_look(now: Situation, look: Mapping[str, Any]) -> Go | Wait:
    record, plan = now.record, now.plan
    outcome, sentence = look["outcome"], str(look["sentence"])
    kept: dict[str, Any] = {"looks": (*record.looks, dict(look))}
    if outcome == "pass" and record.step + 1 < len(plan.shares):
        fresh = {"step": record.step + 1, "baked_from": 0.0, "snapshot": None}
        return Go(State.SHIFT, f"passed: {sentence}", {**kept, **fresh})
    if outcome == "pass":
        return _onward(now, f"passed: {sentence}", kept)
    if now.now - record.baked_from < plan.max_bake_seconds:
        if outcome in {"waiting", "error"}:
            return Wait()
        if _forgiven(now, outcome):
            return Go(State.BAKE, f"{outcome}, looked at again later: {sentence}", kept)
    return _withdraw(f"failed: {sentence}", kept) if outcome == "fail" else _undecided(now, outcome, sentence, kept)


def _forgiven(now: Situation, outcome: str) -> bool:
    """Whether the judge's rules let this look be followed by another one of the same step."""
    before = [look for look in now.record.looks if look["outcome"] == outcome]
    if outcome == "fail":
        return len(before) < now.plan.rules.failure_limit
    return sum(look["step"] == now.record.step for look in before) < now.plan.rules.inconclusive_limit


def _undecided(now: Situation, outcome: str, sentence: str, kept: Mapping[str, Any]) -> Go:
    plan = now.plan
    blind = outcome == "error"
    told = f"{'no metrics' if blind else 'not decided'} at {plan.shares[now.record.step]} %: {sentence}"
    what = plan.on_error if blind else plan.on_inconclusive
    return _withdraw(told, kept) if what == "rollback" else _hold(State.BAKE, told, kept)


_ANSWERS: Mapping[Question, Callable[[Situation, Mapping[str, Any]], Go | Wait]] = {
    "snapshot": _after_snapshot,
    "smoke": _after_test,
    "shadow": _after_shadow,
    "evidence": _after_look,
}


def _onward(now: Situation, sentence: str, kept: Mapping[str, Any]) -> Go:
    """Everything has passed: promote, ask a person, or report."""
    changes = {**kept, "baked_from": 0.0, "snapshot": None}
    if now.plan.approval:
        return Go(State.APPROVAL, f"{sentence}; a person must promote", changes)
    if now.plan.promotes:
        return Go(State.FILL, sentence, changes)
    told = f"the comparison is over ({sentence}); promote or abort"
    return _hold(State.APPROVAL, told, {**changes, "outcome": "reported"})


def _after_smoke(now: Situation, sentence: str, kept: Mapping[str, Any] | None = None) -> Go:
    kept = kept or {}
    if now.record.stable is None:
        return Go(State.EXPOSE, sentence, kept)
    if now.plan.strategy == "shadow":
        return Go(State.SHADOW, sentence, kept)
    return Go(State.SHIFT, sentence, kept) if now.plan.shares else _onward(now, sentence, kept)


def _held(now: Situation) -> Move:
    """A held rollout goes on when a person promotes; `resume` brings it back otherwise."""
    if now.request == "promote" and now.record.resume in {State.APPROVAL, State.BAKE, State.JUDGE}:
        return Go(State.FILL, "a person promotes", {"outcome": "", "reason": ""})
    return Wait()


def _hold(resume: State, reason: str, kept: Mapping[str, Any] | None = None) -> Go:
    return Go(State.HELD, f"held: {reason}", {"outcome": "held", **(kept or {}), "reason": reason, "resume": resume})


def _withdraw(reason: str, kept: Mapping[str, Any] | None = None) -> Go:
    return Go(State.WITHDRAW, f"back to the stable model: {reason}", {"outcome": "", **(kept or {}), "reason": reason})


def _fail(reason: str) -> Go:
    return Go(State.FAILED, f"the rollback failed: {reason}", {"outcome": "failed", "reason": reason})


def _outcome(now: Situation) -> str:
    return "reported" if now.record.outcome == "reported" else "rolled_back"


def _ahead(plan: Plan, step: int) -> int:
    """The share after this step."""
    return plan.shares[step + 1] if step + 1 < len(plan.shares) else 100


def _unsplit(now: Situation, share: int) -> str:
    if now.record.mode == "standard" and now.observed.share in {0, None}:
        return (
            f"the HTTPRoutes give the candidate {now.observed.share or 0} % where {share} are asked for: this KServe "
            "writes no weights (the release 0.20.0 does not); use a later one, Knative mode or a plain deploy"
        )
    return f"the observed share of the candidate is {now.observed.share} where {share} were asked for"


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
