"""Which rows go to the test set: one boolean for each row."""

import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kubeline.errors import UserError, listed

Mask = NDArray[np.bool_]


def by_chance(rows: int, fraction: float, seed: int) -> Mask:
    """A random choice of `fraction` of the rows, at least one on each side."""
    if rows < 2:
        raise UserError(f"a table of {rows} row cannot be split into two sets; expected at least two rows")
    test = np.zeros(rows, dtype=bool)
    test[np.random.default_rng(seed).permutation(rows)[: _count(rows, fraction)]] = True
    return test


def by_class(values: pa.ChunkedArray, column: str, fraction: float, seed: int) -> Mask:
    """A random choice of `fraction` of the rows of each class; a missing value is a class of its own.

    Raises:
        UserError: when a class has fewer than two rows, one for each set.
    """
    codes, labels = _encode(_nan_as_missing(values))
    sizes = np.bincount(codes, minlength=len(labels))
    single = [str(label) for label, size in zip(labels, sizes, strict=True) if size < 2]
    if single:
        raise UserError(
            f"{len(single):,} of the {len(labels):,} classes of '{column}' have one row only and cannot be in both "
            f"sets: {listed(single)}; drop or merge them, or split by random"
        )
    # Rows of one class side by side, in random order within it: the first ones of each class are for the test.
    random = np.random.default_rng(seed).permutation(len(codes))
    order = random[np.argsort(codes[random], kind="stable")]
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    test = np.zeros(len(codes), dtype=bool)
    test[order] = rank < np.repeat(_apportion(sizes, fraction), sizes)
    return test


def by_group(values: pa.ChunkedArray, column: str, fraction: float, seed: int) -> Mask:
    """Whole groups, in random order, as long as they fit into `fraction` of the rows.

    Raises:
        UserError: when there is one group only, or a row has none.
    """
    values = _nan_as_missing(values)
    if values.null_count:
        raise UserError(
            f"group column '{column}' is missing in {values.null_count:,} rows, which may belong to any group; "
            "drop them or fill them in"
        )
    codes, labels = _encode(values)
    if len(labels) < 2:
        raise UserError(f"group column '{column}' has one group only ({listed(labels)}); a split needs at least two")
    sizes = np.bincount(codes, minlength=len(labels))
    room = _count(len(codes), fraction)
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = np.zeros(len(labels), dtype=bool)
    for group in order:
        if sizes[group] <= room:
            chosen[group] = True
            room -= sizes[group]
    if not chosen.any():  # every group is larger than the test set should be: the smallest comes nearest
        chosen[order[np.argmin(sizes[order])]] = True
    return np.asarray(chosen[codes])


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
            f"time column '{column}' is missing in {values.null_count:,} rows; drop them, for they have no place in "
            "time"
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


def _count(rows: int, fraction: float) -> int:
    return min(max(round(rows * fraction), 1), rows - 1)


def _apportion(sizes: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """Test rows of each class, at least one on each side, which add up to the nearest count (largest remainders)."""
    exact = sizes * fraction
    counts = np.floor(exact).astype(np.int64)
    more = round(float(exact.sum())) - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:more]] += 1
    return np.clip(counts, 1, sizes - 1)
