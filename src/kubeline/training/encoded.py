"""The columns of a table as a model reads them; numbers and texts are made where they are asked for.

Nothing but the rows that are asked for takes memory: the numbers stay where the table has them, and texts are codes.
"""

import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat

from kubeline.columns import MISSING_CATEGORY, Kind
from kubeline.data.dataset import to_frame
from kubeline.drift.profile import without_missing
from kubeline.model_package.encoding import EXACT_WHOLE_NUMBERS, encode_column, encode_exactly, furthest
from kubeline.training import precision
from kubeline.training.categories import Categories, refuse_numbers_as_text
from kubeline.training.doubles import Doubles
from kubeline.training.estimators import THREADS
from kubeline.typing import Array

IDENTIFIER_ROWS = 100  # fewer prove nothing
IDENTIFIER_SHARE = 0.95  # of the rows have a value of their own in a column that looks like an identifier


@dataclass(frozen=True)
class StoredNumbers:
    """A column of numbers without a missing value, where the table has it.

    Attributes:
        parts: of the values, one after the other.
        ends: int64, the row after each part.
        dtype: of the values that are read.
    """

    parts: list[Array]
    ends: Array
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, column: pa.ChunkedArray, dtype: type) -> Self | None:
        """None of a column of other values, or of which some are missing."""
        if column.null_count or not (pat.is_integer(column.type) or pat.is_floating(column.type)):
            return None
        parts = [chunk.to_numpy() for chunk in column.chunks]
        return cls(parts, np.cumsum([len(part) for part in parts]), np.dtype(dtype))

    @property
    def values(self) -> Array:
        """All values, shape (rows,)."""
        found = np.empty(self.ends[-1], self.dtype)
        return np.concatenate(self.parts, out=found, casting="unsafe")

    def at(self, rows: Array) -> Array:
        """The values at some positions, shape (positions,)."""
        found = np.empty(len(rows), self.dtype)
        self.write(_spans(self.ends, rows), found)
        return found

    def write(self, spans: "Sequence[_Span]", found: Array) -> None:
        """The same into an array, for positions of which it is known where they are."""
        for span in spans:
            found[span.at] = self.parts[span.part].take(span.places).astype(self.dtype, copy=False)


@dataclass(frozen=True)
class _Span:
    """Some of the positions that are asked for, and where they are."""

    at: "slice | Array"  # among those that are asked for
    part: int
    places: Array  # in the part


def _spans(ends: Array, rows: Array) -> list[_Span]:
    """Where some rows are, in parts that end there."""
    if not len(rows):
        return []
    order = np.argsort(rows) if (rows[1:] < rows[:-1]).any() else None
    ordered = rows if order is None else rows[order]
    first, last = np.searchsorted(ends, ordered[[0, -1]], side="right")
    bounds = [0, *np.searchsorted(ordered, ends[first:last]), len(rows)]
    found = []
    for part, (begin, end) in enumerate(itertools.pairwise(bounds), first):
        start = ends[part - 1] if part else 0
        at = slice(begin, end) if order is None else order[begin:end]
        found.append(_Span(at, part, ordered[begin:end] - start))
    return found


