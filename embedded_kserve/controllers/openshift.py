"""OpenShift AI beside KServe: its controller makes a Route of each exposed service, and the router admits it.

As read in odh-model-controller (kserve_raw_route_reconciler.go, July 2026) and in opendatahub-io/kserve, where KServe
makes no Ingress and the address of an exposed service is that of its Route.
"""

from collections.abc import Mapping
from typing import Any

from embedded_kserve.controllers.manifests import DOMAIN, owner, predictor_name
from embedded_kserve.controllers.standard import StandardController, StandardWorkload
from embedded_kserve.data_plane.gateway import Backend
from embedded_kserve.kubernetes.conditions import Conditions, Status
from embedded_kserve.kubernetes.resources import INFERENCE_SERVICE, OPENSHIFT_ROUTE, SERVICE
from embedded_kserve.kubernetes.store import Document, Store

_VISIBILITY = "networking.kserve.io/visibility"
_DEFAULT_WEIGHT = 100


class OpenShiftController(StandardController):
    """Standard mode without HTTPRoutes: a Route, made by another controller, splits."""

    def others(self) -> None:
        """The controller of OpenShift AI, and the router."""
        super().others()
        for service in self.store.every(INFERENCE_SERVICE):
            _write_route(self.store, service)
        if not self.gateway_is_stuck:
            for route in self.store.every(OPENSHIFT_ROUTE):
                _admit(self.store, route)

    def hosts(self) -> Mapping[str, tuple[Backend, ...]]:
        """Those of admitted Routes."""
        admitted = [route for route in self.store.every(OPENSHIFT_ROUTE) if (route.get("status") or {}).get("ingress")]
        return {route["spec"]["host"]: _backends(route) for route in admitted}

    def _write_routes(self, service: Document, state: StandardWorkload) -> None:
        """None: ``disableIngressCreation`` is set."""

    def _status(self, service: Document, state: StandardWorkload, conditions: Conditions) -> Status:
        """An exposed service has the address of its Route, and the status of before until there is one."""
        status, meta = super()._status(service, state, conditions), service["metadata"]
        if not _exposed(service):
            internal = f"{predictor_name(meta['name'])}.{meta['namespace']}.svc.cluster.local"
            return {**status, "url": f"http://{internal}"} if "url" in status else status
        route = self.store.find(OPENSHIFT_ROUTE, meta["namespace"], meta["name"])
        if route is None:
            return dict(service.get("status", {}))
        return {**status, "url": f"https://{route['spec']['host']}"} if "url" in status else status


def _exposed(service: Document) -> bool:
    return bool(service["metadata"].get("labels", {}).get(_VISIBILITY) == "exposed")


def _write_route(store: Store, service: Document) -> None:
    meta = service["metadata"]
    namespace, name = meta["namespace"], meta["name"]
    if not _exposed(service):
        if store.find(OPENSHIFT_ROUTE, namespace, name) is not None:
            store.delete(OPENSHIFT_ROUTE, namespace, name)
        return
    canaries = service["spec"].get("canary") or []
    named = [predictor_name(name, canary["predictor"]["name"]) for canary in canaries]
    target = _target(store, service, named)
    if not target or any(store.find(SERVICE, namespace, one) is None for one in named):
        return  # an error, and tried again
    port: str | int = target["spec"]["ports"][0]["name"]
    shares = [int(canary.get("trafficPercent", 0)) for canary in canaries]
    spec: dict[str, Any] = {
        "host": f"{name}-{namespace}.apps.{DOMAIN}",  # given by the API server
        "to": {"kind": "Service", "name": target["metadata"]["name"], "weight": 100 - sum(shares)},
        "port": {"targetPort": target["spec"]["ports"][0]["targetPort"] if canaries else port},
        "tls": {"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"},
        "wildcardPolicy": "None",
    }
    if canaries:
        pairs = zip(named, shares, strict=True)
        spec["alternateBackends"] = [{"kind": "Service", "name": one, "weight": share} for one, share in pairs]
    identity = {"name": name, "namespace": namespace, "ownerReferences": owner(service)}
    store.apply(OPENSHIFT_ROUTE, {"metadata": {**identity, "labels": {"inferenceservice-name": name}}, "spec": spec})


def _target(store: Store, service: Document, canaries: list[str]) -> Document | None:
    """The stable backend: ``NAME-predictor``, or any other predictor's Service, here a canary's where there is one.

    The real controller takes the first of a list without an order.
    """
    meta = service["metadata"]
    if found := store.find(SERVICE, meta["namespace"], predictor_name(meta["name"])):
        return found
    label = ("serving.kserve.io/inferenceservice", meta["name"])
    every = (one for one in store.every(SERVICE, meta["namespace"]) if label in one["metadata"]["labels"].items())
    return min(every, key=lambda one: one["metadata"]["name"] not in canaries, default=None)


def _admit(store: Store, route: Document) -> None:
    """Once: the status says nothing about which weights the router follows."""
    meta, status = route["metadata"], route.get("status") or {}
    if status.get("ingress"):
        return
    conditions = Conditions([])
    conditions.set("Admitted", "True")
    ingress = {"host": route["spec"]["host"], "routerName": "default", "wildcardPolicy": "None"}
    admitted = {**ingress, "conditions": conditions.listed()}
    store.set_status(OPENSHIFT_ROUTE, meta["namespace"], meta["name"], {"ingress": [admitted]})


def _backends(route: Document) -> tuple[Backend, ...]:
    spec, namespace = route["spec"], route["metadata"]["namespace"]
    split = [spec["to"], *spec.get("alternateBackends", [])]
    return tuple(Backend(f"{namespace}/{one['name']}", one.get("weight", _DEFAULT_WEIGHT)) for one in split)
