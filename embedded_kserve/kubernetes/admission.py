"""What KServe's webhooks do with an InferenceService: one names the mode, the other refuses (403)."""

import math
from collections.abc import Mapping
from typing import Any

from embedded_kserve.kubernetes.statuses import denied

MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
_NAMES = {"serverless": "Knative", "rawdeployment": "Standard"}  # the modes' names before 0.17
_AUTOSCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling")


def deployment_mode(document: Mapping[str, Any], default: str) -> str:
    """The mode of an InferenceService: its annotation's, or the cluster's."""
    given = str(document.get("metadata", {}).get("annotations", {}).get(MODE_ANNOTATION, "")) or default
    return _NAMES.get(given.lower(), given)


def review(new: dict[str, Any], old: Mapping[str, Any] | None, default_mode: str) -> None:
    """Name Standard mode where it is the cluster's, as KServe does not with Knative mode; refuse what is refused.

    Args:
        new: the object as it would be; changed.
        old: the object as it is; None when it is created.
        default_mode: the cluster's.

    Raises:
        StatusError: 403.
    """
    if default_mode == "Standard":
        new["metadata"].setdefault("annotations", {}).setdefault(MODE_ANNOTATION, default_mode)
    predictor = new["spec"]["predictor"]
    if isinstance(predictor.get("model"), Mapping) and predictor["model"].get("name"):
        raise denied("the 'name' field is not allowed in standard predictor")
    smallest, largest = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    if smallest < 0 or largest < 0:
        raise denied("MinReplicas and MaxReplicas cannot be less than 0")
    if 0 < largest < smallest:
        raise denied("MinReplicas cannot be greater than MaxReplicas")
    percent = predictor.get("canaryTrafficPercent")
    if percent is not None and not 0 <= percent <= 100:
        raise denied("canaryTrafficPercent must be between 0 and 100")
    _review_mode(new, old)
    _review_canaries(new["spec"], deployment_mode(new, default_mode))
    if old is not None:
        _review_name(predictor, old["spec"]["predictor"])


def _review_mode(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
    settled = (old or {}).get("status", {}).get("deploymentMode", "")
    wanted = deployment_mode(new, settled)
    if settled and wanted != settled:
        raise denied(f"update rejected: deploymentMode cannot be changed from '{settled}' to '{wanted}'")


def _review_canaries(spec: Mapping[str, Any], mode: str) -> None:
    canaries = spec.get("canary") or []
    if not canaries:
        return
    if mode != "Standard":
        raise denied("canary is only supported in Standard deployment mode")
    names = [canary["predictor"].get("name", "") for canary in canaries]
    if not all(names):
        raise denied("canary predictor name is required")
    if len(set(names)) < len(names) or spec["predictor"].get("name", "") in names:
        raise denied(f"canary predictor names must be unique, and differ from the stable one's: {', '.join(names)}")
    if sum(canary.get("trafficPercent", 0) for canary in canaries) > 100:
        raise denied("the canaries' trafficPercent must not exceed 100 in sum")
    stable = spec["predictor"].get("minReplicas", 1)
    for canary in canaries:
        if given := [key for key in _AUTOSCALING if key in canary["predictor"]]:
            raise denied(f"canary '{canary['predictor']['name']}' must not set {given[0]}")
        if canary["predictor"].get("minReplicas", 0) > stable:
            raise denied(
                f"canary '{canary['predictor']['name']}' must not have more minReplicas than the stable {stable}"
            )


def _review_name(new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """A change of the predictor's name promotes a canary, and so must bring the canary's model."""
    renamed = new.get("name", "") != old.get("name", "")
    if renamed and _storage_uri(new) == _storage_uri(old):
        raise denied("predictor name changed without a change of storageUri: a promotion must bring the canary's model")


def _storage_uri(predictor: Mapping[str, Any]) -> Any:
    return (predictor.get("model") or {}).get("storageUri")


def canary_replicas(stable: Mapping[str, Any], canary: Mapping[str, Any]) -> int:
    """Pods of a canary: its minReplicas, or its share of the stable ones, which is none for a share of 0."""
    given = canary["predictor"].get("minReplicas")
    if given is not None:
        return int(given)
    share: float = stable.get("minReplicas", 1) * canary.get("trafficPercent", 0) / 100
    return math.ceil(share)
