"""Writes of a rollout: its record, fenced and renewed, and the InferenceService, over the version that was read."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from kubeline.deployment.inference_service import HIDDEN
from kubeline.errors import KubelineError, PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import ConflictError, UnavailableError
from kubeline.kubernetes.merge import merge
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout import routers as modes
from kubeline.rollout.actions import Change, sides
from kubeline.rollout.clock import Clock
from kubeline.rollout.comparison import intended
from kubeline.rollout.spec import Plan
from kubeline.rollout.status import Record, State
from kubeline.rollout.store import Kept, Records

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_DOUBTS = 8  # writes in a row of which none is known to have succeeded


class TakenOverError(PlatformError):
    """Another process drives this rollout now."""


@dataclass(kw_only=True)
class Writer:
    """What a driver writes.

    Attributes:
        cluster: where.
        records: of the InferenceService.
        plan: of the rollout.
        manifest: the whole InferenceService, for a first deployment.
        clock: time.
        listen: called with the record after each change of it.
    """

    cluster: Cluster
    records: Records
    plan: Plan
    manifest: Manifest = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    listen: Callable[[Record], None] = lambda record: None

    def _write(self, kept: Kept, record: Record, service: Manifest | None, heard: bool = False) -> Kept:
        """Write the record; when only a request was added meanwhile, write over that version."""
        record = record.model_copy(update={"deadline": self.clock.now() + self.plan.lease_seconds})

        def write() -> Kept:
            try:
                return self.records.write(record, kept.version, service, heard)
            except ConflictError:
                found = self._ours(kept)
                if found.record == record:  # the answer of an earlier attempt was lost
                    return found
                if found.record != kept.record:
                    raise
                return self.records.write(record, found.version, service, heard)

        written = self._tried(write, kept.record)
        if written.record.state != kept.record.state or len(written.record.timeline) != len(kept.record.timeline):
            self.listen(written.record)
        return written if heard else _still_asked(written, kept)

    def _alive(self, kept: Kept) -> Kept:
        """Renew the lease when a third of it is over."""
        left = kept.record.deadline - self.clock.now()
        return kept if left > self.plan.lease_seconds * 2 / 3 else self._write(kept, kept.record, None)

    def _again(self, kept: Kept) -> Kept:
        return self._tried(lambda: self._ours(kept), kept.record)

    def _ours(self, kept: Kept) -> Kept:
        found = self.records.read()
        if found is None:
            raise PlatformError(
                f"the record of the rollout of {kept.record.namespace}/{kept.record.name} was deleted; start it again"
            )
        if (found.record.owner, found.record.rollout_id) != (kept.record.owner, kept.record.rollout_id):
            raise TakenOverError(f"{found.record.owner} has taken over the rollout of {kept.record.name}")
        return _still_asked(found, kept)

    def _tried(self, work: Callable[[], T], record: Record) -> T:
        return self.cluster.attempt(work, f"InferenceService {record.namespace}/{record.name}")

    def _fenced(self, record: Record, move: Change, service: Manifest | None) -> Manifest:
        """Write over the specification that the move was chosen for, however often its status is written meanwhile."""
        until = self.clock.now() + self.plan.settle_seconds
        while True:
            try:
                return self._send(record, move, service)
            except ConflictError:
                found = self.cluster.read(record.namespace, record.name)
                same = service is not None and found is not None and intended(found) == intended(service)
                if not same or self.clock.now() > until:
                    raise
                service = found

    def _send(self, record: Record, move: Change, service: Manifest | None, dry_run: bool = False) -> Manifest:
        if service is None:
            hidden = HIDDEN if record.hidden else {}
            whole = merge(merge(self.manifest, {"metadata": {"labels": hidden}}), move.body)
            return self.cluster.create(whole, dry_run=dry_run)
        fence = {} if dry_run else {"resourceVersion": service["metadata"]["resourceVersion"]}
        body = {**move.body, "metadata": {**move.body.get("metadata", {}), **fence}}
        return self.cluster.patch(record.namespace, record.name, body, dry_run=dry_run)

    def _take_back(self, record: Record) -> bool:
        """The one patch of an abort, without the record: whether the specification gives the candidate nothing now.

        It is fenced; what it leaves is known again by :func:`kubeline.rollout.comparison.compare`.
        """
        mode = modes.module(record.mode)
        for _ in range(MOST_DOUBTS):
            try:
                service = self.cluster.read(record.namespace, record.name)
                if service is None or not mode.specified(service, sides(record)):
                    return True
                self._send(record, Change(mode.shift(service, sides(record), 0), ""), service)
            except KubelineError as error:
                logger.warning("taking the traffic back at once: %s", error)
                if not isinstance(error, (ConflictError, UnavailableError)):
                    return False
            else:
                return True
        return False

    def _loudest(self, kept: Kept, reason: str) -> PlatformError:
        record = kept.record
        if record.state != State.FAILED:
            try:
                changes = {"state": State.FAILED, "outcome": "failed", "reason": reason, "resume": record.state}
                self._write(kept, record.model_copy(update=changes).told(self.clock.now(), reason), None)
            except KubelineError:
                pass  # the sentence below says it all the same
        return PlatformError(
            f"THE ROLLBACK OF {record.namespace}/{record.name} FAILED and the candidate {record.digest[:12]} may still "
            f"have traffic: {reason}. Act now: look at the service, then `kubeline rollout abort {record.name}`"
        )


def _still_asked(found: Kept, before: Kept) -> Kept:
    """What a person asked for counts until it was heard."""
    return found if found.request else found.model_copy(update={"request": before.request})
