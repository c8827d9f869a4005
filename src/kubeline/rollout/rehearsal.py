"""A rollout as far as it goes without changing anything."""

import time

from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.preflight import check_candidate, check_rights, check_runtime
from kubeline.rollout.probes.reach import check_reach
from kubeline.rollout.routers import ClusterSnapshot
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.start import annotated, new_status, routes_of
from kubeline.rollout.status import Lease, State
from kubeline.rollout.store import StatusStore
from kubeline.serving_platform.interface import ServingPlatform


def rehearse(cluster: ServingPlatform, manifest: Manifest, spec: RolloutSpec, gateway: str = "") -> str | None:
    """Check that a rollout of a model, whose package is not known yet, could begin now.

    Returns:
        What is not known yet: whether a rollout in progress is this one, to be continued, or the runtime is there.

    Raises:
        UserError: when the cluster cannot do what is asked.
        PlatformError: when it cannot be reached, or a right is missing.
    """
    meta, now = manifest["metadata"], time.time()
    namespace, name = meta["namespace"], meta["name"]
    what = f"the record of the rollout of {namespace}/{name}"
    check_rights(cluster, namespace, name, spec, gateway)
    unknown = check_runtime(cluster, manifest)
    found = cluster.attempt(StatusStore(cluster, namespace, name).read, what)
    if found is not None and not found.status.ended:
        held = found.status.state is State.HELD
        return (
            f"rollout {found.status.rollout_id} of {namespace}/{name} is {'held' if held else 'in progress'}; "
            "the run continues it when it is of the same model and plan, and is refused otherwise"
        )
    service = cluster.attempt(lambda: cluster.read(namespace, name), what)
    whole = annotated(manifest)
    status = new_status(whole, spec, "0" * 16, Lease("preflight", now), now, service, found)
    check_candidate(cluster, status, spec, ClusterSnapshot(service, routes_of(cluster, status)), whole)
    if service is not None and status.stable is not None:
        check_reach(cluster, status, spec, service, gateway)
    return unknown
