"""The shapes of objects: of each kind, the fields that a rollout reads.

An answer that is anything else, of a proxy or a sign-in page in between, is none; nobody further on meets a web page, a
list or a word where a number is.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from kubeline.kubernetes.resources import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    OPENSHIFT_ROUTE,
    POD,
    TRAIN_JOB,
    Resource,
)

_Shape = Mapping[str, Any]
"""Of an object: by field a type, the shape of an object, or a list of one of these; what ends with ! must be there."""

_Texts = dict[str, str]
_Percent = Annotated[int, Field(ge=0, le=100)]
_Weight = Annotated[int, Field(ge=0, le=1_000_000)]  # as the Gateway API has it
_RouteWeight = Annotated[int, Field(ge=0, le=256)]
_Replicas = Annotated[int, Field(ge=0, lt=2**31)]

_META: _Shape = {
    "name!": str,
    "namespace": str,
    "uid": str,
    "resourceVersion": str,
    "generation": int,
    "labels": _Texts,
    "annotations": _Texts,
    "deletionTimestamp": str,
    "ownerReferences": [{"uid": str}],
}
_CONDITIONS = [{"type": str, "status": str, "reason": str, "message": str, "observedGeneration": int}]
_VARIABLES = [{"name!": str, "value": str}]
_PREDICTOR: _Shape = {
    "name": str,
    "minReplicas": _Replicas,
    "maxReplicas": _Replicas,
    "canaryTrafficPercent": _Percent,
    "model": {"name": str, "storageUri": str, "protocolVersion": str, "env": _VARIABLES},
    "annotations": _Texts,
}
_TARGET: _Shape = {"revisionName": str, "percent": _Percent, "latestRevision": bool, "tag": str, "url": str}
_INFERENCE_SERVICE: _Shape = {
    "spec!": {"predictor!": _PREDICTOR, "canary": [{"predictor!": _PREDICTOR, "trafficPercent": _Percent}]},
    "status": {
        "conditions": _CONDITIONS,
        "deploymentMode": str,
        "url": str,
        "components": {
            "predictor": {
                "latestCreatedRevision": str,
                "latestReadyRevision": str,
                "latestRolledoutRevision": str,
                "traffic": [_TARGET],
            }
        },
        "canaryStatuses": [{"name": str, "ready": bool, "trafficPercent": _Percent}],
        "modelStatus": {"lastFailureInfo": {"reason": str, "message": str}},
    },
}
_MOMENT: _Shape = {
    "waiting": {"reason": str, "message": str},
    "terminated": {"reason": str, "message": str, "exitCode": int},
}
_CONTAINERS = [{"name": str, "ready": bool, "restartCount": int, "state": _MOMENT, "lastState": _MOMENT}]
_BACKEND: _Shape = {"name": str, "weight": _RouteWeight}
_CONDITIONED: _Shape = {"status": {"conditions": _CONDITIONS}}

_SHAPES: Mapping[Resource, _Shape] = {
    INFERENCE_SERVICE: _INFERENCE_SERVICE,
    HTTP_ROUTE: {
        "spec": {"rules": [{"backendRefs": [{"name": str, "weight": _Weight}]}]},
        "status": {"parents": [{"conditions": _CONDITIONS}]},
    },
    OPENSHIFT_ROUTE: {
        "spec!": {"to!": _BACKEND, "alternateBackends": [_BACKEND]},
        "status": {"ingress": [{"conditions": _CONDITIONS}]},
    },
    DEPLOYMENT: _CONDITIONED,
    TRAIN_JOB: _CONDITIONED,
    CONFIG_MAP: {"data": _Texts},
    POD: {
        "spec": {"containers": [{"name": str, "env": _VARIABLES, "ports": [{"containerPort": int}]}]},
        "status": {
            "conditions": _CONDITIONS,
            "podIP": str,
            "startTime": str,
            "initContainerStatuses": _CONTAINERS,
            "containerStatuses": _CONTAINERS,
        },
    },
    EVENT: {
        "involvedObject": {"kind": str, "name": str},
        "type": str,
        "reason": str,
        "message": str,
        "count": int,
        "lastTimestamp": str,
        "eventTime": str,
        "series": {"count": int, "lastObservedTime": str},
    },
}


def misshapen(found: Any, resource: Resource, namespace: str, name: str, versioned: bool = True) -> str:
    """What shows that this is not the object that was asked for; empty when nothing does.

    Args:
        found: JSON without nulls.
        resource: its kind.
        namespace: of the object.
        name: of the object; empty for any.
        versioned: it is stored by the server, and so has a version; the result of a dry run is not.
    """
    if not isinstance(found, dict):
        return f"it says '{' '.join(str(found).split())[:60]}'"
    try:
        _model_of(resource).model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    kind, meta = found.get("kind", ""), found["metadata"]
    where = meta.get("namespace", "")
    if kind not in {"", resource.kind} or (name and meta["name"] != name) or where not in {"", namespace}:
        return f"it is {kind} {where}/{meta['name']}"[:300]
    return "metadata.resourceVersion: Field required" if versioned and not meta.get("resourceVersion") else ""


@cache
def _model_of(resource: Resource) -> type[BaseModel]:
    plain: _Shape = {"kind": str, "metadata!": _META, "spec": dict[str, Any], "status": dict[str, Any]}
    model: type[BaseModel] = _type_of({**plain, **_SHAPES.get(resource, {})})
    return model


def _type_of(shape: Any) -> Any:
    """The type that Pydantic checks by; every field of an object is strict, and what is not named is let through."""
    if isinstance(shape, list):
        return list[_type_of(shape[0])]  # type: ignore[misc]
    if not isinstance(shape, Mapping):
        return shape
    fields: dict[str, Any] = {
        name.rstrip("!"): (_type_of(inner), ... if name.endswith("!") else None) for name, inner in shape.items()
    }
    config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())
    return create_model("Object", __config__=config, **fields)
