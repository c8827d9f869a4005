"""The binned Poisson bootstrap: intervals whose cost hardly depends on the number of rows.

Every metric here is a function of sums over the rows (see :mod:`kubeline.evaluation.metrics`). The rows are dealt at
random into at most 2,048 buckets of equal size, and a replicate gives each bucket one Poisson(1) weight. Resampling
whole random buckets has the same expected variance as resampling rows, and all replicates of all sums become one
matrix product. With no more rows than buckets it is the Poisson bootstrap of the rows themselves.

Rows that belong together (of one customer, of one day) are dealt and resampled together, as clusters: the intervals
then hold for other customers or days, which those of independent rows do not.

Two models judged by the same `Bootstrap` share the weights, so their differences are paired.

Source: Chamandy, Muralidharan, Najmi, Naidu (2012), Estimating Uncertainty for Massive Data Streams, Google.
"""

import math
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from kubeline.printable import rounded
from kubeline.typing import Array

PIECE_ROWS = 1 << 19  # of which numbers are in memory at a time


def pieces(rows: int) -> Iterator[slice]:
    """All rows in order, so many at a time that what is computed of them takes little memory; one piece at least."""
    for start in range(0, max(rows, 1), PIECE_ROWS):
        yield slice(start, min(start + PIECE_ROWS, rows))


class Values(Protocol):
    """(n, m) numbers, of which the rows of a slice are had at a time: an array, or what computes them then."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Array: ...


@dataclass(frozen=True)
class Terms:
    """What a metric sums over n rows.

    Attributes:
        codes: Pairs of (n,) integer codes and the number of codes; the sum is the count of each code.
        values: (n, m) numbers, see :class:`Values`; the sum is that of each column.
        grid: What the estimate needs beside the sums, such as the edges of the bins that the codes stand for.
        weights: (n,) how often each row counts in the sums, or None for once.
    """

    codes: tuple[tuple[Array, int], ...] = ()
    values: Values | None = None
    grid: Array | None = None
    weights: Array | None = None

    def totals(self) -> list[Array]:
        """The sums over all rows as one replicate: (1, codes) for each of `codes`, then (1, m) for `values`."""
        counts = [np.zeros((1, size)) for _, size in self.codes]
        for place, (code, size) in enumerate(self.codes):
            for rows in pieces(len(code)):
                counts[place] += np.bincount(code[rows], self.weight(rows), size)
        if self.values is None:
            return counts
        return [*counts, sum(self.weighted(rows).sum(axis=0)[None] for rows in pieces(len(self.values)))]

    def weight(self, rows: slice) -> Array | None:
        """Of some of the rows, where there are any."""
        return None if self.weights is None else self.weights[rows]

    def weighted(self, rows: slice) -> Array:
        """(rows, m) the values times the weights, of some of the rows."""
        if self.values is None:
            raise TypeError("there are no values to add up")
        return self.values[rows] if self.weights is None else self.values[rows] * self.weights[rows, None]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; the ends are None where too few replicates define it."""

    value: float
    lower: float | None
    upper: float | None

    def negated(self) -> "Interval":
        """The interval of minus the quantity."""
        return Interval(
            -self.value,
            None if self.upper is None else -self.upper,
            None if self.lower is None else -self.lower,
        )

    def __str__(self) -> str:
        return self.written()

    def written(self, sign: bool = False) -> str:
        """``0.672 [0.667, 0.677]``: rounded to two digits of the interval's half width; `sign` writes a plus too."""
        plus = "+" if sign else ""
        if self.lower is None or self.upper is None:
            return f"{rounded(self.value, sign=sign)} (too few rows for an interval)"
        half = (self.upper - self.lower) / 2
        if half <= 0:
            value, lower, upper = (rounded(number, sign=sign) for number in (self.value, self.lower, self.upper))
            return f"{value} [{lower}, {upper}]"
        form = f"{plus},.{min(max(1 - math.floor(math.log10(half)), 0), 8)}f"
        value, lower, upper = (_written(number, form) for number in (self.value, self.lower, self.upper))
        return f"{value} [{lower}, {upper}]"


def _written(number: float, form: str) -> str:
    """A number in a format; what rounds to zero has no minus."""
    text = f"{number:{form}}"
    return text if text.strip("+-0.") else f"{0.0:{form}}"


class Bootstrap:
    """The buckets of `rows` rows and the weights of the replicates.

    Args:
        rows: How many rows there are.
        replicates: How often they are resampled.
        buckets: How many there are, at most.
        seed: Of the dealing and the weights.
        clusters: (rows,) codes from 0 of the clusters that are resampled whole, or None for the rows themselves.
    """

    def __init__(
        self, rows: int, replicates: int = 1000, buckets: int = 2048, seed: int = 0, clusters: Array | None = None
    ):
        rng = np.random.default_rng(seed)
        units = rows if clusters is None else int(clusters.max()) + 1
        self.clustered = clusters is not None
        self.buckets = min(units, buckets)
        dealt = rng.permutation(units)
        dealt %= self.buckets
        dealt = dealt.astype(np.min_scalar_type(self.buckets))
        self._bucket = dealt if clusters is None else dealt[clusters]
        self._weights = rng.poisson(1.0, (replicates, self.buckets)).astype(np.float32)

    @property
    def method(self) -> str:
        """What a comparison by it is called."""
        return "paired cluster bootstrap" if self.clustered else "paired bootstrap"

    def take(self, rows: Array) -> Self:
        """The same replicates of some of the rows, a mask or row numbers: paired with those of all rows."""
        part = copy(self)
        part._bucket = self._bucket[rows]
        return part

    def sums(self, terms: Terms) -> list[Array]:
        """The sums of every replicate, shaped as :meth:`Terms.totals` with one row for each replicate."""
        parts = [self._counts(code, size, terms) for code, size in terms.codes]
        if terms.values is not None:
            columns: Array = sum(self._columns(terms.weighted(rows), rows) for rows in pieces(len(terms.values)))  # type: ignore[assignment]
            parts.append(self._weights.astype(np.float64) @ columns)
        return parts

    def _columns(self, values: Array, rows: slice) -> Array:
        """(buckets, m) the sums of some rows in each bucket."""
        bucket = self._bucket[rows].astype(np.intp)
        return np.column_stack([np.bincount(bucket, column, self.buckets) for column in values.T])

    def _counts(self, code: Array, size: int, terms: Terms) -> Array:
        cells = np.zeros(self.buckets * size)
        for rows in pieces(len(code)):
            places = self._bucket[rows].astype(np.intp) * size + code[rows]
            cells += np.bincount(places, terms.weight(rows), len(cells))
        counts: Array = self._weights @ cells.reshape(self.buckets, size).astype(np.float32)
        return counts.astype(np.float64)


def interval(value: float, replicates: Array, confidence: float) -> Interval:
    """The percentile interval of `replicates`, around the exact `value`.

    The ends are None when more than a tenth of the replicates are undefined (NaN), as with hardly a positive row.
    """
    known = replicates[np.isfinite(replicates)]
    if len(known) < 0.9 * len(replicates):
        return Interval(value, None, None)
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(known, [tail, 1 - tail])
    return Interval(value, float(lower), float(upper))
