"""A rollout as far as it goes without changing anything."""

import time

from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.preflight import check_candidate, check_rights
from kubeline.rollout.routers import World
from kubeline.rollout.spec import Plan
from kubeline.rollout.start import new_record, own_annotations, routes_of
from kubeline.rollout.status import State
from kubeline.rollout.store import Records


def rehearse(cluster: Cluster, manifest: Manifest, plan: Plan, gateway: str = "") -> str | None:
    """See that a rollout of a model, whose package is not known yet, could begin now.

    Returns:
        What cannot be told yet: whether a rollout that is going on is this one, to be gone on with.

    Raises:
        UserError: when the cluster cannot do what is asked.
        PlatformError: when it cannot be reached, or a right is missing.
    """
    meta, now = manifest["metadata"], time.time()
    namespace, name = meta["namespace"], meta["name"]
    what = f"the record of the rollout of {namespace}/{name}"
    check_rights(cluster, namespace, name, plan, gateway)
    found = cluster.attempt(Records(cluster, namespace, name).read, what)
    if found is not None and not found.record.ended:
        held = found.record.state == State.HELD
        return (
            f"rollout {found.record.rollout_id} of {namespace}/{name} is {'held' if held else 'going on'}; "
            "the run goes on with it when it is of the same model and plan, and is refused else"
        )
    service = cluster.attempt(lambda: cluster.read(namespace, name), what)
    whole = own_annotations(manifest)
    record = new_record(whole, plan, "0" * 16, "preflight", now, service, found)
    world = World(service, routes_of(cluster, namespace, name, record.mode))
    check_candidate(cluster, record, plan, world, whole)
    return None
