"""Interface of `deploy`."""

from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from components.images import image


@dsl.component(base_image=image("deploy"), install_kfp_package=False)
def deploy(
    model: Input[Model],
    evaluation: Input[Artifact],
    infra_validation: Input[Artifact],
    manifest: Output[Artifact],
    name: str,
    namespace: str = "",
    storage_uri: str = "",
    cluster: str = "",
    for_cluster: str = "",
    registered_model: str = "",
    runtime: str = "kubeline",
    model_format: str = "kubeline",
    protocol: str = "v2",
    min_replicas: int = 1,
    max_replicas: int = 0,
    resources: dict[str, Any] = {},
    service_account: str = "",
    node_selector: dict[str, str] = {},
    labels: dict[str, str] = {},
    annotations: dict[str, str] = {},
    overrides: dict[str, Any] = {},
    overrides_file: str = "",
    timeout_seconds: float = 30.0,
    options: dict[str, Any] = {},
) -> None:
    """Render the InferenceService, or Vertex AI endpoint, of a blessed model package; with a cluster apply it there.

    Applying gives the model all traffic as soon as it is ready. For a canary leave `cluster` empty here and hand the
    manifest to `rollout`.

    Without a `promote` verdict of both checks for exactly this package it refuses. Applying creates the object, or
    patches what differs under optimistic locking and strict field validation; fields that others have set stay, and an
    unchanged object is left alone. The service account of the step needs the verbs get, create and patch on
    `inferenceservices.serving.kserve.io`.

    Args:
        model: The model package.
        evaluation: The blessing of `evaluate` for this package.
        infra_validation: The blessing of `infra_validate` for this package.
        name: Name of the InferenceService: lower-case letters, digits and `-`, at most 47 characters, a letter first.
        namespace: Kubernetes namespace. Empty: that of the run; outside a cluster that of the kubeconfig, or `default`.
        storage_uri: Where KServe reads this model package from (`gs://`, `s3://`, `pvc://`, ...). Empty: where the
            model artifact is; `minio://` becomes `s3://`. `model-registry://HOST/` is Kubeflow's Model Registry: the
            version of `registered_model` is added, and KServe's storage initializer for it asks where the package is.
        cluster: Empty renders only; `in-cluster` applies with the service account of the step's pod;
            `gke://PROJECT/LOCATION/CLUSTER` with Google's credentials; `vertex://PROJECT/LOCATION?store=gs://…&image=IMAGE`
            to an endpoint of Vertex AI; anything else is the path of a kubeconfig file.
        for_cluster: Where the manifest is for when it is only rendered: `vertex://…` makes it one of Vertex AI.
        registered_model: Reference to the version in the model registry, such as `models:/NAME/3`, stored as an
            annotation.
        runtime: ServingRuntime or ClusterServingRuntime. Empty: KServe chooses one by the model format.
        model_format: Model format that the runtime supports.
        protocol: Prediction protocol: `v1`, `v2` or `grpc-v2`.
        min_replicas: Fewest pods; 0 scales to zero where the cluster can.
        max_replicas: Most pods; 0 leaves it to KServe.
        resources: Resources of the model server, as in Kubernetes:
            `{"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}`.
        service_account: Service account of the pods, which may carry storage credentials. Empty: the default one.
        node_selector: Labels of the nodes to run on: name to value.
        labels: More labels: name to text.
        annotations: More annotations: name to text.
        overrides: Fields of the InferenceService merged over what is rendered, as a JSON merge patch (RFC 7396):
            mappings are merged, lists replaced, null removes a field. The name, the namespace and the model cannot be
            changed here.
        overrides_file: Path of a YAML file of such fields; `overrides` is merged over it.
        timeout_seconds: Timeout of each request to the cluster, in seconds.
        options: Any of the inputs by name, over them: for a pipeline that has them as one parameter.

    Returns:
        manifest: The InferenceService as YAML; metadata name, namespace, storage_uri, package_digest and change
            (`rendered`, `created`, `updated` or `unchanged`).
    """
    given = {**locals()}

    from kubeline.deployment import step as implementation
    from kubeline.options import inputs_of

    implementation.run(**inputs_of(given))
