"""What KServe makes of an InferenceService: names, hosts, pod templates; and what a cluster with KServe has."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from embedded_kserve.data_plane.pods import CONTAINER, Template
from embedded_kserve.kubernetes.resources import CLUSTER_SERVING_RUNTIME, CONFIG_MAP, NAMESPACE, SERVING_RUNTIME
from embedded_kserve.kubernetes.store import Document, Store

DOMAIN = "example.com"
NAMESPACES = ("default", "kserve")
MODES = {"knative": "Knative", "standard": "Standard", "openshift": "Standard"}

# KServe copies every other annotation and label of an InferenceService to its pods, so that a change of them is a
# change of the pod template (pkg/constants: ServiceAnnotationDisallowedList, RevisionTemplateLabelDisallowedList).
_UNCOPIED_ANNOTATIONS = {
    "autoscaling.knative.dev/min-scale",
    "autoscaling.knative.dev/max-scale",
    "internal.serving.kserve.io/storage-initializer-sourceuri",
    "kubectl.kubernetes.io/last-applied-configuration",
}
_UNCOPIED_LABELS = {"networking.knative.dev/visibility"}
_VISIBILITY = {"Knative": "networking.knative.dev/visibility", "Standard": "networking.kserve.io/visibility"}
SERVICE_LABEL = "serving.kserve.io/inferenceservice"


class InvalidSpecError(Exception):
    """The InferenceService cannot be turned into pods.

    Attributes:
        reason: as in the status' ``lastFailureInfo``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def install_defaults(store: Store, mode: str, drain_seconds: float = 5.0) -> None:
    """Put into the store what a cluster with KServe and Kubeline's runtime holds."""
    for name in NAMESPACES:
        store.create(NAMESPACE, {"metadata": {"name": name}})
    ingress = {"enableGatewayApi": mode == "standard", "kserveIngressGateway": "kserve/kserve-ingress-gateway"}
    ingress |= {
        "disableIngressCreation": mode == "openshift",
        "ingressDomain": DOMAIN,
        "urlScheme": "http",
        "domainTemplate": "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}",
    }
    data = {"deploy": json.dumps({"defaultDeploymentMode": MODES[mode]}), "ingress": json.dumps(ingress)}
    store.create(CONFIG_MAP, {"metadata": {"name": "inferenceservice-config", "namespace": "kserve"}, "data": data})
    store.create(
        SERVING_RUNTIME,
        {"metadata": {"name": "kubeline", "namespace": "default"}, "spec": _runtime_spec(drain_seconds)},
    )


def _runtime_spec(drain_seconds: float) -> dict[str, Any]:
    """The runtime of manifests/runtime, as far as it counts here."""
    args = ["--model_name={{.Name}}", "--model_dir=/mnt/models", "--http_port=8080", "--grpc_port=8081"]
    image = "ghcr.io/kubeline/kubeline-python-serving:0.1.0"
    return {
        "supportedModelFormats": [{"name": "kubeline", "version": "1", "autoSelect": True, "priority": 1}],
        "protocolVersions": ["v1", "v2", "grpc-v2"],
        "containers": [{"name": CONTAINER, "image": image, "args": [*args, f"--drain_seconds={drain_seconds:g}"]}],
    }


def gateway_api(store: Store) -> bool:
    """Whether KServe is configured to make HTTPRoutes; otherwise it makes Ingresses."""
    config = store.get(CONFIG_MAP, "kserve", "inferenceservice-config")
    return bool(json.loads(config["data"]["ingress"]).get("enableGatewayApi"))


def predictor_name(service: str, name: str = "") -> str:
    """Name of what serves: the Knative Service, the Deployment, the Service."""
    return f"{service}-{name}-predictor" if name else f"{service}-predictor"


def local_hosts(name: str, namespace: str) -> tuple[str, ...]:
    """The names of a Service inside the cluster."""
    return tuple(f"{name}.{namespace}{suffix}" for suffix in ("", ".svc", ".svc.cluster.local"))


