"""Starts a rollout, or continues one: who holds the lease, what is stable, what is the candidate."""

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubeline.deployment.inference_service import ANNOTATION, HIDDEN
from kubeline.errors import PlatformError
from kubeline.kubernetes.merge import merge, merge_patch
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.clock import Clock
from kubeline.rollout.comparison import written
from kubeline.rollout.driver import Driver
from kubeline.rollout.lease import settled
from kubeline.rollout.preflight import check_candidate, check_rights
from kubeline.rollout.probes import Probes
from kubeline.rollout.probes.reach import check_reach
from kubeline.rollout.routers import ClusterSnapshot, mode_of, predictor_digest, router_of
from kubeline.rollout.snapshot import read_routes
from kubeline.rollout.spec import RolloutSpec, fingerprint
from kubeline.rollout.status import (
    DeployedModel,
    DeploymentMode,
    Lease,
    Outcome,
    RolloutStatus,
    State,
    StepStatus,
    Versions,
    WriteStatus,
)
from kubeline.rollout.store import StatusStore, StoredStatus
from kubeline.serving_platform.interface import ServingPlatform

_WRITTEN_BY_ROLLOUTS = ("canaryTrafficPercent", "name")  # of a predictor


@dataclass(frozen=True)
class Started:
    """A rollout whose lease is ours, and its manifest with Kubeline's annotations at the predictor."""

    stored: StoredStatus
    manifest: Manifest


def process_name() -> str:
    """A name for this process, unique in the cluster."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:6]}"


def identity(manifest: Mapping[str, Any], spec: RolloutSpec) -> str:
    """The rollout id: of the package digest, the specification, and what of the spec says what is done."""
    digest = predictor_digest(manifest["spec"]["predictor"], manifest)
    return fingerprint(digest, manifest["spec"], spec.identity)[:16]


def start(
    cluster: ServingPlatform, manifest: Manifest, spec: RolloutSpec, holder: str, now: float, gateway: str = ""
) -> Started:
    """Take the lease for this rollout, or take it over from the process that held it before.

    Args:
        cluster: where.
        manifest: the InferenceService as `deploy` renders it.
        spec: of the rollout.
        holder: of the lease.
        now: Unix seconds.
        gateway: where the candidate is asked through; empty inside the cluster.

    Returns:
        The rollout, which has ended already when there is nothing to do.

    Raises:
        UserError: when the cluster cannot do what is asked.
        PlatformError: when another rollout is in progress, or a right is missing.
    """
    meta = manifest["metadata"]
    namespace, name = meta["namespace"], meta["name"]
    whole = annotated(manifest)
    store = StatusStore(cluster, namespace, name)
    what = f"the record of the rollout of {namespace}/{name}"
    check_rights(cluster, namespace, name, spec, gateway)
    found = cluster.attempt(store.read, what)
    rollout_id = identity(manifest, spec)
    service = cluster.attempt(lambda: cluster.read(namespace, name), what)
    lease = Lease(holder, now + spec.lease_seconds)
    if found is not None and found.status.rollout_id == rollout_id:
        replaced = found.status.state is State.COMPLETED and service is not None and not serves(service, found.status)
        if not replaced:
            return Started(_continue(cluster, store, found, lease, now, spec), whole)
    elif found is not None:
        _refuse_in_progress(found.status, now)
    status = new_status(whole, spec, rollout_id, lease, now, service, found)
    if service is not None and status.stable is not None and serves(service, status):
        reason = "this model is served already, with these settings"
        unchanged = replace(status, state=State.COMPLETED, outcome=Outcome.UNCHANGED, reason=reason)
        return Started(StoredStatus(unchanged.with_event(now, reason), version=""), whole)
    snapshot = ClusterSnapshot(service, routes_of(cluster, status))
    check_candidate(cluster, status, spec, snapshot, whole)
    if service is not None and status.stable is not None:
        check_reach(cluster, status, spec, service, gateway)
    return Started(_acquire(cluster, store, status, found, service), whole)


def annotated(manifest: Manifest) -> Manifest:
    """The manifest with Kubeline's annotations at the predictor.

    At the service they would have to change with the model, and KServe copies them to the pods of the stable one too.
    """
    outer = manifest["metadata"].get("annotations") or {}
    ours = {key: value for key, value in outer.items() if key.startswith(ANNOTATION)}
    others = {key: value for key, value in outer.items() if key not in ours}
    predictor = manifest["spec"]["predictor"]
    inner = {**ours, **(predictor.get("annotations") or {})}
    moved: Manifest = merge(manifest, {"spec": {"predictor": {"annotations": inner}}})
    return {**moved, "metadata": {**manifest["metadata"], "annotations": others}}


def serves(service: Mapping[str, Any], status: RolloutStatus) -> bool:
    """Whether the candidate is what the service is specified to be, with nothing beside it."""
    beside = service["spec"]["predictor"].get("canaryTrafficPercent") is not None or service["spec"].get("canary")
    return not beside and _holds(service, status.candidate.predictor)


def plain(predictor: Mapping[str, Any]) -> dict[str, Any]:
    """A predictor without what a rollout writes into it."""
    return {key: value for key, value in predictor.items() if key not in _WRITTEN_BY_ROLLOUTS}


def _holds(service: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    """Whether the service's predictor is the candidate."""
    wanted = {key: value for key, value in plain(candidate).items() if key != "annotations"}
    same = not merge_patch(plain(service["spec"]["predictor"]), wanted)
    return same and _digest(service) == predictor_digest(candidate)


