"""Cells as drift statistics see them: numbers as float64, categories as text, missing as missing."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.columns import NOUN, TYPE_OF_KIND, Kind, type_of
from kubeline.data.dataset import to_frame
from kubeline.errors import UserError
from kubeline.masking import form_of
from kubeline.model_package.encoding import encode_column
from kubeline.schema.types import read_column
from kubeline.typing import Array


def is_other(schema: pa.Schema, name: str, kinds: Mapping[str, Kind]) -> bool:
    """Whether a column of the window has to be read as another type to be of its kind in the reference."""
    found, kind = type_of(schema.field(name).type), kinds.get(name)
    return kind is not None and (found == "string") != (kind == "category") and found in ("string", "integer", "number")


def as_reference(batch: pa.RecordBatch, kinds: Mapping[str, Kind]) -> pa.RecordBatch:
    """A chunk of a window with its columns in the kinds that they have in the reference.

    The values of one window may not determine its types: postal codes of digits alone are read as numbers. So whole
    numbers are read as text, and text as numbers, true or false, or times, where that changes no value.

    Raises:
        UserError: names a value for which it would.
    """
    for place, name in enumerate(batch.schema.names):
        column, kind = batch.column(place), kinds.get(name)
        if kind == "category" and type_of(column.type) in ("boolean", "datetime") and column.null_count < len(column):
            raise _other(name, column.drop_null()[0], kind)  # how it was written is lost: True, TRUE or true
        if kind is None or not is_other(batch.schema, name, kinds):
            continue
        values, unread = read_column(column, TYPE_OF_KIND[kind])
        if unread.any():
            raise _other(name, column[int(unread.argmax())], kind)
        batch = batch.set_column(place, name, values)
    return batch


def _other(name: str, value: pa.Scalar, kind: Kind) -> UserError:
    return UserError(
        f"column '{name}' holds {form_of(value.as_py())}, but the reference has {NOUN[kind]} there; fix it, or load "
        f'the window with types_from the model, or types={{"{name}": …}}'
    )


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, their texts as texts where they are dictionaries."""
    for place, column in enumerate(batch.columns):
        if pa.types.is_dictionary(column.type):
            batch = batch.set_column(place, batch.schema.names[place], column.dictionary_decode())
    return batch


def cells(batch: pa.RecordBatch, name: str) -> pd.Series:
    """One column of a chunk to be counted; text as the categories of pandas, which are found in a tenth of the time."""
    column = batch.column(name)
    if _is_text(column.type):
        return column.dictionary_encode().to_pandas()  # itself where it is one
    if pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and not column.null_count):
        return pd.Series(column.to_numpy(zero_copy_only=False), name=name, copy=False)  # as a frame would have it
    return to_frame(pa.record_batch([column], [name]))[name]


def frame_of(batch: pa.RecordBatch, as_texts: Collection[str]) -> pd.DataFrame:
    """A chunk as a frame; texts as in :func:`cells`, but in the columns of `as_texts`, where they are what they are."""
    columns = {
        name: to_frame(plain(batch.select([name])))[name] if name in as_texts and _is_text(kind) else cells(batch, name)
        for name, kind in zip(batch.schema.names, batch.schema.types, strict=True)
    }
    return pd.DataFrame(columns, copy=False)


def _is_text(kind: pa.DataType) -> bool:
    return any(is_one(kind) for is_one in (pa.types.is_dictionary, pa.types.is_string, pa.types.is_large_string))


def numbers(column: pd.Series, kind: Kind) -> Array:
    """The column as (n,) float64; a datetime is seconds since 1970 UTC, a missing value is NaN.

    Of a column that is so already these are its own values, not to be written to.

    Raises:
        UserError: when a cell is neither a finite number (or a time) nor missing.
    """
    if kind == "number" and column.dtype == np.float64:
        values: Array = column.to_numpy()
        if not np.isinf(values).any():
            return values
    return encode_column(column, kind, np.float64)


def numbers_in(batch: pa.RecordBatch, name: str, kind: Kind) -> Array:
    """The same of a column of a chunk."""
    column = batch.column(name)
    is_whole = pa.types.is_integer(column.type) and not column.null_count
    if kind == "number" and (is_whole or pa.types.is_floating(column.type)):
        values: Array = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        if is_whole or not np.isinf(values).any():
            return values
    return numbers(cells(batch, name), kind)


def texts(column: pd.Series, kind: Kind) -> tuple[Counter[str], int]:
    """How often each category occurs, and how many cells are missing.

    A number that is whole is written without a decimal point, since a missing cell turns integers into floats
    (7 and 7.0 are one category); a boolean is ``true`` or ``false``; an empty text counts as missing, as it does
    for the model.
    """
    codes, names = coded(column, kind)
    _, *rows = np.bincount(codes + 1, minlength=len(names) + 1).tolist()  # the first are missing
    return counted(names, rows, len(column))


def texts_in(batch: pa.RecordBatch, name: str, kind: Kind) -> tuple[Counter[str], int]:
    """The same of a column of a chunk; of a dictionary, which is how files hold texts, its codes are counted."""
    column = batch.column(name)
    if not pa.types.is_dictionary(column.type):
        return texts(cells(batch, name), kind)
    codes, names = column.indices.drop_null().to_numpy(), column.dictionary.to_pylist()
    return counted(names, np.bincount(codes, minlength=len(names)).tolist(), len(column))


def counted(names: Iterable[str], rows: Iterable[int], number: int) -> tuple[Counter[str], int]:
    """Rows by category, which may come twice, and those of a column of so many that have none."""
    counts: dict[str, int] = {}
    for name, count in zip(names, rows, strict=True):
        if count and name:
            counts[name] = counts.get(name, 0) + count
    return Counter(counts), number - sum(counts.values())


def text(column: pd.Series, kind: Kind) -> pd.Series:
    """The column as text by the rules of :func:`texts`; missing is None."""
    codes, names = coded(column, kind)
    return pd.Series(np.array([name or None for name in names] + [None], dtype=object)[codes], name=column.name)


def coded(column: pd.Series, kind: Kind) -> tuple[Array, list[str]]:
    """(n,) positions in the list of categories, or -1 for missing; a category may be in the list twice, and empty.

    The positions are of a type that holds one more than the largest.
    """
    if kind == "boolean":
        column = pd.Series(encode_column(column, kind)).map({0.0: "false", 1.0: "true"})
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, uniques = column.cat.codes.to_numpy(), column.cat.categories.to_numpy(dtype=object)
    else:
        codes, uniques = pd.factorize(column)
    return codes, [value if isinstance(value, str) else _text(value) for value in uniques]


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def moment(seconds: float) -> str:
    """Seconds since 1970 as a readable UTC time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
