"""Statistics of a whole table in memory bounded by DuckDB's limit, however many rows it has."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from kubeline.data.engine import BLIND_OPTIMIZER
from kubeline.schema.types import Type, type_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "1GB"  # above it DuckDB goes to disk
EXACT_ROWS = 500_000  # up to here distinct values are counted, beyond they are estimated (HyperLogLog)
COUNTED_VALUES = 100  # a column with at most so many distinct values has each of them counted
_BLOCK = 64  # columns that are counted in one query: the different values of each are held meanwhile


@dataclass(frozen=True)
class ColumnProfile:
    """What one column holds.

    Attributes:
        name: The column.
        stored: Its Arrow type.
        type: Its schema type.
        rows: Rows of the table.
        missing: Missing values, NaN included.
        infinite: Infinite values.
        distinct: Distinct values that are not missing; estimated beyond `EXACT_ROWS`, None for nested types.
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

    def __init__(self, connection: "DuckDBPyConnection", dataset: pads.Dataset):
        self.schema = dataset.schema
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
    import duckdb

    with (
        tempfile.TemporaryDirectory(prefix="kubeline-") as folder,
        duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": folder}) as connection,
    ):
        connection.execute(f"SET disabled_optimizers = '{BLIND_OPTIMIZER}'")
        yield TableQueries(connection, dataset)


def profile_table(queries: TableQueries) -> TableProfile:
    """Profile every column, in one pass for each block of columns and one more for those of few values."""
    names = queries.schema.names
    rows = int(queries.rows("count(*)")[0][0])
    columns = {}
    for start in range(0, len(names), _BLOCK):
        block = range(start, min(start + _BLOCK, len(names)))
        parts = {index: _aggregates(queries.schema.field(index).type, queries.column(index), rows) for index in block}
        selected = [expression for part in parts.values() for expression in part.values()]
        values = iter(queries.rows(", ".join(selected))[0])
        found = {index: {key: next(values) for key in part} for index, part in parts.items()}
        few = [index for index in block if 0 < (found[index].get("distinct") or 0) <= COUNTED_VALUES]
        counts = _counts(queries, few)
        for index in block:
            stored = queries.schema.field(index).type
            columns[names[index]] = ColumnProfile(
                names[index], stored, type_of(stored), rows, **found[index], counts=counts.get(index)
            )
    return TableProfile(rows, columns, _copies(queries) if 0 < rows <= EXACT_ROWS else 0)


def _copies(queries: TableQueries) -> int:
    """Rows less distinct rows, by a 64-bit hash: half a million rows err once in a hundred million tables."""
    every = ", ".join(queries.column(index) for index in range(len(queries.schema)))
    return int(queries.rows(f"count(*) - count(DISTINCT hash({every}))")[0][0])


def _missing(stored: pa.DataType, column: str) -> str:
    return f"({column} IS NULL OR isnan({column}))" if pa.types.is_floating(stored) else f"({column} IS NULL)"


def _aggregates(stored: pa.DataType, column: str, rows: int) -> dict[str, str]:
    """SQL aggregates by field of :class:`ColumnProfile`."""
    missing = _missing(stored, column)
    found = {"missing": f"count(*) FILTER {missing.replace('(', '(WHERE ', 1)}"}
    kind = type_of(stored)
    if kind == "any":
        return found
    present = f"FILTER (WHERE NOT {missing})"
    found["distinct"] = f"{'count(DISTINCT ' if rows <= EXACT_ROWS else 'approx_count_distinct('}{column}) {present}"
    if kind in ("integer", "number", "datetime"):
        finite = f"FILTER (WHERE isfinite({column}))" if pa.types.is_floating(stored) else ""
        found |= {"min": f"min({column}) {finite}", "max": f"max({column}) {finite}"}
    if pa.types.is_floating(stored):
        found["infinite"] = f"count(*) FILTER (WHERE isinf({column}))"
    return found


def _counts(queries: TableQueries, columns: Sequence[int]) -> dict[int, dict[Any, int]]:
    """Of columns of few values, how often each occurs, the most frequent first."""
    if not columns:
        return {}
    present = [
        f"FILTER (WHERE NOT {_missing(queries.schema.field(index).type, queries.column(index))})" for index in columns
    ]
    histograms = [f"histogram({queries.column(index)}) {each}" for index, each in zip(columns, present, strict=True)]
    (row,) = queries.rows(", ".join(histograms))
    return {
        index: dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
        for index, found in zip(columns, row, strict=True)
    }
