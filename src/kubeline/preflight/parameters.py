"""Checks of the parameters alone, each by the code of the step that will read it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

from kubeline.errors import UserError, listed, suggestion
from kubeline.options import (
    AFTER_EVALUATION,
    ALARM,
    CHECKS,
    DRIFT,
    GATE,
    SERVICE,
    SOURCE,
    SPLIT,
    TRAINING,
    laid_over,
    of_evaluation,
    of_gate,
    require_names,
)
from kubeline.task import Task


def check_model_name(name: str) -> None:
    """The name of the registered model and of the InferenceService."""
    from kubeline.registry.interface import check_name

    check_name(name)


def check_service(name: str, cluster: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The InferenceService as `deploy` will render it, but for the package's digest and place."""
    from kubeline.deployment.inference_service import Service
    from kubeline.deployment.vertex_endpoint import render_for
    from kubeline.serving_platform.opening import namespace_at

    service = laid_over(given, **SERVICE)
    overrides = service.pop("overrides")
    service["namespace"] = namespace_at(cluster, service["namespace"])
    service["storage_uri"] = service["storage_uri"] or "gs://not/known/yet"
    return render_for(Service(name, package_digest="0" * 64, **service), cluster, overrides)


def check_plan(plan: Mapping[str, Any]) -> None:
    """The plan of the rollout."""
    from kubeline.rollout.spec import RolloutSpec

    RolloutSpec.read("", **plan)


def source_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """How the data is read, every field filled."""
    return laid_over(given, **SOURCE)


def check_source(data: str, columns: Sequence[str], window: tuple[str, str], given: Mapping[str, Any]) -> None:
    """How the data is read; `window` is at and length."""
    from kubeline.data.notation import notation_of
    from kubeline.data.timespan import timespan
    from kubeline.loading.load import Selection, check

    source = source_of(given)
    notation, span = notation_of(source["decimal"], source["thousands"]), timespan(*window, source["time"])
    selection = Selection(columns, "", source["types"], {}, notation, span, source["rename"])
    check(data, source["query"], source["format"], selection)
    if source["features"]:
        from kubeline.loading.features import read

        read(source["features"])
    if source["spark"]:
        from kubeline.loading.spark import Spark

        Spark.read(source["spark"])


def check_training(candidates: Sequence[Any], given: Mapping[str, Any], seed: int) -> None:
    """The candidates: how many, their estimators and hyperparameters; and how they are trained."""
    from kubeline.training.candidates import read
    from kubeline.training.settings import TrainingSettings

    settings = TrainingSettings(seed=seed, **laid_over(given, **TRAINING))
    settings.check()
    read(candidates, settings)


def check_gate(metric: str, slices: Sequence[Any], given: Mapping[str, Any]) -> None:
    """What `evaluate` requires; the metrics must all be of one task, whichever it is."""
    from kubeline.evaluation import thresholds as required
    from kubeline.evaluation.fairness.requirements import parse as asked_of_groups
    from kubeline.evaluation.findings import EvaluationSettings
    from kubeline.evaluation.metrics import METRICS, choose
    from kubeline.infra_validation.limits import Limits

    after = {name: of_gate(given, name, own) for name, own in AFTER_EVALUATION.items()}
    Limits(max_latency_ms=after["max_latency_ms"])
    gate = laid_over(of_evaluation(given), **GATE)
    thresholds, fairness = gate.pop("thresholds"), gate.pop("fairness")
    EvaluationSettings(**gate)
    require_names("slices", slices)
    every = {name for metrics in METRICS.values() for name in metrics}
    if unknown := [name for name in (metric, *thresholds) if name and name not in every]:
        raise UserError(f"'{unknown[0]}' is not a metric; choose one of: {listed(sorted(every), 30)}")

    def of(task: Task) -> None:
        choose(task, metric)
        required.parse(thresholds, task)
        asked_of_groups(fairness, task)

    _one_of([lambda task=task: of(task) for task in get_args(Task)])  # type: ignore[misc]


def columns_of_fairness(gate: Mapping[str, Any]) -> list[str]:
    """The columns whose groups `evaluate` compares."""
    from kubeline.evaluation.fairness.requirements import columns_of

    return columns_of(gate.get("fairness", {}))


def check_split(given: Mapping[str, Any]) -> None:
    """How the test rows are chosen."""
    from kubeline.data.split import check

    split = laid_over(given, **SPLIT)
    check(split["by"], split["column"], split["test_fraction"], split["cutoff"])


def check_server(max_latency_ms: float) -> None:
    """What the model server must do in `infra_validate`."""
    from kubeline.infra_validation.limits import Limits

    Limits(max_latency_ms=max_latency_ms)


def check_validation(given: Mapping[str, Any]) -> None:
    """What the table must pass."""
    from kubeline.schema.validate import ValidationSettings

    ValidationSettings(**laid_over(given, **CHECKS))


def columns_of_rules(given: Mapping[str, Any]) -> list[str]:
    """The columns that the row rules read."""
    from kubeline.schema.rules import read_rules

    return [name for rule in read_rules(given.get("rules", ())) for name in rule.columns]


def columns_of_expressions(given: Mapping[str, Any]) -> list[str]:
    """The columns that derived ones are computed from."""
    if not given.get("derive"):
        return []
    from kubeline.transform.transform import names_read

    return names_read(given["derive"])


def check_drift(given: Mapping[str, Any], history: str = "") -> None:
    """When a window has drifted, and from what."""
    from kubeline.drift.result import DriftRule
    from kubeline.drift.seasons import check_references

    drift = laid_over(given, **DRIFT)
    check_references(drift["references"], history)
    DriftRule(**{name: value for name, value in drift.items() if name in DriftRule.model_fields})


def check_alarm(given: Mapping[str, Any]) -> None:
    """When windows that went wrong are an alarm."""
    from kubeline.drift.alarm.rule import Policy

    Policy(**laid_over(given, **ALARM)).check()


def check_columns(known: Iterable[str], wanted: Mapping[str, Sequence[str]]) -> None:
    """That every column which a parameter names is in the table."""
    names = list(known)
    for parameter, columns in wanted.items():
        for column in columns:
            if column and column not in names:
                hint = suggestion(column, names, "it has", 20)
                raise UserError(f"{parameter} names the column '{column}', which the table does not have; {hint}")


def _one_of(checks: Sequence[Callable[[], None]]) -> None:
    """At least one of the checks must hold; else the first one's error is raised."""
    errors = []
    for check in checks:
        try:
            check()
        except UserError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
