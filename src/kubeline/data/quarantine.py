"""Rows that are quarantined, each with the reason and its number in the table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from kubeline.typing import Mask

REASON = "quarantine_reason"
ROW = "quarantine_row"


def quarantine_schema(stored: pa.Schema) -> pa.Schema:
    """The columns of a table, and the two that hold the reason and the row's number."""
    names = [_free(name, stored.names) for name in (REASON, ROW)]
    return stored.append(pa.field(names[0], pa.string())).append(pa.field(names[1], pa.int64()))


def divide(
    batch: pa.RecordBatch, broken: Mapping[str, Mask], start: int, schema: pa.Schema
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The rows that are passed on, and those quarantined.

    Args:
        batch: Rows as they came.
        broken: By reason, a mask of the rows that have it.
        start: The number of the first row in the table.
        schema: What :func:`quarantine_schema` gave for the table.
    """
    bad = np.zeros(batch.num_rows, dtype=np.bool_)
    for mask in broken.values():
        bad |= mask
    rows = np.flatnonzero(bad)
    quarantined = batch.take(pa.array(rows, pa.int64()))
    columns = [*quarantined.columns, _reasons(broken, rows), pa.array(rows + start, pa.int64())]
    return batch.filter(pa.array(~bad)) if len(rows) else batch, pa.record_batch(columns, schema=schema)


def _reasons(broken: Mapping[str, Mask], rows: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
    """(rows,) all reasons of each row; many rows share theirs."""
    if not len(rows):
        return pa.array([], pa.string())
    has = np.column_stack([mask[rows] for mask in broken.values()])
    kinds, codes = np.unique(has, axis=0, return_inverse=True)
    texts = ["; ".join(reason for reason, one in zip(broken, kind, strict=True) if one) for kind in kinds]
    return pa.array(texts, pa.string()).take(pa.array(codes.reshape(-1)))


def _free(name: str, taken: list[str]) -> str:
    """The name, or the first of name_2, name_3, … that the table does not use."""
    candidates = (name if number == 1 else f"{name}_{number}" for number in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)
