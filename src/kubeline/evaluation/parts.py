"""The parts of a column, by its values or by quantiles of its numbers and times; of a stored one, read by chunks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from kubeline.data.dataset import to_frame
from kubeline.data.stored import StoredTable
from kubeline.evaluation.kept import PIECE_ROWS, Kept, Numbers, pieces
from kubeline.evaluation.tally import Occurrences, tally
from kubeline.typing import Array

_FEW = 12  # a numeric column with no more values than this is cut by value
_MAX = 60  # parts of one column


@dataclass(frozen=True)
class ColumnParts:
    """The largest parts of a column, 60 at most, the largest first; missing values are a part of their own.

    Attributes:
        labels: What each has in common.
        sizes: How many rows each has.
        codes: (n,) in which part each row is; -1 for none.
    """

    labels: list[str]
    sizes: list[int]
    codes: Numbers


def groups(column: pd.Series, bins: int) -> list[tuple[str, Array]]:
    """The parts of a column in memory, each a label and its (n,) mask: by value, or by quantiles of many numbers."""
    values = _words(column)
    if _is_scale(column) and not pd.api.types.is_bool_dtype(column) and column.nunique() > _FEW:
        codes, edges = pd.qcut(column, bins, labels=False, retbins=True, duplicates="drop")
        values = codes.map(dict(enumerate(_ranges(edges)))).astype(object).where(codes.notna(), "missing")
    sizes = values.value_counts()
    return [(str(value), (values == value).to_numpy()) for value in sizes.index[:_MAX]]


def parts_of(frame: StoredTable | pd.DataFrame, name: str, judged: Numbers | None, bins: int) -> ColumnParts:
    """The parts of a column, of the rows that are judged.

    Args:
        frame: The table.
        name: The column.
        judged: (rows of the table,) True for the n rows that are judged; None for all.
        bins: Of numbers and times.
    """
    if isinstance(frame, StoredTable):
        return _stored(frame, name, judged, bins)
    found = groups(frame[name] if judged is None else frame[name][np.asarray(judged)], bins)
    codes = np.full(len(frame) if judged is None else int(np.count_nonzero(np.asarray(judged))), -1, np.int8)
    for place, (_, mask) in enumerate(found):
        codes[mask] = place
    return ColumnParts([label for label, _ in found], [int(mask.sum()) for _, mask in found], codes)


def _stored(table: StoredTable, name: str, judged: Numbers | None, bins: int) -> ColumnParts:
    counts: pa.Table | None = None
    for chunk in _chunks(table, name, judged):
        each = pc.value_counts(chunk.column(0))
        order = pa.array(np.arange(len(each)) + (0 if counts is None else len(counts)))
        some = pa.table({name: each.field(0), "rows": each.field(1), "order": order})
        if counts is not None:
            sums = [("rows", "sum"), ("order", "min")]
            both = pa.concat_tables([counts, some]).group_by(name).aggregate(sums).sort_by("order_min")
            some = pa.table({name: both[name], "rows": both["rows_sum"], "order": np.arange(len(both))})
        counts = some
        column = to_frame(chunk)[name]
        if _is_scale(column) and column.dtype != bool and len(counts) - counts[name].null_count > _FEW:
            return _by_quantile(table, name, judged, bins)
    assert counts is not None  # noqa: S101 (a row at least is judged)
    return _by_value(table, name, judged, counts)


def _chunks(table: StoredTable, name: str, judged: Numbers | None) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in table.batches([name], PIECE_ROWS):
        rows = slice(start, start + batch.num_rows)
        start = rows.stop
        yield batch if judged is None else batch.filter(pa.array(judged[rows]))


def _by_value(table: StoredTable, name: str, judged: Numbers | None, counts: pa.Table) -> ColumnParts:
    different = counts[name].combine_chunks()
    labels = _words(to_frame(pa.table({name: different}))[name])
    sizes = pd.Series(counts["rows"].to_numpy()).groupby(labels, sort=False).sum().sort_values(ascending=False)
    largest = [str(label) for label in sizes.index[:_MAX]]
    place = labels.map({label: code for code, label in enumerate(largest)}).fillna(-1).to_numpy(np.int8)
    codes = Kept.of(
        place[pc.index_in(chunk.column(0), value_set=different).to_numpy(zero_copy_only=False)]
        for chunk in _chunks(table, name, judged)
    )
    return ColumnParts(largest, [int(size) for size in sizes.iloc[:_MAX]], codes)


def _by_quantile(table: StoredTable, name: str, judged: Numbers | None, bins: int) -> ColumnParts:
    """By the edges of ``pandas.qcut``, from the numbers in their order."""
    chunk = next(_chunks(table, name, judged))
    kind = to_frame(chunk)[name].dtype
    found = tally(Kept.of(values[known] for values, known in _numbers(table, name, judged)))
    edges = np.unique(_quantiles(found, np.linspace(0, 1, bins + 1)))
    dated = pd.api.types.is_datetime64_any_dtype(kind)
    ends = list(pd.Series(edges.astype(np.int64)).astype(kind)) if dated else list(edges)
    labels, codes, sizes = [*_ranges(ends), "missing"], Kept(), np.zeros(len(edges), np.int64)
    first: dict[int, int] = {}  # part -> in which order they come
    for values, known in _numbers(table, name, judged):
        code = np.searchsorted(edges, values) - 1
        code[values == edges[0]] = 0
        code[~known] = len(labels) - 1
        codes.add(code.astype(np.int8))
        sizes += np.bincount(code, minlength=len(labels))
        for place in pd.unique(code).tolist():
            first.setdefault(place, len(first))
    order = sorted(first, key=lambda place: (-sizes[place], first[place]))
    rank = np.argsort([*order, *(place for place in range(len(labels)) if place not in first)]).astype(np.int8)
    ranked = Kept.of(rank[codes[some]] for some in pieces(len(codes)))
    return ColumnParts([labels[place] for place in order], [int(sizes[place]) for place in order], ranked)


def _numbers(table: StoredTable, name: str, judged: Numbers | None) -> Iterator[tuple[Array, Array]]:
    """The numbers of a column, times as they are stored, and where there are such."""
    for chunk in _chunks(table, name, judged):
        column = chunk.column(0)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        known = column.is_valid().to_numpy(zero_copy_only=False)
        values = column.fill_null(0).to_numpy(zero_copy_only=False)
        yield values, known & ~np.isnan(values)


def _quantiles(found: Occurrences, shares: Array) -> Array:
    """As ``numpy.quantile`` does by its own method, which lies between two numbers."""
    place = shares * (found.counts.sum() - 1)
    low = np.floor(place).astype(np.int64)
    first, second = found.ranked(low), found.ranked(np.minimum(low + 1, found.counts.sum() - 1))
    part, apart = place - low, second - first
    quantiles: Array = np.where(part < 0.5, first + apart * part, second - apart * (1 - part))
    return quantiles


def _words(column: pd.Series) -> pd.Series:
    values = column.astype(str).where(column.notna()) if pd.api.types.is_bool_dtype(column) else column
    return values.astype(object).where(values.notna(), "missing").astype(str)


def _ranges(edges: Sequence[Any]) -> list[str]:
    """The bins between rising edges, in words: the first begins at the least value, which needs no name."""
    ends = [_edge(edge) for edge in edges[1:-1]]
    words = [f"up to {end}" for end in ends[:1]]
    words += [f"above {low}, up to {high}" for low, high in pairwise(ends)]
    words += [f"above {end}" for end in ends[-1:]]
    return words or [f"{_edge(edges[0])} to {_edge(edges[-1])}"]


def _edge(edge: Any) -> str:
    return str(edge) if isinstance(edge, pd.Timestamp) else f"{round(edge, 4):.12g}"


def _is_scale(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column))
