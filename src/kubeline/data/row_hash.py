"""A 64-bit hash of each row: the same in any order of rows, in any batches, and however a value is stored.

Numbers are hashed as doubles and times as microseconds, so that a column that becomes integers, doubles or decimals, or
another unit of time, keeps its hashes. Columns differ by their names and are added up, so their order is nothing.
Two different rows are taken for one with a chance of 1 in 2**64, and where their numbers differ beyond a double.
"""

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_MISSING = np.uint64(0x9E3779B97F4A7C15)


def hash_rows(rows: pa.Table | pa.RecordBatch) -> Hashes:
    """(rows,) hashes over all columns; missing is a value, and NaN is missing."""
    total = np.zeros(rows.num_rows, dtype=np.uint64)
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        total += mix(hash_values(column) ^ _of_text(name))
    return total


def hash_values(column: pa.Array | pa.ChunkedArray) -> Hashes:
    """(rows,) hashes of the values of one column."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pat.is_dictionary(column.type):
        if len(column.dictionary) and not column.dictionary.null_count:  # each value once
            found = hash_values(column.dictionary)[column.indices.fill_null(0).to_numpy(zero_copy_only=False)]
            return np.where(column.is_null().to_numpy(zero_copy_only=False), _MISSING, found)
        column = column.dictionary_decode()
    values, missing = _canonical(column)
    found = pd.util.hash_array(values, categorize=False)
    return np.where(missing, _MISSING, found)


def salted(hashes: Hashes, seed: int) -> Hashes:
    """Other hashes for each seed: evenly spread, and independent of those of another seed."""
    return mix(hashes ^ _of_text(f"seed {seed}"))


def mix(hashes: Hashes) -> Hashes:
    """The finalizer of splitmix64 (Steele, Lea, Flood, 2014): every bit of the result depends on every bit."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = hashes ^ (hashes >> np.uint64(31))
    return mixed


def _canonical(column: pa.Array) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Values that are equal when what they say is equal, and which are missing."""
    kind = column.type
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if pat.is_null(kind):
        return np.zeros(len(column)), missing
    if pat.is_boolean(kind):
        column, kind = column.cast(pa.uint8()), pa.uint8()
    if pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind):
        numbers = pc.fill_null(column.cast(pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
        return numbers + 0.0, missing | np.isnan(numbers)  # minus zero is zero
    if pat.is_timestamp(kind) or pat.is_date(kind):
        unit = pa.timestamp("us", kind.tz if pat.is_timestamp(kind) else None)
        instants = column.cast(unit, safe=False).cast(pa.int64())
        return pc.fill_null(instants, 0).to_numpy(zero_copy_only=False), missing
    if not (pat.is_string(kind) or pat.is_large_string(kind)):  # bytes, lists, records, durations
        column = pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.string())
    texts = pc.fill_null(column, "").dictionary_encode()
    distinct = pd.util.hash_array(texts.dictionary.to_numpy(zero_copy_only=False), categorize=False)
    return distinct[texts.indices.to_numpy()], missing


def _of_text(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))
