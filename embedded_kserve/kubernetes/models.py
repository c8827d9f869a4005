"""Fields and their types of every kind that clients write, as the models of the KServe SDK and of the Kubernetes client
have them (``openapi_types``).

Importing those packages takes seconds and hundreds of megabytes, and so what they say is written down in
``models.json``, by ``python -m embedded_kserve.kubernetes.models``; a test holds it to the packages.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from embedded_kserve.kubernetes import resources
from embedded_kserve.kubernetes.resources import Kind

FILE = Path(__file__).with_name("models.json")

_QUANTITIES = {"divisor", "limits", "overhead", "requests", "sizeLimit"}  # texts in the models, and numbers as well

Models = Mapping[str, Mapping[str, str]]  # by model, and by field: its type

OF_KIND: Mapping[Kind, str] = {
    resources.INFERENCE_SERVICE: "V1beta1InferenceService",
    resources.SERVING_RUNTIME: "V1alpha1ServingRuntime",
    resources.CLUSTER_SERVING_RUNTIME: "V1alpha1ClusterServingRuntime",
    resources.CONFIG_MAP: "V1ConfigMap",
    resources.DEPLOYMENT: "V1Deployment",
    resources.EVENT: "CoreV1Event",
    resources.HORIZONTAL_POD_AUTOSCALER: "V2HorizontalPodAutoscaler",
    resources.OPENSHIFT_ROUTE: "Route",
    resources.INGRESS: "V1Ingress",
    resources.NAMESPACE: "V1Namespace",
    resources.POD: "V1Pod",
    resources.SERVICE: "V1Service",
}


# Of OpenShift's Route, which is in neither package: routes.crd.yaml of openshift/api.
_ROUTE: Models = {
    "Route": {"apiVersion": "str", "kind": "str", "metadata": "object", "spec": "RouteSpec", "status": "object"},
    "RouteSpec": {
        "alternateBackends": "list[RouteTargetReference]",
        "host": "str",
        "httpHeaders": "object",
        "path": "str",
        "port": "RoutePort",
        "subdomain": "str",
        "tls": "RouteTLSConfig",
        "to": "RouteTargetReference",
        "wildcardPolicy": "str",
    },
    "RouteTargetReference": {"kind": "str", "name": "str", "weight": "int"},
    "RoutePort": {"targetPort": "object"},
    "RouteTLSConfig": {
        "caCertificate": "str",
        "certificate": "str",
        "destinationCACertificate": "str",
        "externalCertificate": "object",
        "insecureEdgeTerminationPolicy": "str",
        "key": "str",
        "termination": "str",
    },
}


def read() -> Models:
    """What is written down."""
    models: Models = json.loads(FILE.read_text(encoding="utf-8"))
    return models


def collect() -> Models:
    """The models of the installed packages, from the kinds down; a status is no matter of clients."""
    import kserve.models
    import kubernetes.client.models

    found: dict[str, dict[str, str]] = {}
    coming = list(OF_KIND.values())
    while coming:
        name = coming.pop()
        model = getattr(kserve.models, name, None) or getattr(kubernetes.client.models, name, None)
        if name in found or model is None:  # some are named and not there: whatever they hold is allowed
            continue
        types = {model.attribute_map[key]: str(value) for key, value in model.openapi_types.items()}
        types |= {key: types[key].replace("str)", "object)") for key in _QUANTITIES & set(types) if "(" in types[key]}
        types |= {key: "object" for key in _QUANTITIES & set(types) if types[key] == "str"}
        if name in OF_KIND.values() and "status" in types:
            types["status"] = "object"
        found[name] = types
        coming += [part for text in found[name].values() for part in re.findall(r"[A-Z]\w+", text)]
    return {**found, **_ROUTE}


def written(models: Models) -> str:
    """As the file holds them: a line for each model."""
    lines = (f"{json.dumps(name)}: {json.dumps(dict(sorted(models[name].items())))}" for name in sorted(models))
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(written(collect()), encoding="utf-8")
