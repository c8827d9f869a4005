"""A regression's target, moved to zero before the fit and back in float64 afterwards.

Trees, and ONNX, add up in float32, which distinguishes seven digits: of a target of three million with a spread of one,
that is less than the spread. Around zero, all seven are of the spread.
"""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from kubeline.numbers import power_of_two
from kubeline.training.graph import Graph
from kubeline.typing import Array

# Where the spread is beyond these, a power of two brings it to one: XGBoost takes a gain below 1e-6 for none, and
# float32 ends at 3e38, squares at 1e19. Between them the target keeps its unit, which parameters such as gamma are in.
SMALLEST_SPREAD = 2.0**-7
LARGEST_SPREAD = 2.0**20


def spread(values: Array) -> float:
    """The standard deviation, also of values whose squares are no float64."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0:
        return 0.0
    unit = power_of_two(largest)
    return float(np.std(values / unit)) * unit


class Moved(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A regressor of (target - origin) / unit, that answers in the target's own numbers."""

    def __init__(self, regressor: Any, origin: float, unit: float):
        self.regressor = regressor
        self.origin = origin
        self.unit = unit

    @classmethod
    def around(cls, regressor: Any, y: Array, keep_origin: bool) -> Self:
        """For the targets of the rows to learn from.

        Args:
            regressor: a pipeline, not fitted yet.
            y: float64, shape (rows,).
            keep_origin: for a loss that needs targets above zero.
        """
        wide = spread(y)
        unit = power_of_two(wide) if wide and not SMALLEST_SPREAD <= wide <= LARGEST_SPREAD else 1.0
        origin = 0.0 if keep_origin else float(np.mean(y / unit)) * unit
        return cls(regressor, origin, unit)

    @property
    def of_logarithm(self) -> bool:
        """Whether the sum of the trees is the logarithm of the answer, as with two losses of HistGradientBoosting."""
        return getattr(self.regressor[-1], "loss", "") in ("poisson", "gamma")

    def fit(self, X: Any, y: Array, **options: Any) -> Self:
        """Fit the regressor."""
        self.regressor.fit(X, (y - self.origin) / self.unit, **options)
        return self

    def predict(self, X: Any) -> Array:
        """Float64, shape (rows,)."""
        found = np.asarray(self.regressor.predict(X), dtype=np.float64).reshape(-1)
        predictions: Array = found * self.unit + self.origin
        return predictions


def append(graph: Graph, output: str, moved: Moved) -> str:
    """Move the float32 `output` of an ONNX graph back, and return the new output's name, float64."""
    from onnx import TensorProto

    found = graph.add("Cast", output, to=TensorProto.DOUBLE)
    if moved.of_logarithm:  # which the converter leaves out
        found = graph.add("Exp", found)
    if moved.unit != 1:
        found = graph.add("Mul", found, graph.constant([moved.unit], np.float64))
    return graph.add("Add", found, graph.constant([moved.origin], np.float64))
