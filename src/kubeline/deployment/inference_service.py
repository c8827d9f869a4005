"""The InferenceService of a model package, as a plain dict: pure functions, no cluster.

KServe copies the labels and annotations of an InferenceService to its pods, so that a change of one of them starts new
pods. Those rendered here therefore speak of the model package alone and never of the run that rendered them: the same
package and settings render the same document.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubeline.addresses import refuse_credentials
from kubeline.errors import UserError, listed
from kubeline.kubernetes.merge import merge
from kubeline.kubernetes.resources import GROUP, KIND, VERSION, Manifest
from kubeline.options import whole_numbers
from kubeline.serving_platform.endpoint_view import CLUSTER_LOCAL, DIGEST_VARIABLE, VISIBILITY

ANNOTATION = "kubeline.dev/"
PACKAGE_DIGEST = f"{ANNOTATION}package-digest"

# Labels that keep a service inside the cluster, by the mode that heeds them. KServe copies the second one to the pods.
# On Vertex AI the first model gets no traffic.
HIDDEN_BY = {
    "knative": "networking.knative.dev/visibility",
    "standard": "networking.kserve.io/visibility",
    "vertex": VISIBILITY,
}
HIDDEN = dict.fromkeys(HIDDEN_BY.values(), CLUSTER_LOCAL)

# KServe wants a letter first. With "-predictor-00001" behind it, the name of a Knative revision, a label of 63 remains.
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?")
REGISTRY = "model-registry://"
_REGISTRY_URI = re.compile(rf"{REGISTRY}([^/?]+/)?[^/?]+/[1-9]\d*(\?namespace=[\w-]+)?")
_REGISTERED = re.compile(r"models:/([^/@]+/[1-9]\d*)")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123 label
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # RFC 1123 subdomain
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")

# What overrides may not touch: it would deploy another object, or another model than the blessed one.
_FIXED = (
    ("apiVersion",),
    ("kind",),
    ("metadata", "name"),
    ("metadata", "namespace"),
    ("spec", "predictor", "model", "storageUri"),
    ("spec", "predictor", "model", "storage"),
)


@dataclass(frozen=True)
class Service:
    """What is served, and how.

    Attributes:
        name: name of the InferenceService.
        namespace: its namespace.
        storage_uri: where KServe reads the model package from.
        package_digest: digest of that package.
        runtime: ServingRuntime or ClusterServingRuntime; empty lets KServe choose by the model format.
        model_format: format that the runtime supports.
        protocol: prediction protocol: v1, v2 or grpc-v2.
        min_replicas: fewest pods; 0 scales to zero where the cluster can.
        max_replicas: most pods; 0 leaves it to KServe.
        resources: Kubernetes resource requests and limits of the model server.
        service_account: service account of the pods, which may hold storage credentials; empty for the default.
        node_selector: labels of the nodes to run on.
        lineage: where the package comes from, such as ``{"git-revision": …}``, kept as annotations.
        labels: more labels.
        annotations: more annotations.
    """

    name: str
    namespace: str
    storage_uri: str
    package_digest: str
    runtime: str = "kubeline"
    model_format: str = "kubeline"
    protocol: str = "v2"
    min_replicas: int = 1
    max_replicas: int = 0
    resources: Mapping[str, Any] = field(default_factory=dict)
    service_account: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def render(service: Service, overrides: Mapping[str, Any] | None = None) -> Manifest:
    """Render the InferenceService.

    Args:
        service: what is served.
        overrides: fields merged over the document as a JSON merge patch does (RFC 7396): mappings are merged, lists
            replaced, and None removes a field.

    Raises:
        UserError: when a setting is not valid, or `overrides` touches the identity of the object or its model.
    """
    refuse_credentials(service.storage_uri, "storage_uri")
    _check(service)
    model = {
        "modelFormat": {"name": service.model_format},
        "runtime": service.runtime,
        "protocolVersion": service.protocol,
        "storageUri": service.storage_uri,
        "resources": whole_numbers(dict(service.resources)),
    }
    predictor = {
        "minReplicas": service.min_replicas,
        "maxReplicas": service.max_replicas,
        "serviceAccountName": service.service_account,
        "nodeSelector": _texts(service.node_selector),
        "model": {key: value for key, value in model.items() if value},
    }
    given = {key: value for key, value in predictor.items() if value or key == "minReplicas"}
    manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": service.name,
            "namespace": service.namespace,
            "labels": {**_texts(service.labels), "app.kubernetes.io/managed-by": "kubeline"},
            "annotations": {**_texts(service.annotations), **lineage_of(service)},
        },
        "spec": {"predictor": given},
    }
    changed: Manifest = whole_numbers(merge(manifest, overrides or {}))
    check_fixed(manifest, changed)
    if service.model_format == "kubeline":
        pin(changed["spec"]["predictor"]["model"], service.package_digest)
    return changed


def pin(model: dict[str, Any], digest: str) -> None:
    """Let the model server refuse every other package, whatever lies at the storage URI by then."""
    given = model.get("env", [])
    if not isinstance(given, list) or not all(isinstance(variable, Mapping) for variable in given):
        raise UserError(f"overrides sets the model's env to {given!r}; expected a list of {{name, value}} mappings")
    others = [variable for variable in given if variable.get("name") != DIGEST_VARIABLE]
    model["env"] = [{"name": DIGEST_VARIABLE, "value": digest}, *others]


def kserve_uri(uri: str) -> str:
    """The URI of an artifact as KServe reads it: ``minio://`` becomes ``s3://``, a local path ``file://``."""
    if uri.startswith("minio://"):
        return f"s3://{uri.removeprefix('minio://')}"
    return uri if _SCHEME.match(uri) else Path(uri).absolute().as_uri()


