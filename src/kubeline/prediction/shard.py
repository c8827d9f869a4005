"""One of several equal parts of a table, for steps that predict side by side."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from kubeline.data.dataset import chunk_rows, open_dataset
from kubeline.errors import UserError

_WRITTEN = re.compile(r"([1-9]\d{0,4})/([1-9]\d{0,4})")


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` parts, from 1."""

    number: int
    count: int

    @classmethod
    def read(cls, written: str) -> Self:
        """A shard as parameters name it: ``2/4``.

        Raises:
            UserError: when it is something else.
        """
        match = _WRITTEN.fullmatch(str(written).strip())
        if match is None or int(match[1]) > int(match[2]):
            raise UserError(f"shard is {written!r}; expected a number of a part and how many there are, such as 2/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def batches(self, path: str) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of a dataset that belong to this shard, in chunks, each with the number of its first row.

        Every row group (65,536 rows, of a table that `load` wrote) is in exactly one of the shards; those of others are
        not read.
        """
        start, place = 0, 0
        for file in open_dataset(path).files:
            with pq.ParquetFile(file, pre_buffer=False) as parquet:
                for group in range(parquet.num_row_groups):
                    if place % self.count == self.number - 1:
                        yield from self._group(parquet, group, start)
                    start += parquet.metadata.row_group(group).num_rows
                    place += 1

    @staticmethod
    def _group(parquet: pq.ParquetFile, group: int, start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        for batch in parquet.iter_batches(chunk_rows(parquet.schema_arrow), row_groups=[group]):
            yield start, batch
            start += batch.num_rows
