"""Train a model and write it as a verified model package."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kubeline.artifacts import Artifact, describe, finite, publish, step
from kubeline.columns import Kind
from kubeline.data.dataset import fingerprint as content_of
from kubeline.data.dataset import open_dataset
from kubeline.errors import UserError
from kubeline.evaluation.metrics import choose
from kubeline.model_package import signing
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.signature import Feature, Signature
from kubeline.roles import Roles
from kubeline.training import estimators, machine, memory, preprocessing
from kubeline.training.candidates import Standing, record
from kubeline.training.candidates import read as read_candidates
from kubeline.training.distributed.workers import Workers
from kubeline.training.examine import examine
from kubeline.training.fitting import Recipe, calibrate, predict
from kubeline.training.holdout import divide
from kubeline.training.package_files import write
from kubeline.training.settings import TrainingSettings
from kubeline.training.table import TrainingTable, read, weighed
from kubeline.training.trained import Trained
from kubeline.training.training_report import render
from kubeline.training.tuning import Budget, Tuning, tune
from kubeline.transform.document import expressions
from kubeline.typing import Array

logger = logging.getLogger(__name__)


@step
def run(
    dataset: Artifact,
    model: Artifact,
    metrics: Artifact,
    report: Artifact,
    *,
    target: str,
    exclude: Sequence[str] = (),
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    candidates: Sequence[Any] = (),
    derive: Mapping[str, str] | None = None,
    transform: Artifact | None = None,
    **parameters: Any,
) -> None:
    """Train on `dataset` and write the package, its metrics and the report.

    The parameters are those of `components/train`; the further ones are fields of :class:`TrainingSettings`.

    Raises:
        UserError: one sentence about what in the table or the parameters is wrong; nothing is written then.
    """
    roles = Roles(target, tuple(exclude), group_column, time_column, weight_column, *_known(dataset))
    settings = TrainingSettings(derive=expressions(derive or {}, transform), purpose=model.uri, **parameters)
    settings.check()
    signing.check()
    settings, trained, standings = _best(dataset.path, roles, read_candidates(candidates, settings))
    with publish(model.path) as folder:
        package = write(folder, trained, roles, settings, _fingerprint(dataset))
        render(trained, package, settings, standings).write(report.path)
    record(package, dataset.metadata, settings, standings).write(metrics)
    _describe(model, metrics, package, trained)


def _describe(model: Artifact, metrics: Artifact, package: ModelPackage, trained: Trained) -> None:
    describe(model, package.metadata())
    describe(metrics, {**trained.metrics, "parity_max_difference": trained.parity.max_difference})


def _fingerprint(dataset: Artifact) -> str:
    return str(dataset.metadata.get("fingerprint") or content_of(dataset.path))


def _best(
    path: str, roles: Roles, candidates: Sequence[TrainingSettings]
) -> tuple[TrainingSettings, Trained, list[Standing]]:
    """Train each candidate on the same rows; the one with the best score, the first of equals, and how all did."""
    import sklearn.ensemble  # noqa: F401  loads the thread pools that are to be limited
    from threadpoolctl import threadpool_limits

    memory.check(path, candidates, roles, len(candidates[0].derive))
    with threadpool_limits(estimators.threads_for(open_dataset(path).count_rows())):
        first = candidates[0]  # all have the same table
        table = read(path, roles, first.task, first.positive_class, first.derive)
        logger.info("%d rows and %d features are in memory", len(table.y), len(table.kinds))
        return _best_of(table, roles, candidates)


def _best_of(
    table: TrainingTable, roles: Roles, candidates: Sequence[TrainingSettings]
) -> tuple[TrainingSettings, Trained, list[Standing]]:
    standings, best = [], None
    for number, settings in enumerate(candidates, start=1):
        logger.info("candidate %d of %d: %s", number, len(candidates), settings.estimator)
        try:
            trained = fit(table, roles, settings)
        except UserError as error:
            raise UserError(
                f"candidate {number} ({settings.estimator}): {error}" if len(candidates) > 1 else str(error)
            ) from error
        standings.append(Standing.of(settings, trained))
        logger.info("%s: %s %.5g on the held-out rows", settings.estimator, trained.score_name, trained.score)
        if best is None or trained.score > best[1].score:
            best = (settings, trained)
    assert best is not None  # noqa: S101 (there is at least one candidate)
    return *best, standings


def _known(dataset: Artifact) -> tuple[str, str, tuple[str, ...]]:
    """What `split` divided the table by, its column, and what `validate` found personal, if it is there."""
    present = set(open_dataset(dataset.path).schema.names)
    by, column = (str(dataset.metadata.get(key, "")) for key in ("split_by", "split_column"))
    personal = tuple(name for name in dataset.metadata.get("personal", ()) if name in present)
    return (by, column, personal) if column in present else ("", "", personal)


def fit(table: TrainingTable, roles: Roles, settings: TrainingSettings) -> Trained:
    """Everything from a table in memory to a model that passed the parity gate.

    The model that is returned is the one that was scored: it is not fitted again on the held-out rows, so that the
    validation score, the parity and the golden rows all speak of the model that is shipped.
    """
    recipe = Recipe(settings.estimator, dict(settings.params), settings.balanced, settings.seed)
    recipe.check(table)
    choose(table.task, settings.metric)
    if settings.calibration != "none" and table.classes is None:
        raise UserError("calibration corrects probabilities, and a regression has none; leave calibration at none")
    table = weighed(table, roles, settings.half_life)
    table, rows, held, calibrated_on = divide(
        table, roles, settings.validation_fraction, settings.seed, calibrated=settings.calibration != "none",
        number=settings.folds if settings.tuning_trials else 0,
    )  # fmt: skip
    kinds, notes = _present(table, rows)
    tuning = None
    if settings.tuning_trials:
        tuning = tune(
            recipe, table, rows, kinds, choose(table.task, settings.metric),
            budget=_budget(settings, len(rows), len(kinds)), number=settings.folds,
        )  # fmt: skip
        recipe = Recipe(recipe.estimator, {**recipe.params, **tuning.best}, recipe.balanced, recipe.seed)
    model = recipe.fit(table, rows, kinds, Workers.read(settings.workers), f"{settings.purpose} {recipe.estimator}")
    if calibrated_on is not None:
        model = calibrate(model, settings.calibration, table, calibrated_on)  # type: ignore[arg-type]
    fitted = _Fitted(table=table, recipe=recipe, kinds=kinds, model=model, rows=rows, held=held)
    return _examine(fitted, roles.target, settings, tuning, notes)


def _budget(settings: TrainingSettings, rows: int, columns: int) -> Budget:
    processes = machine.processes(settings.tuning_workers, rows, columns, settings.estimator)
    return Budget(settings.tuning_trials, settings.tuning_minutes, settings.tuning_workers, processes)


def _present(table: TrainingTable, rows: Array) -> tuple[dict[str, Kind], list[str]]:
    """The features that have a value in the rows to learn from."""
    kinds = dict(table.kinds)
    notes = list(table.notes)
    for name in table.kinds:
        values = table.encoded[name].to_numpy()[rows]
        empty = (values == "").all() if values.dtype == object else np.isnan(values).all()
        if empty:
            del kinds[name]
            notes.append(f"column '{name}' is not used: it has no value in the rows to learn from")
    if not kinds:
        raise UserError("no feature is left: no column has a value in the rows to learn from")
    return kinds, notes


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """A model, the features that it reads, and the rows of the table that it learned from and did not see."""

    table: TrainingTable
    recipe: Recipe
    kinds: dict[str, Kind]
    model: Any  # what the library of the estimator makes
    rows: Array
    held: Array


def _signature(fitted: _Fitted, target: str, max_categories: int) -> Signature:
    table = fitted.table
    read = {*fitted.kinds, *table.transform.read_by([*fitted.kinds])}
    features = [
        Feature(
            name=name,
            kind=kind,
            categories=preprocessing.frequent(table.encoded[name].iloc[fitted.rows], max_categories)
            if kind == "category"
            else None,
            dtype="float64" if kind == "number" and table.encoded[name].dtype == np.float64 else "float32",
        )
        for name, kind in table.given.items()
        if name in read
    ]
    return Signature(
        features=features,
        target=target,
        task=table.task,
        classes=table.classes,
        positive_class=table.positive_class,
    )


def _examine(
    fitted: _Fitted, target: str, settings: TrainingSettings, tuning: Tuning | None, notes: list[str]
) -> Trained:
    """Export the model, hold its forms against each other, and score what will serve."""
    from kubeline.training.export import to_onnx

    table, recipe, model = fitted.table, fitted.recipe, fitted.model
    prepared, hyper = preprocessing.take(recipe.params, estimators.find(recipe.estimator), table.task)
    signature = _signature(fitted, target, prepared.max_categories)
    params = {
        **estimators.find(recipe.estimator).settle(table.task, hyper),
        "category_encoding": prepared.category_encoding,
        "max_categories": prepared.max_categories,
        "date_parts": list(prepared.date_parts),
        "balanced": recipe.balanced,
        **({"half_life": settings.half_life} if settings.half_life else {}),
        "calibration": settings.calibration,
        "validation_fraction": settings.validation_fraction,
        **({"derive": table.transform.expressions} if table.transform else {}),
    }
    return examine(
        table,
        model,
        signature,
        to_onnx(model, signature, table.transform, list(fitted.kinds)),
        predict(model, table.encoded.iloc[fitted.held], table.classes),
        fitted.held,
        metric=settings.metric,
        tolerance=settings.tolerance,
        rows=len(fitted.rows),
        notes=notes,
        params=finite(params),
        tuning=tuning,
    )
