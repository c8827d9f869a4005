"""The live specification compared with the last write: ours, that of a cancelled step, or one from outside."""

from dataclasses import replace
from enum import Enum

from kubeline.deployment.inference_service import HIDDEN
from kubeline.kubernetes.merge import merge
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers import router_of
from kubeline.rollout.spec import fingerprint
from kubeline.rollout.status import RolloutStatus, State, WriteStatus


class SpecChange(Enum):
    """How the live specification differs from the last write."""

    UNCHANGED = "as it was written"
    APPLIED = "as the write under way leaves it"
    STALE = "older than the last write"
    WITHDRAWN = "with 0 % for the candidate, by a step that was cancelled or could store no status"
    ACCEPTED = "edited from outside, and accepted by an operator's request"
    EDITED = "edited from outside"
    DELETED = "deleted"
    RECREATED = "deleted, and created anew from outside"


def compare(status: RolloutStatus, service: Manifest | None, request: str) -> SpecChange:
    """What became of the specification since the last write to it."""
    if service is None:
        gone = (status.write.spec or status.stable is not None) and status.state is not State.HELD
        return SpecChange.DELETED if gone else SpecChange.UNCHANGED
    found, write = written(status.write, service), status.write
    if write.uid and found.uid != write.uid and status.state is not State.HELD:
        return SpecChange.RECREATED
    if write.intent and intended(service) == write.intent:
        return SpecChange.APPLIED
    if found.spec == write.spec:
        return SpecChange.UNCHANGED
    if found.generation < write.generation:
        return SpecChange.STALE
    return _edited(status, service, request)


def _edited(status: RolloutStatus, service: Manifest, request: str) -> SpecChange:
    if status.state is State.HELD:  # an operator has accepted the edit, or has not yet
        return SpecChange.ACCEPTED if request else SpecChange.UNCHANGED
    return SpecChange.WITHDRAWN if _withdrawn(status, service) else SpecChange.EDITED


def written(before: WriteStatus, service: Manifest) -> WriteStatus:
    """The status of the write that left the specification as it is now."""
    meta = service["metadata"]
    known = {"generation": meta.get("generation", 0), "uid": meta.get("uid", "")}
    return replace(before, spec=fingerprint(service["spec"]), **known)


def intended(service: Manifest) -> str:
    """Fingerprint of all that a rollout writes: the specification, and whether the service is hidden."""
    return fingerprint(service["spec"], sorted(HIDDEN.keys() & (service["metadata"].get("labels") or {}).keys()))


def _withdrawn(status: RolloutStatus, service: Manifest) -> bool:
    """Whether this is our last write, or the one under way, but for the candidate's share, which is 0."""
    withdraws = status.spec.on_cancel == "abort" or status.spec.on_error == "rollback"
    if not withdraws or status.stable is None or status.mode is None:
        return False
    router, write = router_of(status.mode), status.write
    if router.specified(service, status.versions) != 0:
        return False
    shares = (*status.spec.shares, 100)
    before = (merge(service, router.shift(service, status.versions, share)) for share in shares)
    return any(fingerprint(one["spec"]) == write.spec or intended(one) == write.intent for one in before)
