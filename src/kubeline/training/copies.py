"""Which rows of a table in memory are copies of each other."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.data.row_hash import Hashes, different, hash_rows
from kubeline.training.estimators import THREADS
from kubeline.typing import Array

DIFFERENT_ROWS = 50  # of a table with fewer, equal rows are what its columns can hold, and no copies
_CACHED = 32_768  # rows


def hashed(raw: pa.Table) -> Hashes:
    """The hash of each row: every thread its part, batch by batch, as much as a cache holds."""
    size = -(-raw.num_rows // THREADS)
    parts = [raw.slice(start, size) for start in range(0, raw.num_rows, size)]
    with ThreadPoolExecutor(THREADS) as workers:
        parts_hashed = workers.map(lambda part: [*map(hash_rows, part.to_batches(max_chunksize=_CACHED))], parts)
        return np.concatenate(list(itertools.chain(*parts_hashed)))


def equal(hashes: Hashes) -> Array:
    """(rows,) int64, the same number for rows of the same hash."""
    if DIFFERENT_ROWS <= len(different(hashes)) < len(hashes):
        codes: Array = pd.factorize(hashes)[0].astype(np.int64)
        return codes
    return np.arange(len(hashes))
