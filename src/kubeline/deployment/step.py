"""The step that renders a blessed model's InferenceService and, where a cluster is given, applies it."""

import logging
from typing import Any

import yaml

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.deployment.inference_service import REGISTRY, Service, kserve_uri, registry_uri
from kubeline.deployment.vertex_endpoint import render_for
from kubeline.errors import UserError
from kubeline.kubernetes.resources import Manifest
from kubeline.model_package.blessing import require
from kubeline.model_package.package import ModelPackage
from kubeline.retries import repeated
from kubeline.serving_platform.opening import namespace_at, open_platform
from kubeline.serving_platform.vertex_address import is_vertex
from kubeline.yaml_files import read_mapping

logger = logging.getLogger(__name__)


@step
@repeated
def run(
    model: Artifact,
    evaluation: Artifact,
    infra_validation: Artifact,
    manifest: Artifact,
    *,
    namespace: str = "",
    cluster: str = "",
    for_cluster: str = "",
    registered_model: str = "",
    storage_uri: str = "",
    overrides: dict[str, Any] | None = None,
    overrides_file: str = "",
    timeout_seconds: float = 30.0,
    **settings: Any,
) -> None:
    """Render, and apply when `cluster` is given; see the component `deploy` for the parameters.

    `settings` are the other fields of :class:`kubeline.deployment.inference_service.Service`.

    Raises:
        UserError: when a blessing, a parameter or the object is refused.
        PlatformError: when the cluster cannot be used.
    """
    package = ModelPackage.of(model)
    require(evaluation, "evaluation", package.digest)
    require(infra_validation, "infra_validation", package.digest)
    where = for_cluster if is_vertex(for_cluster) else cluster
    service = Service(
        namespace=namespace_at(where, namespace),
        storage_uri=_storage(model, storage_uri, cluster, registered_model),
        package_digest=package.digest,
        lineage={
            "dataset-fingerprint": package.manifest.dataset_fingerprint,
            "git-revision": package.manifest.git_revision,
            "registered-model": registered_model,
        },
        **settings,
    )
    below = (
        read_mapping(overrides_file, "file of overrides", "fields of the InferenceService") if overrides_file else {}
    )
    document = render_for(service, where, _laid_over(below, overrides or {}))
    change = "rendered"
    if cluster:
        change = open_platform(cluster, timeout_seconds).apply(document).change
    _write(manifest, document)
    metadata = document["metadata"]
    describe(
        manifest,
        {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "storage_uri": service.storage_uri,
            "package_digest": package.digest,
            "change": change,
        },
    )
    logger.info("%s %s/%s: %s", document["kind"], metadata["namespace"], metadata["name"], change)


def _storage(model: Artifact, given: str, cluster: str, registered_model: str) -> str:
    if given.startswith(REGISTRY):
        return registry_uri(given, registered_model)
    uri = kserve_uri(given or model.uri)
    if uri.startswith("file:") and cluster and not given:
        raise UserError(
            f"the model package lies at {model.uri}, which a cluster cannot read; copy it to object storage or a "
            "volume and give storage_uri (gs://, s3://, pvc://, …)"
        )
    return uri


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two merge patches as one: what `above` says counts, also that a field is removed."""
    both = {**below, **above}
    inner = {
        key for key in below.keys() & above.keys() if isinstance(below[key], dict) and isinstance(above[key], dict)
    }
    return {**both, **{key: _laid_over(below[key], above[key]) for key in inner}}


def _write(artifact: Artifact, document: Manifest) -> None:
    with publish(artifact.path) as path:
        path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
