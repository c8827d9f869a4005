"""The live specification compared with what was written: by us, by a step that was cancelled, or by somebody else."""

from kubeline.deployment.inference_service import HIDDEN
from kubeline.kubernetes.merge import merge
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout import routers as modes
from kubeline.rollout.actions import sides
from kubeline.rollout.spec import Plan, fingerprint
from kubeline.rollout.status import Record, State, Written


def compare(record: Record, service: Manifest | None, request: str) -> tuple[Written, str]:
    """What the live specification is, and what follows when it is compared with our last write.

    Returns:
        ``same``; ``done``: the write under way took effect; ``stale``: an older one was read; ``withdrawn``: a step
        that was cancelled, or could write nothing down, has taken the traffic back; ``adopt``: take it as it
        is; ``edited`` or ``deleted`` from outside.
    """
    if service is None:
        gone = (record.written.spec or record.stable is not None) and record.state != State.HELD
        return Written(), "deleted" if gone else "same"
    found = Written(generation=service["metadata"].get("generation", 0), spec=fingerprint(service["spec"]))
    if record.intent and intended(service) == record.intent:
        return found, "done"
    if found.spec == record.written.spec:
        return found, "same"
    if found.generation < record.written.generation:
        return found, "stale"
    if record.state == State.HELD:  # a person has looked at it, or has not yet
        return found, "adopt" if request else "same"
    return found, "withdrawn" if _taken_back(record, service) else "edited"


def _taken_back(record: Record, service: Manifest) -> bool:
    """Whether this is our last write, or the one under way, but for the candidate's share, which is 0."""
    takes_back = record.plan.get("on_cancel") == "abort" or record.plan.get("on_error") == "rollback"
    if not takes_back or record.stable is None or not record.mode:
        return False
    mode, who = modes.module(record.mode), sides(record)
    if mode.specified(service, who) != 0:
        return False
    shares = (*Plan.read(record.plan).shares, 100)
    before = (merge(service, mode.shift(service, who, share)) for share in shares)
    return any(fingerprint(one["spec"]) == record.written.spec or intended(one) == record.intent for one in before)


def intended(service: Manifest) -> str:
    """Fingerprint of all that a rollout writes: the specification, and whether the service is hidden."""
    return fingerprint(service["spec"], sorted(HIDDEN.keys() & (service["metadata"].get("labels") or {}).keys()))
