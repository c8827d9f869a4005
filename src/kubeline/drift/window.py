"""Counting a window of data against a profile, chunk by chunk.

Counts do not depend on the order of rows or on how they come in chunks, and memory does not grow with the rows.
"""

import math
from collections import Counter
from copy import copy

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.data.dataset import CHUNK_ROWS, to_frame
from kubeline.drift.profile import (
    MAX_CATEGORIES,
    CategoryProfile,
    NumberProfile,
    ReferenceColumn,
    bin_counts,
    without_missing,
)
from kubeline.drift.statistics import CategoryCounts
from kubeline.drift.values import numbers, numbers_in, plain, texts, texts_in
from kubeline.typing import Array

ROWS = CHUNK_ROWS  # read at a time


class NumberCounter:
    """Counts one number or datetime column in the bins of its profile."""

    def __init__(self, profile: NumberProfile):
        self.profile = profile
        self.counts: Array = np.zeros(len(profile.counts), dtype=np.int64)
        self.missing = 0
        self.smallest = math.inf
        self.largest = -math.inf
        self._origin = profile.mean or 0.0  # sums of distances from it keep their digits
        self._sum = 0.0
        self._squares = 0.0

    def add(self, column: pd.Series) -> None:
        """Count a chunk."""
        self.count(numbers(column, self.profile.kind))

    def read(self, batch: pa.RecordBatch, name: str) -> None:
        """Count a column of a chunk."""
        self.count(numbers_in(batch, name, self.profile.kind))

    def count(self, values: Array) -> None:
        """Count the values of a chunk, of which missing ones are NaN."""
        present = without_missing(values)
        self.missing += len(values) - len(present)
        self.counts += bin_counts(present, self.profile.edges)
        if len(present):
            self.smallest = min(self.smallest, float(present.min()))
            self.largest = max(self.largest, float(present.max()))
            with np.errstate(over="ignore", invalid="ignore"):
                distance = present - self._origin
                self._sum += float(distance.sum())
                # a second array of this size, over and over, is given back to the system and taken from it again
                self._squares += float(np.square(distance, out=distance).sum())

    def against(self, profile: NumberProfile) -> "NumberCounter":
        """What was counted, beside another profile with the same edges."""
        other = copy(self)
        other.profile = profile
        return other

    @property
    def moments(self) -> tuple[float | None, float | None]:
        """Mean and standard deviation; None without values, or when they overflow."""
        present = int(self.counts.sum())
        if not present:
            return None, None
        mean = self._sum / present
        variance = self._squares / present - mean**2
        std = math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else None
        return _rounded(self._origin + mean), _rounded(std)


class CategoryCounter:
    """Counts one category or boolean column against the categories of its profile."""

    def __init__(self, profile: CategoryProfile):
        self.profile = profile
        self.counts = CategoryCounts()

    def add(self, column: pd.Series) -> None:
        """Count a chunk."""
        self.count(*texts(column, self.profile.kind))

    def read(self, batch: pa.RecordBatch, name: str) -> None:
        """Count a column of a chunk."""
        self.count(*texts_in(batch, name, self.profile.kind))

    def count(self, found: Counter[str], missing: int) -> None:
        """Add what was counted of a chunk: rows by category, and rows without one."""
        self.counts.missing += missing
        for name, count in found.items():
            if name in self.profile.counts:
                self.counts.listed[name] += count
            else:
                self.counts.unlisted[name] += count
                self.counts.unlisted_rows += count
        if len(self.counts.unlisted) > 2 * MAX_CATEGORIES:
            self._prune()

    def finish(self) -> CategoryCounts:
        """The counts, with at most `MAX_CATEGORIES` unlisted categories by name."""
        if len(self.counts.unlisted) > MAX_CATEGORIES:
            self._prune()
        return self.counts

    def _prune(self) -> None:
        """Keep the first by name: which those are, and so their counts, does not depend on the order of rows."""
        first = sorted(self.counts.unlisted)[:MAX_CATEGORIES]
        self.counts.unlisted = Counter({name: self.counts.unlisted[name] for name in first})


def counter(profile: ReferenceColumn) -> NumberCounter | CategoryCounter:
    """The counter for a column with this profile."""
    return NumberCounter(profile) if isinstance(profile, NumberProfile) else CategoryCounter(profile)


class RowSample:
    """A random sample of at most `size` rows, the same for the same rows however they come in chunks.

    Args:
        size: At most so many are kept.
        seed: Of the choice.
        expected: How many rows will be offered, where that is known. The sample is then stratified by place, so that
            of each stretch of a table, such as a day of a log, it has as large a share as of all.
        coded: Texts of such a sample stay dictionaries where they are.
    """

    def __init__(self, size: int, seed: int = 0, expected: int = 0, *, coded: bool = False):
        self.rows = 0  # rows offered
        self._size = size
        self._coded = coded
        self._rng = np.random.default_rng(seed)
        self._places = _one_of_each(size, expected, self._rng) if expected > size else None
        self._limit = math.inf  # of the numbers that are small enough
        self._keys: list[Array] = []
        self._kept: list[pa.RecordBatch] = []
        self._held = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Offer a chunk: each row draws a number, and the rows with the smallest numbers stay."""
        if self._places is not None:
            first, last = np.searchsorted(self._places, [self.rows, self.rows + batch.num_rows])
            taken = batch.take(pa.array(self._places[first:last] - self.rows))
            self._kept.append(taken if self._coded else plain(taken))
            self.rows += batch.num_rows
            return
        keys = self._rng.random(batch.num_rows)
        drawn = np.flatnonzero(keys < self._limit)
        self.rows += batch.num_rows
        self._kept.append(plain(batch.take(pa.array(drawn))))
        self._keys.append(keys[drawn])
        self._held += len(drawn)
        if self._held > 2 * self._size:
            self._drop()

    def _drop(self) -> None:
        """Keep the rows with the smallest numbers, in their order."""
        keys = np.concatenate(self._keys)
        if len(keys) > self._size:
            smallest = np.sort(np.argpartition(keys, self._size - 1)[: self._size])
            kept = pa.Table.from_batches(self._kept).take(smallest).combine_chunks()
            self._kept, self._keys, self._held = kept.to_batches(), [keys[smallest]], self._size
            self._limit = float(keys[smallest].max())

    def frame(self) -> pd.DataFrame | None:
        """The sample in the order of the rows, or None when no chunk was offered."""
        if not self._kept:
            return None
        if self._places is None:
            self._drop()
        return to_frame(pa.Table.from_batches(self._kept))


def evenly(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """So many of the rows, evenly over all."""
    if len(rows) <= number:
        return rows
    return rows.iloc[np.linspace(0, len(rows), number, endpoint=False).astype(int)].reset_index(drop=True)


def _one_of_each(size: int, rows: int, rng: np.random.Generator) -> Array:
    """(size,) places, one by chance of each of so many stretches; which stretches is chance, too."""
    bounds = np.floor((np.arange(size + 1) + rng.random()) * (rows / size)).astype(np.int64)
    return np.sort((bounds[:-1] + (rng.random(size) * np.diff(bounds)).astype(np.int64)) % rows)


def _rounded(value: float | None) -> float | None:
    """To nine digits: the last few depend on the order of the sum."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.9g}")
