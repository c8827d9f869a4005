"""What the definition of InferenceService (KServe 0.20) allows, as far as rollouts write it.

Sub-documents that Kubernetes defines (pod and container specifications) are known by their field names only.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from embedded_kserve.kubernetes.resources import INFERENCE_SERVICE
from embedded_kserve.kubernetes.statuses import StatusError, bad_request, invalid

_ANY = None  # whatever lies below is not looked at


def _named(fields: str) -> dict[str, Any]:
    return dict.fromkeys(fields.split(), _ANY)


_CONTAINER = _named(
    """name image command args workingDir ports envFrom env resources resizePolicy restartPolicy volumeMounts
    volumeDevices livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath terminationMessagePolicy
    imagePullPolicy securityContext stdin stdinOnce tty"""
)
_MODEL = {**_CONTAINER, **_named("modelFormat runtime runtimeVersion protocolVersion storageUri storage")}
_POD = _named(
    """volumes initContainers containers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy
    nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName hostNetwork hostPID hostIPC
    shareProcessNamespace securityContext imagePullSecrets hostname subdomain affinity schedulerName tolerations
    hostAliases priorityClassName priority dnsConfig readinessGates runtimeClassName enableServiceLinks
    preemptionPolicy overhead topologySpreadConstraints setHostnameAsFQDN os hostUsers schedulingGates resourceClaims
    resources"""
)
_EXTENSION = _named(
    """minReplicas maxReplicas scaleTarget scaleMetric scaleMetricType autoScaling containerConcurrency timeout
    canaryTrafficPercent logger batcher labels annotations deploymentStrategy"""
)
_FRAMEWORKS = _named("sklearn xgboost tensorflow pytorch triton onnx huggingface pmml lightgbm paddle")
_OTHERS = _named("name workerSpec storageUris storageContainerName confidential")
_PREDICTOR = {**_POD, **_EXTENSION, **_FRAMEWORKS, **_OTHERS, "model": _MODEL}
_CANARY = {"predictor": _PREDICTOR, "trafficPercent": _ANY}
_FIELDS: dict[str, Any] = {
    "apiVersion": _ANY,
    "kind": _ANY,
    "metadata": _ANY,
    "status": _ANY,
    "spec": {"predictor": _PREDICTOR, "transformer": _ANY, "explainer": _ANY, "canary": [_CANARY]},
}


def check_fields(document: Mapping[str, Any], patch: bool = False) -> None:
    """Refuse fields that the definition does not have, as ``fieldValidation=Strict`` asks: 400, and 422 of a patch."""
    unknown = list(_unknown(document, _FIELDS, ""))
    if not unknown:
        return
    told = "strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in unknown)
    if patch:
        raise StatusError(422, "Invalid", f'"" is invalid: patch: Invalid value: "{json.dumps(document)}": {told}')
    kind = INFERENCE_SERVICE.kind
    raise bad_request(f'{kind} in version "{INFERENCE_SERVICE.version}" cannot be handled as a {kind}: {told}')


def without_unknown(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as it is kept: unknown fields are dropped without a word."""
    return _pruned(document, _FIELDS)


def check_values(document: Mapping[str, Any]) -> None:
    """Refuse values that the definition does not allow (422)."""
    name = str(document.get("metadata", {}).get("name", ""))
    problem = next(_problems(document.get("spec")), None)
    if problem:
        raise invalid(INFERENCE_SERVICE, name, problem)


def _problems(spec: Any) -> Iterator[str]:
    if not isinstance(spec, Mapping) or not isinstance(spec.get("predictor"), Mapping):
        yield "spec.predictor: Required value"
        return
    yield from _predictor_problems(spec["predictor"], "spec.predictor")
    for index, canary in enumerate(spec.get("canary") or []):
        path = f"spec.canary[{index}]"
        percent = canary.get("trafficPercent", 0)
        if not isinstance(percent, int) or not 0 <= percent <= 100:
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
    for key in ("minReplicas", "maxReplicas", "canaryTrafficPercent"):
        value = predictor.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            yield f'{path}.{key}: Invalid value: "{value}": must be of type integer'
    model = predictor.get("model")
    if isinstance(model, Mapping):
        if not isinstance(model.get("modelFormat"), Mapping) or not model["modelFormat"].get("name"):
            yield f"{path}.model.modelFormat.name: Required value"
        for index, variable in enumerate(model.get("env") or []):
            if not isinstance(variable.get("value", ""), str):
                yield f"{path}.model.env[{index}].value: Invalid value: must be of type string"


def _unknown(value: Any, fields: Any, path: str) -> Iterator[str]:
    if isinstance(fields, list) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, fields[0], f"{path}[{index}]")
    elif isinstance(fields, dict) and isinstance(value, Mapping):
        for key, item in value.items():
            below = f"{path}.{key}" if path else str(key)
            if key not in fields:
                yield below
            else:
                yield from _unknown(item, fields[key], below)


def _pruned(value: Any, fields: Any) -> Any:
    if isinstance(fields, list) and isinstance(value, list):
        return [_pruned(item, fields[0]) for item in value]
    if isinstance(fields, dict) and isinstance(value, Mapping):
        return {key: _pruned(item, fields[key]) for key, item in value.items() if key in fields}
    return value
