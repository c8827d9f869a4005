"""KServe's controller in Standard mode: Deployments, canaries beside the stable one, and weights of an HTTPRoute.

With `splits` it follows the versions after 0.20.0: a canary's weight counts once it is ready, and the stable one gives
up replicas for ready canaries only. Without, it is the release 0.20.0: the stable one gives them up at once, the route
has a single backend whatever the status says, and a promotion makes another route for the predictor.
"""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from kubeline.local.kserve.admission import canary_replicas
from kubeline.local.kserve.conditions import Conditions, Status, model_status
from kubeline.local.kserve.controller import Controller, Workload
from kubeline.local.kserve.deployments import Deployment, predictor_ready
from kubeline.local.kserve.gateway import Backend
from kubeline.local.kserve.manifests import (
    DOMAIN,
    InvalidSpecError,
    cluster_local,
    gateway_api,
    local_hosts,
    owner,
    predictor_name,
    template,
)
from kubeline.local.kserve.pods import PodSet, Template
from kubeline.local.kserve.resources import DEPLOYMENT, HTTP_ROUTE, INGRESS, SERVICE
from kubeline.local.kserve.store import Document

ROUTE_LAG_SECONDS = 0.5  # between the removal of a Deployment and the route that no longer names it
_AUTOSCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling")


@dataclasses.dataclass
class _Service(Workload):
    """What became of one InferenceService.

    Attributes:
        deployments: by name.
        route_due: when the route may follow, in monotonic seconds.
        routed: the hosts outside the cluster.
    """

    deployments: dict[str, Deployment] = dataclasses.field(default_factory=dict)
    route_due: float = 0.0
    routed: dict[str, tuple[Backend, ...]] = dataclasses.field(default_factory=dict)


