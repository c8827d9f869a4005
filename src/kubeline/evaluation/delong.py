"""The ROC AUC and its covariance between models on the same rows.

Sources: DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44; the O(n log n) algorithm by midranks is of Sun and Xu
(2014), IEEE Signal Processing Letters 21(11).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kubeline.evaluation.bootstrap import Interval, pieces
from kubeline.typing import Array


@dataclass(frozen=True)
class AucDifference:
    """AUC of the first model minus that of the second, with a two-sided p-value for "they are equal"."""

    difference: Interval
    p_value: float


def midranks(values: Array) -> Array:
    """(n,) ranks from 1; equal values share the mean of theirs."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))  # of each run of equal values
    past = np.append(first[1:], len(ordered))
    ranks = np.empty(len(ordered))
    ranks[order] = np.repeat((first + 1 + past) / 2, past - first)
    return ranks


def auc(positive: Array, score: Array, weights: Array | None = None) -> float:
    """The ROC AUC: the chance that a positive row scores above a negative one, ties counting half.

    Args:
        positive: (n,) True for the positive class; both classes must occur.
        score: (n,) numbers that grow with the chance of the positive class.
        weights: (n,) above 0, or None.
    """
    if weights is not None:
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(positive, score, sample_weight=weights))
    others, count = [_ascending(score, ~positive)], int(positive.sum())
    twice = sum(int(found.sum()) for [found] in _twice_below([score], positive, others))
    return twice / 2 / (count * (len(score) - count))


def _twice_below(scores: Sequence[Array], where: Array, others: Sequence[Array]) -> Iterator[list[Array]]:
    """For some rows of each model, by pieces, twice how many of the `others` are below; equal ones count half."""
    for rows in pieces(len(where)):
        chosen = [score[rows][where[rows]] for score in scores]
        yield [
            np.searchsorted(other, value) + np.searchsorted(other, value, "right")
            for value, other in zip(chosen, others, strict=True)
        ]


def _ascending(score: Array, where: Array) -> Array:
    found: Array = score[where]
    found.sort()
    return found


def auc_covariance(positive: Array, scores: Sequence[Array]) -> tuple[Array, Array]:
    """AUCs and their covariance matrix.

    Args:
        positive: (n,) True for the positive class; two rows of each class at least.
        scores: of each model (n,), of the same rows.

    Returns:
        (models,) AUCs and their (models, models) covariance by DeLong's structural components.
    """
    aucs = np.array([auc(positive, score) for score in scores])
    return aucs, _spread(scores, positive, aucs) + _spread(scores, ~positive, 1 - aucs)


def _spread(scores: Sequence[Array], where: Array, means: Array) -> Array:
    """The covariance of the shares of the other rows that are below each of the rows, over how many these are."""
    rows = int(where.sum())
    squares = np.zeros((len(scores), len(scores)))
    for twice in _twice_below(scores, where, [_ascending(score, ~where) for score in scores]):
        apart = np.stack(twice) / (2 * (len(where) - rows)) - means[:, None]
        squares += apart @ apart.T
    return squares / (rows - 1) / rows


def compare_auc(positive: Array, first: Array, second: Array, confidence: float = 0.95) -> AucDifference:
    """Compare two scores of the same rows by DeLong's test.

    With fewer than two rows of a class there is no variance, and the ends of the interval are None.
    """
    from scipy.special import ndtr, ndtri  # scipy.stats takes longer to import than most tables to evaluate

    if min(positive.sum(), (~positive).sum()) < 2:
        return AucDifference(Interval(auc(positive, first) - auc(positive, second), None, None), 1.0)
    aucs, covariance = auc_covariance(positive, [first, second])
    difference = float(aucs[0] - aucs[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    error = float(np.sqrt(max(variance, 0.0)))
    if error < 1e-12:  # the same order of rows: no noise is left
        return AucDifference(Interval(difference, difference, difference), float(abs(difference) < 1e-12))
    reach = float(ndtri((1 + confidence) / 2)) * error
    p_value = float(2 * ndtr(-abs(difference) / error))
    return AucDifference(Interval(difference, difference - reach, difference + reach), p_value)
