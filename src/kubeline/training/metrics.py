"""Validation metrics, and the score by which candidates are compared."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kubeline.errors import UserError
from kubeline.evaluation.metrics import Metric
from kubeline.evaluation.scored import Scored
from kubeline.model_package.predictor import Predictions
from kubeline.task import Task
from kubeline.training.table import TrainingTable
from kubeline.training.target import power_of_two
from kubeline.typing import Array

OF_POSITIVE = ("average_precision", "f1")  # say something else of the other class


def measure(task: Task, y: Array, found: Predictions, weights: Array | None, positive: int = 1) -> dict[str, float]:
    """All metrics of a task.

    Args:
        task: what is predicted.
        y: positions of classes, or numbers; shape (rows,).
        found: predictions for the same rows.
        weights: of the rows, or None.
        positive: the position of the positive class of a binary task, which average_precision and f1 speak of.

    Returns:
        Metrics by name: for classification log_loss, accuracy, balanced_accuracy, and for binary roc_auc,
        average_precision, brier and f1 too, for multiclass macro_f1; for regression rmse, mae and r2. Those that are
        not defined on these rows are left out.
    """
    if found.probabilities is None:
        values = _regression(y, found.values, weights)
    else:
        values = _classification(task, y, found.probabilities.astype(np.float64), weights, positive)
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}


def examine(table: TrainingTable, rows: Array, found: Predictions, metric: Metric) -> tuple[dict[str, float], float]:
    """All metrics of a model on some rows of a table, and the score by which it is compared; greater is better.

    Args:
        table: the table.
        rows: positions of the rows.
        found: predictions for these rows.
        metric: the one that decides in `evaluate`, so that the model is selected by it, too.

    Raises:
        UserError: when these rows do not define the metric.
    """
    weights = None if table.weights is None else table.weights[rows]
    positive = (table.classes or []).index(table.positive_class) if table.positive_class is not None else 1
    measured = measure(table.task, table.y[rows], found, weights, positive)
    if metric.name not in measured:
        counts = np.ones(len(rows), dtype=bool) if weights is None else weights > 0
        measured[metric.name] = _deciding(metric, Scored.of(
            table.classes, table.positive_class, table.y[rows][counts],
            Predictions(found.values[counts], None if found.probabilities is None else found.probabilities[counts]),
            None if weights is None else weights[counts],
        ))  # fmt: skip
    return measured, measured[metric.name] * (1 if metric.greater_is_better else -1)


def _deciding(metric: Metric, scored: Scored) -> float:
    reason = metric.undefined(scored)
    if not reason:
        return metric.value(scored)
    if metric.name == "precision" and scored.positive.any():
        return 0.0  # a candidate that never predicts the class is not preferred to one that does
    raise UserError(
        f"the held-out rows cannot score a model by {metric.name}: {reason}; check the weights, or choose another "
        "metric"
    )


def score_name(metric: Metric) -> str:
    """The name of the score: of an error it is ``neg_`` and the metric's, as scikit-learn calls them."""
    return metric.name if metric.greater_is_better else f"neg_{metric.name}"


def _classification(
    task: Task, y: Array, probabilities: Array, weights: Array | None, positive: int
) -> dict[str, float]:
    from sklearn import metrics

    every = np.arange(probabilities.shape[1])
    guess = probabilities.argmax(axis=1)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # float32 sums to one only nearly
    values = {
        "log_loss": metrics.log_loss(y, probabilities, labels=every, sample_weight=weights),
        "accuracy": metrics.accuracy_score(y, guess, sample_weight=weights),
        "balanced_accuracy": _balanced_accuracy(y, guess, weights),
    }
    if task == "multiclass":
        return {**values, "macro_f1": _f1(y, guess, average="macro", sample_weight=weights)}
    truth, chance = y == positive, probabilities[:, positive]
    return {
        "roc_auc": metrics.roc_auc_score(truth, chance, sample_weight=weights),
        "average_precision": metrics.average_precision_score(truth, chance, sample_weight=weights),
        "brier": metrics.brier_score_loss(truth, chance, sample_weight=weights),
        "f1": _f1(truth, guess == positive, sample_weight=weights),
        **values,
    }


def _f1(y: Array, guess: Array, **options: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(y, guess, zero_division=0.0, **options))


def _balanced_accuracy(y: Array, guess: Array, weights: Array | None) -> float:
    """The mean recall of the classes that occur in `y`."""
    weights = np.ones(len(y)) if weights is None else weights
    total = np.bincount(y, weights)
    right = np.bincount(y, weights * (y == guess))
    return float(np.mean(right[total > 0] / total[total > 0]))


def _regression(y: Array, values: Array, weights: Array | None) -> dict[str, float]:
    from sklearn import metrics

    functions: dict[str, Callable[..., float]] = {
        "rmse": metrics.root_mean_squared_error,
        "mae": metrics.mean_absolute_error,
        "r2": metrics.r2_score,
    }
    unit = power_of_two(max(float(np.abs(y).max()), 1e-300))  # without it, squares of what is very large are infinite
    found = {name: function(y / unit, values / unit, sample_weight=weights) for name, function in functions.items()}
    return {name: value if name == "r2" else value * unit for name, value in found.items()}
