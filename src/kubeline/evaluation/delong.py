"""The ROC AUC and its covariance between models on the same rows.

Sources: DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44; the O(n log n) algorithm by midranks is of Sun and Xu
(2014), IEEE Signal Processing Letters 21(11).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kubeline.evaluation.bootstrap import Interval
from kubeline.evaluation.kept import Numbers
from kubeline.evaluation.tally import SORTED_ROWS, Occurrences, tally
from kubeline.typing import Array


@dataclass(frozen=True)
class AucDifference:
    """AUC of the first model minus that of the second, with a two-sided p-value for "they are equal"."""

    difference: Interval
    p_value: float


def auc_of(ranking: Occurrences) -> float:
    """The ROC AUC: the chance that a positive row scores above a negative one, ties counting half.

    Args:
        ranking: The rows by score, the positive ones of the second kind; both must occur.
    """
    twice = 0.0
    for block in ranking.rising():
        others, positive = block.sums.T.astype(np.float64)
        twice += float((positive * (2 * (block.before[0] + np.cumsum(others)) - others)).sum())
    return twice / 2 / float(ranking.totals[0] * ranking.totals[1])


def auc_covariance(
    positive: Numbers, scores: Sequence[Numbers], rankings: Sequence[Occurrences] | None = None
) -> tuple[Array, Array]:
    """AUCs and their covariance matrix.

    Args:
        positive: (n,) True for the positive class; two rows of each class at least.
        scores: of each model (n,), of the same rows.
        rankings: The rows by each of the scores, where they are known.

    Returns:
        (models,) AUCs and their (models, models) covariance by DeLong's structural components: of the rows of each
        class, the covariance of the shares of the others that are below, over how many these rows are.
    """
    rankings = rankings or [tally(score, positive, size=2) for score in scores]
    aucs, (others, hits) = np.array([auc_of(found) for found in rankings]), rankings[0].counts.tolist()
    squares = np.zeros((2, len(scores), len(scores)))
    for start in range(0, len(positive), SORTED_ROWS):
        rows = slice(start, start + SORTED_ROWS)
        hit = positive[rows].astype(bool)
        twice = [found.below(score[rows]) for found, score in zip(rankings, scores, strict=True)]
        for place, (where, other, below, means) in enumerate(((hit, 0, others, aucs), (~hit, 1, hits, 1 - aucs))):
            apart = np.stack([one[where, other] for one in twice]) / (2 * below) - means[:, None]
            squares[place] += apart @ apart.T
    return aucs, squares[0] / (hits - 1) / hits + squares[1] / (others - 1) / others


def compare_auc(
    positive: Numbers,
    first: Numbers,
    second: Numbers,
    confidence: float = 0.95,
    rankings: Sequence[Occurrences] | None = None,
) -> AucDifference:
    """Compare two scores of the same rows by DeLong's test.

    With fewer than two rows of a class there is no variance, and the ends of the interval are None.
    """
    from scipy.special import ndtr, ndtri  # scipy.stats takes longer to import than most tables to evaluate

    rankings = rankings or [tally(score, positive, size=2) for score in (first, second)]
    if min(rankings[0].counts) < 2:
        return AucDifference(Interval(auc_of(rankings[0]) - auc_of(rankings[1]), None, None), 1.0)
    aucs, covariance = auc_covariance(positive, [first, second], rankings)
    difference = float(aucs[0] - aucs[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    error = float(np.sqrt(max(variance, 0.0)))
    if error < 1e-12:  # the same order of rows: no noise is left
        return AucDifference(Interval(difference, difference, difference), float(abs(difference) < 1e-12))
    reach = float(ndtri((1 + confidence) / 2)) * error
    p_value = float(2 * ndtr(-abs(difference) / error))
    return AucDifference(Interval(difference, difference - reach, difference + reach), p_value)
