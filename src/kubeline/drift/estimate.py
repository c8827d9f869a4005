"""How well a model of two classes does on rows without labels, estimated from its own probabilities.

Confidence-based performance estimation: a row whose calibrated probability is p is positive with chance p, so that the
AUC of a window is known in expectation. The probabilities are calibrated by the curve of the rows that training held
out. A change of what the columns hold is seen; a change of what follows from them is not: that takes labels.
"""

import math
from dataclasses import dataclass

import numpy as np

from kubeline.drift.profile import Calibration
from kubeline.drift.result import Performance
from kubeline.typing import Array

BINS = 20_000  # of the scores: counts in them do not depend on the order of rows, and rows of one bin count as ties
MIN_ROWS = 50
_Z = 1.96
_ASSUMED = "estimated, as long as the same columns still mean the same outcome, which labels alone can tell"


@dataclass(frozen=True)
class Estimate:
    """An AUC and its standard error."""

    value: float
    error: float


class EstimatedAuc:
    """Counts the scores of a window, chunk by chunk.

    Args:
        calibration: what became of the scores of the held-out rows.
    """

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self._counts: Array = np.zeros(BINS, dtype=np.int64)
        self._sums: Array = np.zeros(BINS)

    def add(self, scores: Array) -> None:
        """Count a chunk of (n,) probabilities of the positive class."""
        place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
        self._counts += np.bincount(place, minlength=BINS)
        self._sums += np.bincount(place, scores, minlength=BINS)

    def performance(self, validation: float | None) -> Performance | None:
        """The estimate with its 95 % interval, beside the validation; None of too few rows."""
        rows = int(self._counts.sum())
        if rows < MIN_ROWS:
            return None
        filled = self._counts > 0
        scores = self._sums[filled] / self._counts[filled]
        found = expected_auc(calibrated(scores, self.calibration), self._counts[filled], self.calibration)
        lower, upper = max(found.value - _Z * found.error, 0.0), min(found.value + _Z * found.error, 1.0)
        return Performance(
            metric="roc_auc",
            label="ROC AUC",
            value=found.value,
            lower=lower,
            upper=upper,
            validation=validation,
            worse=validation is not None and upper < validation,
            rows=rows,
            assumed=_ASSUMED,
            estimated=True,
        )


def calibrated(scores: Array, calibration: Calibration) -> Array:
    """The chance of being positive by score, from the curve: straight between its knots, flat beyond them."""
    return np.interp(scores, calibration.scores, calibration.rates)


def expected_auc(chances: Array, counts: Array, calibration: Calibration) -> Estimate:
    """The AUC that is expected where each row is positive with its own chance.

    Args:
        chances: (k,) chances by ascending score, one for each distinct score.
        counts: (k,) rows that have it.
        calibration: The curve, for the error that it has itself.

    Returns:
        The AUC, its standard error that of labels and rows drawn anew and of the held-out rows, each by Hanley and
        McNeil (1982, Radiology 143), whose formula needs the AUC and the numbers of each class.
    """
    positive, negative = chances * counts, (1 - chances) * counts
    positives, negatives = float(positive.sum()), float(negative.sum())
    below = np.cumsum(negative) - negative / 2  # a tie counts half
    value = float((positive * below).sum() / (positives * negatives))
    known = calibration.rows * float(np.clip(calibration.positives / calibration.rows, 1e-9, 1 - 1e-9))
    variance = _variance(value, positives, negatives) + _variance(value, known, calibration.rows - known)
    return Estimate(value, math.sqrt(variance))


def _variance(auc: float, positives: float, negatives: float) -> float:
    both_positive, both_negative = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc)
    spread += (max(positives, 1.0) - 1) * (both_positive - auc**2) + (max(negatives, 1.0) - 1) * (
        both_negative - auc**2
    )
    return spread / (max(positives, 1.0) * max(negatives, 1.0))
