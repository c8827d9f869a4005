"""What of a cluster's objects counts when an embedded KServe is compared with a real one."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.support.recordings import Change, Json, Recording, World


class Facet(NamedTuple):
    """One thing that an object shows: its kind, its name, and which thing."""

    kind: str
    name: str
    aspect: str


def shown(world: World) -> dict[Facet, Any]:
    """Everything that counts in the objects of one moment; names of canaries and namespaces are those of none."""
    found: dict[Facet, Any] = {}
    for (group, kind, name), document in world.objects.items():
        look = _LOOKS.get((group, kind))
        if look is None:
            continue
        where = document["metadata"]["namespace"]
        reported = "KnativeService" if (group, kind) == ("serving.knative.dev", "Service") else kind
        for aspect, value in {**_conditions(document), **look(document)}.items():
            if value not in (None, "", [], {}):
                found[Facet(reported, _anonymous(name, where), aspect)] = _anonymous(value, where)
    return found


def histories(recording: Recording) -> dict[Facet, list[Any]]:
    """The values of each facet in their order; None where it is not there."""
    found: dict[Facet, list[Any]] = {}
    for _, world in recording.moments():
        now = shown(world)
        for facet in {*found, *now}:
            values = found.setdefault(facet, [])
            if not values or values[-1] != now.get(facet):
                values.append(now.get(facet))
    return found


def first_shown(recording: Recording) -> dict[tuple[Facet, Any], float]:
    """When each value of each facet was first shown; not those that were there from the start."""
    found: dict[tuple[Facet, Any], float] = {}
    before: set[tuple[Facet, Any]] | None = None
    for seconds, world in recording.moments():
        now = set(shown(world).items())
        if seconds > recording.changes[0].seconds:
            before = before if before is not None else set()
            found |= {item: seconds for item in now - before if item not in found}
        before = now if before is None or seconds == recording.changes[0].seconds else before | now
    return found


def since(recording: Recording, seconds: float) -> Recording:
    """The recording from a time on, beginning with what was there."""
    there = [Change(seconds, "ADDED", document) for document in recording.at(seconds).objects.values()]
    later = [change for change in recording.changes if change.seconds > seconds]
    return dataclasses.replace(recording, changes=(*there, *later))


def _anonymous(value: Any, namespace: str) -> Any:
    """Without the namespace, and without the version in a canary's name."""
    if isinstance(value, str):
        return re.sub(r"\bv[0-9a-f]{7}\b", "CANARY", value.replace(namespace, "NAMESPACE"))
    if isinstance(value, tuple):
        return tuple(_anonymous(part, namespace) for part in value)
    return value


def _conditions(document: Json) -> dict[str, Any]:
    reported = (document.get("status") or {}).get("conditions") or []
    return {c["type"]: (c["status"], c.get("reason", ""), c.get("severity", "")) for c in reported}


def _service(document: Json) -> Mapping[str, Any]:
    status = document.get("status", {})
    component = dict(status.get("components", {}).get("predictor", {}))
    states = status.get("modelStatus", {}).get("states", {})
    return {
        "url": status.get("url"),
        "address": status.get("address", {}).get("url"),
        "deploymentMode": status.get("deploymentMode"),
        "component url": component.get("url"),
        "component address": component.get("address", {}).get("url"),
        "traffic": _traffic(component.get("traffic", [])),
        **{key: component.get(key) for key in component if key.endswith("Revision")},
        "canaryStatuses": tuple(
            (one["name"], one["ready"], one.get("trafficPercent", 0)) for one in status.get("canaryStatuses", [])
        ),
        "model": (status.get("modelStatus", {}).get("transitionStatus", ""), states.get("targetModelState", "")),
    }


def _traffic(targets: list[Json]) -> Any:
    return tuple((t["revisionName"], t.get("percent", 0), t.get("tag", ""), t.get("url", "")) for t in targets)


def _route(document: Json) -> Mapping[str, Any]:
    spec = document["spec"]
    parents = document.get("status", {}).get("parents", [])
    accepted = {c["type"]: (c["status"], c["reason"], "") for parent in parents for c in parent["conditions"]}
    weights = [tuple((b["name"], b["weight"]) for b in rule["backendRefs"]) for rule in spec["rules"]]
    return {"hosts": tuple(spec["hostnames"]), "weights": tuple(weights), **accepted}


def _knative(document: Json) -> Mapping[str, Any]:
    status = document.get("status", {})
    wanted = document["spec"].get("traffic", [])
    return {
        "wanted": tuple((t.get("revisionName", ""), t.get("percent", 0), t.get("tag", "")) for t in wanted),
        "traffic": _traffic(status.get("traffic", [])),
        "url": status.get("url"),
        "latestCreatedRevisionName": status.get("latestCreatedRevisionName"),
        "latestReadyRevisionName": status.get("latestReadyRevisionName"),
    }


def _ingress(document: Json) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for rule in document["spec"]["rules"]:
        splits = [split for path in rule["http"]["paths"] for split in path["splits"]]
        split = tuple((one["serviceName"], one.get("percent", 0)) for one in splits)
        found |= dict.fromkeys(rule["hosts"], (rule["visibility"], split))
    return {"hosts": tuple(sorted(found.items()))}


def _replicas(document: Json) -> Mapping[str, Any]:
    return {"replicas": (document["spec"].get("replicas"),)}


def _autoscaler(document: Json) -> Mapping[str, Any]:
    return {"bounds": (document["spec"]["minReplicas"], document["spec"]["maxReplicas"])}


def _there(document: Json) -> Mapping[str, Any]:
    del document
    return {"there": "yes"}


_LOOKS: dict[tuple[str, str], Callable[[Json], Mapping[str, Any]]] = {
    ("serving.kserve.io", "InferenceService"): _service,
    ("gateway.networking.k8s.io", "HTTPRoute"): _route,
    ("serving.knative.dev", "Service"): _knative,
    ("serving.knative.dev", "Configuration"): _knative,
    ("serving.knative.dev", "Route"): _knative,
    ("serving.knative.dev", "Revision"): _there,
    ("networking.internal.knative.dev", "Ingress"): _ingress,
    ("apps", "Deployment"): _replicas,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
}
