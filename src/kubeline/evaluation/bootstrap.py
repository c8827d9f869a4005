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
from copy import copy
from dataclasses import dataclass
from typing import Self

import numpy as np

from kubeline.evaluation.kept import WHOLE_ROWS, Kept, Numbers, pieces
from kubeline.printable import rounded
from kubeline.typing import Array


@dataclass(frozen=True)
class Terms:
    """What a metric sums over n rows.

    Attributes:
        codes: Pairs of (n,) integer codes and the number of codes; the sum is the count of each code.
        values: (n, m) numbers; the sum is that of each column.
        grid: What the estimate needs beside the sums, such as the edges of the bins that the codes stand for.
        weights: (n,) how often each row counts in the sums, or None for once.
    """

    codes: tuple[tuple[Numbers, int], ...] = ()
    values: Numbers | None = None
    grid: Array | None = None
    weights: Numbers | None = None

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
        return self.values[rows] if self.weights is None else self.values[rows] * self.weights[rows][:, None]


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
        number: How many clusters there are, where that is known.
    """

    def __init__(
        self,
        rows: int,
        replicates: int = 1000,
        buckets: int = 2048,
        seed: int = 0,
        clusters: Numbers | None = None,
        number: int = 0,
    ):
        rng = np.random.default_rng(seed)
        units = rows
        if clusters is not None:
            units = number or 1 + max(int(clusters[some].max()) for some in pieces(rows))
        self.clustered = clusters is not None
        self.buckets = min(units, buckets)
        dealt = _dealt(units, self.buckets, rng)
        if clusters is not None:
            whole = dealt[:]
            dealt = Kept.of(whole[clusters[some]] for some in pieces(rows))
        self.bucket: Numbers = dealt
        self._weights = rng.poisson(1.0, (replicates, self.buckets)).astype(np.float32)

    @property
    def method(self) -> str:
        """What a comparison by it is called."""
        return "paired cluster bootstrap" if self.clustered else "paired bootstrap"

    def part(self, codes: Numbers, code: int) -> Self:
        """The same of the rows that have this one of the (rows,) codes."""
        part = copy(self)
        part.bucket = Kept.of(self.bucket[some][codes[some] == code] for some in pieces(len(codes)))
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
        bucket = self.bucket[rows].astype(np.intp)
        return np.column_stack([np.bincount(bucket, column, self.buckets) for column in values.T])

    def _counts(self, code: Numbers, size: int, terms: Terms) -> Array:
        """(replicates, size) how often each code occurs; counts are exact in float32, sums of weights are not."""
        cells = np.zeros(self.buckets * size, np.float32 if terms.weights is None else np.float64)
        for rows in pieces(len(code)):
            places = self.bucket[rows].astype(np.intp)
            places *= size
            places += code[rows]
            weight = terms.weight(rows)
            np.add.at(cells, places, np.float32(1) if weight is None else weight)
        counts: Array = self._weights @ cells.reshape(self.buckets, size).astype(np.float32, copy=False)
        return counts.astype(np.float64)


def _dealt(units: int, buckets: int, rng: np.random.Generator) -> Kept:
    """(units,) the bucket of each, all buckets of equal size: dealt at once, or of very many one stretch at a time."""
    kind, step = np.min_scalar_type(buckets), WHOLE_ROWS // buckets * buckets
    if units <= WHOLE_ROWS:
        step = units
    return Kept.of(
        (rng.permutation(min(step, units - start)) % buckets).astype(kind) for start in range(0, max(units, 1), step)
    )


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
