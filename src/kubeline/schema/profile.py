"""Statistics of a whole table in memory bounded by DuckDB's limit, however many rows it has."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from kubeline.columns import Type, type_of
from kubeline.data import engine
from kubeline.data.dataset import is_large, iter_batches
from kubeline.data.duck import Connection
from kubeline.data.row_hash import hash_rows
from kubeline.progress import Progress
from kubeline.schema.sample import Sample

MEMORY = "1GB"  # above it DuckDB goes to disk
EXACT_ROWS = 500_000  # up to here distinct values are counted, beyond they are estimated (HyperLogLog)
COUNTED_VALUES = 100  # a column with at most so many distinct values has each of them counted
_BLOCK = 16  # columns that are counted in one pass, at least, and more while so many values
_HELD = 16_000_000  # or fewer are held
_CAST = {pa.float16(): pa.float32(), pa.string_view(): pa.string()}  # types that Arrow cannot count as they are


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """What one column holds.

    Attributes:
        name: The column.
        stored: Its Arrow type.
        type: Its schema type.
        rows: Rows of the table.
        missing: Missing values, NaN included.
        infinite: Infinite values.
        distinct: Distinct values that are not missing; beyond `EXACT_ROWS`, more than `COUNTED_VALUES` are estimated.
            None for nested types.
        min: Smallest finite value, or None.
        max: Greatest finite value, or None.
        counts: Value -> rows, most frequent first; None when there are more than `COUNTED_VALUES`.
    """

    name: str
    stored: pa.DataType
    type: Type
    rows: int
    missing: int
    infinite: int = 0
    distinct: int | None = None
    min: Any = None
    max: Any = None
    counts: dict[Any, int] | None = None

    @property
    def missing_share(self) -> float:
        """Missing values as a share of the rows, 0 to 1."""
        return self.missing / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class TableProfile:
    """What a table holds, by column.

    `copies` counts the rows that equal an earlier one in every column; 0 beyond `EXACT_ROWS`, unsought.
    """

    rows: int
    columns: dict[str, ColumnProfile] = field(default_factory=dict)
    copies: int = 0


class TableQueries:
    """SQL over the part files of a dataset, with columns addressed by position so that any name is safe."""

    def __init__(self, connection: Connection, dataset: pads.Dataset):
        self.schema = dataset.schema
        self.dataset = dataset
        self.count = int(dataset.count_rows())
        self._connection = connection
        self._files = list(dataset.files)
        names = [self.column(index) for index in range(len(self.schema))]
        self._source = f"read_parquet(?, file_row_number=true, filename=true) AS t({', '.join([*names, 'r', 'f'])})"

    @staticmethod
    def column(index: int) -> str:
        """The name of a column inside the queries."""
        return f"c{index}"

    def rows(self, select: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Run ``SELECT select FROM the table rest``."""
        query = f"SELECT {select} FROM {self._source} {rest}"  # noqa: S608 -- made here, of column numbers
        return self._connection.execute(query, [self._files]).fetchall()

    def estimates(self, names: Sequence[str]) -> list[int]:
        """About how many different values that are not missing these columns have (HyperLogLog)."""
        found: list[int] = []
        for start in range(0, len(names), _BLOCK):
            columns = [
                (self.schema.field(name).type, self.column(self.schema.get_field_index(name)))
                for name in names[start : start + _BLOCK]
            ]
            counts = [
                f"approx_count_distinct({each}) FILTER (WHERE NOT {_missing(kind, each)})" for kind, each in columns
            ]
            found += self.rows(", ".join(counts))[0]
        return found

    def repeated_rows(self, key: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Sorted numbers of the rows whose `key` (no part of it missing) occurs in an earlier row, from 0."""
        columns = [self.column(self.schema.get_field_index(name)) for name in key]
        present = " AND ".join(self._present(name, column) for name, column in zip(key, columns, strict=True))
        starts = np.cumsum([0, *(pq.read_metadata(file).num_rows for file in self._files)])
        query = (
            f"SELECT list_position(?, f) - 1 AS file, r FROM {self._source} WHERE {present} "  # noqa: S608
            f"QUALIFY row_number() OVER (PARTITION BY {', '.join(columns)} ORDER BY list_position(?, f), r) > 1"
        )
        found = self._connection.execute(query, [self._files] * 3).fetchnumpy()
        return np.sort(starts[found["file"].astype(np.int64)] + found["r"].astype(np.int64))

    def _present(self, name: str, column: str) -> str:
        return f"NOT {_missing(self.schema.field(name).type, column)}"


@contextmanager
def open_queries(dataset: pads.Dataset) -> Iterator[TableQueries]:
    """Queries on a dataset; what does not fit into memory goes to a temporary folder."""
    with (
        tempfile.TemporaryDirectory(prefix="kubeline-") as folder,
        engine.connect(Path(folder), [Path(file) for file in dataset.files], MEMORY) as connection,
    ):
        engine.lock(connection)
        yield TableQueries(connection, dataset)


def profile_table(queries: TableQueries, sample: Sample | None = None) -> TableProfile:
    """Profile every column, in one pass for each block of columns: the different values of each are held meanwhile.

    Args:
        queries: The table.
        sample: Takes its rows from the same passes.
    """
    schema, rows = queries.schema, queries.count
    is_exact = rows <= EXACT_ROWS
    size = max(_BLOCK, _HELD // max(1, rows))
    tallies = {name: _Tally(schema.field(name).type, is_exact) for name in schema.names}
    hashes = np.zeros(rows if is_exact else 0, dtype=np.uint64)
    with Progress("profiling", rows * len(schema), "values") as progress:
        for start in range(0, len(schema), size):
            names = schema.names[start : start + size]
            begin = 0
            for batch in iter_batches(queries.dataset, names):
                for name, column in zip(names, batch.columns, strict=True):
                    tallies[name].add(column)
                if is_exact:
                    hashes[begin : begin + batch.num_rows] += hash_rows(_exact(batch))
                if sample is not None:
                    sample.add(batch, begin)
                begin += batch.num_rows
                progress.add(batch.num_rows * len(names))
    many = [] if is_exact else [name for name, tally in tallies.items() if tally.is_many]
    estimates = dict(zip(many, queries.estimates(many), strict=True))
    columns = {
        name: tally.profile(name, schema.field(name).type, rows, estimates.get(name)) for name, tally in tallies.items()
    }
    hashes.sort()  # np.unique counts whole numbers by a hash table, in a hundred times the time
    return TableProfile(rows, columns, int(np.count_nonzero(hashes[1:] == hashes[:-1])))


def _exact(batch: pa.RecordBatch) -> pa.Table:
    """The rows with those numbers as text that a double would round: they are hashed as doubles."""
    table = pa.Table.from_batches([batch])
    for place, column in enumerate(table.columns):
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            column = column.cast(pa.int64())  # noqa: PLW2901
        if pa.types.is_integer(column.type) and is_large(column):
            table = table.set_column(place, table.schema.names[place], column.cast(pa.string()))
    return table


class _Tally:
    """What one column holds, batch by batch; its different values are held, up to the rows that are counted exactly."""

    def __init__(self, stored: pa.DataType, is_exact: bool):
        self._kind = type_of(stored)
        self._floating = pa.types.is_floating(stored)
        self._is_exact = is_exact
        self._missing = 0
        self._infinite = 0
        self._bounds: list[Any] = []
        self._values: list[pa.Array] = []  # different ones, of each batch
        self._counts: Counter[Any] | None = Counter()  # None when there are too many

    def add(self, column: pa.Array) -> None:
        """Add the rows of a batch."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.type in _CAST:
            column = column.cast(_CAST[column.type])
        self._missing += column.null_count
        if self._kind == "any":
            return
        present = column.drop_null() if column.null_count else column
        if self._floating:
            present = self._numbers(present)
        if not len(present):
            return
        if self._kind in ("integer", "number", "datetime"):
            finite = present.filter(pc.is_finite(present)) if self._infinite else present
            bounds = pc.min_max(finite)
            self._bounds += [bound.as_py() for bound in (bounds["min"], bounds["max"]) if bound.is_valid]
        if self._counts is not None or self._is_exact:
            self._count(present)

    def _numbers(self, present: pa.Array) -> pa.Array:
        """Floating numbers without NaN, in which minus zero is zero."""
        values = present.to_numpy(zero_copy_only=False)
        missing = np.isnan(values)
        if missing.any():
            self._missing += int(missing.sum())
            values = values[~missing]
        self._infinite += int(np.isinf(values).sum())
        return pa.array(values + 0.0, present.type)

    def _count(self, present: pa.Array) -> None:
        if self._counts is None:
            self._values.append(present.unique())
            return
        found = present.value_counts()
        values = found.field(0)
        if self._is_exact:
            self._values.append(values)
        if len(values) > COUNTED_VALUES:
            self._counts = None
            return
        self._counts.update(dict(zip(values.to_pylist(), found.field(1).to_pylist(), strict=True)))
        if len(self._counts) > COUNTED_VALUES:
            self._counts = None

    def profile(self, name: str, stored: pa.DataType, rows: int, estimate: int | None) -> ColumnProfile:
        """The profile; `estimate` is of the different values, where they were not counted."""
        counts = None
        if self._kind == "any":
            distinct = None
        elif self._counts is not None:
            distinct = len(self._counts)
            counts = dict(sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))) or None
        else:
            distinct = len(pa.chunked_array(self._values).unique()) if self._is_exact else estimate
        return ColumnProfile(
            name=name,
            stored=stored,
            type=self._kind,
            rows=rows,
            missing=self._missing,
            infinite=self._infinite,
            distinct=distinct,
            min=min(self._bounds, default=None),
            max=max(self._bounds, default=None),
            counts=counts,
        )

    @property
    def is_many(self) -> bool:
        """Whether there are more different values than are counted one by one."""
        return self._kind != "any" and self._counts is None


def _missing(stored: pa.DataType, column: str) -> str:
    return f"({column} IS NULL OR isnan({column}))" if pa.types.is_floating(stored) else f"({column} IS NULL)"
