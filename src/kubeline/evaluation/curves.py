"""ROC and precision-recall curves and the confusion matrix, small enough for metadata and a page."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from kubeline.evaluation.scored import Scored
from kubeline.evaluation.tally import Occurrences
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
    ranking = scored.ranking()

    def corners() -> Iterator[Array]:
        """Position, rates and threshold of each point, from (0, 0) on, but for those on a line between two others."""
        # above every score no row is positive; for a probability a threshold of 1 says the same
        yield np.array([[0.0, 0.0, 0.0, 1.0]])
        ahead = np.empty((0, 3))  # counts and threshold of the last points: of a corner, both neighbours are known
        started = False
        for thresholds, counts in ranking.falling():
            ahead = np.concatenate([ahead, np.column_stack([counts, thresholds.astype(np.float64)])])
            corner = np.ones(len(ahead), dtype=bool)
            corner[1:-1] = (np.diff(ahead[:, :2], 2, axis=0) != 0).any(axis=1)
            corner[0] &= not started
            yield _rates(ahead[:-1][corner[:-1]], ranking)
            started, ahead = started or len(ahead) > 1, ahead[-2:]
        yield _rates(ahead[-1:], ranking)

    fpr, tpr, threshold = _thin(corners(), 2.0, points).T[1:]
    return Roc(fpr, tpr, np.minimum(threshold, 1.0))


def _rates(counts: Array, ranking: Occurrences) -> Array:
    false, true = counts[:, 0] / ranking.totals[0], counts[:, 1] / ranking.totals[1]
    return np.column_stack([false + true, false, true, counts[:, 2]])


def precision_recall(scored: Scored, points: int = _POINTS) -> PrecisionRecall:
    """At most `points` points of the precision-recall curve of a binary task with a positive row."""
    ranking = scored.ranking()

    def whole() -> Iterator[Array]:
        """Position, recall and precision of each point, from the lowest threshold up."""
        for block in ranking.rising():
            passed = block.before + np.cumsum(block.sums, axis=0, dtype=np.float64) - block.sums
            false, true = (ranking.totals - passed).T
            recall = true / ranking.totals[1]
            yield np.column_stack([1 - recall, recall, true / (true + false)])
        yield np.array([[1.0, 0.0, 1.0]])

    recall, precision = _thin(whole(), 1.0, points).T[1:]
    return PrecisionRecall(recall, precision)


def area_below(ranking: Occurrences) -> float:
    """The precision at each recall, times what the recall grows there: the area below the curve, by steps.

    Args:
        ranking: The rows by score, the positive ones of the second kind, of which there is one at least.
    """
    area, recall = 0.0, np.zeros(1)
    for _, reached in ranking.falling():
        recall = np.append(recall[-1], reached[:, 1] / ranking.totals[1])
        area += float(np.sum((np.diff(recall) * (reached[:, 1] / reached.sum(axis=1)))[::-1]))  # in the curve's order
    return area


def confusion(scored: Scored) -> Array:
    """(k, k) counts of rows, or their weights: true classes in rows, predicted ones in columns."""
    size = len(scored.classes)
    cells = np.zeros(size**2)
    for some in scored.pieces():
        cells += np.bincount(some.target.astype(np.intp) * size + some.prediction, some.weights, size**2)
    return cells.reshape(size, size)


def _thin(parts: Iterable[Array], end: float, points: int) -> Array:
    """At most `points` of the points, evenly spread along their rising positions, both ends among them.

    Args:
        parts: (m, columns) some points, the first column their positions.
        end: The last position; the first is 0.
        points: How many are kept.
    """
    wanted = np.linspace(0.0, end, points - 1)
    first, kept, last, count, before = [], [], np.empty(0), 0, -1
    for part in parts:
        if not len(part):
            continue
        if count <= points:  # if there are no more, all are kept
            first.append(part[: points + 1 - count])
        reached = np.searchsorted(wanted, part[-1, 0], "right")
        places = np.unique(np.searchsorted(part[:, 0], wanted[:reached]))
        wanted, count, last = wanted[reached:], count + len(part), part[-1]
        kept.append(part[places])
        before = int(places[-1]) - len(part) if len(places) else before - len(part)  # -1 where the last point is kept
    if count <= points:
        return np.concatenate(first)
    return np.concatenate(kept if before == -1 else [*kept, last[None]])
