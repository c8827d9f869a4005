"""The state machine: for each state one pure function from what is recorded and observed to the next action."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from kubeline.deployment.inference_service import HIDDEN, HIDDEN_BY
from kubeline.kubernetes.merge import merge, replacing
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.actions import Action, Context, Patch, Probe, Transition, Wait
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import DeploymentMode, Outcome, State
from kubeline.rollout.transitions import (
    abort,
    enter,
    fail,
    hold,
    promoting,
    share_of,
    shifting,
    smoke_tested,
    to_step,
    withdraw,
    withdrawn,
)


def _initializing(now: Context) -> Action:
    """The lease is ours and the preflight passed."""
    if now.status.stable is None:
        return enter(now.status, State.BOOTSTRAPPING, "there is no stable model yet: the candidate becomes it")
    versions = replace(now.status.versions, stable_pods=now.observed.stable_pods or 0)
    deploying = replace(now.status, versions=versions)
    return enter(deploying, State.DEPLOYING, "the candidate is put beside the stable model")


def _bootstrapping(now: Context) -> Action:
    """Create the service, hidden where the spec says so, and wait for its pods."""
    if not now.written:
        return Patch(_first(now), "the service is created")
    if label := _missing_label(now):
        return Patch({"metadata": {"labels": {label: HIDDEN[label]}}}, "the service is hidden in its mode, too")
    if now.status.mode and now.observed.ready and now.observed.candidate_url:
        return enter(now.status, State.SMOKE_TESTING, "the first model is ready")
    if now.late(now.spec.ready_seconds):
        what = "is ready, but got no address" if now.observed.ready else "did not become ready"
        reason = now.explained(f"the first model {what} in {now.spec.ready_seconds:g} s")
        return hold(now.status, State.BOOTSTRAPPING, reason)
    return Wait()


def _deploying(now: Context) -> Action:
    """Put the candidate beside the stable model, without traffic."""
    if now.written:
        return enter(now.status, State.AWAITING_READINESS, "the candidate is in the specification, without traffic")
    versions = now.status.versions
    patch = now.router.add_candidate(now.live, versions, share_of(now.spec, 0), versions.stable_pods)
    return Patch(patch, "the candidate is added at 0 %")


def _awaiting_readiness(now: Context) -> Action:
    """Wait for the candidate's pods."""
    revision = now.observed.revision
    routed = now.observed.candidate_url and now.observed.share is not None
    if now.observed.ready and routed:
        return enter(now.status.with_revision(revision), State.SMOKE_TESTING, f"{revision} is ready")
    if revision and not now.status.candidate.revision:
        return enter(now.status.with_revision(revision), State.AWAITING_READINESS, f"{revision} starts")
    if now.late(now.spec.ready_seconds):
        what = "is ready, but no route leads to it" if now.observed.ready else "did not become ready"
        return withdraw(now.status, now.explained(f"the candidate {what} in {now.spec.ready_seconds:g} s"))
    return Wait()


def _smoke_testing(now: Context) -> Action:
    """Ask the candidate for the golden rows."""
    return Probe.SMOKE_TEST if now.spec.smoke.rows else smoke_tested(now, now.status, "no smoke test, as planned")


def _exposing(now: Context) -> Action:
    """Make the first model visible outside the cluster."""
    if not now.status.hidden:
        return enter(now.status, State.VERIFYING, "the first model passed")
    if now.written:
        return enter(now.status, State.VERIFYING, "the first model passed and is exposed")
    return Patch({"metadata": {"labels": dict.fromkeys(HIDDEN)}}, "the service is no longer hidden")


def _shadowing(now: Context) -> Action:
    """Ask the candidate what users asked the stable model."""
    del now
    return Probe.SHADOW


def _scaling(now: Context) -> Action:
    """Give the candidate the pods of its next share, while the traffic stays where it is."""
    share = share_of(now.spec, now.status.step.index)
    service = now.service or {}
    patch: Manifest = {}
    if not now.written:
        patch = now.router.scale(service, now.status.versions, share, now.observed.stable_pods or 0)
    if merge(service, patch) != service:
        return Patch(patch, f"the candidate is given the pods of {share} %")
    if now.observed.ready:
        return enter(now.status, shifting(share), f"the pods for {share} % are ready")
    if now.late(now.spec.ready_seconds):
        reason = now.explained(f"{_unready(now)} {now.spec.ready_seconds:g} s after they were asked for")
        return withdraw(now.status, reason)
    return Wait()


def _shifting(now: Context) -> Action:
    """Give the candidate the share of this step, and observe that it gets it."""
    share = share_of(now.spec, now.status.step.index)
    if not now.written:
        patch = now.router.shift(now.live, now.status.versions, share)
        return Patch(patch, f"the candidate is given {share} %")
    if now.observed.share == share and now.observed.ready:
        return enter(now.status, State.BAKING, f"{share} % are observed")
    return _unless_late(now, share)


