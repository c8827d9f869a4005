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
            places = column.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
            found: Hashes = np.append(hash_values(column.dictionary), _MISSING)[places]
            return found
        column = column.dictionary_decode()
    found, missing = _canonical(column)
    if missing is not None and missing.any():
        found[missing] = _MISSING
    return found


def salted(hashes: Hashes, seed: int) -> Hashes:
    """Other hashes for each seed: evenly spread, and independent of those of another seed."""
    return mix(hashes ^ _of_text(f"seed {seed}"))


def different(hashes: Hashes) -> Hashes:
    """Each hash once, in ascending order: sorting them takes a fifth of the time of a table of them."""
    ordered = np.sort(hashes)
    is_new = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    found: Hashes = ordered if is_new.all() else ordered[is_new]
    return found


def mix(hashes: Hashes) -> Hashes:
    """The finalizer of splitmix64 (Steele, Lea, Flood, 2014): every bit of the result depends on every bit."""
    mixed: Hashes = hashes ^ (hashes >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _canonical(column: pa.Array) -> tuple[Hashes, NDArray[np.bool_] | None]:
    """Hashes that are equal when what the values say is equal, and which of these are missing, where one is."""
    kind = column.type
    missing = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    if pat.is_null(kind):
        return np.zeros(len(column), dtype=np.uint64), missing
    if pat.is_boolean(kind):
        column, kind = column.cast(pa.uint8()), pa.uint8()
    if pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind):
        filled = column.cast(pa.float64(), safe=False)
        numbers = (pc.fill_null(filled, 0.0) if missing is not None else filled).to_numpy(zero_copy_only=False)
        undefined = np.isnan(numbers)
        return mix((numbers + 0.0).view(np.uint64)), undefined if missing is None else missing | undefined
    if pat.is_timestamp(kind) or pat.is_date(kind):
        unit = pa.timestamp("us", kind.tz if pat.is_timestamp(kind) else None)
        instants = column.cast(unit, safe=False).cast(pa.int64())
        return mix(pc.fill_null(instants, 0).to_numpy(zero_copy_only=False).view(np.uint64)), missing
    if not (pat.is_string(kind) or pat.is_large_string(kind)):  # bytes, lists, records, durations
        column = pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.string())
    texts = pc.fill_null(column, "").dictionary_encode()
    distinct = pd.util.hash_array(texts.dictionary.to_numpy(zero_copy_only=False), categorize=False)
    return mix(distinct)[texts.indices.to_numpy()], missing


def _of_text(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))
