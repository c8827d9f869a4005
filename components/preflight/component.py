"""Interface of `preflight`."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def preflight(
    report: Output[HTML],
    data: str = "",
    columns: list[str] = [],
    at: str = "",
    length: str = "",
    source: dict[str, Any] = {},
    target: str = "",
    name: str = "",
    schema_uri: str = "",
    checks: dict[str, Any] = {},
    split: dict[str, Any] = {},
    candidates: list[dict[str, Any]] = [],
    training: dict[str, Any] = {},
    seed: int = 0,
    exclude: list[str] = [],
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    slices: list[str] = [],
    metric: str = "",
    gate: dict[str, Any] = {},
    max_latency_ms: float = 100.0,
    tracking_uri: str = "",
    reference: str = "",
    drift: dict[str, Any] = {},
    history: str = "",
    alarm: dict[str, Any] = {},
    service: dict[str, Any] = {},
    cluster: str = "",
    plan: dict[str, Any] = {},
    gateway: str = "",
) -> None:
    """Try in seconds what a run will need, before it loads anything, and report all that is wrong at once.

    Every parameter is checked by the code of the step that will read it; then the data is listed and the header of its
    first file read, the registry is asked and written to, and, where they are given, so are the cluster (its rights,
    the plan, a dry run of the InferenceService), the schema, the place of packages, the gateway and the channels of
    `notify`. Nothing is changed but that the model's experiment is made in the registry. What cannot be tried here is
    said to be not checked.

    Args:
        data: As `source` of `load`.
        columns: As of `load`.
        at: As of `load`.
        length: As of `load`.
        source: As `options` of `load`.
        target: As of `train`. Empty: nothing is trained, and the parameters of training are not checked.
        name: As of `register` and `deploy`. Empty: nothing is registered or deployed.
        schema_uri: As of `validate`.
        checks: As `options` of `validate`.
        split: As `options` of `split`.
        candidates: As of `train`: how many, their estimators and their hyperparameters.
        training: As `options` of `train`.
        seed: As of `train`.
        exclude: As of `train`.
        group_column: As of `train`.
        time_column: As of `train`.
        weight_column: As of `train`.
        slices: As of `evaluate`.
        metric: As of `evaluate`.
        gate: As `options` of `evaluate`.
        max_latency_ms: As of `infra_validate`.
        tracking_uri: As of `register`.
        reference: As `reference_uri` of `drift_check`: it must be there.
        drift: As `options` of `drift_check`.
        history: As of `alarm`. Empty: no alarm is raised.
        alarm: As `options` of `alarm`.
        service: As `options` of `deploy`.
        cluster: As of `rollout`. Empty: nothing is rolled out.
        plan: As of `rollout`.
        gateway: As of `rollout`.

    Returns:
        report: Page of what was checked and what was not.
    """
    from kubeline.preflight import run as implementation

    implementation.run(
        report,
        data=data,
        columns=columns,
        at=at,
        length=length,
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
        slices=slices,
        metric=metric,
        gate=gate,
        max_latency_ms=max_latency_ms,
        tracking_uri=tracking_uri,
        reference=reference,
        drift=drift,
        history=history,
        alarm=alarm,
        service=service,
        cluster=cluster,
        plan=plan,
        gateway=gateway,
        group_column=group_column,
        time_column=time_column,
        weight_column=weight_column,
    )