def _baking(now: Context) -> Action:
    """Observe the step for long enough."""
    step, spec, observed = now.status.step, now.spec, now.observed.share
    if not step.observed_since:
        return Probe.METRICS_SNAPSHOT
    share = share_of(spec, step.index)
    if observed != share:
        return enter(now.status, State.SHIFTING, f"the observed share is {observed}, no longer {share}")
    analyses = sum(one.step == step.index for one in now.status.analyses)
    seconds = min(spec.bake_seconds * (analyses + 1), spec.max_bake_seconds)
    if now.time - step.observed_since < seconds:
        return Wait()
    return enter(now.status, State.ANALYZING, "the step has been observed")


def _analyzing(now: Context) -> Action:
    """Judge the step by its metrics."""
    del now
    return Probe.ANALYSIS


def _awaiting_approval(now: Context) -> Action:
    """Wait for an operator."""
    if now.request == "promote":
        return to_step(now, now.status, len(now.spec.shares), "promoted by request")
    if now.late(now.spec.approval_seconds):
        reason = f"no operator promoted within {now.spec.approval_seconds:g} s"
        return hold(now.status, State.AWAITING_APPROVAL, reason)
    return Wait()


def _cutting_over(now: Context) -> Action:
    """Give the candidate everything beside the stable model, and observe that no request arrives at that any more."""
    if not now.written:
        return Patch(now.router.shift(now.live, now.status.versions, 100), "the candidate is given 100 %")
    if now.observed.share != 100 or not now.observed.ready:
        return _unless_late(now, 100)
    return Probe.REQUEST_COUNTS if now.router.routes_lag else promoting(now, "100 % are observed")


def _replacing(now: Context) -> Action:
    """Bring the candidate's package into the stable model's pods, while the candidate answers everything."""
    if not now.written:
        patch = now.router.replace(now.live, now.status.versions)
        return Patch(patch, "the stable model's pods take up the candidate's package")
    if now.observed.replaced:
        return enter(now.status, State.PROMOTING, "the stable model's pods have the candidate's package")
    if now.late(now.spec.ready_seconds):
        reason = f"the pods that are to replace the candidate's are not ready in {now.spec.ready_seconds:g} s"
        return hold(now.status, State.REPLACING, now.explained(reason))
    return Wait()


def _promoting(now: Context) -> Action:
    """Make the candidate the stable model."""
    if now.written:
        return enter(now.status, State.VERIFYING, "the candidate is the stable model")
    patch = now.router.promote(now.live, now.status.versions)
    return Patch(patch, "the candidate takes the stable model's place")


def _verifying(now: Context) -> Action:
    """Observe for a while that the routing is what it should be."""
    status, spec, observed = now.status, now.spec, now.observed
    alone = status.stable is None and observed.share is None  # no route to read where nothing is split
    good = observed.ready and (alone or observed.share == 100) and now.followed and not now.unreachable
    since = status.step.observed_since
    if good and not since:
        verified = replace(status, step=replace(status.step, observed_since=now.time))
        return Transition(verified, "the candidate answers everything")
    if good and now.time - since >= spec.verify_seconds:
        done = replace(status, outcome=Outcome.PROMOTED, reason="the candidate is the stable model")
        return enter(done, State.COMPLETED, "promoted")
    if now.late(spec.settle_seconds + spec.ready_seconds + spec.verify_seconds):
        return hold(status, State.VERIFYING, now.explained(_unverified(now)))
    return Wait()


def _withdrawing(now: Context) -> Action:
    """Take all traffic from the candidate, and observe that it gets none."""
    if not now.written:
        return Patch(now.router.shift(now.live, now.status.versions, 0), "the candidate is given 0 %")
    if now.router.routes_lag and not now.status.exposed:
        # A gateway that follows nothing gives it nothing either. But KServe must have seen the candidate: before that
        # its status is the same as after it has seen the candidate leave.
        return withdrawn(now) if now.followed else Wait()
    if now.observed.share == 0 and now.followed:
        return Probe.REQUEST_COUNTS if now.router.routes_lag else withdrawn(now)
    if now.late(now.spec.settle_seconds):
        reason = f"the observed share of the candidate is {now.observed.share} after it was set to 0"
        return fail(now.status, now.explained(reason))
    return Wait()


def _restoring(now: Context) -> Action:
    """Take the candidate out of the specification."""
    if now.written:
        return enter(now.status, State.SETTLING, "the specification is that of the stable model")
    patch = now.router.restore(now.live, now.status.versions)
    return Patch(patch, "the candidate leaves the specification")


