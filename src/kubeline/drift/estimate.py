"""How well a model does on rows without labels, as far as its own answers show.

Confidence-based performance estimation: a row whose calibrated probability is p is of the class with chance p, so that
the AUC of a window (of two classes) or its log loss (of more) is known in expectation. The probabilities are calibrated
by the curves of the rows that training held out. Of a regression, the squared error is expected that held-out rows with
such a prediction had (direct loss estimation by the prediction alone). A change of what the columns hold is seen; a
change of what follows from them is not: that takes labels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kubeline.drift.profile import Calibration, Losses, Profile
from kubeline.drift.result import Performance, is_worse
from kubeline.evaluation.calibration import BINS as RELIABILITY
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.typing import Array

BINS = 20_000  # of the scores: counts in them do not depend on the order of rows, and rows of one bin count as ties
MIN_ROWS = 50
_Z = 1.96
_SMALLEST = float(np.finfo(np.float32).eps)  # of a probability in a logarithm, as where labels are known
_ASSUMED = "estimated, as long as the same columns still mean the same outcome, which labels alone can show"


@dataclass(frozen=True)
class Estimate:
    """A metric and its standard error."""

    value: float
    error: float


def estimated_by(profile: Profile, signature: Signature) -> "Estimated | None":
    """What counts the answers of this model; None where its package does not say what to expect."""
    if signature.task == "binary" and profile.calibration:
        return EstimatedAuc(profile.calibration, signature.positive_code)
    if signature.task == "multiclass" and profile.calibrations:
        return EstimatedLogLoss(profile.calibrations, signature.classes or ())
    return EstimatedRmse(profile.losses) if signature.task == "regression" and profile.losses else None


def performance(counted: "Estimated", metrics: Mapping[str, float]) -> Performance | None:
    """The estimate with its 95 % interval, beside the one of `metrics`, the validation.

    None of too few rows, and where only one class is expected.
    """
    if counted.rows < MIN_ROWS:
        return None
    found, validation = counted.estimate(), metrics.get(counted.metric)
    if not math.isfinite(found.value):
        return None
    most = 1.0 if counted.greater_is_better else math.inf
    lower, upper = max(found.value - _Z * found.error, 0.0), min(found.value + _Z * found.error, most)
    return Performance(
        metric=counted.metric,
        label=counted.label,
        value=found.value,
        lower=lower,
        upper=upper,
        validation=validation,
        worse=is_worse(validation, lower, upper, counted.greater_is_better),
        rows=counted.rows,
        assumed=_ASSUMED,
        estimated=True,
        calibration=counted.calibration(),
    )


class EstimatedAuc:
    """The AUC of two classes.

    Args:
        calibration: what became of the scores of the held-out rows.
        code: the place of the positive class.
    """

    metric, label, greater_is_better = "roc_auc", "ROC AUC", True

    def __init__(self, calibration: Calibration, code: int = 1) -> None:
        self.curve = calibration
        self._code = code
        self._counts: Array = np.zeros(BINS, dtype=np.int64)
        self._sums: Array = np.zeros(BINS)

    @property
    def rows(self) -> int:
        """Rows that were counted."""
        return int(self._counts.sum())

    def add(self, answers: Predictions) -> None:
        """Count a chunk."""
        assert answers.probabilities is not None  # noqa: S101 (of a classification)
        scores = answers.probabilities[:, self._code].astype(float)
        place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
        self._counts += np.bincount(place, minlength=BINS)
        self._sums += np.bincount(place, scores, minlength=BINS)

    def estimate(self) -> Estimate:
        """The AUC of all that was counted."""
        scores, counts = self._counted()
        return expected_auc(calibrated(scores, self.curve), counts, self.curve)

    def calibration(self) -> float:
        """The expected calibration error."""
        scores, counts = self._counted()
        return expected_gap(scores, calibrated(scores, self.curve), counts)

    def _counted(self) -> tuple[Array, Array]:
        """(k,) mean scores of the bins that are not empty, ascending, and their rows."""
        filled = self._counts > 0
        return self._sums[filled] / self._counts[filled], self._counts[filled]


class EstimatedLogLoss:
    """The log loss of several classes.

    Args:
        calibrations: what became of the scores of the held-out rows, by class.
        classes: in the order of the probabilities.
    """

    metric, label, greater_is_better = "log_loss", "Log loss", False

    def __init__(self, calibrations: Mapping[str, Calibration], classes: Sequence[str]) -> None:
        self._calibrations = [calibrations[name] for name in classes]
        self.rows = 0
        self._sum = self._squares = self._spread = 0.0
        self._of_predicted: Array = np.zeros((3, BINS))  # rows, scores and chances of the predicted class

    def add(self, answers: Predictions) -> None:
        """Count a chunk."""
        assert answers.probabilities is not None  # noqa: S101 (of a classification)
        scores = answers.probabilities.astype(float)
        chances = np.column_stack([calibrated(scores[:, k], each) for k, each in enumerate(self._calibrations)])
        chances /= np.maximum(chances.sum(axis=1, keepdims=True), 1e-300)
        own = np.arange(len(scores)), scores.argmax(axis=1)
        place = np.minimum((scores[own] * BINS).astype(np.int64), BINS - 1)
        for k, sums in enumerate((np.ones(len(scores)), scores[own], chances[own])):
            self._of_predicted[k] += np.bincount(place, sums, minlength=BINS)
        given = -np.log(np.clip(scores, _SMALLEST, 1 - _SMALLEST))
        means = (chances * given).sum(axis=1)
        self.rows += len(means)
        self._sum += float(means.sum())
        self._squares += float((means**2).sum())
        self._spread += float(((chances * given**2).sum(axis=1) - means**2).sum())

    def estimate(self) -> Estimate:
        """The mean of all that was counted; the error is that of its labels and rows, and of the held-out rows."""
        value = self._sum / self.rows
        variance = max(self._spread / self.rows + self._squares / self.rows - value**2, 0.0)
        return Estimate(value, math.sqrt(variance * (1 / self.rows + 1 / self._calibrations[0].rows)))

    def calibration(self) -> float:
        """The expected calibration error of the predicted class."""
        rows, scores, chances = self._of_predicted[:, self._of_predicted[0] > 0]
        return expected_gap(scores / rows, chances / rows, rows)


class EstimatedRmse:
    """The root of the mean squared error of a regression.

    Args:
        losses: the errors of the held-out rows by prediction.
    """

    metric, label, greater_is_better = "rmse", "RMSE", False

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._counts: Array = np.zeros(len(losses.means), dtype=np.int64)

    @property
    def rows(self) -> int:
        """Rows that were counted."""
        return int(self._counts.sum())

    def add(self, answers: Predictions) -> None:
        """Count a chunk."""
        place = np.searchsorted(self._losses.edges, answers.values.astype(float))
        self._counts += np.bincount(place, minlength=len(self._counts))

    def estimate(self) -> Estimate:
        """The root; the error is that of the window's rows and of the held-out rows of each bin."""
        shares = self._counts / self._counts.sum()
        means, variances = np.array(self._losses.means), np.array(self._losses.variances)
        held = np.maximum(self._losses.rows, 1)
        value = float((shares * means).sum())
        of_rows = float((shares * (variances + (means - value) ** 2)).sum()) / self.rows
        variance = of_rows + float((shares**2 * variances / held).sum())
        root = math.sqrt(value)
        return Estimate(root, math.sqrt(variance) / (2 * root) if root else 0.0)

    def calibration(self) -> None:
        """A regression has no probabilities."""


Estimated = EstimatedAuc | EstimatedLogLoss | EstimatedRmse
"""Counts the answers for a window, chunk by chunk, and gives what is to be expected of them."""


def calibrated(scores: Array, calibration: Calibration) -> Array:
    """The chance of being positive by score, from the curve: straight between its knots, flat beyond them."""
    return np.interp(scores, calibration.scores, calibration.rates)


def expected_gap(scores: Array, chances: Array, counts: Array) -> float:
    """The mean gap between probability and chance, in bins of about equal size as where labels are known.

    Args:
        scores: (k,) ascending.
        chances: (k,) of each.
        counts: (k,) rows that have it.
    """
    bins = np.minimum((np.cumsum(counts) - counts / 2) / counts.sum() * RELIABILITY, RELIABILITY - 1).astype(np.int64)
    return float(np.abs(np.bincount(bins, (scores - chances) * counts)).sum() / counts.sum())


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
    if not positives * negatives:
        return Estimate(math.nan, math.nan)
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
