"""Conditions and the model's state, as KServe writes them into the status of an InferenceService."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kubeline.local.kserve.pods import CONTAINER, INITIALIZER, Pod

Truth = Literal["True", "False", "Unknown"]
Status = dict[str, Any]


class Conditions:
    """The conditions of one object; a change of a status notes its time.

    Args:
        present: the list that the status holds.
    """

    def __init__(self, present: Sequence[Mapping[str, Any]] = ()) -> None:
        self._by_type = {str(condition["type"]): dict(condition) for condition in present}

    def set(self, kind: str, status: Truth, reason: str = "", message: str = "") -> None:
        """Set one; reason and message are for what is not true."""
        old = self._by_type.get(kind, {})
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        since = old["lastTransitionTime"] if old.get("status") == status else now
        told = {"reason": reason, "message": message}
        told = {key: value for key, value in told.items() if value}
        self._by_type[kind] = {"type": kind, "status": status, "lastTransitionTime": since, **told}

    def clear(self, kind: str) -> None:
        """Take one away."""
        self._by_type.pop(kind, None)

    def status(self, kind: str) -> Truth:
        """The status of one; Unknown when it is not there."""
        found: Truth = self._by_type.get(kind, {}).get("status", "Unknown")
        return found

    def conclude(self, kind: str, *parts: str) -> None:
        """Set one by others: false when any of them is, true when all are."""
        by_status = {self.status(part): part for part in reversed(parts)}
        for status in ("False", "Unknown"):
            if part := by_status.get(status):
                about = self._by_type.get(part, {})
                self.set(kind, status, about.get("reason", ""), about.get("message", ""))
                return
        self.set(kind, "True")

    def listed(self) -> list[dict[str, Any]]:
        """As the status holds them: by type."""
        return [self._by_type[kind] for kind in sorted(self._by_type)]


def invalid_model(before: Mapping[str, Any], reason: str, message: str) -> Status:
    """The model's status when there can be no pods."""
    states = {**before.get("states", {}), "targetModelState": "FailedToLoad"}
    return {
        **before,
        "transitionStatus": "InvalidSpec",
        "states": states,
        "lastFailureInfo": {"reason": reason, "message": message},
    }


def model_status(before: Mapping[str, Any], pods: Sequence[Pod], ready: bool, failed: bool) -> Status:
    """The model's status.

    Args:
        before: as it was; the last failure stays in it until there is another one.
        pods: of the version that is being brought up.
        ready: whether the InferenceService is ready, with this version.
        failed: whether it is known to fail although there are no pods.
    """
    copies = {"failedCopies": 0, "totalCopies": sum(pod.ready for pod in pods)}
    if not pods:
        return _in_state(before, "FailedToLoad" if failed else "Pending", copies)
    first = pods[0]
    if first.phase == "downloading":
        return _in_state(before, "Loading", copies)
    if first.failed_in == INITIALIZER or (first.failed_in == CONTAINER and first.phase == "backing-off"):
        failure = {"reason": "ModelLoadFailed", "message": first.message, "exitCode": first.exit_code}
        return {**_in_state(before, "FailedToLoad", copies), "lastFailureInfo": failure}
    return _in_state(before, "Loaded" if ready else "Pending", copies)


_TRANSITIONS = {
    "Pending": "InProgress",
    "Loading": "InProgress",
    "Loaded": "UpToDate",
    "FailedToLoad": "BlockedByFailedLoad",
}


def _in_state(before: Mapping[str, Any], state: str, copies: dict[str, int]) -> Status:
    states = {**before.get("states", {}), "targetModelState": state}
    if state == "Loaded":
        states["activeModelState"] = state
    return {**before, "transitionStatus": _TRANSITIONS[state], "states": states, "copies": copies}
