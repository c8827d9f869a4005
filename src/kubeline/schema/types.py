"""How a stored column is read as a type of a schema."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from kubeline.columns import Type, type_of
from kubeline.typing import Mask

_TRUTH = {"true": True, "false": False, "1": True, "0": False}

# Stored type -> types it can be read as, value by value; each value that cannot is a bad row.
_READABLE: dict[Type, set[Type]] = {
    "integer": {"integer", "number", "boolean", "string"},
    "number": {"number", "integer", "boolean", "string"},
    "boolean": {"boolean"},
    "string": {"string", "integer", "number", "boolean", "datetime"},
    "datetime": {"datetime"},
    "any": set(),
}


def is_readable(stored: pa.DataType, wanted: Type) -> bool:
    """Whether single values of a stored type may be read as the wanted one (an empty column can be anything)."""
    return wanted == "any" or pa.types.is_null(stored) or wanted in _READABLE[type_of(stored)]


def target_type(stored: pa.DataType, wanted: Type) -> pa.DataType:
    """The Arrow type of the column once read: the stored one unless values have to be converted."""
    found = type_of(stored)
    if found == "string" and wanted != "string":
        changed = {
            "integer": pa.int64(),
            "number": pa.float64(),
            "boolean": pa.bool_(),
            "datetime": pa.timestamp("us"),
        }
        return changed.get(wanted, stored)
    if wanted == "boolean" and found in ("integer", "number"):
        return pa.bool_()
    if wanted == "string" and found in ("integer", "number"):
        return pa.string()
    return stored


def read_column(column: pa.Array, wanted: Type) -> tuple[pa.Array, Mask]:
    """Read a column as a type: the values, and a mask of those that cannot be read (they become missing).

    Missing is one thing afterwards: the NaN of a float column is null. Text is read as numbers, as ``true`` and
    ``false`` (or 1 and 0), and as ISO 8601 times (UTC without a zone). A float read as integer must be whole. Whole
    numbers are read as text by their digits: a window of postal codes may consist of digits alone.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    found = type_of(column.type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if pa.types.is_null(column.type) or wanted in ("any", found) or (found, wanted) == ("integer", "number"):
        return column, np.zeros(len(column), dtype=np.bool_)
    if found == "number" and wanted == "integer":
        numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return column, np.isfinite(numbers) & (numbers != np.floor(numbers))
    values = _convert(column, found, wanted)
    return values, np.asarray(pc.and_(column.is_valid(), values.is_null()).to_numpy(zero_copy_only=False))


def _booleans(column: pa.Array, found: Type) -> pa.Array:
    if found != "string":
        numbers = column.cast(pa.float64(), safe=False)
        whole = pc.or_(pc.equal(numbers, 0), pc.equal(numbers, 1))
        return pc.if_else(whole, pc.equal(numbers, 1), pa.scalar(None, pa.bool_()))
    words = pc.utf8_lower(pc.utf8_trim_whitespace(column)).to_pylist()
    return pa.array([_TRUTH.get(word) for word in words], pa.bool_())


def _digits(column: pa.Array) -> pa.Array:
    """Whole numbers as text; a number with a fraction, or that a double may have rounded, is missing."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
    return pa.array(np.where(whole, numbers, 0).astype(np.int64), mask=~whole).cast(pa.string())


def _convert(column: pa.Array, found: Type, wanted: Type) -> pa.Array:
    if wanted == "string":
        return _digits(column)
    if wanted == "boolean":
        return _booleans(column, found)
    words = column.to_pandas()
    if wanted == "datetime":
        times = pd.to_datetime(words, format="ISO8601", utc=True, errors="coerce").dt.tz_localize(None)
        return pa.array(times.astype("datetime64[us]"), pa.timestamp("us"), from_pandas=True)
    numbers = pd.to_numeric(words, errors="coerce")
    if wanted == "number":
        return pa.array(numbers.astype(np.float64), pa.float64(), from_pandas=True)
    if pd.api.types.is_integer_dtype(numbers.dtype):
        return pa.array(numbers, pa.int64())
    return _whole(column, numbers.astype(np.float64))


def _whole(column: pa.Array, numbers: pd.Series) -> pa.Array:
    """Text as 64-bit integers; digits alone are read exactly, since a float holds only 53 bits."""
    values = numbers.to_numpy()
    whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**53)
    digits = pc.fill_null(pc.match_substring_regex(column, r"^\s*[+-]?[0-9]+([.]0*)?\s*$"), False)
    exact = [_int64(word) for word in pc.if_else(digits, column, None).to_pylist()]
    rounded = pa.array(np.where(whole, values, 0).astype(np.int64), mask=~whole)
    return pc.coalesce(pa.array(exact, pa.int64()), rounded)


def _int64(word: str | None) -> int | None:
    number = int(word.strip().partition(".")[0]) if word else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def series_of(column: pa.Array) -> pd.Series:
    """A column that was read, in the form that checks compare: decimals as floats, times in UTC without a zone."""
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64(), safe=False)
    elif pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    elif pa.types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit))
    if pa.types.is_integer(column.type) and column.null_count:
        nullable = pd.UInt64Dtype() if pa.types.is_unsigned_integer(column.type) else pd.Int64Dtype()
        return column.to_pandas(types_mapper={column.type: nullable}.get)
    return column.to_pandas()
