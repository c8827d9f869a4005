"""The ways out of a state that several states have in common."""

from collections.abc import Mapping
from typing import Any

from kubeline.rollout.actions import Go, Situation
from kubeline.rollout.spec import Plan
from kubeline.rollout.status import State


def onward(now: Situation, sentence: str, kept: Mapping[str, Any]) -> Go:
    """Everything has passed: promote, ask a person, or report."""
    changes = {**kept, "baked_from": 0.0, "snapshot": None}
    if now.plan.approval:
        return Go(State.APPROVAL, f"{sentence}; a person must promote", changes)
    if now.plan.promotes:
        return toward(now, len(now.plan.shares), sentence, kept)
    told = f"the comparison is over ({sentence}); promote or abort"
    return hold(State.APPROVAL, told, {**changes, "outcome": "reported"})


def toward(now: Situation, step: int, sentence: str, kept: Mapping[str, Any] | None = None) -> Go:
    """To the share of a step, or to everything: first the pods, where they do not come by themselves."""
    state = State.SCALE if now.mode.SCALES else given(next_share(now.plan, step))
    fresh = {"step": step, "baked_from": 0.0, "snapshot": None, "arrivals": None}
    return Go(state, sentence, {**(kept or {}), **fresh})


def next_share(plan: Plan, step: int) -> int:
    """Per cent of a step; all of it after the last one."""
    return plan.shares[step] if step < len(plan.shares) else 100


def given(share: int) -> State:
    """The state in which a share is given."""
    return State.FILL if share == 100 else State.SHIFT


def after_smoke(now: Situation, sentence: str, kept: Mapping[str, Any] | None = None) -> Go:
    """The candidate has answered as it should, or was not asked."""
    kept = kept or {}
    if now.record.stable is None:
        return Go(State.EXPOSE, sentence, kept)
    if now.plan.strategy == "shadow":
        return Go(State.SHADOW, sentence, kept)
    return toward(now, 0, sentence, kept) if now.plan.shares else onward(now, sentence, kept)


def hold(resume: State, reason: str, kept: Mapping[str, Any] | None = None) -> Go:
    """Leave everything as it is until a person, or the same rollout again, goes on."""
    return Go(State.HELD, f"held: {reason}", {"outcome": "held", **(kept or {}), "reason": reason, "resume": resume})


def withdraw(reason: str, kept: Mapping[str, Any] | None = None) -> Go:
    """Begin the way back to the stable model."""
    changes = {"outcome": "", "arrivals": None, **(kept or {}), "reason": reason}
    return Go(State.WITHDRAW, f"back to the stable model: {reason}", changes)


def fail(reason: str) -> Go:
    """The way back itself does not work."""
    return Go(State.FAILED, f"the rollback failed: {reason}", {"outcome": "failed", "reason": reason})


def taken(now: Situation) -> Go:
    """The candidate has no traffic."""
    known = {"candidate_revision": now.record.candidate_revision or now.observed.revision}
    return Go(State.RESTORE, "the stable model answers everything", known)
