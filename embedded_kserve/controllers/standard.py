"""KServe's controller in Standard mode: Deployments, canaries beside the stable one, and weights of an HTTPRoute.

With `splits` it follows the versions after 0.20.0: a canary's weight counts once it is ready, and the stable one gives
up replicas for ready canaries only. Without, it is the release 0.20.0: the stable one gives them up at once, the route
has a single backend whatever the status says, and a promotion makes another route for the predictor.
"""

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

from embedded_kserve.controllers import autoscaler, http_routes
from embedded_kserve.controllers.controller import Controller, Workload
from embedded_kserve.controllers.deployments import Deployment, predictor_ready
from embedded_kserve.controllers.manifests import (
    DOMAIN,
    InvalidSpecError,
    cluster_local,
    gateway_api,
    owner,
    predictor_name,
    runtime_name,
    template,
)
from embedded_kserve.controllers.model_status import model_status
from embedded_kserve.data_plane.gateway import Backend
from embedded_kserve.data_plane.pods import PodSet, Template
from embedded_kserve.kubernetes.admission import canary_replicas
from embedded_kserve.kubernetes.conditions import Conditions, Status
from embedded_kserve.kubernetes.resources import DEPLOYMENT, HTTP_ROUTE, INGRESS, SERVICE
from embedded_kserve.kubernetes.store import Document

_CLASS = "serving.kserve.io/autoscalerClass"
_AUTOSCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling")


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """What a Deployment is to be: its pods, the fewest and most of them, and whether something scales between them."""

    pods: Template
    fewest: int
    most: int

    @property
    def autoscaled(self) -> bool:
        """Whether it has an autoscaler: a HorizontalPodAutoscaler, which stands for the one that KEDA makes, too."""
        return self.pods.annotations.get(_CLASS) != "none"


@dataclasses.dataclass
class StandardWorkload(Workload):
    """What became of one InferenceService.

    Attributes:
        deployments: by name.
        route_due: when the route may follow, in monotonic seconds.
    """

    deployments: dict[str, Deployment] = dataclasses.field(default_factory=dict)
    route_due: float = 0.0


