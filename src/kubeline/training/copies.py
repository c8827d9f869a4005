"""Which rows of a table in memory are copies of each other."""

from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat

from kubeline.data.row_hash import Hashes, different, hash_rows
from kubeline.typing import Array

DIFFERENT_ROWS = 50  # of a table with fewer, equal rows are what its columns can hold, and no copies
_CACHED = 32_768  # rows
_FEW = 3  # columns that are asked first


class RowHashes:
    """The hashes of a table's rows, found when they are first asked for; see :func:`kubeline.data.row_hash.hash_rows`.

    Args:
        raw: the rows as they came.
    """

    def __init__(self, raw: pa.Table):
        self.raw = raw

    @cached_property
    def values(self) -> Hashes:
        """(rows,), found on one thread: two take as long, for they wait for Python between operations so short."""
        return _hashed(self.raw)


def equal(hashes: RowHashes) -> Array:
    """(rows,) int64, the same number for rows that are copies of each other.

    Where a few columns alone say that there are none, the others are not hashed.
    """
    raw = hashes.raw
    rows = np.arange(raw.num_rows)
    few = sorted(raw.schema.names, key=lambda name: _sameness(raw.schema.field(name).type))[:_FEW]
    if len(different(_hashed(raw.select(few)))) == len(rows):
        return rows
    if DIFFERENT_ROWS <= len(different(hashes.values)) < len(rows):
        codes: Array = pd.factorize(hashes.values)[0].astype(np.int64)
        return codes
    return rows


def _hashed(raw: pa.Table) -> Hashes:
    """Batch by batch, as much as a cache holds."""
    found = np.empty(raw.num_rows, dtype=np.uint64)
    end = 0
    for batch in raw.to_batches(max_chunksize=_CACHED):
        found[end : end + batch.num_rows] = hash_rows(batch)
        end += batch.num_rows
    return found


def _sameness(kind: pa.DataType) -> int:
    """How often a value of a type is that of another row as well: a fraction or a time is most seldom."""
    return 0 if pat.is_floating(kind) or pat.is_temporal(kind) else 1 if pat.is_integer(kind) else 2
