"""Reads the records of format 1, so that rollouts that an older release began are continued by this one."""

from collections.abc import Mapping
from typing import Any

from kubeline.rollout.status import State

_STATES = {
    "locked": State.INITIALIZING,
    "bootstrap": State.BOOTSTRAPPING,
    "start": State.DEPLOYING,
    "ready": State.AWAITING_READINESS,
    "smoke": State.SMOKE_TESTING,
    "expose": State.EXPOSING,
    "shadow": State.SHADOWING,
    "scale": State.SCALING,
    "shift": State.SHIFTING,
    "bake": State.BAKING,
    "judge": State.ANALYZING,
    "approval": State.AWAITING_APPROVAL,
    "fill": State.CUTTING_OVER,
    "promote": State.PROMOTING,
    "verify": State.VERIFYING,
    "done": State.COMPLETED,
    "withdraw": State.WITHDRAWING,
    "restore": State.RESTORING,
    "settle": State.SETTLING,
    "rolled_back": State.ROLLED_BACK,
    "held": State.HELD,
    "failed": State.FAILED,
}
# A rollback was known by these values of its plan, which no other rollout has all of.
_ROLLBACK = {"strategy": "blue-green", "metrics": None, "verify_seconds": 2, "drain_seconds": 10, "poll_seconds": 0.5}


def upgraded(old: Mapping[str, Any]) -> dict[str, Any]:
    """The status in the current format.

    Raises:
        LookupError, TypeError, AttributeError: when it is no record of format 1.
    """
    same = ("rollout_id", "name", "namespace", "entered", "hidden", "smoke", "shadow", "reason", "history")
    return {
        **{key: old[key] for key in same if key in old},
        "lease": {"holder": old["owner"], "expires": old["deadline"]},
        "spec": _spec(old["plan"]),
        "versions": _versions(old),
        "mode": old.get("mode") or None,
        "state": _STATES[old["state"]],
        "resume": _STATES[old["resume"]] if old.get("resume") else None,
        "step": {
            "index": old.get("step", 0),
            "observed_since": old.get("baked_from", 0.0),
            "metrics": old.get("snapshot"),
            "drain": _drain(old.get("arrivals")),
        },
        "write": {
            **{key: old.get("written", {}).get(key, default) for key, default in (("generation", 0), ("spec", ""))},
            "intent": old.get("intent", ""),
            "completed": _key(old.get("wrote", "")),
        },
        "analyses": [_analysis(analysis) for analysis in old.get("looks", ())],
        "timeline": [{**event, "state": _STATES[event["state"]]} for event in old.get("timeline", ())],
        "outcome": old.get("outcome") or None,
    }


def _spec(plan: Mapping[str, Any]) -> dict[str, Any]:
    back = plan.get("smoke", {}).get("rows") == 0 and all(plan.get(key) == value for key, value in _ROLLBACK.items())
    return {**plan, "rollback": back}


def _versions(old: Mapping[str, Any]) -> dict[str, Any]:
    stable = old.get("stable")
    return {
        "candidate": {
            "predictor": old.get("candidate", {}),
            "digest": old.get("digest", ""),
            "revision": old.get("candidate_revision", ""),
            "name": old.get("candidate_name", ""),
        },
        "stable": None
        if stable is None
        else {
            "predictor": stable,
            "digest": old.get("stable_digest", ""),
            "revision": old.get("stable_revision", ""),
            "name": stable.get("name", ""),
        },
        "replaced_revision": old.get("replaced", ""),
        "stable_pods": old.get("busy", 0),
    }


def _drain(arrivals: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if arrivals is None:
        return None
    counts = {key: arrivals[key] for key in ("candidate", "stable", "error") if key in arrivals}
    return {"counts": counts, "first": arrivals["first"], "since": arrivals["since"]}


def _analysis(old: Mapping[str, Any]) -> dict[str, Any]:
    outcome = old["outcome"]
    return {**old, "outcome": "too_few_requests" if outcome == "waiting" else outcome}


def _key(wrote: str) -> str:
    state, slash, step = wrote.partition("/")
    return f"{_STATES[state]}/{step}" if slash else ""
