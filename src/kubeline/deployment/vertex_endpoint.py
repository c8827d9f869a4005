"""The endpoint of Vertex AI of a model package, as a plain dict: what a rollout there is given."""

from collections.abc import Mapping
from typing import Any

from kubeline.addresses import redact, refuse_credentials, scheme
from kubeline.deployment.inference_service import Service, check_fixed, check_name, lineage_of, pin, render
from kubeline.errors import UserError, listed
from kubeline.kubernetes.merge import merge
from kubeline.kubernetes.resources import Manifest
from kubeline.options import whole_numbers
from kubeline.serving_platform.endpoint_view import API_VERSION, KIND
from kubeline.serving_platform.vertex_address import EXAMPLE, VertexAddress, is_vertex
from kubeline.serving_platform.vertex_workloads import MACHINE

# What of a Service says something about pods, by what stands for it on Vertex AI.
_OF_PODS = {
    "resources": "machineType in overrides",
    "node_selector": "machineType in overrides",
    "annotations": "nothing",
}
_OF_KSERVE = {"runtime": "kubeline", "model_format": "kubeline"}


def render_for(service: Service, cluster: str, overrides: Mapping[str, Any] | None = None) -> Manifest:
    """Render what a model is served by at a place: an endpoint of Vertex AI, or else an InferenceService.

    Raises:
        UserError: when a setting is not valid there.
    """
    if is_vertex(cluster):
        return render_endpoint(service, VertexAddress.read(cluster), overrides)
    return render(service, overrides)


def render_endpoint(service: Service, address: VertexAddress, overrides: Mapping[str, Any] | None = None) -> Manifest:
    """Render the endpoint.

    Args:
        service: what is served; its namespace is that of the address.
        address: where, with the image of the model server.
        overrides: fields merged over the document (RFC 7396), such as
            ``{"spec": {"predictor": {"machineType": "n1-standard-4"}}}``.

    Raises:
        UserError: when a setting is not valid, or says what there is not on Vertex AI.
    """
    refuse_credentials(service.storage_uri, "storage_uri")
    _check(service, address)
    predictor = {
        "minReplicas": service.min_replicas,
        "maxReplicas": service.max_replicas,
        "serviceAccountName": service.service_account,
        "machineType": MACHINE,
        "model": {
            "storageUri": service.storage_uri,
            "image": address.image,
            "protocolVersion": "v1",
        },
    }
    manifest = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": service.name,
            "namespace": address.place,
            "labels": {str(key): str(value) for key, value in whole_numbers(dict(service.labels)).items()},
            "annotations": lineage_of(service),
        },
        "spec": {"predictor": {key: value for key, value in predictor.items() if value}},
    }
    changed: Manifest = whole_numbers(merge(manifest, overrides or {}))
    check_fixed(manifest, changed)
    pin(changed["spec"]["predictor"]["model"], service.package_digest)
    return changed


def _check(service: Service, address: VertexAddress) -> None:
    check_name(service.name)
    for field, instead in _OF_PODS.items():
        if given := getattr(service, field):
            raise UserError(f"Vertex AI has no pods that {field} could be of, but got {given}; give {instead}")
    for field, usual in _OF_KSERVE.items():
        if (given := getattr(service, field)) not in {"", usual}:
            raise UserError(f"{field} '{given}' is KServe's, and Vertex AI runs the image of the address; leave it out")
    if service.protocol not in {"v1", "v2"}:
        raise UserError(f"Vertex AI asks a model by HTTP, but the protocol is {service.protocol}; leave it out")
    if service.min_replicas < 1:
        raise UserError("a deployed model of Vertex AI has at least one machine, but min_replicas is 0; give 1 or more")
    if 0 < service.max_replicas < service.min_replicas:
        raise UserError(f"max_replicas {service.max_replicas} is below min_replicas {service.min_replicas}")
    _check_place(service, address)


def _check_place(service: Service, address: VertexAddress) -> None:
    if bad := [key for key in service.labels if not _is_label(str(key)) or not _is_label(str(service.labels[key]))]:
        raise UserError(f"labels {listed(bad)} cannot be ones of Google Cloud; use a-z, 0-9, '_' and '-', at most 63")
    if scheme(service.storage_uri) != "gs":
        raise UserError(
            f"Vertex AI reads models from gs:// only, but the package lies at '{redact(service.storage_uri)}'; copy it "
            "there and give storage_uri"
        )
    if not address.image:
        raise UserError(f"Vertex AI needs the image of the model server; write {EXAMPLE}")


def _is_label(text: str) -> bool:
    return len(text) <= 63 and all(one.islower() or one.isdigit() or one in "_-" for one in text)
