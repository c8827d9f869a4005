"""Checks of the parameters alone, each by the code of the step that will read it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

from kubeline.errors import UserError, listed
from kubeline.task import Task


def check_model_name(name: str) -> None:
    """The name of the registered model and of the InferenceService."""
    from kubeline.registry.interface import check_name

    check_name(name)


def check_service(
    name: str, namespace: str, storage_uri: str, service_account: str, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """The InferenceService as `deploy` will render it, but for the package's digest and place."""
    from kubeline.rollout.inference_service import Service, render

    place = storage_uri or "s3://not/known/yet"
    service = Service(name, namespace, place, package_digest="0" * 64, service_account=service_account)
    return render(service, overrides)


def check_plan(plan: Mapping[str, Any]) -> None:
    """The plan of the rollout."""
    from kubeline.rollout.plan import Plan

    Plan.read("", **plan)


def check_candidates(
    candidates: Sequence[Any], calibration: str, seed: int, tuning_trials: int, tuning_minutes: float
) -> None:
    """The candidates: how many, their estimators and hyperparameters, and how these are looked for."""
    from kubeline.training.candidates import DEFAULT, read
    from kubeline.training.trained import Settings

    settings = Settings("auto", DEFAULT, {}, False, calibration, tuning_trials, tuning_minutes, 5, 0.1, 1e-5, seed)
    settings.check()
    read(candidates, settings)


def check_gate(
    metric: str,
    thresholds: Mapping[str, Any],
    rule: str,
    margin: float,
    no_champion: str,
    slices: Sequence[Any],
) -> None:
    """What `evaluate` requires; the metrics must all be of one task, whichever it is."""
    from kubeline.evaluation import thresholds as required
    from kubeline.evaluation.findings import Settings
    from kubeline.evaluation.metrics import METRICS, choose

    Settings(rule=rule, margin=margin, no_champion=no_champion)  # type: ignore[arg-type] # what is checked
    if wrong := [one for one in slices if not isinstance(one, str)]:
        raise UserError(f"slices holds {wrong[0]!r}; expected names of columns")
    every = {name for metrics in METRICS.values() for name in metrics}
    if unknown := [name for name in (metric, *thresholds) if name and name not in every]:
        raise UserError(f"'{unknown[0]}' is not a metric; choose one of: {listed(sorted(every), 30)}")

    def of(task: Task) -> None:
        choose(task, metric)
        required.parse(thresholds, task)

    _one_of([lambda task=task: of(task) for task in get_args(Task)])  # type: ignore[misc]


def check_split(by: str, column: str, test_fraction: float, cutoff: str) -> None:
    """How the test rows are chosen."""
    from kubeline.data.split import check

    check(by, column, test_fraction, cutoff)


def check_server(max_latency_ms: float) -> None:
    """What the model server must do in `infra_validate`."""
    from kubeline.infra_validation.limits import check

    check(max_latency_ms=max_latency_ms)


def check_validation(mode: str) -> None:
    """What a broken expectation does."""
    from kubeline.schema.validate import check_mode

    check_mode(mode)


def check_columns(known: Iterable[str], wanted: Mapping[str, Sequence[str]]) -> None:
    """That every column which a parameter names is in the table."""
    import difflib

    names = list(known)
    for parameter, columns in wanted.items():
        for column in columns:
            if column and column not in names:
                close = difflib.get_close_matches(column, names, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"it has: {listed(names, 20)}"
                raise UserError(f"{parameter} names the column '{column}', which the table does not have; {hint}")


def _one_of(checks: Sequence[Callable[[], None]]) -> None:
    """At least one of the checks must hold; else the first one's sentence is told."""
    errors = []
    for check in checks:
        try:
            check()
        except UserError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
