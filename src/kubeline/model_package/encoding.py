"""Columns of a table in the form of ONNX inputs and of labels."""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from kubeline.columns import MISSING_CATEGORY, Kind, label_text
from kubeline.errors import UserError
from kubeline.masking import form_of
from kubeline.typing import Array

EXACT_WHOLE_NUMBERS = 2.0**53  # float64 holds every whole number below


def labels(column: pd.Series) -> Array:
    """Class labels as text in an object array; whole floats lose their ``.0``, so that 1, 1.0 and "1" are one class."""
    codes, different = coded_labels(column)
    found: Array = different[codes]
    return found


def coded_labels(column: pd.Series) -> tuple[Array, Array]:
    """The same as positions, shape (rows,), in the object array of the different labels."""
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=False) != "string":
        places, different = np.arange(len(column)), column  # 1 and True are equal, and two labels
    else:
        places, found = pd.factorize(column, use_na_sentinel=False)
        different = pd.Series(found)
    unique, codes = np.unique([label_text(value) for value in different.to_numpy(dtype=object)], return_inverse=True)
    return codes[places], unique.astype(object)


def encode_column(column: pd.Series, kind: Kind, number: type = np.float32) -> Array:
    """One column in the form of an ONNX input, shape (rows,); see :meth:`Signature.encode`."""
    if kind == "category":
        return _categories(column)
    if kind == "datetime":
        return _seconds(column)
    if kind == "boolean":
        return _booleans(column)
    values = _floats(column, "a number")
    _furthest(column, values, number)
    return values.astype(number)


def encode_categories(column: pd.Series, of: Callable[[Array], Array]) -> Array:
    """What `of` makes of a column of categories, shape (rows,); pandas' own categories are asked for once each.

    Args:
        column: Of texts.
        of: Of an object array of texts, missing ones empty, makes as many values.

    Raises:
        UserError: names a value that is no text.
    """
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return of(_categories(column))
    known = _categories(pd.Series(column.cat.categories, name=column.name))
    found: Array = of(np.append(known, MISSING_CATEGORY))[column.cat.codes.to_numpy()]  # the last is of code -1
    return found


def encode_exactly(column: pd.Series) -> Array:
    """A column of numbers as float64, shape (rows,); what float32 cannot hold is refused, and so are whole numbers that
    float64 does not hold exactly.

    Raises:
        UserError: names the value and its row.
    """
    values = _floats(column, "a number")
    if _furthest(column, values, np.float32) < EXACT_WHOLE_NUMBERS:
        return values
    for row in np.flatnonzero(np.abs(values) >= EXACT_WHOLE_NUMBERS):
        given = column.iloc[row]
        if isinstance(given, (int, np.integer, Decimal)) and int(given) != int(values[row]):
            raise UserError(
                f"column '{column.name}' holds {form_of(given)} in row {row}, which float64 does not hold exactly; "
                f"load the column as text if it is an identifier, or exclude it"
            )
    return values


def furthest(values: Array) -> float:
    """The greatest distance from zero, found without an array of its own; missing values are NaN."""
    return max(abs(float(reduce(values, initial=0.0))) for reduce in (np.fmin.reduce, np.fmax.reduce))


def _furthest(column: pd.Series, values: Array, number: type) -> float:
    """The greatest distance from zero; what is infinite as `number` is refused."""
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite
        found = furthest(values)
        if not np.isinf(np.float64(found).astype(number)):
            return found
        row = int(np.flatnonzero(np.isinf(values.astype(number)))[0])
    raise UserError(
        f"column '{column.name}' holds {form_of(float(values[row]))} in row {row}, which is infinite as "
        f"{np.dtype(number).name}; make infinite values finite or missing"
    )


def _booleans(column: pd.Series) -> Array:
    values = _floats(column, "true or false")
    others = ~((values == 0) | (values == 1) | np.isnan(values))
    if others.any():
        raise _wrong_type(column, column.iloc[int(others.argmax())], "true or false")
    return values.astype(np.float32)


def _floats(column: pd.Series, expected: str) -> Array:
    """Numbers and booleans as float64, missing ones as NaN; the column's own memory where they are so already."""
    raw: Array = column.to_numpy()
    if raw.dtype.kind in "fiub":
        return raw.astype(np.float64, copy=False)
    values = np.full(len(raw), np.nan)
    for row, value in enumerate(raw):
        if isinstance(value, (int, float, np.number, np.bool_, Decimal)):
            values[row] = _float(value)
        elif not _missing(value):
            raise _wrong_type(column, value, expected)
    return values


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return np.inf


def _categories(column: pd.Series) -> Array:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return encode_categories(column, lambda texts: texts)
    values: Array = column.to_numpy(dtype=object, copy=True)
    for row, value in enumerate(values):
        if isinstance(value, str):
            continue
        if not _missing(value):
            raise _wrong_type(column, value, "text")
        values[row] = MISSING_CATEGORY
    return values


def _seconds(column: pd.Series) -> Array:
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        return np.array([_moment(column, value) for value in column.to_numpy(dtype=object)], dtype=np.float64)
    times = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
    micros = times.astype("datetime64[us]").to_numpy()
    seconds: Array = micros.astype(np.int64) / 1e6
    seconds[np.isnat(micros)] = np.nan
    return seconds


def _moment(column: pd.Series, value: Any) -> float:
    """Seconds since 1970 of one text, date or datetime.

    Value by value, because pandas 2 reads texts of nanosecond range only (9999-12-31 is not), and gives the time zone
    of one text to the next ones without a zone.
    """
    if _missing(value):
        return np.nan
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    try:
        if isinstance(value, date):
            value = value.isoformat()
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError) as error:
        raise _wrong_type(column, value, "a date or time (ISO 8601)") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _missing(value: Any) -> bool:
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, (float, np.floating)) and math.isnan(value))
    )


def _wrong_type(column: pd.Series, value: Any, expected: str) -> UserError:
    value = value.item() if isinstance(value, np.generic) else value
    return UserError(
        f"column '{column.name}' holds {form_of(value)} of type {type(value).__name__} where {expected} is expected"
    )
