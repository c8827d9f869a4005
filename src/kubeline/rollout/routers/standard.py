"""Standard mode (formerly RawDeployment): a canary is a predictor of its own name, and HTTPRoute weights split.

`canaryStatuses` copies what the specification says, so only the HTTPRoutes count, and only those that a gateway
has taken up. The release 0.20.0 writes no weights at all.

While a canary is ready, KServe runs `max(minReplicas - replicas of the canary, 1)` pods of the stable model, whoever
has the traffic. So the stable predictor's minReplicas is raised by the canary's until one of the two is gone.
"""

import math
from collections.abc import Mapping
from typing import Any

from kubeline.kubernetes.merge import replacing
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers.diagnosis import problem, unprogrammed
from kubeline.rollout.routers.interface import LiveService, TrafficRouter
from kubeline.rollout.routers.observation import ClusterSnapshot, Observation, canary_of, pod_ready, serves
from kubeline.rollout.status import Versions

# A canary takes none of these; they come back with its promotion.
_AUTOSCALING = (
    "maxReplicas",
    "scaleTarget",
    "scaleMetric",
    "scaleMetricType",
    "autoScaling",
    "canaryTrafficPercent",
)
# KServe gives a canary the autoscaler of its service but not what that scales by: KEDA refuses a ScaledObject without
# triggers, and the canary is never reported ready. With "none" its replicas are those that are asked for.
_CLASS = "serving.kserve.io/autoscalerClass"
REPLICAS = ("minReplicas", "maxReplicas")


class StandardRouter(TrafficRouter):
    """Routes by the weights of HTTPRoutes, which Kubeline observes."""

    needs_routes = True
    scales = True
    routes_lag = True

    def observe(self, snapshot: ClusterSnapshot, versions: Versions) -> Observation:
        """What the HTTPRoutes do, and whether the candidate's pods answer."""
        service = snapshot.service or {}
        spec, status = service.get("spec") or {}, service.get("status") or {}
        shares = {_share(route, versions.candidate.name) for route in snapshot.routes or []}
        share = shares.pop() if len(shares) == 1 else None
        meta = service.get("metadata") or {}
        workload = workload_name(meta.get("name", ""), versions.candidate.name)
        wanted = _wanted(spec, versions)
        replicas = count(snapshot, workload, versions.candidate.predictor)
        return Observation(
            ready=_ready(spec, status, versions) and (replicas is None or replicas >= wanted),
            share=share,
            stable_share=None if share is None else 100 - share,
            ready_pods=replicas,
            wanted_pods=wanted,
            stable_pods=count(snapshot, versions.before.revision),
            revision=workload,
            restored=not spec.get("canary") and spec.get("predictor", {}).get("name", "") != versions.candidate.name,
            candidate_url=f"http://{workload}.{meta.get('namespace', '')}.svc.cluster.local",
            problem=problem(snapshot, workload),
            current=is_current(spec, status),
            unreachable=_unreachable(snapshot, meta.get("name", "")),
        )

    def stable_revision(self, service: LiveService) -> str:
        """What serves now."""
        return workload_name(service["metadata"]["name"], service["spec"]["predictor"].get("name", ""))

    def add_candidate(self, service: LiveService, versions: Versions, share: int, stable_pods: int) -> Manifest:
        """The candidate beside the stable one, without traffic, and with the pods of its first share."""
        return _beside(service, versions, replicas_of(versions, share, stable_pods), 0)

    def scale(self, service: LiveService, versions: Versions, share: int, stable_pods: int) -> Manifest:
        """The pods of a share, and as many of the stable model as before, while the traffic stays where it is.

        Args:
            service: live.
            versions: candidate and stable model.
            share: per cent that the candidate is to get.
            stable_pods: pods that the stable model has now; up to its minReplicas, which are raised, they show no load.
        """
        now = canary_of(service, versions)
        loaded = stable_pods if stable_pods > fewest(service["spec"]["predictor"]) else 0
        wanted = max(replicas_of(versions, share, loaded), fewest(now["predictor"]))  # never fewer on the way up
        return _beside(service, versions, wanted, now.get("trafficPercent", 0))

    def shift(self, service: LiveService, versions: Versions, share: int) -> Manifest:
        """Give the candidate this share, with the pods that there are."""
        return _beside(service, versions, fewest(canary_of(service, versions)["predictor"]), share)

    def promote(self, service: LiveService, versions: Versions) -> Manifest:
        """The candidate's predictor takes the stable one's place, by its name, and the canary is gone."""
        wanted = {**versions.candidate.predictor, "name": versions.candidate.name}
        wanted.pop("canaryTrafficPercent", None)
        return {"spec": {"canary": None, "predictor": replacing(service["spec"]["predictor"], wanted)}}

    def restore(self, service: LiveService, versions: Versions) -> Manifest:
        """Drop the canary; of the stable predictor only the replicas were touched."""
        known, before = {*service["spec"]["predictor"], *versions.before.predictor}, versions.before.predictor
        return {"spec": {"canary": None, "predictor": {key: before.get(key) for key in REPLICAS if key in known}}}

    def refusal(self, snapshot: ClusterSnapshot, versions: Versions) -> str:
        """Why traffic cannot be split here; empty when it can."""
        service = snapshot.service or {}
        predictor = (service.get("spec") or {}).get("predictor") or {}
        if snapshot.routes is None:
            return (
                "this cluster has no Gateway API (HTTPRoute), without which Standard mode splits no traffic; on "
                "OpenShift give the service the label networking.kserve.io/visibility: exposed"
            )
        if not snapshot.routes:
            return (
                "the service has no HTTPRoute: KServe needs enableGatewayApi: true in Standard mode to split traffic, "
                "and makes none for a service with the label networking.kserve.io/visibility: cluster-local"
            )
        if _uri(predictor) == _uri(versions.candidate.predictor):
            return (
                f"the candidate lies at the storage URI of the stable model ({_uri(predictor)}), which KServe refuses "
                "to promote in Standard mode; give each package a place of its own"
            )
        return unready_beside(snapshot, versions)