def _settling(now: Context) -> Action:
    """Finish the return without letting the candidate have traffic."""
    patch = now.router.settle(now.live, now.status.versions)
    reported = now.status.outcome is Outcome.REPORTED
    ended = replace(now.status, outcome=Outcome.REPORTED if reported else Outcome.ROLLED_BACK)
    over = enter(ended, State.ROLLED_BACK, "rolled back")
    if not patch or now.written:
        back = now.observed.share == 0 and now.observed.stable_share == 100
        never_away = now.router.routes_lag and not now.status.exposed and now.observed.restored
        if (back or never_away) and now.followed:
            return over
        if now.late(now.spec.settle_seconds + now.spec.ready_seconds):
            reason = "the traffic of the stable model is not observed after the return"
            return fail(now.status, now.explained(reason))
        return Wait()
    if now.observed.restored:
        return Patch(patch, "the restored predictor takes over")
    if now.late(now.spec.ready_seconds):  # the old revision continues to serve at 100 %
        return over
    return Wait()


def _held(now: Context) -> Action:
    """A held rollout continues when an operator promotes; `resume` brings it back otherwise."""
    decidable = {State.AWAITING_APPROVAL, State.BAKING, State.ANALYZING}
    if now.request == "promote" and now.status.resume in decidable:
        status = replace(now.status, outcome=None, reason="")
        return to_step(now, status, len(now.spec.shares), "promoted by request")
    return Wait()


TABLE: Mapping[State, Callable[[Context], Action]] = {
    State.INITIALIZING: _initializing,
    State.BOOTSTRAPPING: _bootstrapping,
    State.DEPLOYING: _deploying,
    State.AWAITING_READINESS: _awaiting_readiness,
    State.SMOKE_TESTING: _smoke_testing,
    State.EXPOSING: _exposing,
    State.SHADOWING: _shadowing,
    State.SCALING: _scaling,
    State.SHIFTING: _shifting,
    State.BAKING: _baking,
    State.ANALYZING: _analyzing,
    State.AWAITING_APPROVAL: _awaiting_approval,
    State.CUTTING_OVER: _cutting_over,
    State.REPLACING: _replacing,
    State.PROMOTING: _promoting,
    State.VERIFYING: _verifying,
    State.WITHDRAWING: _withdrawing,
    State.RESTORING: _restoring,
    State.SETTLING: _settling,
    State.HELD: _held,
}


def decide(now: Context) -> Action:
    """The next action: an operator's request comes first."""
    if now.request == "abort" and (action := abort(now.status, "aborted by request")):
        return action
    return TABLE[now.status.state](now)


def max_analyses(spec: RolloutSpec) -> int:
    """How many analyses there are at most; alpha is divided among so many."""
    return max(1, len(spec.shares)) * (1 + spec.rules.inconclusive_limit)


def _unless_late(now: Context, share: int) -> Action:
    """Wait for a share that was given: for the traffic to move, or, where it has, for pods that are not ready now."""
    moved = now.observed.share == share
    if now.late(now.spec.ready_seconds if moved else now.spec.settle_seconds):
        return withdraw(now.status, now.explained(_unready(now) if moved else _unsplit(now, share)))
    return Wait()


def _unready(now: Context) -> str:
    if now.observed.ready_pods is None:
        return "the candidate is not ready"
    return f"only {now.observed.ready_pods} of {now.observed.wanted_pods} pods of the candidate are ready"


def _unsplit(now: Context, share: int) -> str:
    if now.observed.share is None:
        return f"the share of the candidate is not known, where {share} % were asked for"
    if now.observed.share == 0 and now.status.mode in _WITHOUT_WEIGHTS:
        routes, who = _WITHOUT_WEIGHTS[now.status.mode]
        return f"{routes} the candidate 0 % where {share} are asked for: {who}"
    return f"the observed share of the candidate is {now.observed.share} % where {share} were asked for"


_WITHOUT_WEIGHTS = {
    DeploymentMode.STANDARD: (
        "the HTTPRoutes give",
        "this KServe writes no weights (the release 0.20.0 does not); use a later one, Knative mode or a plain deploy",
    ),
    DeploymentMode.OPENSHIFT: (
        "the Route gives",
        "this odh-model-controller writes no alternateBackends (those before July 2026 do not); use a later one or a "
        "plain deploy",
    ),
}


def _unverified(now: Context) -> str:
    if now.unreachable:
        return f"the first model passed and is no longer hidden, but {now.unreachable}"
    if not now.observed.ready:
        return "promoted, but not all pods are ready"
    return f"promoted, but the observed share is {now.observed.share} %"


def _missing_label(now: Context) -> str:
    """The label that hides the service in the mode it turned out to have, where it was given the other one's."""
    labels = (now.service or {"metadata": {}})["metadata"].get("labels") or {}
    wanted = HIDDEN_BY.get(now.status.mode or "", "") if now.status.hidden else ""
    return wanted if wanted not in labels and HIDDEN.keys() & labels.keys() else ""


def _first(now: Context) -> Manifest:
    """The whole service, or what makes of an unfinished one the candidate's."""
    candidate = now.status.candidate.predictor
    if now.service is None:
        return {"spec": {"predictor": candidate}}
    return {"spec": {"predictor": replacing(now.service["spec"]["predictor"], candidate)}}
