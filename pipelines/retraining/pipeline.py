"""The pipeline `retraining`: an alarm of `monitoring` is answered with a model that earns its traffic."""

from typing import Any

from kfp import dsl

from components.load.component import load
from components.notify.component import notify
from components.preflight.component import preflight
from components.take_alarm.component import take_alarm
from kubeline.options import CHECKS, GATE, SERVICE, SOURCE, SPLIT, TRAINING
from pipelines.platform import never_cached, resources, retried, with_channels, with_credentials
from pipelines.training.steps import learn


def retraining(
    data: str,
    target: str,
    name: str,
    history: str,
    length: str = "",
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
    tracking_uri: str = "",
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
    """Train again when an alarm waits for an answer, and bring the model to serving when it beats the champion's.

    The alarm is one that `monitoring` has left in their common history, and is answered once; without one, nothing
    is done. The rows are those before the end of the window that raised it, so that a run that is late or repeated
    learns from the same ones: the window is appended to all that was before, or, with a `length`, the rows slide;
    with a `half_life` of the training, newer rows count more. The rest is the pipeline `training`: the new model
    goes on only when it is good enough beside the champion, on rows that neither has learned from.

    Args:
        data: Where the table is: a path, folder, glob or URI (s3://, gs://, abfs://, http(s)://, postgresql://).
        target: The column to predict.
        name: Name of the registered model and of the InferenceService: lower-case letters, digits and '-'.
        history: The folder in which `monitoring` keeps its windows and alarms.
        length: How far back the rows go that are learned from, such as 9mo: they slide. Empty: all rows before.
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
        split: How test rows are chosen; those count that neither model has learned from: the latest by time, fewer than
            the window has, or rows drawn by the seed of before. Fields as of `split`.
        training: How each candidate is trained. Fields as of `train`.
        metric: What candidates are selected by, and the champion is compared by; empty means roc_auc, log_loss or rmse.
        seed: Seed of everything that is drawn.
        slices: Columns by which the metrics are broken down.
        gate: When a model is good enough beside the champion. Fields as of `evaluate`; rule is 'non_inferior' or
            'superior', no_champion is 'promote' or 'hold'. Further fields: max_latency_ms of the model server, and
            promote; false leaves the champion as it is.
        tracking_uri: MLflow tracking and registry; empty takes MLFLOW_TRACKING_URI or a local SQLite file.
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
    notice = with_channels(never_cached(notify(title=f"retraining {name}"))).set_display_name("Notify")
    with dsl.ExitHandler(notice, name="retraining"):
        requests, limits = (cpu_request, memory_request), (cpu_limit, memory_limit)
        tried = preflight(
            data=data,
            columns=columns,
            length=length,
            source=source,
            history=history,
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
            tracking_uri=tracking_uri,
            service=service,
            cluster=cluster,
            plan=plan,
            gateway=gateway,
        ).set_display_name("Try what is needed")
        with_channels(never_cached(with_credentials(tried, secret, "storage", "registry", "tracker")))

        taken = take_alarm(
            history=history,
            name=name,
            run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            tracking_uri=tracking_uri,
        ).after(tried)
        with_credentials(taken, secret, "storage", "registry")
        retried(never_cached(taken)).set_display_name("Take the alarm")

        with dsl.If(taken.outputs["Output"] != "", name="due"):
            loaded = load(
                source=data,
                columns=columns,
                where=where,
                at=taken.outputs["Output"],
                length=length,
                types_from=schema_uri,
                options=source,
            )
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
            )
