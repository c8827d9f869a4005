"""Which rows a model was trained on, stored with it in three bytes a row: whoever scores it can leave them out.

The rows stand in Bloom filters (Bloom, 1970, Communications of the ACM 13). None that was there is missed, and one in
a hundred thousand others is taken for one of them: by chance, so that leaving it out favours no model.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kubeline.data.row_hash import Hashes, different, hash_rows, mix
from kubeline.errors import UserError
from kubeline.model_package.tables import read_table
from kubeline.typing import Mask

_MAX_FILTERS = 3  # of all columns, of those needed, of the groups
_CACHED = 32_768  # rows
_BITS, _PROBES = 24, 17  # of each row: of other rows, 0.001 % are taken for one that was there


@dataclass(frozen=True)
class Filter:
    """The values that some columns had together, as a Bloom filter."""

    columns: list[str]
    bits: NDArray[np.uint8]  # eight in each byte

    @classmethod
    def of(cls, rows: pa.Table, columns: Sequence[str], hashes: Hashes | None = None) -> Self:
        """The filter of all `rows`; `hashes` are what :func:`hash_rows` makes of these columns, where that is known."""
        hashes = different(hash_rows(rows.select(list(columns))) if hashes is None else hashes)
        found = np.zeros(-(-max(64, _BITS * len(hashes)) // 8) * 8, dtype=bool)
        for start in range(0, len(hashes), _CACHED):
            for place in _places(hashes[start : start + _CACHED], len(found)):
                found[place] = True
        return cls(list(columns), np.packbits(found))

    def holds(self, rows: pa.Table | pa.RecordBatch) -> Mask:
        """(rows,) True for each row that was there."""
        hashes = hash_rows(rows.select(self.columns))
        held = np.ones(len(hashes), dtype=bool)
        for place in _places(hashes, 8 * len(self.bits)):
            held &= (self.bits[place >> 3] << (place & 7).astype(np.uint8)) >= 128  # the first bit is the greatest
        return held


def _places(hashes: Hashes, size: int) -> Iterator[NDArray[np.int64]]:
    """One after the other, the bits of each row, by double hashing (Kirsch, Mitzenmacher, 2006)."""
    step = mix(hashes ^ np.uint64(0x632BE59BD9B4E019)) | np.uint64(1)
    probe = hashes
    for _ in range(_PROBES):
        yield (probe % np.uint64(size)).view(np.int64)
        probe = probe + step


def _filter(columns: Sequence[str], bits: bytes) -> Filter:
    if not bits or not all(isinstance(name, str) for name in columns):
        raise ValueError("neither columns nor bits")
    return Filter(list(columns), np.frombuffer(bits, np.uint8))


@dataclass(frozen=True)
class TrainingRows:
    """What a model was trained on, its held-out rows included.

    Attributes:
        rows: Filters of whole rows: of all columns that training had, and of those without which the model cannot be
            judged (features and target), for tables that lack the others.
        groups: The filter of the groups, where rows belong to groups.
    """

    rows: list[Filter]
    groups: Filter | None = None

    @classmethod
    def of(cls, table: pa.Table, needed: Sequence[str], group: str = "", hashes: Hashes | None = None) -> Self:
        """Of the `table` of a training, whose features and target are `needed`; `hashes` are of its rows, if known."""
        filters = [Filter.of(table, table.schema.names, hashes)]
        known = set(needed)
        if known != set(table.schema.names):
            filters.append(Filter.of(table, [name for name in table.schema.names if name in known]))
        return cls(filters, Filter.of(table, [group]) if group else None)

    def seen(self, table: pa.Table | pa.RecordBatch) -> Mask:
        """(rows,) True for the rows that training had, by the most columns that `table` has as well.

        Raises:
            KeyError: when `table` lacks a column that the model needs.
        """
        there = set(table.schema.names)
        for one in self.rows:
            if there.issuperset(one.columns):
                return one.holds(table)
        raise KeyError("the table has not even the features and the target")

    def seen_groups(self, table: pa.Table | pa.RecordBatch, group: str) -> Mask | None:
        """(rows,) True for the rows whose group training had; None when it had none by this column."""
        if self.groups is None or self.groups.columns != [group]:
            return None
        return self.groups.holds(table)

    def to_bytes(self) -> bytes:
        """As Parquet: one row a filter."""
        filters = [("row", one) for one in self.rows] + ([("group", self.groups)] if self.groups else [])
        table = pa.table(
            {
                "of": [of for of, _ in filters],
                "columns": [one.columns for _, one in filters],
                "bits": pa.array([one.bits.tobytes() for _, one in filters], pa.large_binary()),
            }
        )
        stream = io.BytesIO()
        pq.write_table(table, stream, compression="none", use_dictionary=False)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, what: str = "the file of training rows") -> Self:
        """What :meth:`to_bytes` wrote; `what` it is, for errors.

        Raises:
            UserError: when it is something else.
        """
        found: dict[str, list[Filter]] = {"row": [], "group": []}
        table = read_table(content, _MAX_FILTERS * (len(content) + 4096), what)
        try:
            for row in table.to_pylist():
                found[row["of"]].append(_filter(row["columns"], row["bits"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{what} does not hold filters of rows; train the model again") from error
        return cls(found["row"], next(iter(found["group"]), None))
