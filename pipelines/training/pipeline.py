"""The pipeline `training`: from a table to a registered, deployed model."""

from kfp import dsl

from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.infra_validate.component import infra_validate
from components.load.component import load
from components.notify.component import notify
from components.preflight.component import preflight
from components.register.component import register
from components.rollout.component import rollout
from components.split.component import split
from components.train.component import train
from components.validate.component import validate
from pipelines.platform import never_cached, resources, retried, with_channels, with_credentials


def training(
    data: str,
    target: str,
    name: str,
    columns: list = [],
    where: str = "",
    types: dict = {},
    decimal: str = "",
    thousands: str = "",
    schema_uri: str = "",
    validation_mode: str = "fail",
    split_by: str = "random",
    split_column: str = "",
    split_cutoff: str = "",
    test_fraction: float = 0.2,
    candidates: list = [{"estimator": "hist_gradient_boosting", "params": {}}],
    positive_class: str = "",
    exclude: list = [],
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    balanced: bool = False,
    calibration: str = "none",
    tuning_trials: int = 0,
    tuning_minutes: float = 10.0,
    seed: int = 0,
    slices: list = [],
    thresholds: dict = {},
    rule: str = "non_inferior",
    metric: str = "",
    margin: float = 0.01,
    no_champion: str = "promote",
    max_latency_ms: float = 100.0,
    tracking_uri: str = "",
    promote: bool = True,
    namespace: str = "",
    storage_uri: str = "",
    cluster: str = "",
    service_account: str = "",
    overrides: dict = {},
    plan: dict = {},
    gateway: str = "",
    secret: str = "kubeline-s3",  # noqa: S107 (a name)
    cpu_request: str = "500m",
    memory_request: str = "1Gi",
    cpu_limit: str = "4",
    memory_limit: str = "16Gi",
):
    """Train a model on a table and bring it to serving when it is good enough.

    The candidates are trained on the same rows and the one with the best validation score goes on. It is evaluated on
    rows that no candidate saw, beside the champion on the same rows. Only when the verdict is `promote` is it checked
    in the real model server, registered and rendered for KServe; each of these refuses a model without the blessings
    before it. Where a cluster is given, it is rolled out there as a canary, and becomes the champion when it serves.

    Args:
        data: Where the table is: a path, folder, glob or URI (s3://, gs://, abfs://, http(s)://).
        target: The column to predict.
        name: Name of the registered model and of the InferenceService: lower-case letters, digits and '-'.
        columns: The columns to load; empty means all.
        where: A SQL condition; only the rows that meet it are loaded.
        types: Types of columns that are not to be inferred: column to text, integer, number, boolean, time, or a format
            such as %d/%m/%Y.
        decimal: What stands before the fraction of numbers in CSV files, '.' or ','; empty: what fits all values.
        thousands: What stands between groups of three digits there; empty: what fits all values.
        schema_uri: Path or URI of a reviewed schema to enforce; empty infers one.
        validation_mode: What a broken expectation does: 'fail', 'warn' or 'quarantine'.
        split_by: How test rows are chosen: 'random', 'stratified', 'group' or 'time'.
        split_column: The column that 'stratified', 'group' or 'time' goes by.
        split_cutoff: With 'time': the first instant of the test rows; empty takes the last `test_fraction`.
        test_fraction: Share of the rows, or of the groups, for the test.
        candidates: What to train: 1 to 8 of {"estimator": name, "params": {hyperparameter: value}}, each by its turn.
        positive_class: Of two classes, the one that recall and its like speak of; empty takes the rarer one.
        exclude: Columns that are no features.
        group_column: Rows with the same value stay together in cross-validation; no feature.
        time_column: Validation rows come after training rows by this column; no feature.
        weight_column: Sample weights; no feature.
        balanced: Weight the classes by the inverse of their frequency.
        calibration: Calibration of the probabilities: 'none', 'sigmoid' or 'isotonic'.
        tuning_trials: Optuna trials for each candidate; 0 trains with the given hyperparameters.
        tuning_minutes: Time budget of the tuning, in minutes for each candidate.
        seed: Seed of everything that is drawn.
        slices: Columns by which the metrics are broken down.
        thresholds: Gate on metrics, such as {"roc_auc": {"threshold": 0.6}}.
        rule: Against the champion: 'non_inferior' or 'superior'.
        metric: What candidates are selected by, and the champion is compared by; empty means roc_auc, log_loss or rmse.
        margin: How much worse than the champion is still non-inferior, as a share of the champion's value.
        no_champion: Verdict when there is no champion yet and the thresholds hold: 'promote' or 'hold'.
        max_latency_ms: Most time the model server may take for one row in 95 % of requests, in milliseconds.
        tracking_uri: MLflow tracking and registry; empty takes MLFLOW_TRACKING_URI or a local SQLite file.
        promote: Give the new version the alias 'champion' too; on a cluster only when it serves there.
        namespace: Kubernetes namespace of the InferenceService; empty takes that of the run.
        storage_uri: Where KServe reads the package from; empty means where it is now.
        cluster: Where to roll out the InferenceService: empty only renders it, 'in-cluster', or a kubeconfig path.
        service_account: Service account of the predictor.
        overrides: Fields merged over the rendered InferenceService.
        plan: What the rollout does, such as {"steps": [10, 50], "bake_seconds": 600}; docs/rollout.md has the fields.
        gateway: Where the rollout reaches the candidate, with its host name as Host header; empty asks its own address.
        secret: Name of the Kubernetes secret with credentials, if there is one (docs/clusters.md); never empty.
        cpu_request: CPU that a node must have free for loading and training, as a Kubernetes quantity; not empty.
        memory_request: Memory that a node must have free for loading and training, as a Kubernetes quantity; not empty.
        cpu_limit: CPU that loading and training may use at most.
        memory_limit: Memory that loading and training may use at most.
    """
    told = with_channels(never_cached(notify(title=f"training {name}"))).set_display_name("Notify")
    with dsl.ExitHandler(told, name="training"):
        requests, limits = (cpu_request, memory_request), (cpu_limit, memory_limit)
        tried = preflight(
            data=data,
            columns=columns,
            target=target,
            name=name,
            schema_uri=schema_uri,
            validation_mode=validation_mode,
            split_by=split_by,
            split_column=split_column,
            split_cutoff=split_cutoff,
            test_fraction=test_fraction,
            candidates=candidates,
            calibration=calibration,
            tuning_trials=tuning_trials,
            tuning_minutes=tuning_minutes,
            seed=seed,
            exclude=exclude,
            group_column=group_column,
            time_column=time_column,
            weight_column=weight_column,
            slices=slices,
            thresholds=thresholds,
            rule=rule,
            metric=metric,
            margin=margin,
            no_champion=no_champion,
            max_latency_ms=max_latency_ms,
            tracking_uri=tracking_uri,
            namespace=namespace,
            storage_uri=storage_uri,
            service_account=service_account,
            overrides=overrides,
            cluster=cluster,
            plan=plan,
            gateway=gateway,
        ).set_display_name("Try what is needed")
        with_channels(never_cached(with_credentials(tried, secret, "storage", "registry")))

        loaded = load(
            source=data,
            columns=columns,
            where=where,
            types=types,
            decimal=decimal,
            thousands=thousands,
            types_from=schema_uri,
        ).after(tried)
        retried(never_cached(resources(loaded, "read", requests, limits))).set_display_name("Load the table")
        with_credentials(loaded, secret, "storage", "database")

        validated = validate(
            dataset=loaded.outputs["dataset"],
            target=target,
            exclude=exclude,
            group_column=group_column,
            time_column=time_column,
            weight_column=weight_column,
            schema_uri=schema_uri,
            mode=validation_mode,
            defer_failure=True,  # of a step that fails, Kubeflow Pipelines keeps no report
        ).set_display_name("Validate")
        with_credentials(validated, secret, "storage")

        parts = split(
            dataset=validated.outputs["valid"],
            by=split_by,
            column=split_column,
            cutoff=split_cutoff,
            test_fraction=test_fraction,
            seed=seed,
        ).set_display_name("Split")

        trained = train(
            dataset=parts.outputs["train"],
            target=target,
            candidates=candidates,
            positive_class=positive_class,
            exclude=exclude,
            group_column=group_column,
            time_column=time_column,
            weight_column=weight_column,
            balanced=balanced,
            calibration=calibration,
            tuning_trials=tuning_trials,
            tuning_minutes=tuning_minutes,
            seed=seed,
            metric=metric,
        ).set_display_name("Train")
        resources(trained, "train", requests, limits)
        model = trained.outputs["model"]

        evaluated = evaluate(
            test=parts.outputs["test"],
            model=model,
            champion=f"models:/{name}@champion",
            tracking_uri=tracking_uri,
            slices=slices,
            thresholds=thresholds,
            rule=rule,
            metric=metric,
            margin=margin,
            no_champion=no_champion,
            seed=seed,
        ).set_display_name("Evaluate")
        with_credentials(evaluated, secret, "storage", "registry")
        never_cached(evaluated)  # the champion may have changed

        with dsl.If(evaluated.outputs["Output"] == "promote", name="good-enough"):
            served = infra_validate(model=model, max_latency_ms=max_latency_ms).set_display_name("Try the model server")
            never_cached(served)

            checked = {
                "model": model,
                "evaluation": evaluated.outputs["blessing"],
                "infra_validation": served.outputs["blessing"],
            }
            filed = {"name": name, "tracking_uri": tracking_uri, "pipeline_run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER}
            registered = register(**checked, **filed, promote=promote, cluster=cluster).set_display_name("Register")
            retried(never_cached(with_credentials(registered, secret, "storage", "registry")))

            rendered = deploy(
                **checked,
                name=name,
                namespace=namespace,
                storage_uri=storage_uri,
                service_account=service_account,
                overrides=overrides,
                registered_model=registered.outputs["uri"],
            ).set_display_name("Render the InferenceService")
            never_cached(rendered)

            with dsl.If(cluster != "", name="on-the-cluster"):
                rolled = rollout(
                    model=model, manifest=rendered.outputs["manifest"], cluster=cluster, plan=plan, gateway=gateway
                ).set_display_name("Roll out")
                retried(never_cached(with_credentials(rolled, secret, "storage")))

                champion = register(
                    **checked, **filed, alias="", promote=promote, outcome=rolled.outputs["Output"]
                ).set_display_name("Make champion when it serves")
                retried(never_cached(with_credentials(champion, secret, "storage", "registry")))
