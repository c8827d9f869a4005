"""Standard mode (formerly RawDeployment): a canary is a predictor of its own name, and HTTPRoute weights split.

`canaryStatuses` copies what the specification says, so only the HTTPRoutes are believed, and only those that a gateway
has taken up. The release 0.20.0 writes no weights at all.

While a canary is ready, KServe runs `max(minReplicas - replicas of the canary, 1)` pods of the stable model, whoever
has the traffic. So the stable predictor's minReplicas is raised by the canary's until one of the two is gone.
"""

import math
from collections.abc import Mapping
from typing import Any

from kubeline.kubernetes.merge import replacing
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers.diagnosis import trouble, unprogrammed
from kubeline.rollout.routers.observation import Observed, Sides, World, holds, pod_ready

NEEDS_ROUTES = True
SCALES = True  # the pods of a share are asked for before it is given
ROUTES_LAG = True  # the gateway follows its routes a moment later, and KServe does not wait for it
# A canary takes none of these; they come back with its promotion.
_AUTOSCALING = (
    "maxReplicas",
    "scaleTarget",
    "scaleMetric",
    "scaleMetricType",
    "autoScaling",
    "canaryTrafficPercent",
)
_REPLICAS = ("minReplicas", "maxReplicas")


def observe(world: World, sides: Sides) -> Observed:
    """What the HTTPRoutes do, and whether the candidate's pods answer."""
    service = world.service or {}
    spec, status = service.get("spec") or {}, service.get("status") or {}
    shares = {_share(route, sides.candidate_name) for route in world.routes or []}
    share = shares.pop() if len(shares) == 1 else None
    meta = service.get("metadata") or {}
    workload = workload_name(meta.get("name", ""), sides.candidate_name)
    wanted = _wanted(spec, sides)
    replicas = _count(world, workload, sides.candidate)
    return Observed(
        ready=_ready(spec, status, sides) and (replicas is None or replicas >= wanted),
        share=share,
        stable_share=None if share is None else 100 - share,
        replicas=replicas,
        wanted=wanted,
        stable_replicas=_count(world, sides.stable_revision),
        revision=workload,
        restored=not spec.get("canary") and spec.get("predictor", {}).get("name", "") != sides.candidate_name,
        candidate_url=f"http://{workload}.{meta.get('namespace', '')}.svc.cluster.local",
        trouble=trouble(world, workload),
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


def start(service: Mapping[str, Any], sides: Sides, share: int, busy: int) -> Manifest:
    """The candidate beside the stable one, without traffic, and with the pods of its first share."""
    return _beside(service, sides, _replicas(sides, share, busy), 0)


def scale(service: Mapping[str, Any], sides: Sides, share: int, busy: int) -> Manifest:
    """The pods of a share, and as many of the stable model as before, while the traffic stays where it is.

    Args:
        service: live.
        sides: who is who.
        share: per cent that the candidate is to get.
        busy: pods that the stable model has now; up to its minReplicas, which are raised, they tell no load.
    """
    now = _canary(service, sides)
    loaded = busy if busy > _fewest(service["spec"]["predictor"]) else 0
    wanted = max(_replicas(sides, share, loaded), _fewest(now["predictor"]))  # never fewer on the way up
    return _beside(service, sides, wanted, now.get("trafficPercent", 0))


def shift(service: Mapping[str, Any], sides: Sides, share: int) -> Manifest:
    """Give the candidate this share, with the pods that there are."""
    return _beside(service, sides, _fewest(_canary(service, sides)["predictor"]), share)


def specified(service: Mapping[str, Any], sides: Sides) -> int | None:
    """Per cent that the specification gives the candidate; None when it is not beside the stable model."""
    entry = _canary(service, sides)
    return int(entry.get("trafficPercent") or 0) if entry["predictor"] else None


def _beside(service: Mapping[str, Any], sides: Sides, replicas: int, share: int) -> Manifest:
    """A canary with so many replicas, and the stable predictor with as many more."""
    live = _canary(service, sides)["predictor"]
    predictor = dict(live) or {key: value for key, value in sides.candidate.items() if key not in _AUTOSCALING}
    predictor |= {"name": sides.candidate_name, "minReplicas": replicas}
    predictor["model"] = {"name": "", **predictor["model"]}  # the CRD requires it of canaries
    stable = sides.stable or {}
    fewest, most = _fewest(stable) + replicas, int(stable.get("maxReplicas") or 0)
    room = {"maxReplicas": max(most, fewest)} if most else {}  # KServe refuses fewer than minReplicas
    return {
        "spec": {
            "canary": [{"predictor": predictor, "trafficPercent": share}],
            "predictor": {"minReplicas": fewest, **room},
        }
    }


def _canary(service: Mapping[str, Any], sides: Sides) -> Mapping[str, Any]:
    """The candidate's entry of the live specification; one with an empty predictor when there is none."""
    canaries = (service.get("spec") or {}).get("canary") or []
    return next((c for c in canaries if c["predictor"].get("name") == sides.candidate_name), {"predictor": {}})


def _replicas(sides: Sides, share: int, busy: int) -> int:
    """Pods that a share needs, when all of the traffic needs as many as the stable model has."""
    whole = max(busy, sides.busy, _fewest(sides.stable or {}), _fewest(sides.candidate))
    return max(1, math.ceil(whole * share / 100))


def _fewest(predictor: Mapping[str, Any]) -> int:
    return int(predictor.get("minReplicas", 1))


def promote(service: Mapping[str, Any], sides: Sides) -> Manifest:
    """The candidate's predictor takes the stable one's place, by its name, and the canary is gone."""
    wanted = {**sides.candidate, "name": sides.candidate_name}
    wanted.pop("canaryTrafficPercent", None)
    return {"spec": {"canary": None, "predictor": replacing(service["spec"]["predictor"], wanted)}}


def restore(service: Mapping[str, Any], sides: Sides) -> Manifest:
    """Drop the canary; of the stable predictor only the replicas were touched."""
    known, before = {*service["spec"]["predictor"], *(sides.stable or {})}, sides.stable or {}
    return {"spec": {"canary": None, "predictor": {key: before.get(key) for key in _REPLICAS if key in known}}}


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
    return unprogrammed(route)


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


def _wanted(spec: Mapping[str, Any], sides: Sides) -> int:
    """Pods of the candidate that the specification asks for."""
    predictors = [c["predictor"] for c in spec.get("canary") or []] + [spec.get("predictor", {})]
    return next((_fewest(p) for p in predictors if p.get("name", "") == sides.candidate_name), 1)


def _count(world: World, workload: str, predictor: Mapping[str, Any] | None = None) -> int | None:
    """Pods of a workload that answer, and hold the package of a predictor where one is given.

    `canaryStatuses` does not know for which generation it is ready.
    """
    if world.pods is None:
        return None
    mine = (pod for pod in world.pods if workload and pod["metadata"]["name"].startswith(f"{workload}-"))
    return sum(pod_ready(pod) and (predictor is None or holds(pod, predictor)) for pod in mine)


def _share(route: Mapping[str, Any], candidate: str) -> int | None:
    """Per cent of a route's requests that go to the candidate.

    None when its rules differ or lead nowhere, or when no gateway follows it.
    """
    if unprogrammed(route):
        return None
    shares = set()
    for rule in (route.get("spec") or {}).get("rules") or []:
        weights = {b.get("name", ""): b.get("weight", 1) for b in rule.get("backendRefs") or []}
        total = sum(weights.values())
        mine = sum(weight for name, weight in weights.items() if not candidate or f"-{candidate}-" in f"{name}-")
        shares.add(round(100 * mine / total) if total else None)
    return shares.pop() if len(shares) == 1 else None
