"""The pipeline `training`: from a table to a registered, deployed model."""

from typing import Any

from kfp import dsl

from components.load.component import load
from components.notify.component import notify
from components.preflight.component import preflight
from kubeline.options import CHECKS, GATE, SERVICE, SOURCE, SPLIT, TRAINING
from pipelines.platform import never_cached, resources, retried, with_channels, with_credentials
from pipelines.training.steps import learn


def training(
    data: str,
    target: str,
    name: str,
    candidates: list[dict[str, Any]] = [{"estimator": "hist_gradient_boosting", "params": {}}],
    columns: list[str] = [],
    where: str = "",
    source: dict[str, Any] = SOURCE,
    schema_uri: str = "",
    checks: dict[str, Any] = CHECKS,
    exclude: list[str] = [],
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    split: dict[str, Any] = SPLIT,
    training: dict[str, Any] = TRAINING,
    metric: str = "",
    seed: int = 0,
    slices: list[str] = [],
    gate: dict[str, Any] = GATE,
    max_latency_ms: float = 100.0,
    tracking_uri: str = "",
    promote: bool = True,
    about: dict[str, Any] = {},
    service: dict[str, Any] = SERVICE,
    cluster: str = "",
    plan: dict[str, Any] = {},
    gateway: str = "",
    secret: str = "kubeline-s3",  # noqa: S107 (a name)
    cpu_request: str = "500m",
    memory_request: str = "1Gi",
    cpu_limit: str = "4",
    memory_limit: str = "16Gi",
) -> None:
    """Train a model on a table and bring it to serving when it is good enough.

    The candidates are trained on the same rows and the one with the best validation score goes on. It is evaluated on
    rows that no candidate saw, beside the champion on the same rows. Only when the verdict is `promote` is it checked
    in the real model server, registered and rendered for KServe; each of these refuses a model without the blessings
    before it. Where a cluster is given, it is rolled out there as a canary, and becomes the champion when it serves.

    Args:
        data: Where the table is: a path, folder, glob or URI (s3://, gs://, abfs://, http(s)://, postgresql://).
        target: The column to predict.
        name: Name of the registered model and of the InferenceService: lower-case letters, digits and '-'.
        candidates: What to train: 1 to 8 of {"estimator": name, "params": {hyperparameter: value}}, each by its turn.
        columns: The columns to load; empty means all.
        where: A SQL condition; only the rows that meet it are loaded.
        source: How the table is read. Fields as of `load`; those left out have these defaults.
        schema_uri: Path or URI of a reviewed schema to enforce; empty infers one.
        checks: What the table must pass. Fields as of `validate`; mode is 'fail', 'warn' or 'quarantine'.
        exclude: Columns that are no features.
        group_column: Rows with the same value stay together in cross-validation; no feature.
        time_column: Validation rows come after training rows by this column; no feature.
        weight_column: Sample weights; no feature.
        split: How test rows are chosen. Fields as of `split`; by is 'random', 'stratified', 'group' or 'time'.
        training: How each candidate is trained. Fields as of `train`.
        metric: What candidates are selected by, and the champion is compared by; empty means roc_auc, log_loss or rmse.
        seed: Seed of everything that is drawn.
        slices: Columns by which the metrics are broken down.
        gate: When a model is good enough beside the champion. Fields as of `evaluate`; rule is 'non_inferior' or
            'superior', no_champion is 'promote' or 'hold'. Further fields: max_latency_ms of the model server, and
            promote; false leaves the champion as it is.
        max_latency_ms: Most time the model server may take for one row in 95 % of requests, in milliseconds.
        tracking_uri: MLflow tracking and registry; empty takes MLFLOW_TRACKING_URI or a local SQLite file.
        promote: Give the new version the alias 'champion' too; on a cluster only when it serves there.
        about: What people say of the model in its card: owner, contact, license, purpose, intended_use, out_of_scope,
            limits (a list), and further names as you like.
        service: The InferenceService. Fields as of `deploy`; an empty namespace is that of the run, an empty
            storage_uri is where the package is now.
        cluster: Where to roll out: empty only renders the service, 'in-cluster', gke://…, vertex://… or a kubeconfig.
        plan: What the rollout does, such as {"steps": [10, 50], "bake_seconds": 600}; docs/rollout.md has the fields.
        gateway: Where the rollout reaches the candidate, with its host name as Host header; empty asks its own address.
        secret: Name of the Kubernetes secret with credentials, if there is one (docs/clusters.md); never empty.
        cpu_request: CPU that a node must have free for loading and training, as a Kubernetes quantity; not empty.
        memory_request: Memory that a node must have free for loading and training, as a Kubernetes quantity; not empty.
        cpu_limit: CPU that loading and training may use at most.
        memory_limit: Memory that loading and training may use at most.
    """
    notice = with_channels(never_cached(notify(title=f"training {name}"))).set_display_name("Notify")
    with dsl.ExitHandler(notice, name="training"):
        requests, limits = (cpu_request, memory_request), (cpu_limit, memory_limit)
        tried = preflight(
            data=data,
            columns=columns,
            source=source,
            target=target,
            name=name,
            schema_uri=schema_uri,
            checks=checks,
            split=split,
            candidates=candidates,
            training=training,
            seed=seed,
            exclude=exclude,
            group_column=group_column,
            time_column=time_column,
            weight_column=weight_column,
            slices=slices,
            metric=metric,
            gate=gate,
            max_latency_ms=max_latency_ms,
            tracking_uri=tracking_uri,
            service=service,
            cluster=cluster,
            plan=plan,
            gateway=gateway,
        ).set_display_name("Try what is needed")
        with_channels(never_cached(with_credentials(tried, secret, "storage", "registry", "tracker")))

        loaded = load(source=data, columns=columns, where=where, types_from=schema_uri, options=source).after(tried)
        retried(never_cached(resources(loaded, "read", requests, limits))).set_display_name("Load the table")
        with_credentials(loaded, secret, "storage", "database")

        learn(
            loaded,
            target=target,
            name=name,
            candidates=candidates,
            checks=checks,
            roles={
                "exclude": exclude,
                "group_column": group_column,
                "time_column": time_column,
                "weight_column": weight_column,
            },
            split=split,
            training=training,
            metric=metric,
            judged={"slices": slices, "options": gate},
            tracking_uri=tracking_uri,
            about=about,
            service=service,
            cluster=cluster,
            plan=plan,
            gateway=gateway,
            secret=secret,
            requests=requests,
            limits=limits,
            schema_uri=schema_uri,
            seed=seed,
            max_latency_ms=max_latency_ms,
            promote=promote,
        )
