"""The two ways in which KServe splits traffic, as pure functions between live objects, patches and observations."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from kubeline.errors import UserError
from kubeline.rollout.routers import knative, standard
from kubeline.rollout.routers.observation import Observed, Sides, World, predictor_digest

# As in status.deploymentMode; Serverless and RawDeployment are the names before KServe 0.17.
_MODES = {"knative": knative, "serverless": knative, "standard": standard, "rawdeployment": standard}
_ANNOTATION = "serving.kserve.io/deploymentMode"

__all__ = ["Observed", "Sides", "World", "mode_of", "module", "predictor_digest"]


def mode_of(live: Mapping[str, Any]) -> str:
    """``knative`` or ``standard``; empty while KServe has not said so yet.

    Raises:
        UserError: when the service is in a mode without canaries.
    """
    given = live.get("status", {}).get("deploymentMode") or live["metadata"].get("annotations", {}).get(_ANNOTATION, "")
    if not given:
        return ""
    if given.lower() not in _MODES:
        raise UserError(f"the deployment mode {given} has no canaries; use Knative or Standard")
    return "knative" if _MODES[given.lower()] is knative else "standard"


def module(mode: str) -> ModuleType:
    """The functions of a mode: each of them has the same ones."""
    return _MODES[mode]