def _digest(service: Mapping[str, Any]) -> str:
    return predictor_digest(service["spec"]["predictor"], service)


def new_status(
    whole: Manifest,
    spec: RolloutSpec,
    rollout_id: str,
    lease: Lease,
    now: float,
    service: Manifest | None,
    found: StoredStatus | None,
) -> RolloutStatus:
    """The status of a rollout that begins.

    Args:
        whole: the manifest, annotated.
        spec: of the rollout.
        rollout_id: see :func:`identity`.
        lease: of the process that drives it.
        now: Unix seconds.
        service: the live InferenceService.
        found: the status of the rollout before.
    """
    meta, rendered = whole["metadata"], whole["spec"]["predictor"]
    mode = mode_of(service) if service is not None else None
    digest = predictor_digest(rendered)
    replaces = service is None or _unfinished(found, digest)
    stable = None if service is None or replaces else _stable(service, mode)
    status = RolloutStatus(
        rollout_id=rollout_id,
        name=meta["name"],
        namespace=meta["namespace"],
        lease=lease,
        spec=spec,
        versions=_versions(rendered, digest, rollout_id, service, stable, mode),
        mode=mode,
        entered=now,
        hidden=stable is None and _hides(whole, spec, service),
        write=WriteStatus() if service is None else written(WriteStatus(), service),
        history=found.status.history if found is not None else (),
    )
    return status.with_event(now, f"begun by {lease.holder}")


def _stable(service: Manifest, mode: DeploymentMode | None) -> DeployedModel:
    predictor = dict(service["spec"]["predictor"])
    revision = router_of(mode).stable_revision(service) if mode else ""
    return DeployedModel(predictor, _digest(service), revision, predictor.get("name", ""))


def _versions(
    rendered: Manifest,
    digest: str,
    rollout_id: str,
    service: Manifest | None,
    stable: DeployedModel | None,
    mode: DeploymentMode | None,
) -> Versions:
    candidate = plain(merge(plain(stable.predictor), rendered)) if stable else plain(rendered)
    replaced = ""
    if service is not None and mode and not _holds(service, candidate):
        replaced = router_of(mode).newest_revision(service)
    name = f"v{rollout_id[:7]}" if stable else ""
    return Versions(DeployedModel(candidate, digest, name=name), stable, replaced)


def _unfinished(found: StoredStatus | None, digest: str) -> bool:
    """Whether the service is that of a first deployment which never came to its end.

    One that passed, and only waits until it is observed to be reached, is not replaced: to another model it is stable.
    """
    if found is None or found.status.stable is not None or found.status.state is State.COMPLETED:
        return False
    status = found.status
    verified = State.VERIFYING in {status.state, status.resume}
    return not status.untouched and not (verified and status.candidate.digest != digest)


def _hides(whole: Manifest, spec: RolloutSpec, service: Manifest | None) -> bool:
    """Whether the first model is hidden until it has passed; what its manifest hides stays so for ever."""
    wanted, live = (m["metadata"].get("labels") or {} for m in (whole, service or {"metadata": {}}))
    return not HIDDEN.keys() & wanted.keys() and (spec.bootstrap == "hidden" or bool(HIDDEN.keys() & live.keys()))