def workload_name(service: str, name: str = "") -> str:
    """Of the Deployment and the Service of a predictor."""
    return f"{service}-{name}-predictor" if name else f"{service}-predictor"


def unready_beside(snapshot: ClusterSnapshot, versions: Versions) -> str:
    """Why there can be no canary beside the stable predictor; empty when there can."""
    spec = (snapshot.service or {}).get("spec") or {}
    if int((spec.get("predictor") or {}).get("minReplicas", 1)) < 1:
        return "the stable predictor has minReplicas 0, so that a canary would have no pods; give it at least 1"
    others = [c["predictor"].get("name") for c in spec.get("canary") or []]
    if others and others != [versions.candidate.name]:
        return f"the service has a canary already ({', '.join(map(str, others))}) that is not ours; remove it first"
    return ""


def _beside(service: LiveService, versions: Versions, replicas: int, share: int) -> Manifest:
    """A canary with so many replicas, and the stable predictor with as many more."""
    live = canary_of(service, versions)["predictor"]
    predictor = dict(live) or {
        key: value for key, value in versions.candidate.predictor.items() if key not in _AUTOSCALING
    }
    predictor |= {"name": versions.candidate.name, "minReplicas": replicas}
    if (service["metadata"].get("annotations") or {}).get(_CLASS) == "keda":
        predictor["annotations"] = {**(predictor.get("annotations") or {}), _CLASS: "none"}
    predictor["model"] = {"name": "", **(predictor.get("model") or {})}  # the CRD requires it of canaries
    stable = versions.before.predictor
    both, most = fewest(stable) + replicas, int(stable.get("maxReplicas") or 0)
    room = {"maxReplicas": max(most, both)} if most else {}  # KServe refuses fewer than minReplicas
    return {
        "spec": {
            "canary": [{"predictor": predictor, "trafficPercent": share}],
            "predictor": {"minReplicas": both, **room},
        }
    }


def replicas_of(versions: Versions, share: int, stable_pods: int) -> int:
    """Pods that a share needs, when all of the traffic needs as many as the stable model has."""
    least = max(fewest(versions.before.predictor), fewest(versions.candidate.predictor))
    whole = max(stable_pods, versions.stable_pods, least)
    return max(1, math.ceil(whole * share / 100))


def fewest(predictor: Mapping[str, Any]) -> int:
    """Its minReplicas."""
    return int(predictor.get("minReplicas", 1))


def _unreachable(snapshot: ClusterSnapshot, name: str) -> str:
    """What is not hidden gets an HTTPRoute that the gateway accepts, or an Ingress, of which nothing more is asked."""
    if snapshot.routes is None or snapshot.ingress is not None:
        return ""
    route = next((route for route in snapshot.routes if route["metadata"]["name"] == name), None)
    if route is None:
        return f"there is no HTTPRoute {name}, nor an Ingress that this service account may get"
    return unprogrammed(route)


def _uri(predictor: Mapping[str, Any]) -> Any:
    return (predictor.get("model") or {}).get("storageUri")


def is_current(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """What `canaryStatuses` copies from the specification shows at least which one KServe has reconciled."""
    wanted = [(c["predictor"].get("name"), c.get("trafficPercent", 0)) for c in spec.get("canary") or []]
    return wanted == [(c.get("name"), c.get("trafficPercent", 0)) for c in status.get("canaryStatuses") or []]


def _ready(spec: Mapping[str, Any], status: Mapping[str, Any], versions: Versions) -> bool:
    promoted = spec.get("predictor", {}).get("name", "") == versions.candidate.name
    return is_ready(status, "" if promoted else versions.candidate.name)


def is_ready(status: Mapping[str, Any], canary: str) -> bool:
    """Whether KServe says so of the canary of this name; of the predictor, without one."""
    if not canary:
        conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or []}
        return conditions.get("PredictorReady") == "True"
    return any(c.get("name") == canary and c.get("ready") for c in status.get("canaryStatuses") or [])


def _wanted(spec: Mapping[str, Any], versions: Versions) -> int:
    """Pods of the candidate that the specification asks for."""
    predictors = [c["predictor"] for c in spec.get("canary") or []] + [spec.get("predictor", {})]
    return next((fewest(p) for p in predictors if p.get("name", "") == versions.candidate.name), 1)


def count(snapshot: ClusterSnapshot, workload: str, predictor: Mapping[str, Any] | None = None) -> int | None:
    """Pods of a workload that answer, and hold the package of a predictor where one is given.

    `canaryStatuses` does not know for which generation it is ready.
    """
    if snapshot.pods is None:
        return None
    mine = (pod for pod in snapshot.pods if workload and pod["metadata"]["name"].startswith(f"{workload}-"))
    return sum(pod_ready(pod) and (predictor is None or serves(pod, predictor)) for pod in mine)


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
