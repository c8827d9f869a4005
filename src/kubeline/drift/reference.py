"""What a window is compared with: the profile in a model package, or a table that is profiled here."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from kubeline.drift.values import numbers, numbers_in, texts_in
from kubeline.drift.window import ROWS, RowSample, evenly
from kubeline.errors import UserError, listed
from kubeline.model_package.package import MANIFEST, ModelPackage

if TYPE_CHECKING:
    import pyarrow.dataset as pads

EDGE_ROWS = 100_000  # rows from which the bins' edges are taken; the counts in them are of all rows
HELD = 96 * 2**20  # bytes of a column that need not be read again for the counts
TOGETHER = 24 * 2**20  # bytes of columns that are held at a time, where one is not larger: memory costs time, too
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
    with importing(*libraries):
        rows, profile = _profiled(dataset, kinds)
    if rows is None or profile is None:
        raise UserError(f"{name} has no rows; give one with the data to compare with")
    coded = CodedRows.of(rows, profile.columns).sample()
    return Reference(name, profile, schema.names, rows=evenly(rows, evidently_page.ROWS), coded=coded)


def _kind(stored: pa.DataType) -> Kind | None:
    """The kind of a column, where it can be compared; one without any value counts as numbers."""
    return "number" if pa.types.is_null(stored) else kind_of(stored)


def _profiled(dataset: "pads.Dataset", kinds: dict[str, Kind]) -> tuple[pd.DataFrame | None, Profile | None]:
    """Some rows of a table, and the profile of all; None of a table without rows."""
    number = dataset.count_rows()
    if number > EDGE_ROWS:
        return _by_groups(dataset, kinds, number)
    sample = RowSample(EDGE_ROWS)
    for batch in iter_batches(dataset, list(kinds), ROWS, coded=True):
        sample.add(batch)
    rows = sample.frame()
    return rows, None if rows is None else Profile.read(build(rows, kinds))


def _by_groups(dataset: "pads.Dataset", kinds: dict[str, Kind], number: int) -> tuple[pd.DataFrame, Profile]:
    """The same of a table that is larger than the sample, which is known when all of a column has been read.

    Categories are counted meanwhile. Numbers wait for the edges of their bins: a few columns are read at a time and
    held until then, and those that are too large for it are read again.
    """
    columns: dict[str, pd.Series] = {}
    profiles: dict[str, NumberProfile | CategoryProfile] = {}
    for names, are_held in _groups(dataset.schema, kinds, number):
        sample, held = RowSample(EDGE_ROWS, expected=number, coded=True), []
        categories = {name: _CategoryTally(kinds[name]) for name in names if kinds[name] in _TEXTS}
        others = [name for name in names if name not in categories]
        for batch in iter_batches(dataset, names, ROWS, coded=True):
            sample.add(batch)
            for name, category in categories.items():
                category.add(batch, name)
            if are_held:
                held.append(batch)
        rows = sample.frame()
        assert rows is not None  # noqa: S101 - there are more rows than in the sample
        tallies = {name: _NumberTally(kinds[name], rows[name]) for name in others}
        for batch in held if are_held else iter_batches(dataset, others, ROWS) if others else ():
            for name, tally in tallies.items():
                tally.add(batch, name)
        columns |= {name: rows[name] for name in names}
        profiles |= {name: (categories.get(name) or tallies[name]).profile() for name in names}
    frame = pd.DataFrame({name: columns[name] for name in kinds}, copy=False)
    return frame, Profile(rows=number, columns={name: profiles[name] for name in kinds})


def _groups(schema: pa.Schema, kinds: dict[str, Kind], rows: int) -> Iterator[tuple[list[str], bool]]:
    """Columns that are read together, and whether they are held: first all those that are not."""
    sizes = {name: _size(schema.field(name).type, rows) for name, kind in kinds.items() if kind not in _TEXTS}
    if passing := [name for name in kinds if sizes.get(name, HELD + 1) > HELD]:
        yield passing, False
    group: list[str] = []
    for name in kinds:
        if name in passing:
            continue
        if group and sum(sizes[one] for one in [*group, name]) > TOGETHER:
            yield group, True
            group = []
        group.append(name)
    if group:
        yield group, True


def _size(stored: pa.DataType, rows: int) -> int:
    """Bytes of a column of numbers or times."""
    return 0 if pa.types.is_null(stored) else rows * stored.bit_width // 8


class _NumberTally:
    def __init__(self, kind: Kind, sample: pd.Series):
        self._kind = kind
        self._sample = ascending(numbers(sample, kind))
        self._edges = quantile_edges(self._sample)
        self._counts = np.zeros(len(self._edges) + 1, dtype=np.int64)
        self._rows = 0

    def add(self, batch: pa.RecordBatch, name: str) -> None:
        self._counts += bin_counts(without_missing(numbers_in(batch, name, self._kind)), self._edges)
        self._rows += len(batch)

    def profile(self) -> NumberProfile:
        counts = self._counts.tolist()
        return number_profile(self._kind, self._edges, counts, self._rows - sum(counts), self._sample)


class _CategoryTally:
    """Counts of categories; of a column with very many, the rare ones are dropped now and then (lossy counting)."""

    def __init__(self, kind: Kind):
        self._kind = kind
        self._counts: Counter[str] = Counter()
        self._missing = 0
        self._dropped = 0
        self._floor = 0

    def add(self, batch: pa.RecordBatch, name: str) -> None:
        found, missing = texts_in(batch, name, self._kind)
        self._counts.update(found)
        self._missing += missing
        if len(self._counts) > 2 * LIVE_CATEGORIES:
            ranked = self._counts.most_common()
            self._floor += ranked[LIVE_CATEGORIES][1]
            self._dropped += sum(count for _, count in ranked[LIVE_CATEGORIES:])
            self._counts = Counter(dict(ranked[:LIVE_CATEGORIES]))

    def profile(self) -> CategoryProfile:
        return category_profile(self._kind, self._counts, self._missing, self._dropped, self._floor)
