"""Objects of a cluster as KServe shows them, by hand."""

from typing import Any

from kubeline.rollout.status import DeployedModel, Versions
from kubeline.serving_platform.endpoint_view import DIGEST_VARIABLE

CANDIDATE: dict[str, Any] = {
    "minReplicas": 2,
    "maxReplicas": 9,
    "model": {"storageUri": "s3://b", "modelFormat": {"name": "kubeline"}},
}


STABLE: dict[str, Any] = {
    "minReplicas": 4,
    "model": {"storageUri": "s3://a", "modelFormat": {"name": "kubeline"}},
    "timeout": 5,
}


VERSIONS = Versions(DeployedModel(CANDIDATE, name="v2"), DeployedModel(STABLE, revision="f-1"))


def service(predictor: dict[str, Any] = STABLE, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    meta = {"name": "f", "namespace": "n", "generation": 1}
    return {"metadata": meta, "spec": {"predictor": predictor, **spec}, "status": status or {}}


def route(**weights: int) -> dict[str, Any]:
    backends = [{"name": name.replace("_", "-"), "weight": weight} for name, weight in weights.items()]
    parent = {"conditions": [{"type": kind, "status": "True"} for kind in ("Accepted", "ResolvedRefs")]}
    spec = {"rules": [{"backendRefs": backends}]}
    return {"metadata": {"name": "f"}, "spec": spec, "status": {"parents": [parent]}}


def pods(workload: str, ready: int, digest: str = "") -> list[dict[str, Any]]:
    env = [{"name": DIGEST_VARIABLE, "value": digest}] if digest else []
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    spec = {"containers": [{"env": env}]}
    return [{"metadata": {"name": f"{workload}-{n}"}, "spec": spec, "status": status} for n in range(ready)]
