"""What became of the rows that training held out, kept in the package: what the model may expect of rows to come."""

from typing import Any

import numpy as np

from kubeline.drift.profile import Calibration, Losses
from kubeline.training.calibration import fit_isotonic
from kubeline.training.trained import Trained
from kubeline.typing import Array

BINS = 20  # of the predictions of a regression, at most
CLASS_ROWS = 20  # held-out rows for each of several classes, at least and in the mean
BIN_ROWS = 50  # held-out rows of one, at least


def of_held_out(trained: Trained) -> dict[str, Any]:
    """How often each class came by its score, or the errors of a regression, by the field of the profile for it."""
    weights = trained.table.weights
    counts = np.ones(len(trained.held)) if weights is None else weights[trained.held]
    target, found, signature = trained.table.y[trained.held], trained.predictions, trained.signature
    if found.probabilities is None:
        return {"losses": losses(found.values.astype(np.float64), target.astype(np.float64), counts)}
    scores = found.probabilities.astype(np.float64)
    if signature.task == "binary":
        code = signature.positive_code
        return {"calibration": calibration(scores[:, code], target == code, counts)}
    classes = signature.classes or []
    if len(scores) < CLASS_ROWS * len(classes):  # a curve of a handful of rows says that what it has not seen never is
        return {}
    names = enumerate(classes)
    return {"calibrations": {name: calibration(scores[:, code], target == code, counts) for code, name in names}}


def calibration(scores: Array, hits: Array, counts: Array) -> Calibration:
    """The share of rows of one class by score; (n,) scores, whether a row is of the class, and how much it counts."""
    hits = hits.astype(float)
    order = np.lexsort((counts, hits, scores))  # sums do not depend on the order of rows
    x, y = fit_isotonic(scores[order], hits[order], counts[order])
    share = float((hits * counts).sum() / counts.sum())
    return Calibration(scores=_digits(x), rates=_digits(y), rows=len(hits), positives=_digits([share * len(hits)])[0])


def losses(predictions: Array, target: Array, counts: Array) -> Losses:
    """The squared errors by prediction, in bins of about equal numbers of rows; each argument is (n,)."""
    bins = int(np.clip(len(predictions) // BIN_ROWS, 1, BINS))
    edges = np.unique(np.quantile(predictions, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    place = np.searchsorted(edges, predictions)
    order = np.lexsort((counts, target, predictions))
    errors, place, counts = (predictions - target)[order] ** 2, place[order], counts[order]
    rows, total = np.bincount(place, minlength=len(edges) + 1), np.bincount(place, counts, len(edges) + 1)
    filled = np.maximum(total, 1e-300)
    means = np.bincount(place, counts * errors, len(edges) + 1) / filled
    variances = np.bincount(place, counts * (errors - means[place]) ** 2, len(edges) + 1) / filled
    return Losses(edges=_digits(edges), means=_digits(means), variances=_digits(variances), rows=rows.tolist())


def _digits(values: Any) -> list[float]:
    """To nine digits, beyond which they are rounding errors."""
    return [float(f"{value:.9g}") for value in values]