@dataclass(frozen=True)
class Encoded:
    """The columns by name, see :meth:`kubeline.model_package.signature.Signature.encode`, and those derived from them.

    Attributes:
        columns: of each the values, shape (rows,), or what they are made of.
    """

    columns: Mapping[str, "Array | Categories | StoredNumbers"]

    @property
    def coded(self) -> dict[str, Categories]:
        """The columns of text that are there as codes."""
        return {name: values for name, values in self.columns.items() if isinstance(values, Categories)}

    def dtype(self, name: str) -> np.dtype[Any]:
        """Of the values of a column."""
        values = self.columns[name]
        return values.texts.dtype if isinstance(values, Categories) else values.dtype

    def column(self, name: str) -> Array:
        """All values of a column, shape (rows,)."""
        values = self.columns[name]
        return values if isinstance(values, np.ndarray) else values.values

    def at(self, name: str, rows: Array) -> Array:
        """The values of a column at some positions, shape (positions,)."""
        values = self.columns[name]
        return values[rows] if isinstance(values, np.ndarray) else values.at(rows)

    def write(self, names: Sequence[str], rows: Array, found: Array) -> None:
        """The values of columns at some positions, into numbers of shape (positions, columns)."""
        ends, spans = None, list[_Span]()
        for place, name in enumerate(names):
            values = self.columns[name]
            if isinstance(values, StoredNumbers):
                if ends is None or not np.array_equal(ends, values.ends):  # mostly, those of all columns are the same
                    ends, spans = values.ends, _spans(values.ends, rows)
                values.write(spans, found[:, place])
            else:
                found[:, place] = self.at(name, rows)

    def rows(self, rows: Array) -> pd.DataFrame:
        """The rows at some positions."""
        return pd.DataFrame({name: self.at(name, rows) for name in self.columns}, index=rows, copy=False)

    def whole(self) -> pd.DataFrame:
        """All rows; side by side, as pandas would copy them, they would be there twice for a moment."""
        return pd.DataFrame({name: self.column(name) for name in self.columns}, copy=False)


def columns(raw: pa.Table, kinds: Mapping[str, Kind]) -> tuple[Encoded, list[str]]:
    """These columns as a model reads them, and notes.

    Raises:
        UserError: names a column that is no feature.
    """
    doubles = Doubles(raw.num_rows)
    with ThreadPoolExecutor(THREADS) as workers:  # arithmetic on whole columns, at which others can work as well
        found = list(workers.map(lambda name: _encoded(raw, name, kinds[name], doubles), kinds))
    notes = [one for _, said in found for one in said]
    encoded = Encoded(dict(zip(kinds, (values for values, _ in found), strict=True)))
    for name, values in encoded.coded.items():
        refuse_numbers_as_text(name, values)
    return encoded, notes


def column(raw: pa.Table, name: str) -> pd.Series:
    """One column as a pandas series with its name."""
    return to_frame(raw.select([name]))[name]


def _identifier(name: str, distinct: int, rows: int) -> list[str]:
    """A warning of a column that has another whole number, or text, in nearly every row with a value."""
    if rows < IDENTIFIER_ROWS or distinct < IDENTIFIER_SHARE * rows:
        return []
    return [
        f"column '{name}' has {distinct:,} different values in {rows:,} rows, as an identifier has: a model "
        f"learns nothing from it that holds for new rows, so exclude it unless it is a quantity"
    ]


def _distinct(whole: Array) -> int:
    """How many different whole numbers there are; where they are close together, how many there could be at most."""
    span = np.ptp(whole) + 1 if len(whole) else 0
    return int(span) if span < IDENTIFIER_SHARE * len(whole) else len(pd.unique(whole))


def _encoded(
    raw: pa.Table, name: str, kind: Kind, doubles: Doubles
) -> tuple[Array | Categories | StoredNumbers, list[str]]:
    """A feature as the model reads it, and what is to be known of it."""
    if kind == "category":
        found = Categories.of(raw.column(name))
        rows = found.counts()[found.texts != MISSING_CATEGORY]
        return found, _identifier(name, int((rows > 0).sum()), int(rows.sum()))
    if kind != "number":
        return encode_column(column(raw, name), kind), []
    exact = doubles.read(raw.column(name))
    if exact is None or not furthest(exact) < EXACT_WHOLE_NUMBERS:
        exact = encode_exactly(column(raw, name))
    present = without_missing(exact)
    notes = _identifier(name, _distinct(present), len(present)) if precision.no_fractions(present) else []
    wide = precision.needs_float64(present)
    notes += filter(None, [precision.note(name, exact, wide)])
    dtype = np.float64 if wide else np.float32
    return StoredNumbers.of(raw.column(name), dtype) or exact.astype(dtype), notes
