"""Cells as drift statistics see them: numbers as float64, categories as text, missing as missing."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from kubeline.model_package.signature import Kind, encode_column

Array = np.ndarray[Any, np.dtype[Any]]


def numbers(column: pd.Series, kind: Kind) -> Array:
    """The column as (n,) float64; a datetime is seconds since 1970 UTC, a missing value is NaN.

    Raises:
        UserError: when a cell is neither a finite number (or a time) nor missing.
    """
    return encode_column(column, kind, np.float64)


def texts(column: pd.Series, kind: Kind) -> tuple[Counter[str], int]:
    """How often each category occurs, and how many cells are missing.

    A number that is whole is written without a decimal point, since a missing cell turns integers into floats
    (7 and 7.0 are one category); a boolean is ``true`` or ``false``; an empty text counts as missing, as it does
    for the model.
    """
    if kind == "boolean":
        column = pd.Series(encode_column(column, kind), name=column.name).map({0.0: "false", 1.0: "true"})
    codes, uniques = pd.factorize(column)
    counts: Counter[str] = Counter()
    for value, count in zip(uniques, np.bincount(codes[codes >= 0], minlength=len(uniques)).tolist(), strict=True):
        if count:
            counts[_text(value)] += count
    counts.pop("", None)
    return counts, len(column) - counts.total()


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def moment(seconds: float) -> str:
    """Seconds since 1970 as a readable UTC time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