def registry_uri(given: str, registered_model: str) -> str:
    """The address by which KServe's storage initializer for Kubeflow's Model Registry asks for one version.

    Args:
        given: ``model-registry://[HOST/]NAME/VERSION``, or ``model-registry://HOST/``, to which the registered model
            is added.
        registered_model: ``models:/NAME/VERSION``.

    Raises:
        UserError: when it names no version: the initializer would take the latest one each time that a pod starts.
    """
    reference = _REGISTERED.fullmatch(registered_model)
    uri = f"{given}{reference[1]}" if given.endswith("/") and reference else given
    if not _REGISTRY_URI.fullmatch(uri):
        raise UserError(
            f"storage_uri '{given}' names no version, and pods would start with whichever is the latest; write "
            "model-registry://HOST/NAME/VERSION, or model-registry://HOST/ and registered_model models:/NAME/VERSION"
        )
    return uri


def check_namespace(namespace: str) -> str:
    """Return the namespace, or raise UserError when Kubernetes would not take it."""
    if not _NAMESPACE.fullmatch(namespace):
        raise UserError(
            f"'{namespace}' cannot be a namespace; use lower-case letters, digits and '-', at most 63, and begin and "
            "end with a letter or digit"
        )
    return namespace


def check_name(name: str) -> str:
    """Return the name of an InferenceService, or raise UserError when KServe would not take it."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' cannot name an InferenceService; use lower-case letters, digits and '-', at most 47, begin with "
            "a letter and end with a letter or digit"
        )
    return name


def _check(service: Service) -> None:
    check_name(service.name)
    check_namespace(service.namespace)
    if service.service_account and not _SUBDOMAIN.fullmatch(service.service_account):
        raise UserError(
            f"'{service.service_account}' cannot name a service account; use lower-case letters, digits, '-'"
        )
    if service.protocol not in {"v1", "v2", "grpc-v2"}:
        raise UserError(f"protocol '{service.protocol}' is not known; give v1, v2 or grpc-v2")
    if service.min_replicas < 0 or service.max_replicas < 0:
        raise UserError("the number of replicas cannot be negative")
    if 0 < service.max_replicas < service.min_replicas:
        raise UserError(f"max_replicas {service.max_replicas} is below min_replicas {service.min_replicas}")
    if unknown := set(service.resources) - {"requests", "limits"}:
        raise UserError(
            f"resources holds {listed(sorted(unknown))}; give {{'requests': {{…}}, 'limits': {{…}}}} as Kubernetes does"
        )
    if reserved := [key for key in service.annotations if key.startswith(ANNOTATION)]:
        raise UserError(f"annotations that begin with '{ANNOTATION}' are Kubeline's own; rename {listed(reserved)}")


def check_fixed(rendered: Manifest, changed: Manifest) -> None:
    """Refuse a change of what is deployed, or where."""
    own = (("metadata", "annotations", key) for key in _at(rendered, ("metadata", "annotations")))
    for path in (*_FIXED, *(path for path in own if path[-1].startswith(ANNOTATION))):
        if _at(rendered, path) != _at(changed, path):
            raise UserError(
                f"overrides changes {'.'.join(path)}, which says what is deployed; use its parameter instead"
            )


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def lineage_of(service: Service) -> dict[str, str]:
    """Annotations that say where the package comes from, and which it is."""
    lineage = {f"{ANNOTATION}{key}": value for key, value in service.lineage.items() if value}
    return {**lineage, PACKAGE_DIGEST: service.package_digest}


def _texts(mapping: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in whole_numbers(dict(mapping)).items()}
