"""A dataset on disk, of which is read what is asked for: whole columns, some rows, or one chunk of rows at a time."""

import os
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.data.dataset import CHUNK_ROWS, iter_batches, open_dataset, to_frame
from kubeline.typing import Array

_FEW = 16_384  # rows of which some are taken at a time


class StoredTable:
    """The rows of a dataset in their order; nothing of it is kept in memory.

    Attributes:
        columns: Their names.
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Open a dataset as :func:`kubeline.data.dataset.open_dataset` does; raises what that raises."""
        self._dataset = open_dataset(path)
        self._rows: int = self._dataset.count_rows()
        self.columns: list[str] = self._dataset.schema.names

    def __len__(self) -> int:
        return self._rows

    def type_of(self, name: str) -> pa.DataType:
        """How a column is stored."""
        return self._dataset.schema.field(name).type

    @overload
    def __getitem__(self, names: str) -> pd.Series: ...
    @overload
    def __getitem__(self, names: list[str]) -> pd.DataFrame: ...
    def __getitem__(self, names: str | list[str]) -> pd.Series | pd.DataFrame:
        """Read a column, or several, as a frame would give them."""
        wanted = [names] if isinstance(names, str) else names
        frame = to_frame(self._dataset.to_table(columns=wanted))
        return frame[names] if wanted else pd.DataFrame(index=range(self._rows))

    def batches(self, columns: Sequence[str], most: int = CHUNK_ROWS) -> Iterator[pa.RecordBatch]:
        """Some columns, one chunk of at most so many rows at a time."""
        return iter_batches(self._dataset, columns, most)

    def take(self, rows: Array, columns: Sequence[str]) -> pd.DataFrame:
        """Some columns of the rows at these rising positions."""
        found, start = [], 0
        for batch in self.batches(columns, _FEW):
            first, last = np.searchsorted(rows, [start, start + batch.num_rows])
            found.append(batch.take(pa.array(rows[first:last] - start)))
            start += batch.num_rows
        return to_frame(pa.Table.from_batches(found).combine_chunks())
