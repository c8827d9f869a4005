"""Whether a probability of 0.3 comes true in 30 of 100 rows."""

from dataclasses import dataclass

import numpy as np

from kubeline.evaluation.bootstrap import Bootstrap, Interval, Terms
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.tally import Occurrences
from kubeline.typing import Array

BINS = 15  # of the probabilities


@dataclass(frozen=True)
class Reliability:
    """Predicted probability against observed share, in bins of about equal size.

    Attributes:
        predicted: (bins,) mean probability.
        observed: (bins,) share of rows in which it came true.
        lower, upper: (bins,) 95 % Wilson interval of `observed`.
        rows: (bins,) rows, or their weights.
        event: What the probability is of.
    """

    predicted: Array
    observed: Array
    lower: Array
    upper: Array
    rows: Array
    event: str

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap between predicted and observed, over rows."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.rows))


def reliability(scored: Scored, bins: int = BINS) -> Reliability:
    """The reliability curve of the positive class, or of the predicted class where there are more than two."""
    edges, event = _edges(scored, bins)
    found = np.zeros((4, len(edges) + 1))
    for some in scored.pieces():
        code, probability, happened = np.searchsorted(edges, _probability(some)), _probability(some), _happened(some)
        weights = np.ones(len(code)) if some.weights is None else some.weights
        sums = (weights, weights * probability, weights * happened, weights**2)
        found += [np.bincount(code, each, found.shape[1]) for each in sums]
    found = found[:, found[0] > 0]  # an empty bin is none
    rows, predicted, observed = found[0], found[1] / found[0], found[2] / found[0]
    effective = rows**2 / found[3]  # as many rows of equal weight would say as much (Kish, 1965)
    return Reliability(predicted, observed, *_wilson(observed, effective), rows, event)


def error_interval(scored: Scored, bootstrap: Bootstrap, confidence: float = 0.95, bins: int = BINS) -> Interval:
    """The expected calibration error with an interval that holds the true one of these bins at least so often.

    The error is a mean of absolute gaps, and greater than the true one by noise: where a model is calibrated it is
    never 0, nor is any of its replicates, so that quantiles of these would exclude 0 always. What is resampled is
    therefore the noise of each bin, a replicate's gap minus the one found. By the triangle inequality the two errors
    differ by at most the mean of its absolute values, of which the quantile is taken. An interval above 0 says that the
    model is not calibrated.

    Args:
        scored: The model on n rows.
        bootstrap: Of these rows, whole clusters where they belong together.
        confidence: Of the interval.
        bins: Of the probabilities; they are taken as given.
    """
    edges, _ = _edges(scored, bins)

    def gaps(some: Scored) -> Array:
        gaps = np.zeros((len(some), len(edges) + 1))
        code = np.searchsorted(edges, _probability(some))
        gaps[np.arange(len(some)), code] = _probability(some).astype(np.float64) - _happened(some)
        return gaps

    code = scored.column(lambda some: np.searchsorted(edges, _probability(some)))
    terms = Terms(codes=((code, len(edges) + 1),), values=scored.column(gaps), weights=scored.weights)
    (rows,), (found,) = terms.totals()
    there = rows > 0  # an empty bin is none
    rows, found = rows[there], found[there]
    counts, sums = (each[:, there] for each in bootstrap.sums(terms))
    noise = np.divide(sums, counts, out=np.tile(found / rows, (len(sums), 1)), where=counts > 0) - found / rows
    reach = float(np.quantile(np.abs(noise) @ (rows / rows.sum()), confidence))
    error = float(np.abs(found).sum() / rows.sum())
    return Interval(error, max(error - reach, 0.0), min(error + reach, 1.0))


def ranked(scored: Scored) -> Occurrences:
    """The rows by that probability: how many in which it did not come true, and in which it did."""
    return scored.ranking() if scored.task == "binary" else scored.ranked_by("probability", _probability, _happened)


def _edges(scored: Scored, bins: int) -> tuple[Array, str]:
    """The upper edges of all bins but the last, and what the probability is of."""
    event = f"'{scored.classes[1]}'" if scored.task == "binary" else "the predicted class"
    return np.unique(ranked(scored).quantiles(np.linspace(0, 1, bins + 1)[1:-1])), event


def _probability(scored: Scored) -> Array:
    """(n,) of the positive class, or of the predicted one where there are more than two."""
    if scored.task == "binary":
        return scored.held_score
    most: Array = scored.class_probabilities.max(axis=1)
    return most


def _happened(scored: Scored) -> Array:
    """(n,) whether it came true."""
    return scored.positive if scored.task == "binary" else np.equal(scored.target, scored.prediction)


def _wilson(share: Array, rows: Array, z: float = 1.96) -> tuple[Array, Array]:
    """The score interval of a share (Wilson, 1927), sound for small counts and near 0 and 1."""
    centre = share + z**2 / (2 * rows)
    reach = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    scale = 1 + z**2 / rows
    return np.maximum((centre - reach) / scale, 0), np.minimum((centre + reach) / scale, 1)
