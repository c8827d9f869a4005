"""Standard mode (formerly RawDeployment): a canary is a predictor of its own name, and HTTPRoute weights split.

`canaryStatuses` copies what the specification says, so only the HTTPRoutes are believed. The release 0.20.0 writes no
weights at all. A canary's replicas run ahead of its share, because its promotion removes the old Deployment.
"""

import math
from collections.abc import Mapping
from typing import Any

from kubeline.rollout.inference_service import DIGEST_VARIABLE, Manifest
from kubeline.rollout.modes.observed import Observed, Sides, World, predictor_digest, replacing, trouble

NEEDS_ROUTES = True
# A canary takes none of these; they come back with its promotion.
_AUTOSCALING = (
    "maxReplicas",
    "scaleTarget",
    "scaleMetric",
    "scaleMetricType",
    "autoScaling",
    "canaryTrafficPercent",
)


def observe(world: World, sides: Sides) -> Observed:
    """What the HTTPRoutes do, and whether the candidate's pods answer."""
    service = world.service or {}
    spec, status = service.get("spec") or {}, service.get("status") or {}
    shares = {_share(route, sides.candidate_name) for route in world.routes or []}
    share = shares.pop() if len(shares) == 1 else None
    meta = service.get("metadata") or {}
    workload = workload_name(meta.get("name", ""), sides.candidate_name)
    return Observed(
        ready=_ready(spec, status, sides) and _pods_ready(world, workload, spec, sides),
        share=share,
        stable_share=None if share is None else 100 - share,
        revision=workload,
        restored=not spec.get("canary") and spec.get("predictor", {}).get("name", "") != sides.candidate_name,
        candidate_url=f"http://{workload}.{meta.get('namespace', '')}.svc.cluster.local",
        trouble=trouble(world),
        current=_current(spec, status),
        unreached=_unreached(world, meta.get("name", "")),
    )


def workload_name(service: str, name: str) -> str:
    """Of the Deployment and the Service of a predictor."""
    return f"{service}-{name}-predictor" if name else f"{service}-predictor"


def stable_revision(service: Mapping[str, Any]) -> str:
    """What serves now."""
    return workload_name(service["metadata"]["name"], service["spec"]["predictor"].get("name", ""))


def newest_revision(service: Mapping[str, Any]) -> str:
    """Nothing: pods are told apart by their packages."""
    del service
    return ""


def start(service: Mapping[str, Any], sides: Sides, ahead: int) -> Manifest:
    """The candidate beside the stable one, without traffic but with pods."""
    return shift(service, sides, 0, ahead)


def shift(service: Mapping[str, Any], sides: Sides, share: int, ahead: int) -> Manifest:
    """Give the candidate this share, and the replicas of the next one."""
    stable = int(service["spec"]["predictor"].get("minReplicas", 1))
    predictor = {key: value for key, value in sides.candidate.items() if key not in _AUTOSCALING}
    predictor["name"] = sides.candidate_name
    predictor["minReplicas"] = min(stable, max(1, math.ceil(stable * max(share, ahead) / 100)))
    predictor["model"] = {"name": "", **predictor["model"]}  # the CRD requires it of canaries
    return {"spec": {"canary": [{"predictor": predictor, "trafficPercent": share}]}}


def promote(service: Mapping[str, Any], sides: Sides) -> Manifest:
    """The candidate's predictor takes the stable one's place, by its name, and the canary is gone."""
    wanted = {**sides.candidate, "name": sides.candidate_name}
    wanted.pop("canaryTrafficPercent", None)
    return {"spec": {"canary": None, "predictor": replacing(service["spec"]["predictor"], wanted)}}


def restore(service: Mapping[str, Any], sides: Sides) -> Manifest:
    """Drop the canary; the stable predictor was never touched."""
    del service, sides
    return {"spec": {"canary": None}}


def settle(service: Mapping[str, Any], sides: Sides) -> Manifest:
    """Nothing is left to do."""
    del service, sides
    return {}


