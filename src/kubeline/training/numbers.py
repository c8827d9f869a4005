"""Numbers that float32 cannot distinguish: which columns they are, and how a model of float32 reads them.

Trees and ONNX compare float32. A column that needs more comes as float64, and inside the model each value becomes its
difference from an origin, computed in float64; where even this needs more than float32, a second column has what is
left of it. So whole numbers up to 2**48 apart are distinguished exactly.
"""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from kubeline.numbers import power_of_two
from kubeline.training.precision import SMALLEST_SPREAD, whole, width
from kubeline.typing import Array

_LARGEST_SPREAD = 2.0**100


class Differences(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Turns float64 columns into float32 differences from an origin: one of each column, then the rest of some.

    Attributes:
        origins_: subtracted from each column; its median, and whole where the column is.
        units_: the powers of two by which differences are divided; 1 but for extreme columns.
        rest_: positions of the columns of which what float32 leaves of a difference comes as a further column.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from shape (rows, columns); missing: NaN."""
        columns = [column[~np.isnan(column)] for column in np.asarray(X, dtype=np.float64).T]
        self.n_features_in_ = len(columns)
        self.origins_ = np.array([_origin(values) for values in columns])
        self.units_ = np.array([_unit(values) for values in columns])
        self.rest_ = [
            place
            for place, values in enumerate(columns)
            if len(values) and whole(values) and _rounds(values - self.origins_[place])
        ]
        return self

    @property
    def n_features_out_(self) -> int:
        """Columns of the result."""
        return self.n_features_in_ + len(self.rest_)

    def transform(self, X: Any) -> Array:
        """From float64 (rows, columns) to float32 (rows, columns and those of the rest)."""
        apart = (np.asarray(X, dtype=np.float64) - self.origins_) / self.units_
        with np.errstate(over="ignore", invalid="ignore"):
            near = apart.astype(np.float32)
            rest = (apart - near)[:, self.rest_].astype(np.float32)
        return np.concatenate([near, rest], axis=1)


def _origin(values: Array) -> float:
    if not len(values):
        return 0.0
    middle = float(np.median(values))
    return float(np.round(middle)) if whole(values) else middle


def _unit(values: Array) -> float:
    if not len(values) or whole(values):
        return 1.0
    spread = width(values, np.percentile(values, [1, 99]))
    return power_of_two(spread) if spread and not SMALLEST_SPREAD <= spread <= _LARGEST_SPREAD else 1.0


def _rounds(values: Array) -> bool:
    return bool((values.astype(np.float32) != values).any())
