"""Which numbers float32 cannot distinguish; :mod:`kubeline.training.numbers` is how a model of float32 reads these."""

import numpy as np

from kubeline.drift.profile import every, without_missing
from kubeline.model_package.encoding import furthest
from kubeline.typing import Array

EXACT_IN_FLOAT64 = 2.0**53  # whole numbers up to here
SMALLEST_SPREAD = 2.0**-13  # random forests take numbers 1e-7 apart for equal
_RESOLUTION = 2.0**-17  # of the spread of a column, that must be distinguished
_SAMPLED = 100_000  # rows
_SAMPLED_FOR_BOUNDS = 1_000  # rows
_MERGED = 0.01  # share of the values that may merge without a word


def needs_float64(values: Array) -> bool:
    """Whether float32 would change what a model can learn from a column.

    Whole numbers must be exact. Others must keep their differences: float32 has seven digits, of a column far from zero
    these are not of the differences.

    Args:
        values: float64, shape (rows,); missing: NaN. None is beyond float32.
    """
    values = without_missing(values)
    if not len(values):
        return False
    if whole(values):
        return not every(values, lambda some: bool((some.astype(np.float32) == some).all()))
    return not _is_wide_enough(values) and _is_too_fine(values)


def _is_too_fine(values: Array) -> bool:
    ends = np.percentile(values, [1, 99])
    spread = width(values, ends)
    coarse = float(np.spacing(np.float32(np.abs(ends).max())))
    return spread > 0 and (spread < SMALLEST_SPREAD or coarse > _RESOLUTION * spread)


def _is_wide_enough(values: Array) -> bool:
    """Whether bounds say that float32 is fine enough, without the percentiles, which take ten times as long.

    Two values that each have more than 2 % of all beyond them are no further apart than the ends, and no end is further
    from zero than the furthest value.
    """
    low, high = np.quantile(values[:: max(1, len(values) // _SAMPLED_FOR_BOUNDS)], [0.05, 0.95])
    beyond = min(np.count_nonzero(values <= low), np.count_nonzero(values >= high))
    coarse = float(np.spacing(np.float32(furthest(values))))
    return bool(beyond > 0.02 * len(values) + 2 and high - low >= max(SMALLEST_SPREAD, coarse / _RESOLUTION))


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


def whole(values: Array) -> bool:
    """Whether all are whole numbers; those above 2**53 have no fraction that could be lost."""
    return no_fractions(values) and furthest(values) <= EXACT_IN_FLOAT64


def no_fractions(values: Array) -> bool:
    """Whether all are whole."""
    return every(values, lambda some: bool((some == np.floor(some)).all()))


def width(values: Array, ends: Array) -> float:
    """Of the middle 98 % of the values, which are between `ends`, or of all when these are equal."""
    return float(ends[1] - ends[0]) or float(np.ptp(values))
