"""What a gateway of the Gateway API does with HTTPRoutes: it accepts them, says what they lack, and routes their hosts.

It follows every HTTPRoute with KServe's Gateway as its parent, whoever made it. Of a rule, the backends count; matches
by header or path are ignored.
"""

from typing import Any

from embedded_kserve.data_plane.gateway import Backend
from embedded_kserve.kubernetes.conditions import Conditions
from embedded_kserve.kubernetes.resources import HTTP_ROUTE, INGRESS, SERVICE
from embedded_kserve.kubernetes.store import Document, Store

PARENT = {
    "group": "gateway.networking.k8s.io",
    "kind": "Gateway",
    "name": "kserve-ingress-gateway",
    "namespace": "kserve",
}
_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"

Trouble = tuple[str, str]  # reason and message; both empty when there is none


def answer(store: Store, is_stuck: bool) -> None:
    """Write into each route's status whether it is accepted and its Services are there, for its newest generation."""
    for route in store.every(HTTP_ROUTE):
        meta = route["metadata"]
        if is_stuck:
            status = route.get("status") or {"parents": []}
        elif _on_gateway(route):
            status = {"parents": [_parent(store, route)]}
        else:
            continue
        store.set_status(HTTP_ROUTE, meta["namespace"], meta["name"], status)


def trouble(route: Document | None) -> Trouble:
    """Why a route does not work, as its status reports to KServe."""
    parents = ((route or {}).get("status") or {}).get("parents") or []
    if not parents:
        return "ParentStatusNotAvailable", "HttpRouteNotReady"
    bad = (c for parent in parents for c in parent["conditions"] if c["status"] != "True")
    return next(((c["reason"], c["message"]) for c in bad), ("", ""))


def hosts(store: Store) -> dict[str, tuple[Backend, ...]]:
    """The backends of each host, of HTTPRoutes and of Ingresses."""
    found: dict[str, tuple[Backend, ...]] = {}
    for route in store.every(HTTP_ROUTE):
        if _on_gateway(route):
            split = tuple(Backend(_cluster(r, route), r.get("weight", 1)) for r in _references(route))
            found |= {host: split for host in route["spec"].get("hostnames", []) if host not in found}
    for ingress in store.every(INGRESS):
        for rule in ingress["spec"]["rules"]:
            name = rule["http"]["paths"][0]["backend"]["service"]["name"]
            found[rule["host"]] = (Backend(f"{ingress['metadata']['namespace']}/{name}", 1),)
    return found


def _on_gateway(route: Document) -> bool:
    asked = route["spec"].get("parentRefs", [])
    return any(parent.get("name") == PARENT["name"] for parent in asked)


def _references(route: Document) -> list[dict[str, Any]]:
    return [reference for rule in route["spec"].get("rules", []) for reference in rule.get("backendRefs", [])]


def _cluster(reference: dict[str, Any], route: Document) -> str:
    return f"{reference.get('namespace', route['metadata']['namespace'])}/{reference['name']}"


def _parent(store: Store, route: Document) -> dict[str, Any]:
    present = ((route.get("status") or {}).get("parents") or [{}])[0].get("conditions", [])
    conditions = Conditions(present)
    conditions.set("Accepted", "True", "Accepted", "Route is accepted")
    conditions.set("ResolvedRefs", "True", "ResolvedRefs", "Resolved all the Object references for the Route")
    for number, reference in enumerate(_references(route)):
        namespace, _, name = _cluster(reference, route).partition("/")
        if store.find(SERVICE, namespace, name) is None:
            missing = f"Failed to process route rule 0 backendRef {number}: service {namespace}/{name} not found."
            conditions.set("ResolvedRefs", "False", "BackendNotFound", missing)
            break
    generation = route["metadata"]["generation"]
    listed = [{**condition, "observedGeneration": generation} for condition in conditions.listed()]
    return {"conditions": listed, "controllerName": _CONTROLLER, "parentRef": PARENT}
