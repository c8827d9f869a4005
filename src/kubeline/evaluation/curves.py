"""ROC and precision-recall curves and the confusion matrix, small enough for metadata and a page."""

from typing import NamedTuple

import numpy as np

from kubeline.evaluation.bootstrap import pieces
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
    found = _counts(scored.positive, scored.held_score, scored.weights)
    false, true = found.false_positives, found.true_positives
    corners = np.ones(len(true), dtype=bool)
    corners[1:-1] = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)  # the others lie on a line between two
    fpr, tpr = (np.append(0.0, counts[corners] / counts[-1]) for counts in (false, true))
    # above every score no row is positive; for a probability a threshold of 1 says the same
    threshold = np.append(1.0, np.minimum(found.threshold[corners].astype(np.float64), 1.0))
    kept = _thin(fpr + tpr, points)
    return Roc(fpr[kept], tpr[kept], threshold[kept])


def precision_recall(scored: Scored, points: int = _POINTS) -> PrecisionRecall:
    """At most `points` points of the precision-recall curve of a binary task with a positive row."""
    whole = _precision_recall(scored.positive, scored.held_score, scored.weights)
    kept = _thin(1 - whole.recall, points)
    return PrecisionRecall(whole.recall[kept], whole.precision[kept])


def average_precision(positive: Array, score: Array, weights: Array | None = None) -> float:
    """The precision at each recall, times what the recall grows there: the area below the curve, by steps.

    Args:
        positive: (n,) True for the positive class, which must occur.
        score: (n,) numbers that grow with the chance of the positive class.
        weights: (n,) above 0, or None.
    """
    if weights is None:
        return _plain_average_precision(np.sort(score), np.sort(score[positive]))
    curve = _precision_recall(positive, score, weights)
    return float(max(0.0, -np.sum(np.diff(curve.recall) * curve.precision[:-1])))


def _plain_average_precision(scores: Array, hits: Array) -> float:
    """The same where every row counts once, from sorted scores of all rows and of the positive ones; by pieces."""
    threshold = np.unique(scores)[::-1]
    area, recall = 0.0, np.zeros(1)
    for some in pieces(len(threshold)):
        true = len(hits) - np.searchsorted(hits, threshold[some])
        recall = np.append(recall[-1], true / len(hits))
        precision = true / (len(scores) - np.searchsorted(scores, threshold[some]))
        area += float(np.sum((np.diff(recall) * precision)[::-1]))  # in the order of the curve
    return area


class _Counts(NamedTuple):
    """What is taken for positive at each threshold, from the highest score down, in rows or their weights."""

    true_positives: Array
    false_positives: Array
    threshold: Array


def _counts(positive: Array, score: Array, weights: Array | None) -> _Counts:
    if weights is None:
        return _plain_counts(positive, score)
    counting = weights != 0
    positive, score, weights = positive[counting], score[counting], weights[counting]
    falling = len(score) - 1 - np.argsort(score[::-1], kind="stable")[::-1]  # rows of equal scores in their order
    score, hit = score[falling], positive[falling].astype(np.float64)
    last = np.append(np.flatnonzero(score[1:] != score[:-1]), len(score) - 1)  # row of each score
    weight = weights[falling]
    return _Counts(np.cumsum(hit * weight)[last], np.cumsum((1 - hit) * weight)[last], score[last])


def _plain_counts(positive: Array, score: Array) -> _Counts:
    """The same where every row counts once: values are sorted, not places of rows, which are twice as large."""
    rising = np.sort(score)
    first = np.append(0, np.flatnonzero(rising[1:] != rising[:-1]) + 1)[::-1]  # row of each score, from the highest on
    threshold = rising[first]
    hits = np.sort(score[positive])
    true = (len(hits) - np.searchsorted(hits, threshold)).astype(np.float64)
    return _Counts(true, len(rising) - first - true, threshold)


def _precision_recall(positive: Array, score: Array, weights: Array | None) -> PrecisionRecall:
    """Every point of the curve, from the lowest threshold up."""
    true, false, _ = _counts(positive, score, weights)
    precision = np.append((true / (true + false))[::-1], 1.0)
    return PrecisionRecall(np.append((true / true[-1])[::-1], 0.0), precision)


def confusion(scored: Scored) -> Array:
    """(k, k) counts of rows, or their weights: true classes in rows, predicted ones in columns."""
    size = len(scored.classes)
    cells = np.zeros(size**2)
    for rows in pieces(len(scored)):
        places = scored.target[rows].astype(np.intp) * size + scored.prediction[rows]
        cells += np.bincount(places, None if scored.weights is None else scored.weights[rows], size**2)
    return cells.reshape(size, size)


def _thin(position: Array, points: int) -> Array:
    """Indices of at most `points` of the points, evenly spread along the rising `position`, both ends among them."""
    if len(position) <= points:
        return np.arange(len(position))
    wanted = np.linspace(position[0], position[-1], points - 1)
    return np.unique(np.append(np.searchsorted(position, wanted), len(position) - 1))
