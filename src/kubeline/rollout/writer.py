"""Writes of a rollout: its status, fenced and renewed, and the InferenceService, over the version that was read."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kubeline.deployment.inference_service import HIDDEN, HIDDEN_BY
from kubeline.errors import KubelineError, PlatformError
from kubeline.kubernetes.errors import ConflictError, UnavailableError
from kubeline.kubernetes.merge import merge
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.actions import Patch
from kubeline.rollout.clock import Clock
from kubeline.rollout.comparison import intended
from kubeline.rollout.routers import mode_of, router_of
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import DeploymentMode, Lease, Outcome, RolloutStatus, State
from kubeline.rollout.store import StatusStore, StoredStatus
from kubeline.serving_platform.interface import ServingPlatform

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_UNCONFIRMED = 8  # writes in a row of which none is known to have succeeded


class TakenOverError(PlatformError):
    """Another process drives this rollout now."""


@dataclass(kw_only=True)
class Writer:
    """What a driver writes.

    Attributes:
        cluster: where.
        store: of the status.
        spec: of the rollout.
        manifest: the whole InferenceService, for a first deployment.
        clock: time.
        on_change: called with the status after each change of it.
    """

    cluster: ServingPlatform
    store: StatusStore
    spec: RolloutSpec
    manifest: Manifest = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    on_change: Callable[[RolloutStatus], None] = lambda status: None

    def _write(
        self, stored: StoredStatus, status: RolloutStatus, service: Manifest | None, *, clear_request: bool = False
    ) -> StoredStatus:
        """Write the status; when only a request was added meanwhile, write over that version."""
        before = stored.status
        lease = Lease(status.lease.holder, self.clock.now() + self.spec.lease_seconds)
        status = replace(status, lease=lease)

        def write() -> StoredStatus:
            try:
                return self.store.write(status, stored.version, service, clear_request=clear_request)
            except ConflictError:
                found = self._read_ours(stored)
                if found.status == status:  # the answer of an earlier attempt was lost
                    return found
                if found.status != before:
                    raise
                return self.store.write(status, found.version, service, clear_request=clear_request)

        written = self._attempt(write, before)
        if written.status.state != before.state or len(written.status.timeline) != len(before.timeline):
            self.on_change(written.status)
        return written if clear_request else _with_request(written, stored)

    def _renew(self, stored: StoredStatus) -> StoredStatus:
        """Renew the lease when a third of it is over."""
        left = stored.status.lease.expires - self.clock.now()
        return stored if left > self.spec.lease_seconds * 2 / 3 else self._write(stored, stored.status, None)

    def _reread(self, stored: StoredStatus) -> StoredStatus:
        return self._attempt(lambda: self._read_ours(stored), stored.status)

    def _read_ours(self, stored: StoredStatus) -> StoredStatus:
        """The status as it is stored now, unless another process has taken the rollout over."""
        found, ours = self.store.read(), stored.status
        if found is None:
            raise PlatformError(f"the record of the rollout of {ours.where} was deleted; start it again")
        theirs = found.status
        if (theirs.lease.holder, theirs.rollout_id) != (ours.lease.holder, ours.rollout_id):
            raise TakenOverError(f"{theirs.lease.holder} has taken over the rollout of {ours.name}")
        return _with_request(found, stored)

    def _attempt(self, work: Callable[[], T], status: RolloutStatus) -> T:
        return self.cluster.attempt(work, f"InferenceService {status.where}")

    def _send_fenced(self, status: RolloutStatus, patch: Patch, service: Manifest | None) -> Manifest:
        """Write over the specification that the patch was made for, however often its status is written meanwhile."""
        until = self.clock.now() + self.spec.settle_seconds
        while True:
            try:
                return self._send(status, patch, service)
            except ConflictError:
                found = self.cluster.read(status.namespace, status.name)
                same = service is not None and found is not None and intended(found) == intended(service)
                if not same or self.clock.now() > until:
                    raise
                service = found

    def _send(
        self, status: RolloutStatus, patch: Patch, service: Manifest | None, *, dry_run: bool = False
    ) -> Manifest:
        if service is None:
            whole = merge(self.manifest, patch.body)
            if status.hidden:
                whole = merge(whole, {"metadata": {"labels": self._hiding_labels(whole)}})
            return self.cluster.create(whole, dry_run=dry_run)
        fence = {} if dry_run else {"resourceVersion": service["metadata"]["resourceVersion"]}
        body = {**patch.body, "metadata": {**patch.body.get("metadata", {}), **fence}}
        return self.cluster.patch(status.namespace, status.name, body, dry_run=dry_run)

    def _hiding_labels(self, whole: Manifest) -> dict[str, str]:
        """The label that hides the service in the mode that it will have.

        That of Standard mode is copied to the pods, and so to take it away makes a second revision in Knative mode.
        Where Standard mode is the cluster's, KServe's webhook writes it into a service that names none, and where
        Knative mode is, it writes nothing (DefaultInferenceService in inference_service_defaults.go, and recorded).
        """
        mode = mode_of(self.cluster.create(whole, dry_run=True)) or DeploymentMode.KNATIVE
        return {HIDDEN_BY[mode]: HIDDEN[HIDDEN_BY[mode]]}

    def _withdraw_unrecorded(self, status: RolloutStatus) -> bool:
        """The one patch of an abort, without a status: whether the specification gives the candidate nothing now.

        It is fenced; what it leaves is recognized by :func:`kubeline.rollout.comparison.compare`.
        """
        if status.mode is None:
            return False
        router, versions = router_of(status.mode), status.versions
        for _ in range(MAX_UNCONFIRMED):
            try:
                service = self.cluster.read(status.namespace, status.name)
                if service is None or not router.specified(service, versions):
                    return True
                self._send(status, Patch(router.shift(service, versions, 0), ""), service)
            except KubelineError as error:
                logger.warning("withdrawing the candidate's traffic at once: %s", error)
                if not isinstance(error, (ConflictError, UnavailableError)):
                    return False
            else:
                return True
        return False

    def _rollback_failed(self, stored: StoredStatus, reason: str) -> PlatformError:
        """The error of a failed rollback, which is recorded where that is possible."""
        status = stored.status
        if status.state is not State.FAILED:
            failed = replace(status, state=State.FAILED, outcome=Outcome.FAILED, reason=reason, resume=status.state)
            try:
                self._write(stored, failed.with_event(self.clock.now(), reason), None)
            except KubelineError as error:
                logger.warning("the failed rollback cannot be recorded: %s", error)
        return PlatformError(
            f"THE ROLLBACK OF {status.where} FAILED and the candidate {status.candidate.digest[:12]} may still have "
            f"traffic: {reason}. Act now: check the service, then run `kubeline rollout abort {status.name}`"
        )


def _with_request(found: StoredStatus, before: StoredStatus) -> StoredStatus:
    """An operator's request counts until it was followed."""
    return found if found.request else replace(found, request=before.request)
