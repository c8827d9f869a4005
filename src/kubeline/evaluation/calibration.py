"""Whether a probability of 0.3 comes true in 30 of 100 rows."""

from dataclasses import dataclass

import numpy as np

from kubeline.evaluation.bootstrap import Bootstrap, Interval, Terms, pieces
from kubeline.evaluation.scored import Scored
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
    code, probability, happened, event = _binned(scored, bins)
    found = np.zeros((4, int(code.max()) + 1))
    for some in pieces(len(code)):
        weights = np.ones(len(code[some])) if scored.weights is None else scored.weights[some]
        sums = (weights, weights * probability[some], weights * happened[some], weights**2)
        found += [np.bincount(code[some], each, found.shape[1]) for each in sums]
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
    code, probability, happened, _ = _binned(scored, bins)
    gaps = np.zeros((len(code), int(code.max()) + 1))
    gaps[np.arange(len(code)), code] = probability.astype(np.float64) - happened
    terms = Terms(codes=((code, gaps.shape[1]),), values=gaps, weights=scored.weights)
    (rows,), (found,) = terms.totals()
    counts, sums = bootstrap.sums(terms)
    noise = np.divide(sums, counts, out=np.tile(found / rows, (len(sums), 1)), where=counts > 0) - found / rows
    reach = float(np.quantile(np.abs(noise) @ (rows / rows.sum()), confidence))
    error = float(np.abs(found).sum() / rows.sum())
    return Interval(error, max(error - reach, 0.0), min(error + reach, 1.0))


def _binned(scored: Scored, bins: int) -> tuple[Array, Array, Array, str]:
    """Of each row its bin, the probability and whether it came true; and what the probability is of."""
    if scored.task == "binary":
        probability, happened = scored.held_score, scored.positive
        event = f"'{scored.classes[1]}'"
    else:
        probability, happened = scored.class_probabilities.max(axis=1), scored.target == scored.prediction
        event = "the predicted class"
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    code, counts = np.empty(len(scored), np.min_scalar_type(bins)), np.zeros(len(edges) + 1)
    for some in pieces(len(scored)):
        code[some] = np.searchsorted(edges, probability[some])
        counts += np.bincount(code[some], minlength=len(counts))
    present = (np.cumsum(counts > 0) - 1).astype(code.dtype)  # an empty bin is none
    return present[code], probability, happened, event


def _wilson(share: Array, rows: Array, z: float = 1.96) -> tuple[Array, Array]:
    """The score interval of a share (Wilson, 1927), sound for small counts and near 0 and 1."""
    centre = share + z**2 / (2 * rows)
    reach = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    scale = 1 + z**2 / rows
    return np.maximum((centre - reach) / scale, 0), np.minimum((centre + reach) / scale, 1)