def refusal(world: World, sides: Sides) -> str:
    """Why traffic cannot be split here; empty when it can."""
    service = world.service or {}
    predictor = (service.get("spec") or {}).get("predictor") or {}
    if world.routes is None:
        return "this cluster has no Gateway API (HTTPRoute), without which Standard mode splits no traffic"
    if not world.routes:
        return (
            "the service has no HTTPRoute: KServe needs enableGatewayApi: true in Standard mode to split traffic, and "
            "makes none for a service with the label networking.kserve.io/visibility: cluster-local"
        )
    if int(predictor.get("minReplicas", 1)) < 1:
        return "the stable predictor has minReplicas 0, so that a canary would have no pods; give it at least 1"
    if _uri(predictor) == _uri(sides.candidate):
        return (
            f"the candidate lies at the storage URI of the stable model ({_uri(predictor)}), which KServe refuses to "
            "promote in Standard mode; give each package a place of its own"
        )
    others = [c["predictor"].get("name") for c in (service.get("spec") or {}).get("canary") or []]
    if others and others != [sides.candidate_name]:
        return f"the service has a canary already ({', '.join(map(str, others))}) that is not ours; remove it first"
    return ""


def _unreached(world: World, name: str) -> str:
    """What is not hidden gets an HTTPRoute that the gateway accepts, or an Ingress, of which nothing more is asked."""
    if world.routes is None or world.ingress is not None:
        return ""
    route = next((route for route in world.routes if route["metadata"]["name"] == name), None)
    if route is None:
        return f"there is no HTTPRoute {name}, nor an Ingress that this service account may get"
    parents = (route.get("status") or {}).get("parents") or []
    return "" if parents and all(map(_accepted, parents)) else f"the gateway has not accepted the HTTPRoute {name}"


def _accepted(parent: Mapping[str, Any]) -> bool:
    return any(c.get("type") == "Accepted" and c.get("status") == "True" for c in parent.get("conditions") or [])


def _uri(predictor: Mapping[str, Any]) -> Any:
    return (predictor.get("model") or {}).get("storageUri")


def _current(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """What `canaryStatuses` copies from the specification at least tells which one was seen."""
    wanted = [(c["predictor"].get("name"), c.get("trafficPercent", 0)) for c in spec.get("canary") or []]
    return wanted == [(c.get("name"), c.get("trafficPercent", 0)) for c in status.get("canaryStatuses") or []]


def _ready(spec: Mapping[str, Any], status: Mapping[str, Any], sides: Sides) -> bool:
    if spec.get("predictor", {}).get("name", "") == sides.candidate_name:  # promoted
        conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or []}
        return conditions.get("PredictorReady") == "True"
    canaries = status.get("canaryStatuses") or []
    return any(c.get("name") == sides.candidate_name and c.get("ready") for c in canaries)


def _pods_ready(world: World, workload: str, spec: Mapping[str, Any], sides: Sides) -> bool:
    """As many ready pods as are wanted; `canaryStatuses` does not know for which generation it is ready."""
    if world.pods is None:
        return True
    predictors = [c["predictor"] for c in spec.get("canary") or []] + [spec.get("predictor", {})]
    wanted = next((p.get("minReplicas", 1) for p in predictors if p.get("name") == sides.candidate_name), 1)
    mine = (pod for pod in world.pods if pod["metadata"]["name"].startswith(f"{workload}-"))
    return sum(_pod_ready(pod) and _holds_candidate(pod, sides) for pod in mine) >= wanted


def _pod_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    leaving = pod["metadata"].get("deletionTimestamp")
    return not leaving and any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _holds_candidate(pod: Mapping[str, Any], sides: Sides) -> bool:
    """Not another package: a first model that failed has pods of the same name."""
    containers = (pod.get("spec") or {}).get("containers") or []
    variables = [variable for container in containers for variable in container.get("env") or []]
    told = {variable.get("value") for variable in variables if variable.get("name") == DIGEST_VARIABLE}
    return not told or predictor_digest(sides.candidate) in told


def _share(route: Mapping[str, Any], candidate: str) -> int | None:
    """Per cent of a route's requests that go to the candidate; None when its rules differ or lead nowhere."""
    shares = set()
    for rule in (route.get("spec") or {}).get("rules") or []:
        weights = {b.get("name", ""): b.get("weight", 1) for b in rule.get("backendRefs") or []}
        total = sum(weights.values())
        mine = sum(weight for name, weight in weights.items() if not candidate or f"-{candidate}-" in f"{name}-")
        shares.add(round(100 * mine / total) if total else None)
    return shares.pop() if len(shares) == 1 else None
