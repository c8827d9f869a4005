"""Cells as drift statistics see them: numbers as float64, categories as text, missing as missing."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd

from kubeline.errors import UserError

Kind = Literal["number", "category", "boolean", "datetime"]
KINDS: tuple[Kind, ...] = ("number", "category", "boolean", "datetime")


def numbers(column: pd.Series, kind: Kind) -> np.ndarray:
    """The column as (n,) float64; a datetime is seconds since 1970 UTC, a missing value is NaN.

    Raises:
        UserError: when a cell is neither a number (or time) nor missing.
    """
    if kind == "datetime":
        return _seconds(column)
    if not pd.api.types.is_numeric_dtype(column.dtype):
        try:
            column = pd.to_numeric(column)  # decimals, and an object column that holds only None
        except (ValueError, TypeError) as error:
            raise _wrong_type(column, "a number") from error
        if isinstance(column.dtype, pd.CategoricalDtype):
            raise _wrong_type(column, "a number")
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _seconds(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column.dtype) and not column.isna().all():
        raise _wrong_type(column, "a date or time")
    try:
        times = pd.to_datetime(column, utc=True).to_numpy(dtype="datetime64[us]")
    except (ValueError, TypeError) as error:
        raise _wrong_type(column, "a date or time") from error
    seconds: np.ndarray = times.astype(np.int64) / 1e6
    seconds[np.isnat(times)] = np.nan
    return seconds


def texts(column: pd.Series) -> tuple[Counter[str], int]:
    """How often each category occurs, and how many cells are missing.

    A number that is whole is written without a decimal point, since a missing cell turns integers into floats
    (7 and 7.0 are one category); a boolean is ``true`` or ``false``; an empty text counts as missing, as it does
    for the model.
    """
    codes, uniques = pd.factorize(column)
    counts: Counter[str] = Counter()
    for value, count in zip(uniques, np.bincount(codes[codes >= 0], minlength=len(uniques)).tolist(), strict=True):
        if count:
            counts[_text(value)] += count
    counts.pop("", None)
    return counts, len(column) - counts.total()


def _text(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def moment(seconds: float) -> str:
    """Seconds since 1970 as a readable UTC time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _wrong_type(column: pd.Series, expected: str) -> UserError:
    example = column.dropna().iloc[0]
    return UserError(
        f"column '{column.name}' should hold {expected}, as the reference does, but it holds {example!r} "
        f"(type {column.dtype}); give it the type it had in the reference"
    )
