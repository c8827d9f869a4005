"""Validation metrics, and the score by which candidates are compared."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kubeline.model_package.predictor import Predictions
from kubeline.task import Task
from kubeline.training.target import power_of_two

Array = np.ndarray[Any, np.dtype[Any]]

# Of each task: the metric that is the score, and its sign, so that a greater score is better.
SCORES: dict[Task, tuple[str, str, float]] = {
    "binary": ("roc_auc", "roc_auc", 1.0),
    "multiclass": ("neg_log_loss", "log_loss", -1.0),
    "regression": ("neg_rmse", "rmse", -1.0),
}

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


def score(task: Task, metrics: dict[str, float]) -> tuple[str, float]:
    """Name and value of the score; greater is better."""
    name, metric, sign = SCORES[task]
    return name, sign * metrics[metric]


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
