"""The ways in which traffic is split."""

from collections.abc import Mapping
from typing import Any

from kubeline.errors import UserError
from kubeline.rollout.routers.interface import TrafficRouter
from kubeline.rollout.routers.knative import KnativeRouter
from kubeline.rollout.routers.observation import ClusterSnapshot, Observation, predictor_digest
from kubeline.rollout.routers.openshift import EXPOSED, OpenShiftRouter
from kubeline.rollout.routers.standard import StandardRouter
from kubeline.rollout.routers.vertex import VertexRouter
from kubeline.rollout.status import DeploymentMode

# As in status.deploymentMode; Serverless and RawDeployment are the names before KServe 0.17.
_MODES = {
    "knative": DeploymentMode.KNATIVE,
    "serverless": DeploymentMode.KNATIVE,
    "standard": DeploymentMode.STANDARD,
    "rawdeployment": DeploymentMode.STANDARD,
    "vertex": DeploymentMode.VERTEX,
}
_ANNOTATION = "serving.kserve.io/deploymentMode"
_ROUTERS: Mapping[DeploymentMode, TrafficRouter] = {
    DeploymentMode.KNATIVE: KnativeRouter(),
    DeploymentMode.STANDARD: StandardRouter(),
    DeploymentMode.OPENSHIFT: OpenShiftRouter(),
    DeploymentMode.VERTEX: VertexRouter(),
}

__all__ = [
    "EXPOSED",
    "ClusterSnapshot",
    "KnativeRouter",
    "Observation",
    "OpenShiftRouter",
    "StandardRouter",
    "TrafficRouter",
    "VertexRouter",
    "mode_of",
    "predictor_digest",
    "router_of",
]


def mode_of(live: Mapping[str, Any]) -> DeploymentMode | None:
    """The mode of a live InferenceService; None while KServe has not reported it.

    Raises:
        UserError: when the service is in a mode without canaries.
    """
    given = live.get("status", {}).get("deploymentMode") or live["metadata"].get("annotations", {}).get(_ANNOTATION, "")
    if not given:
        return None
    if given.lower() not in _MODES:
        raise UserError(f"the deployment mode {given} has no canaries; use Knative or Standard")
    mode = _MODES[given.lower()]
    exposed = EXPOSED.items() <= (live["metadata"].get("labels") or {}).items()
    return DeploymentMode.OPENSHIFT if mode is DeploymentMode.STANDARD and exposed else mode


def router_of(mode: DeploymentMode) -> TrafficRouter:
    """The router of a mode."""
    return _ROUTERS[mode]
