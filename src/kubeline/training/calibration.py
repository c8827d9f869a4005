"""Probability calibration on rows the model did not learn from, in a form that ONNX computes exactly.

skl2onnx exports isotonic calibration as the value of the nearest training score, which is another function than
scikit-learn's, and a step by step function is as steep as rounding errors are small. Here both methods are functions
of the model's probabilities with bounded slope, and :func:`append` writes the same arithmetic into the ONNX graph.
"""

from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from kubeline.training.graph import Graph
from kubeline.typing import Array

Method = Literal["sigmoid", "isotonic"]

CLIP = 1e-6  # probabilities are kept this far from 0 and 1
MAX_SLOPE = 30.0  # float32 probabilities are right to 1e-7, so calibrated ones are right to 3e-6
KNOT_ROWS = 10  # fewer rows do not make a step of the isotonic function


class Calibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted classifier whose probabilities are corrected, class by class, and sum to one again.

    ``sigmoid`` is a logistic function of the log-odds (Platt 1999, without his correction of the targets).
    ``isotonic`` is centered isotonic regression (Oron and Flournoy 2017): the isotonic steps, joined by straight lines
    between their centres.
    """

    def __init__(self, classifier: Any, method: Method):
        self.classifier = classifier
        self.method = method

    def fit(self, X: Any, y: Array, sample_weight: Array | None = None) -> Self:
        """Fit on rows that `classifier` did not see; `y` are positions of classes."""
        probabilities = self.classifier.predict_proba(X)
        self.classes_ = self.classifier.classes_
        weights = np.ones(len(y)) if sample_weight is None else sample_weight
        columns = [1] if len(self.classes_) == 2 else range(len(self.classes_))
        fit = _fit_sigmoid if self.method == "sigmoid" else fit_isotonic
        self.curves_ = [fit(probabilities[:, k].astype(np.float64), (y == k).astype(float), weights) for k in columns]
        return self

    def predict_proba(self, X: Any) -> Array:
        """Calibrated probabilities, shape (rows, classes)."""
        probabilities = self.classifier.predict_proba(X).astype(np.float64)
        apply = _sigmoid if self.method == "sigmoid" else np.interp
        if len(self.classes_) == 2:
            positive = apply(probabilities[:, 1], *self.curves_[0])
            return np.column_stack([1.0 - positive, positive])
        found = np.column_stack([apply(probabilities[:, k], *curve) for k, curve in enumerate(self.curves_)])
        normalised: Array = found / found.sum(axis=1, keepdims=True)
        return normalised

    def predict(self, X: Any) -> Array:
        """Positions of classes, shape (rows,)."""
        classes: Array = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return classes


def _fit_sigmoid(scores: Array, hits: Array, weights: Array) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(hits)) < 2:
        return 1.0, 0.0
    model = LogisticRegression(C=1e6).fit(_log_odds(scores)[:, None], hits, sample_weight=weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _sigmoid(scores: Array, slope: float, offset: float) -> Array:
    odds = slope * _log_odds(scores) + offset
    return np.clip(1.0 / (1.0 + np.exp(-odds)), CLIP, 1.0)


def _log_odds(scores: Array) -> Array:
    clipped = np.clip(scores, CLIP, 1.0 - CLIP)
    return np.log(clipped / (1.0 - clipped))


def fit_isotonic(scores: Array, hits: Array, weights: Array) -> tuple[Array, Array]:
    """Knots (x, y) of the piecewise linear function, both rising."""
    from sklearn.isotonic import IsotonicRegression

    counted = weights > 0
    scores, hits, weights = scores[counted], hits[counted], weights[counted]
    fitted = IsotonicRegression().fit(scores, hits, sample_weight=weights).predict(scores)
    _, block = np.unique(fitted, return_inverse=True)
    rows = np.bincount(block)
    total = np.bincount(block, weights)
    x = np.bincount(block, weights * scores) / total
    y = np.bincount(block, weights * hits) / total
    knots: list[tuple[float, float, float, int]] = []
    for knot in zip(x, y, total, rows, strict=True):
        knots.append(knot)
        while len(knots) > 1 and _too_close(knots[-2], knots[-1]):
            knots.append(_merged(knots.pop(), knots.pop()))
    return np.array([knot[0] for knot in knots]), np.clip([knot[1] for knot in knots], CLIP, 1.0)


def _too_close(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return min(one[3], other[3]) < KNOT_ROWS or other[1] - one[1] > MAX_SLOPE * (other[0] - one[0])


def _merged(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, float, float, int]:
    weight = one[2] + other[2]
    x, y = ((one[i] * one[2] + other[i] * other[2]) / weight for i in (0, 1))
    return x, y, weight, int(one[3] + other[3])


def append(graph: Graph, output: str, calibrated: Calibrated) -> str:
    """Add the calibration to an ONNX graph behind `output`, shape (rows, classes), and return the new output's name."""
    apply = _append_sigmoid if calibrated.method == "sigmoid" else _append_curve
    if len(calibrated.classes_) == 2:
        positive = apply(graph, graph.column(output, 1), *calibrated.curves_[0])
        columns = [graph.add("Sub", graph.constant([1.0]), positive), positive]
        return graph.add("Concat", *columns, axis=1)
    columns = [apply(graph, graph.column(output, k), *curve) for k, curve in enumerate(calibrated.curves_)]
    joined = graph.add("Concat", *columns, axis=1)
    total = graph.add("ReduceSum", joined, graph.constant(np.array([1])), keepdims=1)
    return graph.add("Div", joined, total)


def _append_sigmoid(graph: Graph, scores: str, slope: float, offset: float) -> str:
    low, high = graph.constant(np.float32(CLIP)), graph.constant(np.float32(1.0 - CLIP))
    clipped = graph.add("Clip", scores, low, high)
    rest = graph.add("Sub", graph.constant([1.0]), clipped)
    log_odds = graph.add("Log", graph.add("Div", clipped, rest))
    odds = graph.add("Add", graph.add("Mul", log_odds, graph.constant([slope])), graph.constant([offset]))
    return graph.add("Clip", graph.add("Sigmoid", odds), low, graph.constant(np.float32(1.0)))


def _append_curve(graph: Graph, scores: str, x: Array, y: Array) -> str:
    """The first value, and from each segment its slope times how far the score is into it."""
    first = graph.constant([y[0]])
    if len(x) == 1:
        return graph.add("Add", graph.add("Mul", scores, graph.constant([0.0])), first)
    into = graph.add("Sub", scores, graph.constant(x[None, :-1]))
    into = graph.add("Min", graph.add("Max", into, graph.constant([0.0])), graph.constant(np.diff(x)[None, :]))
    rises = graph.add("MatMul", into, graph.constant((np.diff(y) / np.diff(x))[:, None]))
    return graph.add("Add", rises, first)
