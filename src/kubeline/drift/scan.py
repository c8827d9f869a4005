"""One pass over the rows of a window: counts of every column and prediction, a sample of rows, and performance."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from kubeline.columns import Kind
from kubeline.data.ahead import importing
from kubeline.data.dataset import iter_batches, open_dataset
from kubeline.drift.clusters import ClusterCounts, Spread
from kubeline.drift.coded_rows import CodedRows, size_of
from kubeline.drift.compare import Counter
from kubeline.drift.estimate import estimated_by
from kubeline.drift.estimate import performance as estimated_performance
from kubeline.drift.estimated_slices import EstimatedSlices
from kubeline.drift.logged import LOG_COLUMNS, LoggedAnswers
from kubeline.drift.performance import LABELS, LabelledRows, cluster_column, role_columns
from kubeline.drift.profile import Profile
from kubeline.drift.reference import Reference
from kubeline.drift.result import Performance, SlicePerformance
from kubeline.drift.values import as_reference, cells, frame_of, is_other
from kubeline.drift.window import ROWS, RowSample, counter
from kubeline.errors import UserError, listed
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.progress import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Window:
    """What is stored of the current window.

    Attributes:
        rows: How many rows it has.
        columns: A counter for each compared column.
        predictions: A counter for each compared prediction; empty when the reference is a table.
        labels: A counter of the labels, empty when there are none or the package does not say what they were.
        sample: Some of the rows, with their predictions; None when there are none.
        coded: The same rows as bins.
        spreads: How far rows that belong together differ, by column, prediction and label.
        clusters: The rows that belong together; None where no column says which.
        performance: The model on the labelled rows; None when it is not known.
        slices: The same by slice, as far as asked for.
        estimated_slices: The estimate by slice.
        performance_note: Why not.
        estimate: The model on all rows, by its own answers; None of a package from before there were estimates.
        not_in_reference: Columns of the window that the reference does not have.
        read_as: Columns that the window has in another type than the reference, and how they are read.
    """

    rows: int
    columns: dict[str, Counter]
    predictions: dict[str, Counter]
    labels: dict[str, Counter]
    sample: pd.DataFrame | None
    coded: CodedRows | None
    spreads: dict[str, Spread]
    clusters: ClusterCounts | None
    performance: Performance | None
    performance_note: str
    slices: list[SlicePerformance]
    estimated_slices: list[SlicePerformance]
    estimate: Performance | None
    not_in_reference: list[str]
    read_as: list[str]


def scan(
    path: str | Path,
    reference: Reference,
    exclude: list[str],
    slices: Sequence[str] = (),
    libraries: Sequence[str] = (),
) -> Window:
    """Count all rows of the window, in memory that does not grow with them.

    Args:
        path: Of the dataset.
        reference: What it is compared with.
        exclude: Columns that are not compared.
        slices: Columns by which performance is given in parts.
        libraries: Are imported while the rows are read.

    Raises:
        UserError: when a column that is compared, or that the model needs, is missing or of another type.
    """
    dataset = open_dataset(path)
    schema, rows = dataset.schema, dataset.count_rows()
    present = schema.names
    needed = _needed(present, reference, exclude, slices)
    columns = {name: counter(each) for name, each in reference.profile.columns.items() if name not in exclude}
    logged = LoggedAnswers.found(present, reference.package) if reference.package else None
    answers = _Answers(reference.package, reference, needed, slices, logged) if reference.package else None
    clusters = _clusters(reference, present, {**columns, **(answers.counters if answers else {})})
    sample = RowSample(size_of(len(columns)), expected=rows, coded=answers is None)
    kinds = _kinds(reference)
    read_as = _read_as(schema, needed, kinds)
    wanted = [*needed, *(logged.columns if logged else ())]
    read = iter_batches(path, wanted, ROWS // 2 if answers else ROWS, coded=True)  # predictions take memory
    with importing(*libraries), Progress("comparing", rows) as progress:
        for batch in progress.over(read):
            batch = as_reference(batch, kinds)  # noqa: PLW2901
            chunk = frame_of(batch, answers.as_texts) if answers else None
            for name, each in columns.items():
                each.read(batch, name)
            seen = batch if answers is None or chunk is None else answers.add(batch.select(needed), chunk)
            sample.add(seen)
            if clusters:
                clusters.add({name: cells(seen, name) for name in clusters.columns})
    performance, parts, note = answers.performance() if answers else (None, [], "the reference is a table, not a model")
    known = {*reference.names, *needed}
    frame = sample.frame()
    spreads = {**(clusters.spreads() if clusters else {}), **(answers.label_spreads() if answers else {})}
    return Window(
        rows=sample.rows,
        columns=columns,
        predictions=answers.counters if answers else {},
        labels=answers.labels if answers else {},
        sample=frame,
        coded=None if frame is None else coded(frame, reference.profile, columns, clusters),
        spreads=spreads,
        clusters=clusters,
        performance=performance,
        performance_note=note,
        slices=parts,
        estimated_slices=answers.estimated_parts() if answers else [],
        estimate=answers.estimate() if answers else None,
        not_in_reference=[name for name in present if name not in known and not name.startswith(LOG_COLUMNS)],
        read_as=read_as,
    )


def _read_as(schema: pa.Schema, needed: list[str], kinds: Mapping[str, Kind]) -> list[str]:
    """Columns that are of another type than in the reference, and of which they are read."""
    notes = [f"{name}: {schema.field(name).type} as {kinds[name]}" for name in needed if is_other(schema, name, kinds)]
    for note in notes:
        log.warning("the window's column is read as the reference has it: %s", note)
    return notes


def _clusters(reference: Reference, present: list[str], counters: Mapping[str, Counter]) -> ClusterCounts | None:
    """What counts rows that belong together, by the group or time column of the training."""
    column = cluster_column(reference.package, present) if reference.package else ""
    if not column:
        return None
    profile = reference.profile
    size = profile.rows / profile.clusters if profile.clusters else None
    return ClusterCounts({name: each.profile for name, each in counters.items()}, column, size)


def coded(frame: pd.DataFrame, profile: Profile, names: Iterable[str], clusters: ClusterCounts | None) -> CodedRows:
    """Rows in the bins that a profile has of these columns."""
    profiles = {name: profile.columns[name] for name in names}
    return CodedRows.of(frame, profiles, clusters.column if clusters else "")


def _kinds(reference: Reference) -> dict[str, Kind]:
    """The kinds of the columns that are compared, and of the features of the model."""
    features = reference.package.signature.features if reference.package else []
    compared = {name: each.kind for name, each in reference.profile.columns.items()}
    return compared | {each.name: each.kind for each in features}


class _Answers:
    """The model's predictions for the window: counted, and beside the labels where there are any.

    Attributes:
        as_texts: Columns in which a chunk holds texts as what they are.
    """

    def __init__(
        self,
        package: ModelPackage,
        reference: Reference,
        columns: list[str],
        slices: Sequence[str],
        logged: LoggedAnswers | None,
    ):
        signature = package.signature
        # of two classes, one probability determines the other
        wanted = f"probability.{signature.positive_class}" if signature.task == "binary" else ""
        profiles = reference.profile.predictions.items()
        self.counters = {name: counter(each) for name, each in profiles if wanted in ("", name)}
        self._predictor = package.predictor()
        self._logged = logged
        self._target = signature.target
        self.as_texts = {
            signature.target,
            *role_columns(package, columns),
            *slices,
            *(logged.columns if logged else ()),
        }
        self._estimated = estimated_by(reference.profile, signature)
        self._estimated_slices = EstimatedSlices(reference.profile, signature, slices)
        self._validation = package.manifest.metrics
        profile = reference.profile
        size = profile.rows / profile.clusters if profile.clusters else None
        labelled = signature.target in columns
        self._labelled = LabelledRows(package, columns, profile.labels, size, slices) if labelled else None

    def add(self, batch: pa.RecordBatch, frame: pd.DataFrame) -> pa.RecordBatch:
        """Predict a chunk, unless its predictions were logged, and return it with them as further columns."""
        predictions = self._logged.read(frame) if self._logged else None
        if predictions is None:
            predictions = self._predictor.predict(frame)
        if self._labelled is not None:
            self._labelled.add(frame, predictions)
        if self._estimated:
            self._estimated.add(predictions)
            self._estimated_slices.add(frame, predictions)
        scores = _scores(predictions, self._predictor.signature)
        for name, each in self.counters.items():
            each.add(scores[name])
            batch = batch.append_column(name, pa.array(scores[name]))
        return batch

    @property
    def labels(self) -> dict[str, Counter]:
        found = self._labelled.counter if self._labelled else None
        return {LABELS: found} if found else {}

    def label_spreads(self) -> dict[str, Spread]:
        return self._labelled.clusters.spreads() if self._labelled and self._labelled.clusters else {}

    def estimate(self) -> Performance | None:
        return estimated_performance(self._estimated, self._validation) if self._estimated else None

    def estimated_parts(self) -> list[SlicePerformance]:
        return self._estimated_slices.parts()

    def performance(self) -> tuple[Performance | None, list[SlicePerformance], str]:
        if self._labelled is None:
            return None, [], f"the window has no column '{self._target}'"
        return self._labelled.performance()


def _scores(predictions: Predictions, signature: Signature) -> dict[str, pd.Series]:
    """Predictions as the columns of a profile."""
    if predictions.probabilities is None:
        return {"prediction": pd.Series(predictions.values)}
    pairs = zip(signature.classes or (), predictions.probabilities.T, strict=True)
    return {f"probability.{label}": pd.Series(column, dtype=float) for label, column in pairs}


def _needed(present: list[str], reference: Reference, exclude: list[str], slices: Sequence[str]) -> list[str]:
    """The columns to read: what is compared, the model's features, slices, and its target and roles where there are."""
    for name in exclude:
        if name not in reference.names:
            known = listed(reference.names, limit=40)
            raise UserError(f"exclude names '{name}', which is not a column of the reference; it has: {known}")
    for name in slices:
        if name not in present or reference.package is None:
            why = "is not a column of the window" if reference.package else "needs a model as the reference"
            raise UserError(f"slices names '{name}', which {why}; the window has: {listed(present)}")
    signature = reference.package.signature if reference.package else None
    compared = [name for name in reference.profile.columns if name not in exclude]
    needed = list(dict.fromkeys([*compared, *(signature.names if signature else ())]))
    for name in needed:
        if name not in present:
            advice = "the model cannot predict without it" if signature else "add it, or name it in exclude"
            raise UserError(
                f"column '{name}' of {reference.name} is missing in the current table; {advice} "
                f"(the table has: {listed(present)})"
            )
    if reference.package and (column := cluster_column(reference.package, present)):
        needed.append(column)
    if reference.package and reference.package.signature.target in present:
        needed += [reference.package.signature.target, *role_columns(reference.package, present)]
    return list(dict.fromkeys([*needed, *slices]))
