"""Which rows go to the test set: one boolean for each row.

Except by time, a row (or its group) is drawn by its own hash and never by its place, so that it stays on its side when
the table grows: what a model was trained on does not come into the test set of the next one.
"""

import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kubeline.data.row_hash import Hashes, hash_values, salted
from kubeline.errors import UserError, counted
from kubeline.masking import form_of
from kubeline.typing import Mask


def by_chance(hashes: Hashes, fraction: float, seed: int) -> Mask:
    """The rows whose salted hash is below `fraction` of all there can be: about that share of them.

    A row stays on its side when others are added or taken away, when the order changes, and, with a larger `fraction`,
    when it was in the test set before. Equal rows are on one side.

    Args:
        hashes: (rows,) of the rows.
        fraction: Share of the test rows.
        seed: Another one gives other sets.

    Raises:
        UserError: when there are no two different rows.
    """
    if len(hashes) < 2:
        raise UserError(f"a table of {len(hashes)} row cannot be split into two sets; expected at least two rows")
    drawn = salted(hashes, seed)
    if (drawn == drawn[0]).all():
        raise UserError(
            f"all {len(hashes):,} rows are equal and belong on one side; a split needs at least two different ones"
        )
    return _below(drawn, fraction)


def by_class(values: pa.ChunkedArray, hashes: Hashes, column: str, fraction: float, seed: int) -> Mask:
    """The same within each class, with a row of it on each side; a missing value is a class of its own.

    Raises:
        UserError: when a class has fewer than two different rows, one for each set.
    """
    codes, labels = _encode(_nan_as_missing(values))
    drawn = salted(hashes, seed)
    order = np.lexsort((drawn, codes))
    starts = np.searchsorted(codes[order], np.arange(len(labels)))
    parts = np.split(order, starts[1:])  # the rows of each class, by what was drawn
    single = [(rows[0], label) for label, rows in zip(labels, parts, strict=True) if drawn[rows[0]] == drawn[rows[-1]]]
    if single:
        row, label = min(single)
        raise UserError(
            f"{len(single):,} of the {len(labels):,} classes of '{column}' have one row only, or equal ones, and "
            f"cannot be in both sets, such as {form_of(label)} in row {row:,}; drop or merge them, or split by random"
        )
    test = np.zeros(len(codes), dtype=bool)
    for rows in parts:
        test[rows] = _below(drawn[rows], fraction)
    return test


def by_group(values: pa.ChunkedArray, column: str, fraction: float, seed: int) -> Mask:
    """The groups whose salted hash is below `fraction` of all there can be: about that share of the groups.

    Raises:
        UserError: when there is one group only, or a row has none.
    """
    values = _nan_as_missing(values)
    if values.null_count:
        raise UserError(
            f"group column '{column}' is missing in {counted(values.null_count, 'row')}, which may belong to any "
            "group; drop them or fill them in"
        )
    drawn = salted(hash_values(values), seed)
    if not len(drawn) or (drawn == drawn[0]).all():
        raise UserError(f"group column '{column}' has one group only; a split needs at least two")
    return _below(drawn, fraction)


def is_below(drawn: Hashes, fraction: float) -> Mask:
    """The rows below the share of all that could be drawn."""
    return np.asarray(drawn < np.uint64(min(int(fraction * 2**64), 2**64 - 1)))


def _below(drawn: Hashes, fraction: float) -> Mask:
    """The rows below the share; where one side would be empty, the lowest or all but the highest ones."""
    test = is_below(drawn, fraction)
    if not test.any():
        return np.asarray(drawn == drawn.min())
    return np.asarray(drawn != drawn.max()) if test.all() else test


def by_time(values: pa.ChunkedArray, column: str, fraction: float, cutoff: str) -> tuple[Mask, str]:
    """The rows from `cutoff` on, or else the last `fraction`; returns the mask and the first instant of the test set.

    Raises:
        UserError: when the column is not of time or numbers, a row has no time, or one side is empty.
    """
    kind = values.type
    if not (pa.types.is_temporal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise UserError(
            f"time column '{column}' holds {kind}; expected timestamps, dates or numbers "
            "(load reads ISO 8601 as timestamps)"
        )
    values = _nan_as_missing(values)
    if values.null_count:
        raise UserError(
            f"time column '{column}' is missing in {counted(values.null_count, 'row')}; drop them, for they have "
            "no place in time"
        )
    first = _parse(cutoff, column, kind) if cutoff else _quantile(values, column, fraction)
    test = pc.greater_equal(values, first).to_numpy()
    if test.all() or not test.any():
        bounds = pc.min_max(values).as_py()
        raise UserError(
            f"cutoff '{cutoff}' leaves no row {'before it' if test.all() else 'at or after it'}; '{column}' goes from "
            f"{bounds['min']} to {bounds['max']}"
        )
    return test, str(first.as_py())


def _quantile(values: pa.ChunkedArray, column: str, fraction: float) -> pa.Scalar:
    """The instant from which on the share of the rows is nearest to `fraction`; equal instants stay together."""
    counts = pc.value_counts(values.combine_chunks())
    instants, numbers = counts.field("values"), counts.field("counts").to_numpy()
    if len(instants) < 2:
        raise UserError(f"time column '{column}' holds one instant only; a split by time needs at least two")
    order = pc.sort_indices(instants).to_numpy()
    before = np.cumsum(numbers[order])[:-1]  # rows before the second, third, … instant
    at = int(np.argmin(np.abs(before - (1 - fraction) * len(values)))) + 1
    return instants[int(order[at])]


def _parse(cutoff: str, column: str, kind: pa.DataType) -> pa.Scalar:
    try:
        if pa.types.is_integer(kind):  # a double holds 53 bits, and nanoseconds since 1970 need 61
            least, most = (0, 2**64 - 1) if kind == pa.uint64() else (-(2**63), 2**63 - 1)
            return pa.scalar(
                min(max(math.ceil(Decimal(cutoff)), least), most), pa.uint64() if least == 0 else pa.int64()
            )
        if pa.types.is_floating(kind):
            return pa.scalar(float(cutoff))
        instant = pd.to_datetime([cutoff], format="ISO8601")[0]
    except (ValueError, ArithmeticError) as error:
        example = "2013-10-01" if pa.types.is_temporal(kind) else "2013"
        raise UserError(
            f"cutoff '{cutoff}' does not fit time column '{column}' ({kind}); expected such as {example}"
        ) from error
    zoned = pa.types.is_timestamp(kind) and kind.tz
    if instant.tzinfo is None:
        instant = instant.tz_localize("UTC") if zoned else instant
    elif not zoned:
        raise UserError(
            f"cutoff '{cutoff}' has an offset from UTC, but time column '{column}' has none; give it without"
        )
    if not pa.types.is_timestamp(kind):
        return pa.scalar(instant, pa.timestamp("us"))
    return pa.scalar(instant.ceil(kind.unit), kind)  # no value of the column lies between the two


def _nan_as_missing(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values with NaN as null: a missing value is one thing."""
    return pc.if_else(pc.is_nan(values), None, values) if pa.types.is_floating(values.type) else values


def _encode(values: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[object]]:
    """Codes and the values that they stand for, in order of first appearance."""
    encoded = values.combine_chunks().dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()
