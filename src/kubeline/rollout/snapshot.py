"""Reads of the cluster what tells how a rollout really stands."""

from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import NotInstalledError
from kubeline.kubernetes.resources import DEPLOYMENT, HTTP_ROUTE, INGRESS, POD, Manifest
from kubeline.rollout import routers as modes
from kubeline.rollout.routers import World
from kubeline.rollout.status import Record, State


def look(cluster: Cluster, record: Record) -> World:
    """What a decision about the rollout is made from.

    Raises:
        PlatformError: when that cannot be read.
    """
    namespace, name = record.namespace, record.name

    def read() -> World:
        service = cluster.read(namespace, name)
        if not record.mode:
            return World(service)
        if not modes.module(record.mode).NEEDS_ROUTES:  # which revision is the candidate's, its pods tell
            return World(service, pods=None if record.candidate_revision else _pods(cluster, namespace, name))
        routes = _routes(cluster, namespace, name)
        alone = routes == [] and record.hidden and record.state == State.VERIFY
        ingress = _ingress(cluster, namespace, name) if alone else None
        return World(service, routes, _pods(cluster, namespace, name), ingress, _deployment(cluster, record))

    return cluster.attempt(read, f"InferenceService {namespace}/{name}")


def _deployment(cluster: Cluster, record: Record) -> Manifest | None:
    """The candidate's, where its pods are waited for: of some troubles nothing else tells."""
    if record.state not in {State.BOOTSTRAP, State.READY, State.SCALE}:
        return None
    name = modes.standard.workload_name(record.name, record.candidate_name)
    return cluster.read(record.namespace, name, DEPLOYMENT)


def _routes(cluster: Cluster, namespace: str, name: str) -> list[Manifest] | None:
    try:
        found = [cluster.read(namespace, route, HTTP_ROUTE) for route in (name, f"{name}-predictor")]
    except NotInstalledError:
        return None
    return [route for route in found if route is not None]


def _ingress(cluster: Cluster, namespace: str, name: str) -> Manifest | None:
    """Where KServe makes these instead of HTTPRoutes. The right to look is asked for nowhere else."""
    if not cluster.may("get", INGRESS, namespace, name):
        return None
    return cluster.read(namespace, name, INGRESS)


def _pods(cluster: Cluster, namespace: str, name: str) -> list[Manifest]:
    return cluster.find(namespace, POD, f"serving.kserve.io/inferenceservice={name}")
