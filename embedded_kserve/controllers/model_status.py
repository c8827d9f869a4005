"""The model's state, as KServe writes it into the status of an InferenceService."""

from collections.abc import Mapping, Sequence
from typing import Any

from embedded_kserve.data_plane.pods import CONTAINER, INITIALIZER, Pod
from embedded_kserve.kubernetes.conditions import Status


def invalid_model(before: Mapping[str, Any], reason: str, message: str) -> Status:
    """The model's status when there can be no pods."""
    states = {**before.get("states", {}), "targetModelState": "FailedToLoad"}
    return {
        **before,
        "transitionStatus": "InvalidSpec",
        "states": states,
        "lastFailureInfo": {"reason": reason, "message": message},
    }


def model_status(before: Mapping[str, Any], pods: Sequence[Pod], ready: bool, failed: bool = False) -> Status:
    """The model's status.

    Args:
        before: as it was; the last failure stays in it until there is another one.
        pods: of the version that is being brought up.
        ready: whether the InferenceService was ready, with this version, when it was inspected last.
        failed: whether it is known to fail although there are no pods.
    """
    answering = sum(pod.ready for pod in pods)
    copies = {"failedCopies": 0, **({"totalCopies": answering} if answering else {})}
    if not pods:
        return _in_state(before, "FailedToLoad" if failed else "Pending", copies)
    first = pods[0]
    again = first.restarts or first.phase == "failed"
    if (first.failed_in == INITIALIZER and again) or (first.failed_in == CONTAINER and first.phase in _DOWN):
        failure = {"reason": "ModelLoadFailed", "message": first.message, "exitCode": first.exit_code}
        return {**_in_state(before, "FailedToLoad", copies), "lastFailureInfo": failure}
    if first.phase == "downloading":
        return _in_state(before, "Loading", copies)
    return _in_state(before, "Loaded" if ready else "Pending", copies)


_DOWN = {"failed", "backing-off"}
_TRANSITIONS = {
    "Pending": "InProgress",
    "Loading": "InProgress",
    "Loaded": "UpToDate",
    "FailedToLoad": "BlockedByFailedLoad",
}


def _in_state(before: Mapping[str, Any], state: str, copies: dict[str, int]) -> Status:
    states = {"activeModelState": "", **before.get("states", {}), "targetModelState": state}
    if state == "Loaded":
        states["activeModelState"] = state
    return {**before, "transitionStatus": _TRANSITIONS[state], "states": states, "copies": copies}
