"""Validation metrics, as `evaluate` measures them, and the score by which candidates are compared."""

import numpy as np

from kubeline.errors import UserError
from kubeline.evaluation.metrics import METRICS, Metric
from kubeline.evaluation.scored import Scored
from kubeline.model_package.predictor import Predictions
from kubeline.training.table import TrainingTable
from kubeline.typing import Array


def scored(table: TrainingTable, rows: Array, found: Predictions) -> Scored:
    """What was predicted for some rows of a table, beside what is true; rows of weight 0 are left out.

    Args:
        table: the table.
        rows: positions of the rows.
        found: predictions for these rows.
    """
    weights = None if table.weights is None else table.weights[rows]
    if weights is not None and not (counts := weights > 0).all():
        rows, weights = rows[counts], weights[counts]
        found = found.part(counts)
    return Scored.of(table.classes, table.positive_class, table.y[rows], found, weights)


def measure(held: Scored, metric: Metric) -> dict[str, float]:
    """All metrics of the task by name, without those that are not defined on these rows; see :func:`deciding`."""
    values = {name: one.value(held) for name, one in METRICS[held.task].items() if not one.undefined(held)}
    return {name: value for name, value in values.items() if np.isfinite(value)} | {metric.name: deciding(held, metric)}


def score(value: float, metric: Metric) -> float:
    """The score by which a model is compared, from the metric that decides; greater is better."""
    return value if metric.greater_is_better else -value


def deciding(held: Scored, metric: Metric) -> float:
    """The metric that decides in `evaluate`, so that the model is selected by it, too.

    Args:
        held: what a model predicted for the rows that are held out.
        metric: any of the task.

    Raises:
        UserError: when these rows do not define the metric.
    """
    reason = metric.undefined(held)
    if not reason:
        return metric.value(held)
    if metric.name == "precision" and held.positive.any():
        return 0.0  # a candidate that never predicts the class is not preferred to one that does
    raise UserError(
        f"the held-out rows cannot score a model by {metric.name}: {reason}; check the weights, or choose another "
        "metric"
    )


def score_name(metric: Metric) -> str:
    """The name of the score: of an error it is ``neg_`` and the metric's, as scikit-learn calls them."""
    return metric.name if metric.greater_is_better else f"neg_{metric.name}"
