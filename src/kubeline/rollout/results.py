"""The state machine's other half: what follows from the answer to a question, purely."""

from collections.abc import Callable, Mapping
from typing import Any

from kubeline.rollout.actions import Go, Question, Situation, Wait
from kubeline.rollout.status import State
from kubeline.rollout.transitions import after_smoke, fail, hold, onward, taken, toward, withdraw

_MANY = 20  # requests at one version while none arrives at the other: the gateway has followed


def answered(now: Situation, question: Question, answer: Mapping[str, Any]) -> Go | Wait:
    """What follows from an answer.

    Args:
        now: the situation it was asked in.
        question: which one.
        answer: smoke and shadow: ``{passed, sentence, …}``; snapshot: a window, or ``{error}``; evidence: a look
            ``{outcome, sentence, …}``, whose outcome is pass, fail, inconclusive, error or waiting; arrivals: requests
            that each side has been asked so far, ``{candidate, stable}``, or ``{error}``.
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
        return after_smoke(now, answer["sentence"], kept)
    reason = f"the smoke test failed: {answer['sentence']}"
    return hold(State.SMOKE, reason, kept) if now.record.stable is None else withdraw(reason, kept)


def _after_shadow(now: Situation, answer: Mapping[str, Any]) -> Go:
    kept = {"shadow": dict(answer)}
    if answer["passed"] and now.plan.promotes:
        return onward(now, answer["sentence"], kept)
    return withdraw(answer["sentence"], {**kept, "outcome": "reported" if answer["passed"] else ""})


def _after_look(now: Situation, look: Mapping[str, Any]) -> Go | Wait:
    record, plan = now.record, now.plan
    outcome, sentence = look["outcome"], str(look["sentence"])
    kept: dict[str, Any] = {"looks": (*record.looks, dict(look))}
    if outcome == "pass" and record.step + 1 < len(plan.shares):
        return toward(now, record.step + 1, f"passed: {sentence}", kept)
    if outcome == "pass":
        return onward(now, f"passed: {sentence}", kept)
    if now.now - record.baked_from < plan.max_bake_seconds:
        if outcome in {"waiting", "error"}:
            return Wait()
        if _forgiven(now, outcome):
            return Go(State.BAKE, f"{outcome}, looked at again later: {sentence}", kept)
    return withdraw(f"failed: {sentence}", kept) if outcome == "fail" else _undecided(now, outcome, sentence, kept)


def _after_arrivals(now: Situation, answer: Mapping[str, Any]) -> Go | Wait:
    """Pods go only when nothing arrives there any more: the gateway follows its routes a moment later."""
    back = now.record.state == State.WITHDRAW
    leaving, staying = ("candidate", "stable") if back else ("stable", "candidate")
    who = "the candidate" if back else "the stable model"
    seen, plan = now.record.arrivals, now.plan
    if seen is None or answer.get(leaving, 0) > seen.get(leaving, 0):
        first = now.now if seen is None else seen["first"]
        if now.now - first > plan.settle_seconds:
            told = (
                f"{who} is still asked {plan.settle_seconds:g} s after its route said 0 %, by a gateway "
                "that does not follow or by someone who knows its Service; nobody may, before its pods go"
            )
            return fail(told) if back else withdraw(told)
        told = f"its requests are not known ({answer['error']})" if "error" in answer else "requests may still arrive"
        kept = {"arrivals": {**answer, "first": first, "since": now.now}}
        return Go(now.record.state, f"{who} has 0 %, and is watched: {told}", kept)
    others = answer.get(staying, 0) - seen.get(staying, 0)
    if others < _MANY and now.now - seen["since"] < plan.drain_seconds:
        return Wait()
    return taken(now) if back else Go(State.PROMOTE, "100 % are observed, and nothing else is asked any more")


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
    return withdraw(told, kept) if what == "rollback" else hold(State.BAKE, told, kept)


_ANSWERS: Mapping[Question, Callable[[Situation, Mapping[str, Any]], Go | Wait]] = {
    "snapshot": _after_snapshot,
    "smoke": _after_test,
    "shadow": _after_shadow,
    "evidence": _after_look,
    "arrivals": _after_arrivals,
}
