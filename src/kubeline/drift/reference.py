"""What a window is compared with: the profile in a model package, or a table that is profiled here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.addresses import redact
from kubeline.artifacts import Artifact
from kubeline.columns import Kind, kind_of
from kubeline.data.ahead import importing
from kubeline.data.dataset import iter_batches, open_dataset
from kubeline.drift import evidently_page
from kubeline.drift.coded_rows import CodedRows
from kubeline.drift.profile import (
    MAX_CATEGORIES,
    CategoryProfile,
    NumberProfile,
    Profile,
    ascending,
    bin_counts,
    build,
    category_profile,
    number_profile,
    quantile_edges,
    without_missing,
)
from kubeline.drift.values import cells, numbers, texts
from kubeline.drift.window import ROWS, RowSample, evenly
from kubeline.errors import UserError, listed
from kubeline.model_package.package import MANIFEST, ModelPackage

EDGE_ROWS = 100_000  # rows from which the bins' edges are taken; the counts in them are of all rows
HELD = 96 * 2**20  # bytes of columns that need not be read again for the counts
LIVE_CATEGORIES = 10 * MAX_CATEGORIES  # held while counting one column
_TEXTS = ("category", "boolean")


@dataclass(frozen=True)
class Reference:
    """A reference profile and where it comes from.

    Attributes:
        name: What it is, for people.
        profile: Its profile.
        names: The columns that it has, compared or not.
        package: The model package that holds the profile, or None for a table.
        rows: A few of the table's rows, for people, or None for a package, which keeps none.
        coded: Some of the rows as bins; None for a package from before they were kept.
    """

    name: str
    profile: Profile
    names: list[str]
    package: ModelPackage | None = None
    rows: pd.DataFrame | None = None
    coded: CodedRows | None = None


def resolve(
    model: Artifact | None,
    reference: Artifact | None,
    reference_uri: str,
    tracking_uri: str,
    exclude: list[str],
    libraries: Sequence[str] = (),
) -> Reference:
    """Find the one reference that was given; of a table, `libraries` are imported while it is read.

    Raises:
        UserError: when none or more than one is given, or it is neither a model package nor a dataset.
    """
    given = {"model": model is not None, "reference": reference is not None, "reference_uri": bool(reference_uri)}
    names = [name for name, is_given in given.items() if is_given]
    if not names:
        raise UserError("no reference is given; give one of model, reference or reference_uri")
    if len(names) > 1:
        raise UserError(
            f"{' and '.join(names)} are given, but a window is compared with one reference; give one of them"
        )
    if model is not None:
        return _package(ModelPackage.of(model))
    if reference is not None:
        return _table(reference.path, exclude, "the reference table", libraries)
    from kubeline.registry import absent, fetch

    folder = fetch(reference_uri, tracking_uri)
    if folder is None:
        raise absent(reference_uri, tracking_uri)
    if (folder / MANIFEST).exists():
        return _package(ModelPackage.open(folder))
    return _table(folder, exclude, f"the table at {redact(reference_uri)}", libraries)


def _package(package: ModelPackage) -> Reference:
    name = f"the training data of model {package.digest[:12]} ({package.manifest.estimator})"
    profile = Profile.read(package.reference(), "reference.json of the model package")
    coded = CodedRows.read(profile.sample) if profile.sample else None
    return Reference(name, profile, [*profile.columns], package, coded=coded)


def _table(path: str | Path, exclude: list[str], name: str, libraries: Sequence[str]) -> Reference:
    dataset = open_dataset(path)
    schema = dataset.schema
    kinds = {field.name: kind for field in schema if (kind := _kind(field.type)) and field.name not in exclude}
    if not kinds:
        raise UserError(f"{name} has no column to compare; it has: {listed(schema.names)}")
    number = dataset.count_rows()
    sample = RowSample(EDGE_ROWS, expected=number, coded=True)
    tallies = _Tallies(schema, kinds, number) if number > EDGE_ROWS else None
    with importing(*libraries):
        for batch in iter_batches(path, list(kinds), ROWS, coded=True):
            sample.add(batch)
            if tallies:
                tallies.add(batch)
        rows = sample.frame()
        del sample  # it is as large as the frame
        if rows is None:
            raise UserError(f"{name} has no rows; give one with the data to compare with")
        profile = tallies.profile(path, rows) if tallies else Profile.read(build(rows, kinds))
    coded = CodedRows.of(rows, profile.columns).sample()
    return Reference(name, profile, schema.names, rows=evenly(rows, evidently_page.ROWS), coded=coded)


def _kind(stored: pa.DataType) -> Kind | None:
    """The kind of a column, where it can be compared; one without any value counts as numbers."""
    return "number" if pa.types.is_null(stored) else kind_of(stored)


class _Tallies:
    """Profiles a table that is larger than the sample.

    Categories are counted in the pass that draws the sample, numbers when it has given the edges of their bins: those
    that are held until then at once, the others in a second pass.
    """

    def __init__(self, schema: pa.Schema, kinds: dict[str, Kind], rows: int):
        self._kinds = kinds
        self._rows = rows
        self._categories = {name: _CategoryTally(kind) for name, kind in kinds.items() if kind in _TEXTS}
        numbers = [name for name in kinds if name not in self._categories]
        self._held: dict[str, list[pa.Array]] = {}
        room = HELD
        for name in numbers:
            stored = schema.field(name).type
            room -= 0 if pa.types.is_null(stored) else rows * stored.bit_width // 8
            if room >= 0:
                self._held[name] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """A chunk of the first pass."""
        for name, tally in self._categories.items():
            tally.add(cells(batch, name))
        for name, chunks in self._held.items():
            chunks.append(batch.column(name))

    def profile(self, path: str | Path, sample: pd.DataFrame) -> Profile:
        """The profile, with edges from the sample."""
        numbers = {n: _NumberTally(kind, sample[n]) for n, kind in self._kinds.items() if n not in self._categories}
        for name in list(self._held):
            for chunk in self._held.pop(name):
                numbers[name].add(cells(pa.record_batch([chunk], [name]), name))
        again = [name for name, tally in numbers.items() if not tally.rows]
        for batch in iter_batches(path, again, ROWS) if again else ():
            for name in again:
                numbers[name].add(cells(batch, name))
        tallies: dict[str, _NumberTally | _CategoryTally] = {**numbers, **self._categories}
        return Profile(rows=self._rows, columns={name: tallies[name].profile() for name in self._kinds})


class _NumberTally:
    def __init__(self, kind: Kind, sample: pd.Series):
        self._kind = kind
        self._sample = ascending(numbers(sample, kind))
        self._edges = quantile_edges(self._sample)
        self._counts = np.zeros(len(self._edges) + 1, dtype=np.int64)
        self.rows = 0

    def add(self, column: pd.Series) -> None:
        self._counts += bin_counts(without_missing(numbers(column, self._kind)), self._edges)
        self.rows += len(column)

    def profile(self) -> NumberProfile:
        counts = self._counts.tolist()
        return number_profile(self._kind, self._edges, counts, self.rows - sum(counts), self._sample)


class _CategoryTally:
    """Counts of categories; of a column with very many, the rare ones are dropped now and then (lossy counting)."""

    def __init__(self, kind: Kind):
        self._kind = kind
        self._counts: Counter[str] = Counter()
        self._missing = 0
        self._dropped = 0
        self._floor = 0

    def add(self, column: pd.Series) -> None:
        found, missing = texts(column, self._kind)
        self._counts.update(found)
        self._missing += missing
        if len(self._counts) > 2 * LIVE_CATEGORIES:
            ranked = self._counts.most_common()
            self._floor += ranked[LIVE_CATEGORIES][1]
            self._dropped += sum(count for _, count in ranked[LIVE_CATEGORIES:])
            self._counts = Counter(dict(ranked[:LIVE_CATEGORIES]))

    def profile(self) -> CategoryProfile:
        return category_profile(self._kind, self._counts, self._missing, self._dropped, self._floor)
