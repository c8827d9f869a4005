"""Reads of the cluster what a decision about a rollout is made from."""

import logging
from dataclasses import replace

from kubeline.errors import KubelineError
from kubeline.kubernetes.errors import NotInstalledError
from kubeline.kubernetes.resources import DEPLOYMENT, EVENT, HTTP_ROUTE, INGRESS, OPENSHIFT_ROUTE, POD, Manifest
from kubeline.rollout.routers import ClusterSnapshot, router_of
from kubeline.rollout.routers.standard import workload_name
from kubeline.rollout.status import DeploymentMode, RolloutStatus, State
from kubeline.serving_platform.interface import ServingPlatform

logger = logging.getLogger(__name__)

# States in which pods are waited for: some problems are reported by Deployments and events alone.
_WAITING = frozenset({State.BOOTSTRAPPING, State.AWAITING_READINESS, State.SCALING})


def take_snapshot(cluster: ServingPlatform, status: RolloutStatus, *, explain: bool = False) -> ClusterSnapshot:
    """What a decision about the rollout is made from.

    Args:
        cluster: where.
        status: of the rollout.
        explain: read the events, too, where pods are waited for: they say why a candidate is not ready.

    Raises:
        PlatformError: when that cannot be read.
    """
    namespace, name = status.namespace, status.name

    def read() -> ClusterSnapshot:
        service = cluster.read(namespace, name)
        if status.mode is None:
            return ClusterSnapshot(service)
        if not router_of(status.mode).needs_routes:  # its pods name the candidate's revision
            return ClusterSnapshot(service, pods=None if status.candidate.revision else _pods(cluster, status))
        routes = read_routes(cluster, status)
        alone = routes == [] and status.hidden and status.state is State.VERIFYING
        ingress = _ingress(cluster, namespace, name) if alone else None
        return ClusterSnapshot(service, routes, _pods(cluster, status), ingress, _deployment(cluster, status))

    snapshot = cluster.attempt(read, f"InferenceService {status.where}")
    if not explain or status.mode is None or status.state not in _WAITING:
        return snapshot
    pods = cluster.attempt(lambda: _pods(cluster, status), "the pods") if snapshot.pods is None else snapshot.pods
    return replace(snapshot, pods=pods, events=_events(cluster, namespace))


def _events(cluster: ServingPlatform, namespace: str) -> list[Manifest]:
    """The warnings of the namespace, as far as they may be read: they explain a decision, and are no part of it."""
    try:
        return cluster.find(namespace, EVENT, fields="type=Warning") if cluster.may("list", EVENT, namespace) else []
    except KubelineError as error:
        logger.info("the events are not known: %s", error)
        return []


def _deployment(cluster: ServingPlatform, status: RolloutStatus) -> Manifest | None:
    """The candidate's, where its pods are waited for."""
    if status.state not in _WAITING:
        return None
    return cluster.read(status.namespace, workload_name(status.name, status.candidate.name), DEPLOYMENT)


def routes_of(name: str) -> tuple[str, str]:
    """The HTTPRoutes that KServe makes of a service: of its host, and of its predictor's."""
    return name, f"{name}-predictor"


def read_routes(cluster: ServingPlatform, status: RolloutStatus) -> list[Manifest] | None:
    """The HTTPRoutes of a service in Standard mode, or its Route on OpenShift; None where there is no such API.

    Raises:
        PlatformError: when they cannot be read.
    """
    namespace, name = status.namespace, status.name
    try:
        if status.mode is DeploymentMode.OPENSHIFT:
            found = [cluster.read(namespace, name, OPENSHIFT_ROUTE)]
        else:
            found = [cluster.read(namespace, route, HTTP_ROUTE) for route in routes_of(name)]
    except NotInstalledError:
        return None
    return [route for route in found if route is not None]


def _ingress(cluster: ServingPlatform, namespace: str, name: str) -> Manifest | None:
    """Where KServe makes these instead of HTTPRoutes. The right to read them is needed nowhere else."""
    if not cluster.may("get", INGRESS, namespace, name):
        return None
    return cluster.read(namespace, name, INGRESS)


def _pods(cluster: ServingPlatform, status: RolloutStatus) -> list[Manifest]:
    return cluster.find(status.namespace, POD, f"serving.kserve.io/inferenceservice={status.name}")
