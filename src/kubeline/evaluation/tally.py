"""How often each number occurs: what every figure needs that depends on the order of rows, whatever their number.

Numbers are sorted a range of them at a time, and what is found is kept in a file, so that it takes the same memory for
any number of rows. Nothing is rounded: equal numbers are counted together, and others are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kubeline.evaluation.kept import Kept, Numbers, pieces
from kubeline.typing import Array

SORTED_ROWS = 1 << 19  # at a time
SAMPLED = 1 << 16  # rows by which the ranges are chosen


class NumbersInOrder(NamedTuple):
    """Some different numbers that follow each other.

    Attributes:
        values: (m,) rising.
        rows: (m, kinds) how many rows have each.
        sums: (m, kinds) their weights; the rows again where each counts once.
        before: (kinds,) the sums of all smaller numbers.
    """

    values: Array
    rows: Array
    sums: Array
    before: Array


@dataclass(frozen=True)
class Occurrences:
    """Different numbers, and how often each occurs in each kind of rows.

    Attributes:
        values: (m,) from the least up.
        rows: (m, kinds) how many rows have each.
        sums: (m, kinds) their weights; `rows` itself where each counts once.
        counts: (kinds,) how many rows there are.
        totals: (kinds,) their weights.
    """

    values: Numbers
    rows: Numbers
    sums: Numbers
    counts: Array
    totals: Array

    def rising(self) -> Iterator[NumbersInOrder]:
        """All of it, from the least number up."""
        before = np.zeros(len(self.totals))
        for start in range(0, len(self.values), SORTED_ROWS):
            yield self._block(slice(start, start + SORTED_ROWS), before)
            before = before + self.sums[start : start + SORTED_ROWS].sum(axis=0, dtype=np.float64)

    def falling(self) -> Iterator[tuple[Array, Array]]:
        """From the greatest number down: (m,) numbers, and (m, kinds) the sums of them and all greater ones."""
        above = np.zeros(len(self.totals))
        for start in reversed(range(0, len(self.values), SORTED_ROWS)):
            some = slice(start, start + SORTED_ROWS)
            reached = above + np.cumsum(self.sums[some][::-1], axis=0, dtype=np.float64)
            yield self.values[some][::-1], reached
            above = reached[-1]

    def ranked(self, ranks: Array, kind: int | None = None) -> Array:
        """(r,) the numbers of the rows at these ranks, from 0, among those of a kind, or among all rows."""
        order = np.argsort(ranks, kind="stable")
        wanted, passed = ranks[order], 0
        found: list[Any] = []
        for start in range(0, len(self.values), SORTED_ROWS):
            rows = self.rows[start : start + SORTED_ROWS]
            past = passed + np.cumsum(rows.sum(axis=1) if kind is None else rows[:, kind], dtype=np.int64)
            inside = wanted[len(found) :]
            inside = inside[inside < past[-1]]
            found += list(self.values[start : start + SORTED_ROWS][np.searchsorted(past, inside, "right")])
            passed = past[-1]
        values = np.empty(len(ranks), self.values[:0].dtype)
        values[order] = found
        return values

    def quantiles(self, shares: Array, kind: int | None = None) -> Array:
        """(s,) as ``numpy.quantile`` by its method ``inverted_cdf``: numbers that occur; by rows, without weights."""
        count = self.counts.sum() if kind is None else self.counts[kind]
        return self.ranked(np.clip(np.ceil(count * shares - 1), 0, count - 1).astype(np.int64), kind)

    def middle(self) -> float:
        """The median of all rows: half of the weight is at or below it, and half at or above."""
        if self.sums is self.rows:
            count = int(self.counts.sum())
            return float(np.mean(self.ranked(np.array([(count - 1) // 2, count // 2]))))
        total, first = self.totals.sum(), None
        for block in self.rising():
            shares = (block.before.sum() + np.cumsum(block.sums.sum(axis=1))) / total
            if first is not None:
                return float((first + block.values[0]) / 2)
            place = int(np.searchsorted(shares, 0.5))
            if place < len(shares):
                first = float(block.values[place])
                if not np.isclose(shares[place], 0.5, rtol=0, atol=1e-12):
                    return first
                if place + 1 < len(shares):
                    return float((first + block.values[place + 1]) / 2)
        return first if first is not None else float("nan")

    def below(self, numbers: Array) -> Array:
        """(n, kinds) for some of the numbers, twice the sum of all smaller ones, and once that of equal ones."""
        found = np.empty((len(numbers), len(self.totals)))
        for block in self.rising():
            inside = np.flatnonzero((block.values[0] <= numbers) & (numbers <= block.values[-1]))
            if len(inside):
                reached = 2 * np.cumsum(block.sums, axis=0, dtype=np.float64) - block.sums + 2 * block.before
                found[inside] = reached[np.searchsorted(block.values, numbers[inside])]
        return found

    def _block(self, some: slice, before: Array) -> NumbersInOrder:
        rows = self.rows[some]
        return NumbersInOrder(self.values[some], rows, rows if self.sums is self.rows else self.sums[some], before)


def tally(numbers: Numbers, kinds: Numbers | None = None, weights: Numbers | None = None, size: int = 1) -> Occurrences:
    """Count how often each number occurs.

    Args:
        numbers: (n,) of n rows.
        kinds: (n,) what kind of row each is, from 0; None for one kind.
        weights: (n,) how much each counts, or None; rows of weight 0 are left out.
        size: How many kinds there are.
    """
    values, rows, sums = Kept(), Kept(), Kept()
    counts, totals = np.zeros(size, np.int64), np.zeros(size)
    for low, high in _ranges(numbers):
        parts = [_merged(*part) for part in _within(numbers, kinds, weights, size, low, high)]
        found, counted, summed = _joined(parts, plain=weights is None)
        values.add(found)
        rows.add(counted)
        counts += counted.sum(axis=0, dtype=np.int64)
        totals += summed.sum(axis=0, dtype=np.float64)
        if weights is not None:
            sums.add(summed)
    return Occurrences(values, rows, rows if weights is None else sums, counts, totals)


def _ranges(numbers: Numbers) -> list[tuple[float, float]]:
    """Ranges of numbers, each of which few rows have: every one from its first number on, to below its second."""
    rows = len(numbers)
    if rows <= SORTED_ROWS:
        return [(-np.inf, np.inf)]
    step = max(1, rows // SAMPLED)
    sample = np.sort(np.concatenate([numbers[some][::step] for some in pieces(rows)]))
    cuts = np.unique(sample[np.linspace(0, len(sample), -(-rows // SORTED_ROWS) + 1).astype(int)[1:-1]])
    return list(zip([-np.inf, *cuts], [*cuts, np.inf], strict=True))


def _within(
    numbers: Numbers, kinds: Numbers | None, weights: Numbers | None, size: int, low: float, high: float
) -> Iterator[tuple[Array, Array, Array]]:
    """What rows have a number of a range, by pieces: the numbers, and of each row the count and the sum by kind."""
    for some in pieces(len(numbers)):
        number = numbers[some]
        weight = None if weights is None else weights[some]
        inside: Array | slice = slice(None)
        if low > -np.inf or high < np.inf or weight is not None:
            inside = (number >= low) & (number < high) if high < np.inf else ~(number < low)
            inside &= True if weight is None else weight != 0
        kind = np.zeros(len(number), np.int8) if kinds is None else kinds[some]
        count = np.equal(kind[inside, None], np.arange(size)).astype(np.uint32)
        yield number[inside], count, count if weight is None else count * weight[inside, None]


def _joined(parts: list[tuple[Array, Array, Array]], *, plain: bool) -> tuple[Array, Array, Array]:
    if len(parts) == 1:
        return parts[0]
    values, rows = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    return _merged(values, rows, rows if plain else np.concatenate([part[2] for part in parts]))


def _merged(values: Array, rows: Array, sums: Array) -> tuple[Array, Array, Array]:
    """The different numbers in their order, with the counts and sums of equal ones added up."""
    order = np.argsort(values, kind="stable")
    values = values[order]
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1])) if len(values) else np.empty(0, np.intp)
    counted = _added(rows[order], first)
    return values[first], counted, counted if sums is rows else _added(sums[order], first)


def _added(numbers: Array, first: Array) -> Array:
    return numbers if len(first) == len(numbers) else np.add.reduceat(numbers, first, axis=0, dtype=numbers.dtype)
