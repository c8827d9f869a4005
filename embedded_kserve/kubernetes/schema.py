"""What the definitions of kinds allow: fields, their types, and what an InferenceService (KServe 0.20) must have."""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from embedded_kserve.kubernetes import models
from embedded_kserve.kubernetes.resources import CONFIG_MAP, INFERENCE_SERVICE, OPENSHIFT_ROUTE, Kind
from embedded_kserve.kubernetes.statuses import StatusError, bad_request, invalid

_ANY = "object"
_MAX_BYTES = 2**20  # of the values of a ConfigMap
_MAX_WEIGHT, _MAX_OTHERS = 256, 3  # of the backends of a Route
_NAMES: Mapping[str, tuple[str, tuple[type, ...]]] = {  # by the type of a model: in a message, and in Python
    "str": ("string", (str,)),
    "datetime": ("string", (str,)),
    "int": ("integer", (int,)),
    "float": ("number", (int, float)),
    "bool": ("boolean", (bool,)),
}

_models = functools.cache(models.read)


def check_fields(kind: Kind, document: Mapping[str, Any], patch: bool = False) -> None:
    """Refuse fields that the definition does not have, as ``fieldValidation=Strict`` asks: 400, and 422 of a patch."""
    unknown = list(_unknown(document, _type(kind), ""))
    if unknown:
        fields = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise _undecodable(kind, document, f"strict decoding error: {fields}", patch)


def without_unknown(kind: Kind, document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as it is stored: unknown fields are dropped without a word."""
    pruned: dict[str, Any] = _pruned(document, _type(kind))
    return pruned


def check_values(kind: Kind, document: Mapping[str, Any], patch: bool = False) -> None:
    """Refuse values that the definition does not allow: 422; of kinds that Kubernetes defines 400, unless patched."""
    name = str(document.get("metadata", {}).get("name", ""))
    if mistyped := next(_mistyped(document, _type(kind), ""), None):
        path, expected, found = mistyped
        if kind.group.endswith("kserve.io"):
            raise invalid(kind, name, f'{path}: Invalid value: "{found}": {path} in body must be of type {expected}')
        problem = f"json: cannot unmarshal {found} into Go struct field {kind.kind}.{path} of type {expected}"
        raise _undecodable(kind, document, problem, patch)
    problems = _PROBLEMS.get(kind, lambda _: iter(()))
    if problem := next(problems(document), ""):  # type: ignore[no-untyped-call]
        raise invalid(kind, name, problem)


def _undecodable(kind: Kind, document: Mapping[str, Any], problem: str, patch: bool) -> StatusError:
    if patch:
        text = f'"" is invalid: patch: Invalid value: "{json.dumps(document)}": {problem}'
        return StatusError(422, "Invalid", text)
    return bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {problem}')


def _type(kind: Kind) -> str:
    return models.OF_KIND.get(kind, _ANY)


def _parts(value: Any, of: str) -> Iterator[tuple[str, Any, str | None]]:
    """Path below, value and type of each part of a value; the type is None where there is no such field."""
    if isinstance(value, list) and (item := re.fullmatch(r"list\[(.*)\]", of)):
        yield from ((f"[{index}]", part, item[1]) for index, part in enumerate(value))
    elif isinstance(value, Mapping) and (item := re.fullmatch(r"dict\(str, (.*)\)", of)):
        yield from ((f".{key}", part, item[1]) for key, part in value.items())
    elif isinstance(value, Mapping) and of in _models():
        fields = _models()[of]
        yield from ((f".{key}", part, fields.get(key)) for key, part in value.items())


def _unknown(value: Any, of: str, path: str) -> Iterator[str]:
    for below, part, its in _parts(value, of):
        here = f"{path}{below}".lstrip(".")
        if its is None:
            yield here
        else:
            yield from _unknown(part, its, here)


def _mistyped(value: Any, of: str, path: str) -> Iterator[tuple[str, str, str]]:
    """Path, expected and found type of what has another type than it should."""
    expected = _expected(of)
    if value is None or expected is None:
        return
    name, types = expected
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        yield path, name, _found(value)
        return
    for below, part, its in _parts(value, of):
        if its is not None:
            yield from _mistyped(part, its, f"{path}{below}".lstrip("."))


def _expected(of: str) -> tuple[str, tuple[type, ...]] | None:
    """What values of a type are, in a message and in Python; None for anything."""
    if of.startswith("list["):
        return "array", (list,)
    if of.startswith("dict(") or of in _models():
        return "object", (Mapping,)
    return _NAMES.get(of)


def _found(value: Any) -> str:
    kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "object")


def _pruned(value: Any, of: str) -> Any:
    parts = list(_parts(value, of))
    if isinstance(value, list):
        return [_pruned(part, its or _ANY) for _, part, its in parts] if parts else value
    if isinstance(value, Mapping) and parts:
        return {below[1:]: _pruned(part, its) for below, part, its in parts if its is not None}
    return value


def _config_map_problems(document: Mapping[str, Any]) -> Iterator[str]:
    values = [text for field in ("data", "binaryData") for text in (document.get(field) or {}).values()]
    if sum(len(text.encode()) for text in values) > _MAX_BYTES:
        yield f"[]: Too long: may not be more than {_MAX_BYTES} bytes"


def _service_problems(document: Mapping[str, Any]) -> Iterator[str]:
    spec = document.get("spec")
    if not isinstance(spec, Mapping) or not isinstance(spec.get("predictor"), Mapping):
        yield "spec.predictor: Required value"
        return
    yield from _predictor_problems(spec["predictor"], "spec.predictor")
    for index, canary in enumerate(spec.get("canary") or []):
        path = f"spec.canary[{index}]"
        percent = canary.get("trafficPercent", 0)
        if not 0 <= percent <= 100:
            yield f'{path}.trafficPercent: Invalid value: "{percent}": should be from 0 to 100'
        predictor = canary.get("predictor")
        if not isinstance(predictor, Mapping):
            yield f"{path}.predictor: Required value"
            return
        yield from _predictor_problems(predictor, f"{path}.predictor")
        # The container inside a canary's model has lost its default name: it must be there, and may be empty.
        if isinstance(predictor.get("model"), Mapping) and "name" not in predictor["model"]:
            yield f"{path}.predictor.model.name: Required value"


def _predictor_problems(predictor: Mapping[str, Any], path: str) -> Iterator[str]:
    model = predictor.get("model")
    if isinstance(model, Mapping) and not (model.get("modelFormat") or {}).get("name"):
        yield f"{path}.model.modelFormat.name: Required value"


def _route_problems(document: Mapping[str, Any]) -> Iterator[str]:
    spec = document.get("spec") or {}
    if not isinstance(spec.get("to"), Mapping):
        yield "spec.to: Required value"
        return
    others = spec.get("alternateBackends") or []
    if len(others) > _MAX_OTHERS:
        yield f"spec.alternateBackends: Too many: {len(others)}: must have at most {_MAX_OTHERS} items"
    for path, one in [("spec.to", spec["to"]), *((f"spec.alternateBackends[{n}]", o) for n, o in enumerate(others))]:
        if not one.get("name"):
            yield f"{path}.name: Required value"
        weight = one.get("weight", 0)
        if not 0 <= weight <= _MAX_WEIGHT:
            yield f"{path}.weight: Invalid value: {weight}: {path}.weight should be from 0 to {_MAX_WEIGHT}"


_PROBLEMS: Mapping[Kind, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    CONFIG_MAP: _config_map_problems,
    INFERENCE_SERVICE: _service_problems,
    OPENSHIFT_ROUTE: _route_problems,
}
