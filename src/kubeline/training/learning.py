"""From a table in memory to a model that passed the parity gate."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from kubeline.artifacts import finite
from kubeline.columns import Kind
from kubeline.errors import UserError
from kubeline.evaluation.metrics import choose
from kubeline.model_package.signature import Feature, Signature
from kubeline.roles import Roles
from kubeline.training import estimators, machine, preprocessing
from kubeline.training.distributed.workers import Workers
from kubeline.training.examine import examine
from kubeline.training.fitting import Recipe, calibrate, predict
from kubeline.training.holdout import divide
from kubeline.training.settings import TrainingSettings
from kubeline.training.table import TrainingTable, weighed
from kubeline.training.table_facts import Background
from kubeline.training.trained import Exported, Trained
from kubeline.training.tuning import Budget, Tuning, tune
from kubeline.typing import Array


def fit(table: TrainingTable, roles: Roles, settings: TrainingSettings, background: Background) -> Trained:
    """Fit, export, compare and score; what the package says of the table is found out meanwhile, by `background`.

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
    background.begin(table, _read(table, kinds))
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
        if table.is_empty(name, rows):
            del kinds[name]
            notes.append(f"column '{name}' is not used: it has no value in the rows to learn from")
    if not kinds:
        raise UserError("no feature is left: no column has a value in the rows to learn from")
    return kinds, notes


def _read(table: TrainingTable, kinds: dict[str, Kind]) -> dict[str, Kind]:
    """The columns of the table that a model of these features reads, in its order."""
    read = {*kinds, *table.transform.read_by([*kinds])}
    return {name: kind for name, kind in table.given.items() if name in read}


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
    features = [
        Feature(
            name=name,
            kind=kind,
            categories=table.frequent(name, fitted.rows, max_categories) if kind == "category" else None,
            dtype="float64" if kind == "number" and table.encoded.dtype(name) == np.float64 else "float32",
        )
        for name, kind in _read(table, fitted.kinds).items()
    ]
    return table.signature(features, target)


def _examine(
    fitted: _Fitted, target: str, settings: TrainingSettings, tuning: Tuning | None, notes: list[str]
) -> Trained:
    """Export the model, hold its forms against each other, and score what will serve."""
    from kubeline.training.export import to_onnx

    table, recipe, model = fitted.table, fitted.recipe, fitted.model
    estimator = estimators.find(recipe.estimator)
    prepared, hyper = preprocessing.take(recipe.params, estimator, table.task)
    signature = _signature(fitted, target, prepared.max_categories)
    params = {
        **estimator.settle(table.task, hyper),
        "category_encoding": prepared.category_encoding,
        "max_categories": prepared.max_categories,
        "date_parts": list(prepared.date_parts),
        "balanced": recipe.balanced,
        **({"half_life": settings.half_life} if settings.half_life else {}),
        "calibration": settings.calibration,
        "validation_fraction": settings.validation_fraction,
        **({"derive": table.transform.expressions} if table.transform else {}),
    }
    with ThreadPoolExecutor(1) as beside:
        exporting = beside.submit(to_onnx, model, signature, table.transform, list(fitted.kinds))
        expected = predict(model, table.encoded.rows(fitted.held), table.classes)
        onnx = exporting.result()
    exported = Exported(
        table=table,
        signature=signature,
        name=recipe.estimator,
        library=estimator.library,
        model=model,
        onnx=onnx,
        held=fitted.held,
        expected=expected,
        params=finite(params),
        notes=notes,
    )
    return examine(exported, metric=settings.metric, tolerance=settings.tolerance, rows=len(fitted.rows), tuning=tuning)
