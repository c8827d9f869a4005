"""What each metric sums over the rows, by their weights, and its value from those sums.

The functions that build terms take n scored rows. The functions that estimate take the list of sums (one array of
shape (replicates, size) for each code, then one for the values) and give (replicates,) values, NaN where undefined.
"""

from collections.abc import Callable

import numpy as np

from kubeline.evaluation import losses
from kubeline.evaluation.bootstrap import Terms
from kubeline.evaluation.kept import Kept
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.tally import Occurrences
from kubeline.typing import Array

BINS = 512  # of a score, half of them by the quantiles of each class


# --- labels: counts of (true and predicted, true, predicted) for each class -----------------------------------------


def labels(scored: Scored) -> Terms:
    """The counts that every metric of predicted classes needs."""
    size = len(scored.classes)
    hit = scored.column(lambda some: np.where(some.target == some.prediction, some.target, size))
    return Terms(codes=((hit, size + 1), (scored.target, size), (scored.prediction, size)), weights=scored.weights)


def accuracy(sums: list[Array], _: Terms) -> Array:
    """The share of rows with the right class."""
    hits, true, _predicted = sums
    share: Array = hits[:, :-1].sum(axis=1) / true.sum(axis=1)
    return share


def balanced_accuracy(sums: list[Array], _: Terms) -> Array:
    """The mean recall of the classes that occur."""
    hits, true, _predicted = sums
    return _mean_where(hits[:, :-1], true, true > 0)


def macro_f1(sums: list[Array], _: Terms) -> Array:
    """The mean F1 of the classes that occur or are predicted."""
    hits, true, predicted = sums
    return _mean_where(2 * hits[:, :-1], true + predicted, true + predicted > 0)


def f1(sums: list[Array], _: Terms) -> Array:
    """F1 of the positive class."""
    hits, true, predicted = sums
    return _ratio(2 * hits[:, 1], true[:, 1] + predicted[:, 1])


def precision(sums: list[Array], _: Terms) -> Array:
    """The share of the rows predicted positive that are positive."""
    hits, _true, predicted = sums
    return _ratio(hits[:, 1], predicted[:, 1])


def recall(sums: list[Array], _: Terms) -> Array:
    """The share of the positive rows that are predicted positive."""
    hits, true, _predicted = sums
    return _ratio(hits[:, 1], true[:, 1])


# --- means of one number for each row -------------------------------------------------------------------------------


def log_losses(scored: Scored) -> Array:
    """(n,) minus the logarithm of the probability given to the true class."""
    if scored.probabilities is None:
        raise TypeError("a regression has no class probabilities")
    return losses.log_losses(scored.probabilities, scored.target)


def log_loss(scored: Scored) -> Terms:
    """The mean of that."""
    return _mean_of(scored, log_losses)


def brier(scored: Scored) -> Terms:
    """The squared error of the positive class's probability."""
    return _mean_of(scored, lambda some: (some.score - some.positive) ** 2)


def relative_error(scored: Scored) -> Terms:
    """The absolute error as a share of the target."""
    return _mean_of(scored, lambda some: np.abs((some.target - some.prediction) / some.target))


def mean(sums: list[Array], _: Terms) -> Array:
    """The mean of the first value; the second adds up the weights."""
    return _ratio(sums[-1][:, 0], sums[-1][:, 1])


# --- errors of a regression -----------------------------------------------------------------------------------------


def errors(scored: Scored) -> Terms:
    """Absolute and squared error, the centred target and its square, and the count."""
    middle = scored.mean(scored.target)

    def values(some: Scored) -> Array:
        error, centred = some.target - some.prediction, some.target - middle
        return np.column_stack([np.abs(error), error**2, centred, centred**2, np.ones(len(some))])

    return Terms(values=scored.column(values), weights=scored.weights)


def mae(sums: list[Array], _: Terms) -> Array:
    """The mean absolute error."""
    return _ratio(sums[0][:, 0], sums[0][:, 4])


def rmse(sums: list[Array], _: Terms) -> Array:
    """The root of the mean squared error."""
    return np.sqrt(_ratio(sums[0][:, 1], sums[0][:, 4]))


