"""Numbers that float32 cannot distinguish: which columns they are, and how a model of float32 reads them.

Trees and ONNX compare float32. A column that needs more comes as float64, and inside the model each value becomes its
difference from an origin, computed in float64; where even this needs more than float32, a second column has what is
left of it. So whole numbers up to 2**48 apart are distinguished exactly.
"""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from kubeline.numbers import power_of_two
from kubeline.typing import Array

EXACT_IN_FLOAT64 = 2.0**53  # whole numbers up to here
_RESOLUTION = 2.0**-17  # of the spread of a column, that must be distinguished
_SMALLEST_SPREAD = 2.0**-13  # random forests take numbers 1e-7 apart for equal
_LARGEST_SPREAD = 2.0**100
_SAMPLED = 100_000  # rows
_MERGED = 0.01  # share of the values that may merge without a word


def needs_float64(values: Array) -> bool:
    """Whether float32 would change what a model can learn from a column.

    Whole numbers must be exact. Others must keep their differences: float32 has seven digits, of a column far from zero
    these are not of the differences.

    Args:
        values: float64, shape (rows,); missing: NaN. None is beyond float32.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return False
    if _whole(values):
        return bool((values.astype(np.float32) != values).any())
    ends = np.percentile(values, [1, 99])
    width = _width(values, ends)
    coarse = float(np.spacing(np.float32(np.abs(ends).max())))
    return width > 0 and (width < _SMALLEST_SPREAD or coarse > _RESOLUTION * width)


def merged(values: Array) -> tuple[int, int]:
    """How many different values there are, and how many of them float32 merges with others."""
    distinct = np.unique(values[~np.isnan(values)])
    return len(distinct), len(distinct) - len(np.unique(distinct.astype(np.float32)))


def note(name: str, values: Array, wide: bool) -> str:
    """A note for the user about the numbers of a column; empty when there is none."""
    if wide:
        different, lost = merged(values)
        return (
            f"column '{name}' is read as float64, because float32 would round it and merge {lost:,} of its "
            f"{different:,} different values; requests send it as JSON, FP64 or whole numbers"
        )
    different, lost = merged(values[:: max(1, len(values) // _SAMPLED)])
    if lost > _MERGED * different:
        return (
            f"float32 merges {lost:,} of {different:,} different values of column '{name}' with others: they differ by "
            f"less than a hundred-thousandth of its spread"
        )
    return ""


def _whole(values: Array) -> bool:
    """Whether all are whole numbers; those above 2**53 have no fraction that could be lost."""
    return float(np.abs(values).max()) <= EXACT_IN_FLOAT64 and bool((values == np.floor(values)).all())


def _width(values: Array, ends: Array) -> float:
    """Of the middle 98 % of the values, which are between `ends`, or of all when these are equal."""
    return float(ends[1] - ends[0]) or float(np.ptp(values))


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
            if len(values) and _whole(values) and _rounds(values - self.origins_[place])
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
    return float(np.round(middle)) if _whole(values) else middle


def _unit(values: Array) -> float:
    if not len(values) or _whole(values):
        return 1.0
    width = _width(values, np.percentile(values, [1, 99]))
    return power_of_two(width) if width and not _SMALLEST_SPREAD <= width <= _LARGEST_SPREAD else 1.0


def _rounds(values: Array) -> bool:
    return bool((values.astype(np.float32) != values).any())
