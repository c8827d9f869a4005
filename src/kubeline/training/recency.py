"""How much a row counts in learning by its age: half as much for each half-life that it is older than the newest row.

Exponential decay is the one form in which the ratio of two rows' weights depends on the time between them alone. So
neither a clock nor the end of the table enters, and a training that is late or repeated weighs as the one in time.

Source: Klinkenberg (2004), Intelligent Data Analysis 8 (weights of examples by age, against windows of them).
"""

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from kubeline.data.timespan import length_of
from kubeline.errors import UserError
from kubeline.typing import Array

LEAST = 2.0**-20  # no row counts less: what is learned of a class may be as old as that
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "mo": 365.2425 / 12 * 86_400.0}


def check(half_life: str) -> None:
    """Raise a :class:`UserError` for a half-life that is neither a length of time nor a number; empty is none."""
    if half_life and _number(half_life) is None:
        length_of("half_life", half_life)


def by_age(times: Array, column: str, kind: pa.DataType, half_life: str) -> tuple[Array, str]:
    """What is left of each row's weight in learning, and a note of how many rows that amounts to.

    Args:
        times: (rows,) of the rows: seconds, or numbers.
        column: their column.
        kind: its type.
        half_life: such as ``90d``; of a time column of numbers, a number in its unit.

    Raises:
        UserError: when the half-life is of the other sort than the times.
    """
    moments = times.astype(np.float64)
    recency = np.maximum(np.exp2((moments - moments.max()) / _in_units(half_life, column, kind)), LEAST)
    alike = recency.sum() ** 2 / (recency**2).sum()
    said = (
        f"in learning a row counts half for each {half_life} that it is older by '{column}' than the newest; the "
        f"{len(recency):,} rows of the table say as much as {alike:,.0f} that count alike (Kish 1965)"
    )
    return recency, said


def _in_units(half_life: str, column: str, kind: pa.DataType) -> float:
    """In the unit of the times: seconds, where they are times, or that of the numbers."""
    number = _number(half_life)
    if pat.is_integer(kind) or pat.is_floating(kind):
        if number is None:
            raise UserError(f"half_life is '{half_life}', but time column '{column}' holds numbers; give a number too")
        return number
    if number is not None:
        raise UserError(f"half_life is '{half_life}', but time column '{column}' holds times; give a length: 90d, 6mo")
    count, unit = length_of("half_life", half_life)
    return count * _SECONDS[unit]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < np.inf else None
