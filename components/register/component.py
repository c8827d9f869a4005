"""Interface of `register`."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def register(
    model: Input[Model],
    evaluation: Input[Artifact],
    infra_validation: Input[Artifact],
    registration: Output[Artifact],
    model_card: Output[HTML],
    name: str,
    tracking_uri: str = "",
    alias: str = "challenger",
    promote: bool = False,
    cluster: str = "",
    experiment: str = "",
    pipeline_run: str = "",
    git_revision: str = "",
    tags: dict[str, str] = {},
    about: dict[str, Any] = {},
    gate: dict[str, Any] = {},
) -> NamedTuple("Outputs", [("version", str), ("uri", str)]):
    """File a blessed model package in the model registry: MLflow's, Kubeflow's or Vertex AI's.

    Makes a version of the registered model from the package, its parameters, metrics and lineage. In MLflow they are
    logged to the run of its candidate, which `evaluate` has made, or to a new one, and the version is a model that
    MLflow loads and serves. The same package has one version, however often and from wherever it is registered; a step
    that was killed is completed by its repetition. Without a `promote` verdict of both checks for exactly this package
    it refuses.

    Args:
        model: The model package.
        evaluation: The blessing of `evaluate` for this package.
        infra_validation: The blessing of `infra_validate` for this package.
        name: Registered model; letters, digits, `.`, `_` and `-`. It is made when there is none.
        tracking_uri: Any MLflow tracking URI, such as `https://mlflow.example` or `sqlite:////data/mlflow.db`;
            `model-registry+https://HOST?store=s3://BUCKET/models` for Kubeflow's Model Registry;
            `vertex://PROJECT/LOCATION?store=gs://BUCKET/models&image=IMAGE` for Vertex AI's. Before any of them
            `wandb://ENTITY/PROJECT?registry=` files the runs of `evaluate` in Weights & Biases. Empty: the environment
            variable `MLFLOW_TRACKING_URI`, else `mlflow.db` in the working directory (refused on a
            cluster, where it would be lost). Credentials come from MLflow's own environment variables, such as
            `MLFLOW_TRACKING_TOKEN`, never from here.
        alias: Alias that this version gets, away from the version that had it; empty for none. A version that is the
            champion does not become the challenger.
        promote: Also make this version the `champion`, in the place of the one that was.
        cluster: Where a `rollout` follows; then `promote` waits for `promote_champion` behind it. Empty: none follows.
        experiment: MLflow experiment of the run. Empty: the name of the model.
        pipeline_run: Name or id of the pipeline run, stored as a tag.
        git_revision: Commit of the code, stored as a tag. Empty: the one in the package's manifest.
        tags: More tags for the run and the version: name to text.
        about: What people say of the model in its card: ``owner``, ``contact``, ``license``, ``purpose``,
            ``intended_use``, ``out_of_scope``, ``limits`` (a list), and further names as you like.
        gate: The gate of a pipeline, whose promote counts where it has one.

    Returns:
        registration: JSON with name, version, uri, aliases, package_digest, source, run_id and tags; metadata name,
            version, uri, aliases, package_digest and, of MLflow's server and Vertex AI, page (its address).
        model_card: Page about the model: purpose, limits, metrics with intervals, slices, calibration, gate, what
            changed since the champion, data, training, lineage. It lies beside the package too, as ``model_card.html``,
            ``README.md`` for a model hub and ``model_card.json``.
        version: Number of the version.
        uri: Reference to the version that never moves, `models:/NAME/VERSION`.
    """
    from kubeline.options import of_gate
    from kubeline.registry import register as implementation

    return implementation.run(
        model,
        evaluation,
        infra_validation,
        registration,
        model_card,
        name=name,
        tracking_uri=tracking_uri,
        alias=alias,
        promote=of_gate(gate, "promote", promote),
        cluster=cluster,
        experiment=experiment,
        pipeline_run=pipeline_run,
        git_revision=git_revision,
        tags=tags,
        about=about,
    )