def r2(sums: list[Array], _: Terms) -> Array:
    """One minus the squared error over that of the mean."""
    squared, centred, centred_squared, count = (sums[0][:, column] for column in (1, 2, 3, 4))
    return 1 - _ratio(squared, centred_squared - _ratio(centred**2, count))


def error_bins(scored: Scored) -> Terms:
    """Absolute errors in quantile bins; `grid` holds the bins' upper edges."""
    edges = np.unique(ranked_errors(scored).quantiles(np.linspace(0, 1, 4 * BINS)))
    codes = scored.column(lambda some: np.searchsorted(edges, absolute_errors(some)))
    return Terms(codes=((codes, len(edges)),), grid=edges, weights=scored.weights)


def absolute_errors(scored: Scored) -> Array:
    """(n,) how far a regression's predictions are from the truth."""
    apart: Array = np.abs(scored.target - scored.prediction)
    return apart


def ranked_errors(scored: Scored) -> Occurrences:
    """The rows by that."""
    return scored.ranked_by("absolute error", absolute_errors)


def median(sums: list[Array], found: Terms) -> Array:
    """The upper edge of the bin that holds the middle row."""
    if found.grid is None:
        raise TypeError("the median needs the edges of its bins")
    cumulative = np.cumsum(sums[0], axis=1)
    middle = (cumulative >= cumulative[:, -1:] / 2).argmax(axis=1)
    values: Array = found.grid[middle]
    return values


# --- the order of scores --------------------------------------------------------------------------------------------


def score_bins(scored: Scored) -> Terms:
    """The positive class's score in bins, by class: code 2 * bin + class."""
    return Terms(codes=(_binned(scored, 1, BINS),), weights=scored.weights)


def class_score_bins(scored: Scored) -> Terms:
    """The same for each class that occurs, against the rest; fewer bins when there are many classes."""
    present = np.flatnonzero(scored.class_counts[0])
    bins = max(32, BINS // len(present))
    return Terms(codes=tuple(_binned(scored, int(code), bins) for code in present), weights=scored.weights)


def roc_auc(sums: list[Array], _: Terms) -> Array:
    """The chance that a positive row scores above a negative one."""
    negative, positive = sums[0][:, 0::2], sums[0][:, 1::2]
    below = np.cumsum(negative, axis=1) - negative / 2
    return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def macro_roc_auc(sums: list[Array], found: Terms) -> Array:
    """The mean over the classes that occur of their AUC against the rest."""
    mean: Array = np.mean([roc_auc([part], found) for part in sums], axis=0)
    return mean


def average_precision(sums: list[Array], _: Terms) -> Array:
    """Precision at each threshold, weighted by the recall it adds."""
    positive = sums[0][:, 1::2][:, ::-1]
    rows = positive + sums[0][:, 0::2][:, ::-1]
    above = np.maximum(np.cumsum(rows, axis=1), 1e-12)
    return _ratio((positive * np.cumsum(positive, axis=1) / above).sum(axis=1), positive.sum(axis=1))


# --- helpers --------------------------------------------------------------------------------------------------------


def _mean_of(scored: Scored, numbers: Callable[[Scored], Array]) -> Terms:
    values = scored.column(lambda some: np.column_stack([numbers(some), np.ones(len(some))]))
    return Terms(values=values, weights=scored.weights)


def _ratio(part: Array, whole: Array) -> Array:
    ratio: Array = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return ratio


def _mean_where(part: Array, whole: Array, where: Array) -> Array:
    shares = np.divide(part, whole, out=np.zeros(np.shape(part)), where=where)
    return _ratio(shares.sum(axis=1), where.sum(axis=1))


def _binned(scored: Scored, code: int, bins: int) -> tuple[Kept, int]:
    """Codes 2 * bin + whether it is of a class, and how many there are; bins are finer where either kind is dense."""
    ranking, shares = scored.ranking(code), np.linspace(0, 1, bins // 2)
    edges = [ranking.quantiles(shares, kind) for kind in (1, 0) if ranking.counts[kind]]
    grid = np.unique(np.concatenate(edges))
    size = 2 * (len(grid) + 1)

    def codes(some: Scored) -> Array:
        found = 2 * np.searchsorted(grid, some.probability_of(code)) + (some.target == code)
        small: Array = found.astype(np.min_scalar_type(size))
        return small

    return Kept.of(map(codes, scored.pieces())), size