def _continue(
    cluster: ServingPlatform, store: StatusStore, found: StoredStatus, lease: Lease, now: float, spec: RolloutSpec
) -> StoredStatus:
    """The same rollout again: at the same point, by us."""
    status = found.status
    undecided = status.state is State.HELD and status.outcome is Outcome.REPORTED  # an operator decides
    if status.ended or undecided:
        return found
    ours = replace(status, lease=lease, spec=spec)
    if status.state is State.HELD and status.resume is not None:
        step = StepStatus(status.step.index, drain=status.step.drain) if status.resume is State.BAKING else status.step
        ours = replace(ours, state=status.resume, entered=now, outcome=None, reason="", resume=None, step=step)
    ours = ours.with_event(now, f"{lease.holder} continues")
    return cluster.attempt(lambda: store.write(ours, found.version), "the record of the rollout")


def _refuse_in_progress(status: RolloutStatus, now: float) -> None:
    who = f"rollout {status.rollout_id} of model {status.candidate.digest[:12]} to {status.where}"
    if status.state is State.FAILED:
        raise PlatformError(
            f"the rollback of {who} failed ({status.reason}); run `kubeline rollout abort {status.name}`"
        )
    if status.state is State.HELD and status.stable is not None:
        raise PlatformError(
            f"{who} is held ({status.reason}); run `kubeline rollout promote` or `abort` for {status.name} first"
        )
    if not status.ended and status.state is not State.HELD and status.lease.expires > now:
        raise PlatformError(
            f"{who} is in state {status.state}, driven by {status.lease.holder} (its lease runs for "
            f"{status.lease.expires - now:.0f} more seconds); wait, or run `kubeline rollout abort {status.name}`"
        )


def abandoned(status: RolloutStatus, rollout_id: str, now: float) -> bool:
    """Whether this is another rollout whose lease is over, and whose candidate must leave first."""
    in_progress = not status.ended and status.state is not State.HELD
    expired = status.lease.expires <= now
    return status.rollout_id != rollout_id and in_progress and expired and status.stable is not None


def abort_abandoned(
    cluster: ServingPlatform, manifest: Manifest, spec: RolloutSpec, probes: Probes, holder: str, clock: Clock
) -> None:
    """Withdraw the candidate of an abandoned rollout, by its own spec."""
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    store = StatusStore(cluster, namespace, name)
    check_rights(cluster, namespace, name, spec)
    found = cluster.attempt(store.read, "the record of the rollout")
    rollout_id = identity(manifest, spec)
    if found is None or found.status.rollout_id == rollout_id:
        return
    found = settled(cluster, store, found, clock)
    if not abandoned(found.status, rollout_id, clock.now()):
        return
    theirs = found.status
    ours = replace(theirs, lease=Lease(holder, clock.now() + theirs.spec.lease_seconds))
    ours = ours.with_event(clock.now(), f"{holder} takes over from {theirs.lease.holder}, whose lease is over")
    stored = cluster.attempt(lambda: store.write(ours, found.version), "the record of the rollout")
    driver = Driver(cluster=cluster, store=store, spec=theirs.spec, probes=probes, clock=clock)
    driver.run(replace(stored, request="abort"))


def routes_of(cluster: ServingPlatform, status: RolloutStatus) -> list[Manifest] | None:
    """The routes that split the traffic; None where nothing is observed in routes, or there is no API of them."""
    if status.mode is None or not router_of(status.mode).needs_routes:
        return None
    return cluster.attempt(lambda: read_routes(cluster, status), f"the routes of {status.where}")


def _acquire(
    cluster: ServingPlatform,
    store: StatusStore,
    status: RolloutStatus,
    found: StoredStatus | None,
    service: Manifest | None,
) -> StoredStatus:
    """Write the status, unless another rollout has begun meanwhile."""

    def write() -> StoredStatus:
        there = store.read()
        if there is not None and there.status == status:  # the answer of an earlier attempt was lost
            return there
        if (there and there.status) != (found and found.status):
            raise PlatformError(f"another rollout of {status.where} has begun at the same time")
        pending = bool(there and there.request)
        return store.write(status, there.version if there else "", service, clear_request=pending)

    return cluster.attempt(write, "the record of the rollout")
