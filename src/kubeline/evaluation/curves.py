"""ROC and precision-recall curves and the confusion matrix, small enough for metadata and a page."""

from typing import NamedTuple

import numpy as np

from kubeline.evaluation.scored import Scored
from kubeline.typing import Array

_POINTS = 200


class Roc(NamedTuple):
    """Points of a ROC curve, from (0, 0) to (1, 1); every threshold is finite."""

    false_positive_rate: Array
    true_positive_rate: Array
    threshold: Array


class PrecisionRecall(NamedTuple):
    """Points of a precision-recall curve."""

    recall: Array
    precision: Array


def roc(scored: Scored, points: int = _POINTS) -> Roc:
    """At most `points` points of the ROC curve of a binary task in which both classes occur."""
    from sklearn.metrics import roc_curve

    fpr, tpr, threshold = roc_curve(scored.positive, scored.score, sample_weight=scored.weights)
    kept = _thin(fpr + tpr, points)
    # scikit-learn begins with an infinite threshold, "no row is positive"; for a probability 1 says the same.
    return Roc(fpr[kept], tpr[kept], np.minimum(threshold[kept], 1.0))


def precision_recall(scored: Scored, points: int = _POINTS) -> PrecisionRecall:
    """At most `points` points of the precision-recall curve of a binary task with a positive row."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(scored.positive, scored.score, sample_weight=scored.weights)
    kept = _thin(1 - recall, points)
    return PrecisionRecall(recall[kept], precision[kept])


def confusion(scored: Scored) -> Array:
    """(k, k) counts of rows, or their weights: true classes in rows, predicted ones in columns."""
    size = len(scored.classes)
    cells = np.bincount(scored.target * size + scored.prediction, scored.weights, size**2)
    return cells.reshape(size, size)


def _thin(position: Array, points: int) -> Array:
    """Indices of at most `points` of the points, evenly spread along the rising `position`, both ends among them."""
    if len(position) <= points:
        return np.arange(len(position))
    wanted = np.linspace(position[0], position[-1], points - 1)
    return np.unique(np.append(np.searchsorted(position, wanted), len(position) - 1))
