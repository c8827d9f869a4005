"""Interface of `preflight`."""

from kfp import dsl
from kfp.dsl import HTML, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def preflight(
    report: Output[HTML],
    data: str = "",
    columns: list = [],
    format: str = "auto",
    target: str = "",
    name: str = "",
    schema_uri: str = "",
    validation_mode: str = "fail",
    split_by: str = "random",
    split_column: str = "",
    split_cutoff: str = "",
    test_fraction: float = 0.2,
    candidates: list = [],
    calibration: str = "none",
    tuning_trials: int = 0,
    tuning_minutes: float = 10.0,
    seed: int = 0,
    exclude: list = [],
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    slices: list = [],
    thresholds: dict = {},
    rule: str = "non_inferior",
    metric: str = "",
    margin: float = 0.01,
    no_champion: str = "promote",
    max_latency_ms: float = 100.0,
    tracking_uri: str = "",
    reference: str = "",
    namespace: str = "",
    storage_uri: str = "",
    service_account: str = "",
    overrides: dict = {},
    cluster: str = "",
    plan: dict = {},
    gateway: str = "",
):
    """Try in seconds what a run will need, before it loads anything, and tell all that is wrong at once.

    Every parameter is checked by the code of the step that will read it; then the data is listed and the header of its
    first file read, the registry is asked and written to, and, where they are given, so are the cluster (its rights,
    the plan, a dry run of the InferenceService), the schema, the place of packages, the gateway and the channels of
    `notify`. Nothing is changed but that the model's experiment is made in the registry. What cannot be tried here is
    said to be not checked.

    Args:
        data: As `source` of `load`.
        columns: As of `load`.
        format: As of `load`.
        target: As of `train`. Empty: nothing is trained, and the parameters of training are not looked at.
        name: As of `register` and `deploy`. Empty: nothing is registered or deployed.
        schema_uri: As of `validate`.
        validation_mode: As `mode` of `validate`.
        split_by: As `by` of `split`.
        split_column: As `column` of `split`.
        split_cutoff: As `cutoff` of `split`.
        test_fraction: As of `split`.
        candidates: As of `train`: how many, their estimators and their hyperparameters.
        calibration: As of `train`.
        tuning_trials: As of `train`.
        tuning_minutes: As of `train`.
        seed: As of `train`.
        exclude: As of `train`.
        group_column: As of `train`.
        time_column: As of `train`.
        weight_column: As of `train`.
        slices: As of `evaluate`.
        thresholds: As of `evaluate`.
        rule: As of `evaluate`.
        metric: As of `evaluate`.
        margin: As of `evaluate`.
        no_champion: As of `evaluate`.
        max_latency_ms: As of `infra_validate`.
        tracking_uri: As of `register`.
        reference: As `reference_uri` of `drift_check`: it must be there.
        namespace: As of `deploy`.
        storage_uri: As of `deploy`.
        service_account: As of `deploy`.
        overrides: As of `deploy`.
        cluster: As of `rollout`. Empty: nothing is rolled out.
        plan: As of `rollout`.
        gateway: As of `rollout`.

    Returns:
        report: Page of what was looked at and what was not.
    """
    from kubeline.preflight import run as implementation

    implementation.run(
        report,
        data=data,
        columns=columns,
        format=format,
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
        roles=[group_column, time_column, weight_column],
        slices=slices,
        thresholds=thresholds,
        rule=rule,
        metric=metric,
        margin=margin,
        no_champion=no_champion,
        max_latency_ms=max_latency_ms,
        tracking_uri=tracking_uri,
        reference=reference,
        namespace=namespace,
        storage_uri=storage_uri,
        service_account=service_account,
        overrides=overrides,
        cluster=cluster,
        plan=plan,
        gateway=gateway,
    )
