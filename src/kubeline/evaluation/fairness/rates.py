"""What a model does to each group of rows, and how far they are apart, with an interval that holds for all pairs.

A rate is a ratio of two sums over the rows of a group, so that its spread comes from the replicates of every other
interval here, by weight and by cluster. The greatest difference between groups is never negative and grows with their
number by chance alone, and so does a percentile interval of it. The interval here is that of Tukey and Kramer: all
pairs of groups have one each that hold together, and the greatest difference lies between the greatest lower and the
greatest upper end.

Values agree with fairlearn's functions and its MetricFrame. Sources: Tukey (1953), The Problem of Multiple Comparisons;
Hayter (1984), A Proof of the Conjecture that the Tukey-Kramer Multiple Comparisons Procedure is Conservative.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from kubeline.evaluation.bootstrap import Bootstrap, Interval, Terms
from kubeline.evaluation.scored import Scored
from kubeline.typing import Array

FEWEST = 20  # rows that a rate of a group is of, such as its positive ones; with fewer nothing is known of it


@dataclass(frozen=True)
class Rate:
    """A ratio of sums over rows.

    Attributes:
        label: For people.
        part: (n,) what is added up.
        whole: (n,) True for the rows that it is of.
        is_share: Whether it is a share of rows, from 0 to 1.
    """

    label: str
    part: Callable[[Scored], Array]
    whole: Callable[[Scored], Array]
    is_share: bool = True


def _selected(scored: Scored) -> Array:
    return np.equal(scored.prediction, 1)


def _every(scored: Scored) -> Array:
    return np.ones(len(scored), dtype=bool)


RATES: Mapping[str, Rate] = {
    "selection_rate": Rate("Predicted positive", _selected, _every),
    "true_positive_rate": Rate(
        "True positive rate", lambda scored: _selected(scored) & scored.positive, lambda scored: scored.positive
    ),
    "false_positive_rate": Rate(
        "False positive rate", lambda scored: _selected(scored) & ~scored.positive, lambda scored: ~scored.positive
    ),
    "accuracy_score": Rate("Accuracy", lambda scored: np.equal(scored.prediction, scored.target), _every),
    "mean_prediction": Rate("Mean prediction", lambda scored: scored.prediction, _every, is_share=False),
    "mean_absolute_error": Rate(
        "Mean absolute error", lambda scored: np.abs(scored.target - scored.prediction), _every, is_share=False
    ),
}


@dataclass(frozen=True)
class GroupRate:
    """A rate of one group.

    Attributes:
        value: The rate; NaN where no row is what it is of.
        rows: That it is of.
        replicates: (replicates,) the rate when the rows are resampled.
        error: Its standard error, never zero for a share: what was not seen once in n rows may still happen.
        moved: The value, but for a share half a row nearer to the middle, so that its logarithm exists.
    """

    value: float
    rows: int
    replicates: Array
    error: float
    moved: float

    def interval(self, confidence: float, is_share: bool) -> Interval:
        """The rate with an interval of its own."""
        from scipy.special import ndtri

        if not np.isfinite(self.error):
            return Interval(self.value, None, None)
        reach = float(ndtri((1 + confidence) / 2)) * self.error
        low, high = self.value - reach, self.value + reach
        return Interval(self.value, max(low, 0.0), min(high, 1.0)) if is_share else Interval(self.value, low, high)


def measure(names: Sequence[str], scored: Scored, bootstrap: Bootstrap) -> dict[str, GroupRate]:
    """Some rates of some rows; `bootstrap` is of these rows, and shares its replicates with other groups."""

    def amounts(some: Scored) -> Array:
        wholes = [RATES[name].whole(some) for name in names]
        parts = [RATES[name].part(some) * whole for name, whole in zip(names, wholes, strict=True)]
        return np.column_stack([*parts, *wholes]).astype(np.float64)

    terms = Terms(values=scored.column(amounts), weights=scored.weights)
    rows, effective = _counted(names, scored)
    (above, below), (replicated, of) = (
        np.split(sums[-1], 2, axis=1) for sums in (terms.totals(), bootstrap.sums(terms))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        values, replicates = (above / below)[0], replicated / of
    return {
        name: _group_rate(RATES[name], float(value), replicates[:, place], int(rows[place]), effective[place])
        for place, (name, value) in enumerate(zip(names, values, strict=True))
    }


def _counted(names: Sequence[str], scored: Scored) -> tuple[Array, Array]:
    """Of each rate, how many rows it is of, and as how many rows of equal weight say as much."""
    sums = np.zeros((3, len(names)))
    for some in scored.pieces():
        weights = np.ones(len(some)) if some.weights is None else some.weights
        for place, name in enumerate(names):
            whole = RATES[name].whole(some)
            counts = weights[whole]
            sums[:, place] += whole.sum(), counts.sum(), (counts**2).sum()
    with np.errstate(invalid="ignore"):
        return sums[0], sums[1] ** 2 / sums[2]


def _group_rate(rate: Rate, value: float, replicates: Array, rows: int, counted: float) -> GroupRate:
    if not rows:
        return GroupRate(np.nan, 0, replicates, np.nan, np.nan)
    known = replicates[np.isfinite(replicates)]
    error = float(known.std()) if len(known) >= 0.9 * len(replicates) else np.nan
    if not rate.is_share:
        return GroupRate(value, rows, replicates, error, value)
    pulled = (value * counted + 1) / (counted + 2)
    error = max(error, float(np.sqrt(pulled * (1 - pulled) / (counted + 2))))
    return GroupRate(value, rows, replicates, error, (value * counted + 0.5) / (counted + 1))


def difference(groups: Sequence[GroupRate], confidence: float, is_share: bool = True) -> Interval:
    """The greatest difference between two of the groups (fairlearn's ``difference``); there are two or more."""
    value = max(one.value for one in groups) - min(one.value for one in groups)
    ends = _ends(groups, [one.value for one in groups], [1.0] * len(groups), confidence)
    if ends is None:
        return Interval(value, None, None)
    return Interval(value, max(ends[0], 0.0), min(ends[1], 1.0) if is_share else ends[1])


def ratio(groups: Sequence[GroupRate], confidence: float) -> Interval:
    """The smallest rate as a share of the greatest (fairlearn's ``ratio``); NaN where all are zero.

    The interval is that of the greatest difference of logarithms.
    """
    greatest = max(one.value for one in groups)
    value = min(one.value for one in groups) / greatest if greatest else np.nan
    if any(one.moved <= 0 for one in groups) or not greatest:
        return Interval(value, None, None)
    ends = _ends(groups, [np.log(one.moved) for one in groups], [1 / one.moved for one in groups], confidence)
    if ends is None:
        return Interval(value, None, None)
    return Interval(value, min(float(np.exp(-ends[1])), value), max(float(np.exp(-max(ends[0], 0.0))), value))


def worst(intervals: Sequence[Interval], is_ratio: bool) -> Interval:
    """The greatest of some differences, or the smallest of some ratios, whose intervals hold together."""
    most = min if is_ratio else max
    lower = [one.lower for one in intervals if one.lower is not None]
    upper = [one.upper for one in intervals if one.upper is not None]
    value = most(one.value for one in intervals)
    if len(lower) < len(intervals) or len(upper) < len(intervals):
        return Interval(value, None, None)
    return Interval(value, most(lower), most(upper))


def _ends(
    groups: Sequence[GroupRate], values: Sequence[float], slopes: Sequence[float], confidence: float
) -> tuple[float, float] | None:
    """The ends of the greatest difference of `values`, which grow by `slopes` with the rate; None where not known."""
    replicates = np.column_stack([one.replicates for one in groups]) * slopes
    known = replicates[np.isfinite(replicates).all(axis=1)]
    errors = np.array([one.error for one in groups]) * slopes
    if len(known) < 0.9 * len(replicates) or not np.isfinite(errors).all():
        return None
    together = np.cov(known, rowvar=False)  # groups of the same clusters move together
    of_each = together.diagonal()
    spread = np.sqrt(np.maximum(of_each[:, None] + of_each - 2 * together, errors[:, None] ** 2 + errors**2))
    first, second = np.triu_indices(len(groups), 1)
    apart, reach = np.abs(np.subtract.outer(values, values)), _reach(confidence, len(groups)) * spread
    return float((apart - reach)[first, second].max()), float((apart + reach)[first, second].max())


@cache
def _reach(confidence: float, groups: int) -> float:
    """How many standard errors two of so many groups may be apart by chance."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(confidence, groups, np.inf)) / math.sqrt(2)