class StandardController(Controller[_Service]):
    """Reconciles InferenceServices by Deployments and HTTPRoutes."""

    mode = "Standard"
    splits = True

    def new_workload(self) -> _Service:
        """Nothing there yet."""
        return _Service()

    def reconcile(self, service: Document, state: _Service) -> None:
        """One step towards what is wanted: Deployments, then, later, the route; and the status to be written."""
        try:
            wanted = self._wanted(service, state)
        except InvalidSpecError as error:
            self.refuse(service, state, error)
            return
        for name, (pods, replicas) in wanted.items():
            if name not in state.deployments:
                state.deployments[name] = Deployment(name, self.new_set)
            state.deployments[name].want(pods, replicas)
            self._write_objects(service, state, state.deployments[name])
        self._remove_orphans(service, state, set(wanted))
        state.sets = [one for deployment in state.deployments.values() for one in deployment.sets] + [
            one for one in state.sets if one.pods or one.leaving
        ]
        state.sets = list(dict.fromkeys(state.sets))
        conditions = self._conditions(service, state)
        hidden = cluster_local(service, self.mode)  # gets no routes; those that it has got stay as they are
        if not hidden and conditions.status("PredictorReady") == "True" and time.monotonic() >= state.route_due:
            self._write_routes(service, state)
        self._follow_routes(service, state)
        ready = hidden or (conditions.status("PredictorReady") == "True" and bool(state.routed))
        conditions.set("IngressReady", "True" if ready else "False", "" if ready else "Predictor ingress not created")
        conditions.conclude("Ready", "PredictorReady", "IngressReady")  # and never the canaries
        state.status = self._status(service, state, conditions)

    def _wanted(self, service: Document, state: _Service) -> dict[str, tuple[Template, int]]:
        """Pod templates and replicas by Deployment: canaries, then the stable one."""
        spec, name = service["spec"], service["metadata"]["name"]
        stable = spec["predictor"]
        wanted = {}
        given_up = 0
        for canary in spec.get("canary") or []:
            own = predictor_name(name, canary["predictor"]["name"])
            replicas = canary_replicas(stable, canary)
            wanted[own] = (template(self.store, service, _canary_predictor(stable, canary)), replicas)
            if not self.splits or _is_ready(state, own):
                given_up += replicas
        replicas = int(stable.get("minReplicas", 1))
        if "minReplicas" in stable and wanted:
            replicas = max(replicas - given_up, 1)
        wanted[predictor_name(name, stable.get("name", ""))] = (template(self.store, service, stable), replicas)
        return wanted

    def _remove_orphans(self, service: Document, state: _Service, wanted: set[str]) -> None:
        namespace = service["metadata"]["namespace"]
        for name in set(state.deployments) - wanted:
            state.deployments.pop(name).scale_down()
            self.store.delete(DEPLOYMENT, namespace, name)
            self.store.delete(SERVICE, namespace, name)
            state.route_due = time.monotonic() + ROUTE_LAG_SECONDS

    def _write_objects(self, service: Document, state: _Service, deployment: Deployment) -> None:
        meta = service["metadata"]
        identity = {"name": deployment.name, "namespace": meta["namespace"], "ownerReferences": owner(service)}
        identity["labels"] = {"serving.kserve.io/inferenceservice": meta["name"], "component": "predictor"}
        app = {"app": f"isvc.{deployment.name}"}
        pods = deployment.sets[-1].template.document()
        spec = {"replicas": deployment.replicas, "selector": {"matchLabels": app}, "template": pods}
        written = self.store.apply(DEPLOYMENT, {"metadata": identity, "spec": spec})
        self.store.apply(
            SERVICE, {"metadata": identity, "spec": {"selector": app, "ports": [{"port": 80, "targetPort": 8080}]}}
        )
        status = deployment.status(written.get("status", {}), written["metadata"]["generation"])
        self.store.set_status(DEPLOYMENT, meta["namespace"], deployment.name, status)

    def _conditions(self, service: Document, state: _Service) -> Conditions:
        meta, spec = service["metadata"], service["spec"]
        conditions = Conditions(service.get("status", {}).get("conditions", []))
        stable = self.store.get(DEPLOYMENT, meta["namespace"], _stable_name(service))
        conditions.set("PredictorReady", *predictor_ready(stable["status"]["conditions"]))
        names = [predictor_name(meta["name"], canary["predictor"]["name"]) for canary in spec.get("canary") or []]
        if not names:
            conditions.clear("CanaryPredictorReady")
        elif all(_is_ready(state, name) for name in names):
            conditions.set("CanaryPredictorReady", "True", "AllCanariesReady")
        else:
            conditions.set("CanaryPredictorReady", "False", "CanariesNotReady")
        return conditions

    def _write_routes(self, service: Document, state: _Service) -> None:
        """The routes of the InferenceService and of its predictor: both split alike."""
        meta = service["metadata"]
        names = (meta["name"], predictor_name(meta["name"]) if self.splits else _stable_name(service))
        if not gateway_api(self.store):  # an Ingress, which knows no weights
            only = (Backend(f"{meta['namespace']}/{_stable_name(service)}", 1),)
            state.routed = {f"{name}-{meta['namespace']}.{DOMAIN}": only for name in names}
            rules = [{"host": host} for host in state.routed]
            identity = {"name": meta["name"], "namespace": meta["namespace"], "ownerReferences": owner(service)}
            self.store.apply(INGRESS, {"metadata": identity, "spec": {"rules": rules}})
            return
        backends = self._backends(service, state)
        for name in names:
            identity = {"name": name, "namespace": meta["namespace"], "ownerReferences": owner(service)}
            parent = {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "namespace": "kserve",
                "name": "kserve-ingress-gateway",
            }
            rule = {"matches": [{"path": {"type": "RegularExpression", "value": "^/.*$"}}], "backendRefs": backends}
            spec = {"parentRefs": [parent], "hostnames": [f"{name}-{meta['namespace']}.{DOMAIN}"], "rules": [rule]}
            route = self.store.apply(HTTP_ROUTE, {"metadata": identity, "spec": spec})
            accepted = [
                {"type": kind, "status": "True", "reason": kind, "observedGeneration": route["metadata"]["generation"]}
                for kind in ("Accepted", "ResolvedRefs")
            ]
            state.others[(HTTP_ROUTE, name)] = {"parents": [{"parentRef": parent, "conditions": accepted}]}

    def _backends(self, service: Document, state: _Service) -> list[dict[str, Any]]:
        meta = service["metadata"]
        canaries = service["spec"].get("canary") or []
        named = [(predictor_name(meta["name"], c["predictor"]["name"]), c.get("trafficPercent", 0)) for c in canaries]
        shares = [(name, share) for name, share in named if self.splits and _is_ready(state, name)]
        stable = (_stable_name(service), 100 - sum(share for _, share in shares) if shares else 1)
        reference = {"group": "", "kind": "Service", "namespace": meta["namespace"], "port": 80}
        return [{**reference, "name": name, "weight": weight} for name, weight in (stable, *shares)]

    def _follow_routes(self, service: Document, state: _Service) -> None:
        """What a gateway does: its hosts from the routes as they are, its endpoints from the pods as they are."""
        meta = service["metadata"]
        namespace = meta["namespace"]
        for route in self.store.every(HTTP_ROUTE, namespace):
            if any(one["uid"] == meta["uid"] for one in route["metadata"].get("ownerReferences", [])):
                references = route["spec"]["rules"][0]["backendRefs"]
                split = tuple(Backend(f"{namespace}/{r['name']}", r["weight"]) for r in references)
                state.routed |= dict.fromkeys(route["spec"]["hostnames"], split)
        state.hosts = dict(state.routed)
        for name in state.deployments:
            state.hosts |= dict.fromkeys(local_hosts(name, namespace), (Backend(f"{namespace}/{name}", 1),))
        state.endpoints = {f"{namespace}/{name}": d.ports for name, d in state.deployments.items()}

    def _status(self, service: Document, state: _Service, conditions: Conditions) -> Status:
        meta, old = service["metadata"], service.get("status", {})
        stable = state.deployments[_stable_name(service)]
        generation = self.store.get(DEPLOYMENT, meta["namespace"], stable.name)["status"]["observedGeneration"]
        ready = conditions.status("Ready") == "True"
        status = {
            **old,
            "deploymentMode": self.mode,
            "observedGeneration": generation,  # of the stable Deployment, not of this object
            "conditions": conditions.listed(),
            "modelStatus": model_status(old.get("modelStatus", {}), stable.sets[-1].pods, ready, failed=False),
            "canaryStatuses": [
                {
                    "name": canary["predictor"]["name"],
                    "ready": _is_ready(state, predictor_name(meta["name"], canary["predictor"]["name"])),
                    "trafficPercent": canary.get("trafficPercent", 0),  # what the spec says, whatever the route does
                }
                for canary in service["spec"].get("canary") or []
            ],
        }
        if not status["canaryStatuses"]:
            del status["canaryStatuses"]
        if ready:
            status["url"] = f"http://{meta['name']}-{meta['namespace']}.{DOMAIN}"
            status["address"] = {"url": f"http://{stable.name}.{meta['namespace']}.svc.cluster.local"}
            status["components"] = {
                "predictor": {"url": f"http://{predictor_name(meta['name'])}-{meta['namespace']}.{DOMAIN}"}
            }
        return status

    def pod_labels(self, one: PodSet) -> dict[str, str]:
        """Pods are found by the name of their Deployment."""
        return {"app": f"isvc.{one.name.rpartition('-')[0]}"}


def _stable_name(service: Mapping[str, Any]) -> str:
    return predictor_name(service["metadata"]["name"], service["spec"]["predictor"].get("name", ""))


def _is_ready(state: _Service, deployment: str) -> bool:
    """Any pod that answers makes a canary ready, also one of a template that is being replaced."""
    found = state.deployments.get(deployment)
    return found is not None and bool(found.sets) and found.available > 0


def _canary_predictor(stable: Mapping[str, Any], canary: Mapping[str, Any]) -> dict[str, Any]:
    """The stable predictor with the canary's fields over it: mappings are merged, and what is empty does not count."""
    merged = _overlaid(stable, canary["predictor"])
    return {key: value for key, value in merged.items() if key not in _AUTOSCALING}


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _overlaid(merged[key], value)
        elif value not in (None, "", 0, [], {}):
            merged[key] = value
    return merged
