"""The state machine's other half: what follows from the result of a probe, purely."""

from dataclasses import replace
from typing import Any

from kubeline.rollout.actions import Context, Transition, Wait
from kubeline.rollout.analysis.judge import CheckOutcome
from kubeline.rollout.status import (
    Analysis,
    AnalysisOutcome,
    DrainStatus,
    Outcome,
    RequestCounts,
    RolloutStatus,
    ShadowResult,
    SmokeTestResult,
    State,
    StepStatus,
)
from kubeline.rollout.transitions import (
    enter,
    fail,
    hold,
    passed,
    promoting,
    smoke_tested,
    to_step,
    withdraw,
    withdrawn,
)

_MANY = 20  # requests at one version while none arrives at the other: the gateway has followed


def after_smoke_test(now: Context, result: SmokeTestResult) -> Transition:
    """Continue, or take the candidate away; a first model is held, because there is nothing to return to."""
    status = replace(now.status, smoke=result)
    if result.passed:
        return smoke_tested(now, status, result.sentence)
    reason = f"the smoke test failed: {result.sentence}"
    return hold(status, State.SMOKE_TESTING, reason) if status.stable is None else withdraw(status, reason)


def after_shadow(now: Context, result: ShadowResult) -> Transition:
    """Promote where the spec says so; else the comparison is the result, and the candidate leaves.

    Where labels leave it open, the spec says what follows; held, the same rollout compares again, with what has come
    since.
    """
    status = replace(now.status, shadow=result)
    if result.passed and now.spec.promotes:
        return passed(now, status, result.sentence)
    if result.undecided and _policy(now, result) == "hold":
        return hold(status, State.SHADOWING, f"not decided: {result.sentence}")
    return withdraw(status, result.sentence, Outcome.REPORTED if result.passed else None)


def _policy(now: Context, result: ShadowResult) -> str:
    """What the spec says of labels that leave it open, or cannot be read."""
    error = (result.label_loss or {}).get("outcome") == CheckOutcome.ERROR
    return now.spec.on_error if error else now.spec.on_inconclusive


def after_metrics_snapshot(now: Context, snapshot: dict[str, Any]) -> Transition:
    """The step is observed from now on."""
    step = StepStatus(now.status.step.index, now.time, snapshot, now.status.step.drain)
    return enter(replace(now.status, step=step), State.BAKING, "the step is being observed")


def without_metrics_snapshot(now: Context, error: str) -> Transition | Wait:
    """The metrics cannot be read: wait for as long as a step is observed at most."""
    late = now.late(now.spec.max_bake_seconds)
    return _undecided(now, now.status, AnalysisOutcome.ERROR, error) if late else Wait()


def after_analysis(now: Context, analysis: Analysis) -> Transition | Wait:
    """The next step, the way back, another analysis of the same step, or what the spec says of an undecided one."""
    status = replace(now.status, analyses=(*now.status.analyses, analysis))
    outcome, sentence, step = analysis.outcome, analysis.sentence, now.status.step
    if outcome is AnalysisOutcome.PASS:
        reason = f"passed: {sentence}"
        last = step.index + 1 >= len(now.spec.shares)
        return passed(now, status, reason) if last else to_step(now, status, step.index + 1, reason)
    if now.time - step.observed_since < now.spec.max_bake_seconds:
        if outcome in {AnalysisOutcome.TOO_FEW_REQUESTS, AnalysisOutcome.ERROR}:
            return Wait()
        if _tolerated(now, outcome):
            return enter(status, State.BAKING, f"{outcome}, analyzed again later: {sentence}")
    if outcome is AnalysisOutcome.FAIL:
        return withdraw(status, f"failed: {sentence}")
    return _undecided(now, status, outcome, sentence)


def after_request_counts(now: Context, counts: RequestCounts) -> Transition | Wait:
    """Pods are removed only when no request arrives there any more: the gateway follows its routes a moment later."""
    back = now.status.state is State.WITHDRAWING
    who = "the candidate" if back else "the stable model"
    drain, seconds = now.status.step.drain, now.spec.settle_seconds
    if drain is None or _leaving(counts, back) > _leaving(drain.counts, back):
        first = now.time if drain is None else drain.first
        if now.time - first > seconds:
            reason = (
                f"{who} still gets requests {seconds:g} s after its route said 0 %, by a gateway that does not follow "
                "or by a client of its Service; none may arrive before its pods are removed"
            )
            return fail(now.status, reason) if back else withdraw(now.status, reason)
        why = f"its requests are not known ({counts.error})" if counts.error else "requests may still arrive"
        step = replace(now.status.step, drain=DrainStatus(counts, first, now.time))
        return Transition(replace(now.status, step=step), f"{who} has 0 %, and is drained: {why}")
    others = _leaving(counts, not back) - _leaving(drain.counts, not back)
    if others < _MANY and now.time - drain.since < now.spec.drain_seconds:
        return Wait()
    if back:
        return withdrawn(now)
    return promoting(now, "100 % are observed, and no request arrives elsewhere")


def _leaving(counts: RequestCounts, back: bool) -> float:
    """Requests of the model that is about to be removed: the candidate on the way back, else the stable one."""
    return counts.candidate if back else counts.stable


def _tolerated(now: Context, outcome: AnalysisOutcome) -> bool:
    """Whether the judge's rules let this analysis be followed by another one of the same step."""
    before = [one for one in now.status.analyses if one.outcome is outcome]
    if outcome is AnalysisOutcome.FAIL:
        return len(before) < now.spec.rules.failure_limit
    return sum(one.step == now.status.step.index for one in before) < now.spec.rules.inconclusive_limit


def _undecided(now: Context, status: RolloutStatus, outcome: AnalysisOutcome, sentence: str) -> Transition:
    error = outcome is AnalysisOutcome.ERROR
    reason = f"{'no metrics' if error else 'not decided'} at {now.spec.shares[status.step.index]} %: {sentence}"
    what = now.spec.on_error if error else now.spec.on_inconclusive
    return withdraw(status, reason) if what == "rollback" else hold(status, State.BAKING, reason)
