"""The ways out of a state that several states have in common."""

from dataclasses import replace

from kubeline.rollout.actions import Context, Transition
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import ABORTABLE, Outcome, RolloutStatus, State, StepStatus


def enter(status: RolloutStatus, state: State, sentence: str) -> Transition:
    """Enter a state with the status as it is."""
    return Transition(replace(status, state=state), sentence)


def passed(now: Context, status: RolloutStatus, sentence: str) -> Transition:
    """Everything has passed: promote, ask an operator, or report."""
    ready = replace(status, step=StepStatus(status.step.index, drain=status.step.drain))
    if now.spec.approval:
        return enter(ready, State.AWAITING_APPROVAL, f"{sentence}; an operator must promote")
    if now.spec.promotes:
        return to_step(now, status, len(now.spec.shares), sentence)
    reason = f"the comparison is over ({sentence}); promote or abort"
    return hold(ready, State.AWAITING_APPROVAL, reason, Outcome.REPORTED)


def to_step(now: Context, status: RolloutStatus, index: int, sentence: str) -> Transition:
    """To the share of a step, or to everything: first the pods, where they do not come by themselves."""
    state = State.SCALING if now.router.scales else shifting(share_of(now.spec, index))
    return enter(replace(status, step=StepStatus(index)), state, sentence)


def share_of(spec: RolloutSpec, index: int) -> int:
    """Per cent of a step; all of it after the last one."""
    return spec.shares[index] if index < len(spec.shares) else 100


def shifting(share: int) -> State:
    """The state in which a share is given."""
    return State.CUTTING_OVER if share == 100 else State.SHIFTING


def promoting(now: Context, sentence: str) -> Transition:
    """The candidate has everything, and no request arrives elsewhere."""
    replaces = now.router.replace(now.live, now.status.versions)
    return enter(now.status, State.REPLACING if replaces else State.PROMOTING, sentence)


def smoke_tested(now: Context, status: RolloutStatus, sentence: str) -> Transition:
    """The candidate has passed its smoke test, or there is none."""
    if status.stable is None:
        return enter(status, State.EXPOSING, sentence)
    if now.spec.strategy == "shadow":
        return enter(status, State.SHADOWING, sentence)
    return to_step(now, status, 0, sentence) if now.spec.shares else passed(now, status, sentence)


def hold(status: RolloutStatus, resume: State, reason: str, outcome: Outcome = Outcome.HELD) -> Transition:
    """Leave everything as it is until an operator, or the same rollout again, continues."""
    held = replace(status, state=State.HELD, outcome=outcome, reason=reason, resume=resume)
    return Transition(held, f"held: {reason}")


def withdraw(status: RolloutStatus, reason: str, outcome: Outcome | None = None) -> Transition:
    """Begin the way back to the stable model."""
    step = replace(status.step, drain=None)
    back = replace(status, state=State.WITHDRAWING, step=step, reason=reason, outcome=outcome)
    return Transition(back, f"back to the stable model: {reason}")


def fail(status: RolloutStatus, reason: str) -> Transition:
    """The way back itself does not work."""
    failed = replace(status, state=State.FAILED, outcome=Outcome.FAILED, reason=reason)
    return Transition(failed, f"the rollback failed: {reason}")


def withdrawn(now: Context) -> Transition:
    """The candidate has no traffic."""
    status = now.status.with_revision(now.status.candidate.revision or now.observed.revision)
    return enter(status, State.RESTORING, "the stable model answers everything")


def abort(status: RolloutStatus, reason: str) -> Transition | None:
    """What follows when the rollout is to be aborted; None where there is no way back, or nothing to do."""
    if status.state in ABORTABLE and status.untouched:
        ended = replace(status, state=State.ROLLED_BACK, outcome=Outcome.ROLLED_BACK, reason=reason)
        return Transition(ended, f"{reason} before anything was changed")
    if status.stable is None:  # there is no model to return to
        return hold(status, status.state, reason) if status.state in ABORTABLE else None
    return withdraw(status, reason) if status.state in ABORTABLE | {State.HELD} else None


def on_error(status: RolloutStatus, spec: RolloutSpec, reason: str) -> Transition:
    """What follows when an error has lasted too long: what `on_error` says, where there is a way back."""
    back = abort(status, reason) if spec.on_error == "rollback" else None
    return back or hold(status, status.state, reason)