def cluster_local(service: Mapping[str, Any], mode: str) -> bool:
    """Whether an InferenceService is not to be reached from outside the cluster; each mode has its own label."""
    return bool(service["metadata"].get("labels", {}).get(_VISIBILITY[mode]) == "cluster-local")


def runtime_name(pods: Template) -> str:
    """The serving runtime that made a pod template."""
    return pods.annotations["runtime"]


def owner(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The reference that lets an object go with its InferenceService."""
    meta = service["metadata"]
    reference = {"apiVersion": service["apiVersion"], "kind": service["kind"], "name": meta["name"], "uid": meta["uid"]}
    return [{**reference, "controller": True, "blockOwnerDeletion": True}]


def template(store: Store, service: Mapping[str, Any], predictor: Mapping[str, Any]) -> Template:
    """The pod template of a predictor.

    Raises:
        InvalidSpecError: when no runtime serves it.
    """
    meta = service["metadata"]
    model = predictor.get("model")
    if not isinstance(model, Mapping):
        raise InvalidSpecError("NoSupportingRuntime", "the embedded KServe serves spec.predictor.model only")
    name, runtime = _runtime(store, meta["namespace"], model)
    base = next(c for c in runtime["containers"] if c["name"] == CONTAINER)
    given = {key: value for key, value in model.items() if key in _CONTAINER_FIELDS and value not in ({}, [], "")}
    container = {**copy.deepcopy(base), **copy.deepcopy(given)}
    container["args"] = [*base.get("args", []), *given.get("args", [])]
    container.pop("name", None)
    annotations = {**meta.get("annotations", {}), **predictor.get("annotations", {})}
    labels = {**meta.get("labels", {}), **predictor.get("labels", {})}
    return Template(
        labels={k: v for k, v in labels.items() if k not in _UNCOPIED_LABELS} | {SERVICE_LABEL: meta["name"]},
        annotations={k: v for k, v in annotations.items() if k not in _UNCOPIED_ANNOTATIONS} | {"runtime": name},
        container=container,
        storage_uri=str(model.get("storageUri", "")),
        model_name=meta["name"],
        rest={key: value for key, value in predictor.items() if key in _POD_FIELDS},
    )


_CONTAINER_FIELDS = {"image", "args", "env", "resources", "command", "volumeMounts", "securityContext"}
_POD_FIELDS = {"serviceAccountName", "nodeSelector", "tolerations", "affinity", "volumes", "imagePullSecrets"}


def _runtime(store: Store, namespace: str, model: Mapping[str, Any]) -> tuple[str, Document]:
    wanted, protocol = model.get("runtime", ""), model.get("protocolVersion", "")
    every = [*store.every(SERVING_RUNTIME, namespace), *store.every(CLUSTER_SERVING_RUNTIME)]
    model_format = model["modelFormat"]["name"]
    if wanted:
        found = next((r for r in every if r["metadata"]["name"] == wanted), None)
        if found is None:
            raise InvalidSpecError("RuntimeNotRecognized", "Waiting for runtime to become available")
        if protocol and protocol not in found["spec"].get("protocolVersions", ["v1"]):
            raise InvalidSpecError(
                "NoSupportingRuntime", "Specified runtime does not support specified protocol version"
            )
        if not _supports(found["spec"], model_format):
            raise InvalidSpecError(
                "NoSupportingRuntime", "Specified runtime does not support specified framework/version"
            )
        return str(wanted), found["spec"]
    for candidate in every:
        # A model that names no protocol is one of v1.
        if _supports(candidate["spec"], model_format) and (protocol or "v1") in candidate["spec"].get(
            "protocolVersions", ["v1"]
        ):
            return candidate["metadata"]["name"], candidate["spec"]
    raise InvalidSpecError("NoSupportingRuntime", "No runtime found to support specified framework/version")


def _supports(runtime: Mapping[str, Any], model_format: str) -> bool:
    return any(supported.get("name") == model_format for supported in runtime.get("supportedModelFormats", []))