class StandardController(Controller[StandardWorkload]):
    """Reconciles InferenceServices by Deployments and HTTPRoutes."""

    mode = "Standard"
    splits = True
    _next_scaling = 0.0

    def new_workload(self) -> StandardWorkload:
        """Nothing there yet."""
        return StandardWorkload()

    def others(self) -> None:
        """The gateway accepts routes; from time to time the autoscalers reconcile."""
        http_routes.answer(self.store, self.gateway_is_stuck)
        if time.monotonic() >= self._next_scaling:
            autoscaler.reconcile(self.store)
            self._next_scaling = time.monotonic() + self.pace.autoscaler
        self.alarm.at(self._next_scaling)

    def hosts(self) -> Mapping[str, tuple[Backend, ...]]:
        """Those of the routes: no name inside the cluster is one of them."""
        return http_routes.hosts(self.store)

    def reconcile(self, service: Document, state: StandardWorkload) -> None:
        """One step towards what is wanted: Deployments, then, later, the route; and the status to be written."""
        began = time.monotonic()  # a Service that is removed in this step is missed by the gateway before the next one
        try:
            wanted = self._wanted(service, state)
        except InvalidSpecError as error:
            self.refuse(service, state, error)
            return
        new_set = functools.partial(self.new_set, service["metadata"]["namespace"])
        for name, one in wanted.items():
            self._write_deployment(service, state.deployments.setdefault(name, Deployment(name, new_set)), one)
            if len(wanted) > 1 and name != _stable_name(service) and one.pods.annotations.get(_CLASS) == "keda":
                return  # KEDA refuses its ScaledObject, which has no triggers: an error, before any status is written
        self._remove_orphans(service, state, set(wanted))
        here = [one for deployment in state.deployments.values() for one in deployment.sets]
        state.sets = list(dict.fromkeys(here + [one for one in state.sets if one.pods or one.leaving]))
        namespace = service["metadata"]["namespace"]
        state.endpoints = {f"{namespace}/{name}": d.ports for name, d in state.deployments.items()}
        if began < state.route_due:
            self.alarm.at(state.route_due)
            return
        conditions = self._conditions(service, state)
        if conditions.status("PredictorReady") == "True" and not cluster_local(service, self.mode):
            self._write_routes(service, state)
        if conditions.status("PredictorReady") == "True" or conditions.status("IngressReady") == "Unknown":
            conditions.set("IngressReady", *self._ingress_ready(service, conditions))
        conditions.conclude("Ready", "PredictorReady", "IngressReady")  # and never the canaries
        state.status = self._status(service, state, conditions)

    def _wanted(self, service: Document, state: StandardWorkload) -> dict[str, _Wanted]:
        """What each Deployment is to be: canaries, then the stable one."""
        spec, name = service["spec"], service["metadata"]["name"]
        stable = spec["predictor"]
        wanted = {}
        given_up = 0
        for canary in spec.get("canary") or []:
            own = predictor_name(name, canary["predictor"]["name"])
            replicas = canary_replicas(stable, canary)
            pods = template(self.store, service, _canary_predictor(stable, canary))
            wanted[own] = _Wanted(pods, replicas, replicas)
            if not self.splits or _is_ready(state, own):
                given_up += replicas
        fewest = int(stable.get("minReplicas", 1))
        most = max(int(stable.get("maxReplicas", 0)), fewest)
        if "minReplicas" in stable and wanted:
            fewest = max(fewest - given_up, 1)
        pods = template(self.store, service, stable)
        wanted[predictor_name(name, stable.get("name", ""))] = _Wanted(pods, fewest, most)
        return wanted

    def _write_deployment(self, service: Document, deployment: Deployment, wanted: _Wanted) -> None:
        """The Service, the Deployment, which begins with one replica, and its autoscaler; and the pods."""
        meta = service["metadata"]
        app = f"isvc.{deployment.name}"
        labels = {"app": app, "serving.kserve.io/inferenceservice": meta["name"], "component": "predictor"}
        identity = {"name": deployment.name, "namespace": meta["namespace"], "labels": labels}
        identity["ownerReferences"] = owner(service)
        ports = [{"name": deployment.name, "protocol": "TCP", "port": 80, "targetPort": 8080}]
        self.store.apply(SERVICE, {"metadata": identity, "spec": {"selector": {"app": app}, "ports": ports}})
        there = self.store.find(DEPLOYMENT, meta["namespace"], deployment.name)
        replicas = ((there["spec"]["replicas"] if there else 0) or 1) if wanted.fewest else 0
        if not wanted.autoscaled:
            replicas = wanted.fewest
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": wanted.pods.document(),
        }
        written = self.store.apply(DEPLOYMENT, {"metadata": identity, "spec": spec})
        if wanted.fewest and wanted.autoscaled:
            autoscaler.write(self.store, identity, wanted.fewest, wanted.most)
        deployment.want(wanted.pods, replicas)
        status = deployment.status(written.get("status", {}), written["metadata"]["generation"])
        self.store.set_status(DEPLOYMENT, meta["namespace"], deployment.name, status)
        missing = Conditions(status["conditions"]).message("ReplicaFailure")
        if missing and not Conditions.of(written).message("ReplicaFailure"):
            identity = {"name": deployment.sets[-1].name, "namespace": meta["namespace"]}
            replica_set = {"kind": "ReplicaSet", "metadata": identity}
            self.store.event(replica_set, "FailedCreate", f"Error creating: {missing}", warning=True)

    def _remove_orphans(self, service: Document, state: StandardWorkload, wanted: set[str]) -> None:
        """Deployments and Services that are no longer wanted; their autoscalers stay behind."""
        namespace = service["metadata"]["namespace"]
        for name in set(state.deployments) - wanted:
            state.deployments.pop(name).scale_down()
            self.store.delete(DEPLOYMENT, namespace, name)
            self.store.delete(SERVICE, namespace, name)
            state.route_due = time.monotonic() + self.pace.backend_gone

    def _conditions(self, service: Document, state: StandardWorkload) -> Conditions:
        meta, spec = service["metadata"], service["spec"]
        conditions = Conditions.of(service)
        conditions.set("Stopped", "False", severity="Info")
        stable = self.store.get(DEPLOYMENT, meta["namespace"], _stable_name(service))
        conditions.set("PredictorReady", *predictor_ready(stable.get("status", {})))
        names = [predictor_name(meta["name"], canary["predictor"]["name"]) for canary in spec.get("canary") or []]
        if not names:
            conditions.clear("CanaryPredictorReady")
        elif all(_is_ready(state, name) for name in names):
            conditions.set("CanaryPredictorReady", "True", "AllCanariesReady", severity="Info")
        else:
            conditions.set("CanaryPredictorReady", "False", "CanariesNotReady", severity="Info")
        return conditions

    def _ingress_ready(self, service: Document, conditions: Conditions) -> Any:
        """What is hidden needs no route; another needs its predictor's, and its own, in order."""
        if cluster_local(service, self.mode):
            return ("True",)
        if conditions.status("PredictorReady") != "True":
            return "False", "Predictor ingress not created"
        if not gateway_api(self.store):
            return ("True",)
        namespace = service["metadata"]["namespace"]
        for which, name in zip(("Predictor", "InferenceService"), self._route_names(service), strict=True):
            reason, message = http_routes.trouble(self.store.find(HTTP_ROUTE, namespace, name))
            if reason:
                return "False", reason, f"{which} {message}"
        return ("True",)

    def _route_names(self, service: Document) -> tuple[str, str]:
        """The route of the predictor, and that of the InferenceService."""
        name = service["metadata"]["name"]
        return (predictor_name(name) if self.splits else _stable_name(service)), name

    def _write_routes(self, service: Document, state: StandardWorkload) -> None:
        """The routes of the predictor and of the InferenceService: both split alike."""
        meta = service["metadata"]
        identity = {"namespace": meta["namespace"], "ownerReferences": owner(service)}
        hosts = {name: f"{name}-{meta['namespace']}.{DOMAIN}" for name in self._route_names(service)}
        if not gateway_api(self.store):  # an Ingress, which knows no weights
            backend = {"service": {"name": _stable_name(service), "port": {"number": 80}}}
            paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
            rules = [{"host": host, "http": {"paths": paths}} for host in hosts.values()]
            self.store.apply(INGRESS, {"metadata": {**identity, "name": meta["name"]}, "spec": {"rules": rules}})
            return
        backends = self._backends(service, state)
        for name, host in hosts.items():
            rule = {"matches": [{"path": {"type": "RegularExpression", "value": "^/.*$"}}], "backendRefs": backends}
            spec = {"parentRefs": [http_routes.PARENT], "hostnames": [host], "rules": [rule]}
            if self._weighs_alone(meta["namespace"], name, backends):
                continue
            self.store.apply(HTTP_ROUTE, {"metadata": {**identity, "name": name}, "spec": spec})

    def _weighs_alone(self, namespace: str, name: str, backends: list[dict[str, Any]]) -> bool:
        """Whether a route names this backend alone already: its weight of 100 is not brought back to 1."""
        route = self.store.find(HTTP_ROUTE, namespace, name)
        there = route["spec"]["rules"][0]["backendRefs"] if route else []
        return [{**one, "weight": 1} for one in there] == backends

    def _backends(self, service: Document, state: StandardWorkload) -> list[dict[str, Any]]:
        """Ready canaries with their shares, and the stable one with the rest: 1 where there is no canary at all."""
        meta = service["metadata"]
        canaries = service["spec"].get("canary") or [] if self.splits else []
        named = [(predictor_name(meta["name"], c["predictor"]["name"]), c.get("trafficPercent", 0)) for c in canaries]
        shares = [(name, share) for name, share in named if _is_ready(state, name)]
        stable = (_stable_name(service), 100 - sum(share for _, share in shares) if named else 1)
        reference = {"group": "", "kind": "Service", "namespace": meta["namespace"], "port": 80}
        return [{**reference, "name": name, "weight": weight} for name, weight in (stable, *shares)]

    def _status(self, service: Document, state: StandardWorkload, conditions: Conditions) -> Status:
        meta, old = service["metadata"], service.get("status", {})
        stable = state.deployments[_stable_name(service)]
        deployment = self.store.get(DEPLOYMENT, meta["namespace"], stable.name)
        was_ready = Conditions(old.get("conditions", [])).status("Ready") == "True"
        now_ready = was_ready and conditions.status("PredictorReady") == "True"
        canaries = service["spec"].get("canary") or []
        status = {
            **old,
            "deploymentMode": self.mode,
            "servingRuntimeName": runtime_name(stable.sets[-1].template),
            "observedGeneration": deployment["status"].get("observedGeneration"),  # not that of this object
            "conditions": conditions.listed(),
            "modelStatus": model_status(old.get("modelStatus", {}), stable.sets[-1].pods, now_ready),
            "canaryStatuses": [
                {
                    "name": canary["predictor"]["name"],
                    "ready": _is_ready(state, predictor_name(meta["name"], canary["predictor"]["name"])),
                    "trafficPercent": canary.get("trafficPercent", 0),  # what the spec says, whatever the route does
                    "modelStatus": {"transitionStatus": ""},
                }
                for canary in canaries
            ],
        }
        if not canaries:
            del status["canaryStatuses"]
        if conditions.status("PredictorReady") == "True":
            status["components"] = {"predictor": {"url": f"http://{stable.name}-{meta['namespace']}.{DOMAIN}"}}
        if conditions.status("IngressReady") == "True":
            status["url"] = f"http://{meta['name']}-{meta['namespace']}.{DOMAIN}"
            status["address"] = {"url": f"http://{stable.name}.{meta['namespace']}.svc.cluster.local"}
        return status

    def pod_labels(self, one: PodSet) -> dict[str, str]:
        """Pods are found by the name of their Deployment."""
        return {"app": f"isvc.{one.name.rpartition('-')[0]}"}


def _stable_name(service: Mapping[str, Any]) -> str:
    return predictor_name(service["metadata"]["name"], service["spec"]["predictor"].get("name", ""))


def _is_ready(state: StandardWorkload, deployment: str) -> bool:
    """Any pod that answers makes a canary ready, also one of a template that is being replaced."""
    found = state.deployments.get(deployment)
    return found is not None and found.reported > 0


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
