"""Any source to a dataset: the implementation of the component `load`."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from kubeline.addresses import redact, scheme
from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data import engine, json_digits, kafka, partitions
from kubeline.data.ahead import importing
from kubeline.data.duck import Connection
from kubeline.data.failures import reading
from kubeline.data.inference import KINDS
from kubeline.data.lakes import LAKES
from kubeline.data.notation import PLAIN, Notation, notation_of, time_format
from kubeline.data.reading import Table
from kubeline.data.sources import DATABASES, FORMATS, SourceFile, stage
from kubeline.data.tables import agree, check_names, index_columns, open_file, unlike_columns
from kubeline.data.timespan import COLUMN, Timespan, timespan
from kubeline.errors import UserError, listed
from kubeline.loading.types_from import types_of, types_of_dataset
from kubeline.options import require_names
from kubeline.retries import repeated

if TYPE_CHECKING:
    from kubeline.data.dataset import DatasetWriter
    from kubeline.data.point_in_time import FeatureTable

log = logging.getLogger(__name__)

KSERVE = "kserve"  # the log of KServe's own logger
_ONE_PART = "part-00000.parquet"  # of a dataset that is written at once
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_TIMES_OF_LOGS = (COLUMN, kafka.TIME)  # columns of the rows themselves, by which they are chosen before they are joined


@dataclass(frozen=True)
class Selection:
    """What to take from a table: columns (all when empty), rows, and types that are not to be inferred.

    `hints` are types of what will use the table, followed where the values leave it open. Of a part that is joined with
    another, `types` may name columns of the other.
    """

    columns: Sequence[str] = ()
    where: str = ""
    types: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    notation: Notation = PLAIN
    span: Timespan = field(default_factory=Timespan)
    rename: Mapping[str, str] = field(default_factory=dict)
    is_part: bool = False

    def name(self, column: str) -> str:
        """What a column of the source is called in the dataset."""
        return self.rename.get(column, column)


@step
@repeated
def run(
    source: str,
    dataset: Artifact,
    columns: Sequence[str] = (),
    where: str = "",
    query: str = "",
    file_format: str = "auto",
    types: dict[str, str] | None = None,
    at: str = "",
    length: str = "",
    time: str = COLUMN,
    decimal: str = "",
    thousands: str = "",
    types_from: str = "",
    tracking_uri: str = "",
    rename: dict[str, str] | None = None,
    labels: str = "",
    features: Sequence[Mapping[str, Any]] = (),
    spark: Mapping[str, Any] | None = None,
) -> None:
    """Read `source` into the dataset artifact.

    Reads once where the first rows say what the columns hold, and inspects all values of those of which they do
    not: the types are always those of all values. Memory is bounded by a chunk of rows; remote and
    compressed files are unpacked in the temporary folder (``TMPDIR``) first. Row order is that of the files by name,
    and of the rows in them, so the same content gives the same fingerprint whatever it was packed in.

    Args:
        source: Path, folder, glob or address.
        dataset: Output, a folder of ``part-*.parquet``.
        columns: Columns to take, in this order; all when empty.
        where: SQL expression over the columns; rows for which it is true are taken.
        query: SQL query, for a database only.
        file_format: ``auto`` (by the ending of the name), ``csv``, ``tsv``, ``json`` (lines), ``parquet``, ``feather``,
            ``kserve`` (see :mod:`kubeline.data.kserve_log`; there `columns` names the values of lists).
        types: Column to ``text``, ``integer``, ``number``, ``boolean``, ``time`` or a format of ``strptime``, where
            inference is not wanted.
        at: End of the window of rows, see :func:`kubeline.data.timespan.timespan`.
        length: How long the window is.
        time: The column whose times are meant.
        decimal: What stands before the fraction of numbers in text.
        thousands: What stands between groups of three digits of them.
        types_from: A model package, a schema or a dataset whose types the columns take, see
            :mod:`kubeline.loading.types_from`.
        tracking_uri: Registry of a ``models:/`` reference.
        rename: Names of the source to names in the dataset; `types_from` knows the latter.
        labels: What became of the requests of a log, a source as well; see :mod:`kubeline.data.labels`.
        features: Tables of features, of which each row gets those that were known at its `time`; see
            :class:`kubeline.data.point_in_time.FeatureTable`.
        spark: A SparkApplication that writes `source` first, see :class:`kubeline.loading.spark.Spark`.

    Raises:
        UserError: when the source is not there or not readable as its format, or the selection does not fit it.
        PlatformError: when disk, network or a server fails.
    """
    notation = notation_of(decimal, thousands)
    selection = Selection(columns, where, types or {}, {}, notation, timespan(at, length, time), rename or {})
    check(source, query, file_format, selection)
    tables = _opened(features)
    if spark:
        _write_source(spark, source, dataset.uri)
    if types_from:
        selection = replace(selection, hints=types_of(types_from, tracking_uri))
    with TemporaryDirectory(prefix="kubeline-load-") as folder, publish(dataset.path) as partial:
        scratch = Path(folder)
        known: list[dict[str, Any]] = []
        if labels or tables:
            parts = _Parts(source, query, file_format, labels, tables)
            writer, warnings, exact, known = _joined(parts, selection, scratch, partial)
        else:
            writer, warnings, exact = _store(source, query, file_format, selection, scratch, partial)
    for warning in warnings:
        log.warning("%s", warning)
    window = {} if selection.span.is_open else {"window": str(selection.span)}
    more = {"features": known} if known else {}
    describe(dataset, writer.metadata(redact(exact)) | window | more | ({"warnings": warnings} if warnings else {}))


def _opened(features: Sequence[Mapping[str, Any]]) -> "list[FeatureTable]":
    """The tables of features."""
    if not features:
        return []
    from kubeline.loading.features import opened

    return opened(features)


def _write_source(spark: Mapping[str, Any], source: str, purpose: str) -> None:
    """Have Spark write the source."""
    from kubeline.loading.spark import Spark, write_by

    if (wanted := Spark.read(spark)) is not None:
        write_by(wanted, source, purpose)


def _store(
    source: str, query: str, file_format: str, selection: Selection, scratch: Path, folder: Path
) -> "tuple[DatasetWriter, list[str], str]":
    """Write what is selected as a dataset in the new `folder`.

    Returns:
        Its writer, its warnings, and the address that reads the same rows again.
    """
    with ExitStack() as resources:
        files, exact = _files(source, file_format, selection, scratch)
        if file_format == KSERVE:
            from kubeline.data.kserve_log import flatten

            files = [flatten(files, selection.columns, scratch)]
            selection = replace(selection, columns=())
        connection = resources.enter_context(_engine(scratch, files))
        if scheme(source) in DATABASES:
            from kubeline.data.databases import open_query

            tables = [open_query(connection, source, query, scratch, resources)]
        elif scheme(source) in LAKES:
            from kubeline.data.databases import open_lake_table

            table, exact = open_lake_table(connection, source, scratch)
            tables = [table]
        else:
            tables = open_tables(connection, files)
        engine.lock(connection, max(len(table.raw) for table in tables))
        writer, warnings = _write(connection, tables, selection, folder)
    if not writer.rows:
        raise UserError(_no_rows(source, selection))
    return writer, warnings, exact


def _engine(scratch: Path, files: Sequence[SourceFile]) -> Connection:
    """The engine for these files; for text it starts when something is asked of it, and of most tables nothing is."""
    paths = [file.path for file in files]
    if files and all(file.format in ("csv", "tsv") for file in files):
        return engine.later(lambda: engine.connect(scratch, paths))
    with importing("kubeline.data.rows", in_name=()):  # the engine needs no Python while it starts
        return engine.connect(scratch, paths)


@dataclass(frozen=True)
class _Parts:
    """A source and what is joined with its rows."""

    source: str
    query: str
    file_format: str
    labels: str
    features: "Sequence[FeatureTable]"


def _joined(
    parts: _Parts, selection: Selection, scratch: Path, folder: Path
) -> "tuple[DatasetWriter, list[str], str, list[dict[str, Any]]]":
    """The same of a source and what is joined with it: each is read whole, and it is chosen from all.

    Returns:
        What :func:`_store` does, and what is known of the features.
    """
    every = _part(selection)
    early = not parts.labels or every.span.column in _TIMES_OF_LOGS  # a column of the source, and not of its labels
    columns = selection.columns if parts.file_format == KSERVE else ()
    rows = replace(every, columns=columns, span=selection.span if early else Timespan())
    place = scratch / "rows"
    _, notes, exact = _store(parts.source, parts.query, parts.file_format, rows, _new(scratch / "of-rows"), place)
    if parts.labels:
        notes += _add_labels(place, parts.labels, every, scratch, _new(scratch / "labelled"))
        place = scratch / "labelled"
    known: list[dict[str, Any]] = []
    if parts.features:
        known, more = _add_features(place, parts.features, every, scratch, _new(scratch / "joined"))
        notes += more
        place = scratch / "joined"
    texts = {name: kind for name, kind in every.types.items() if kind == "text"}  # the others are of their types by now
    left = replace(selection, types=texts, hints={}, notation=PLAIN, is_part=True)
    left = replace(left, columns=() if columns and not parts.features else selection.columns)
    writer, warnings, _ = _store(str(place / _ONE_PART), "", "parquet", left, _new(scratch / "chosen"), folder)
    return writer, notes + warnings, exact, known


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _add_labels(rows: Path, labels: str, every: Selection, scratch: Path, into: Path) -> list[str]:
    """Write the rows with their labels into a folder; warnings."""
    from kubeline.data.labels import ID, join

    known = replace(every, span=Timespan(), types={ID: "text", **every.types})
    _, notes, _ = _store(labels, "", "auto", known, _new(scratch / "of-labels"), scratch / "labels")
    return [*(f"labels: {one}" for one in notes), *join(rows, scratch / "labels", scratch, into / _ONE_PART)]


def _add_features(
    rows: Path, tables: "Sequence[FeatureTable]", every: Selection, scratch: Path, into: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Write the rows with their features into a folder; what is known of these, and warnings."""
    from kubeline.data.point_in_time import SINCE, UNTIL
    from kubeline.loading.features import joined

    notes: list[str] = []

    def store(table: "FeatureTable", span: Timespan, folder: Path) -> dict[str, Any]:
        wanted = _selected(table, every, types_of_dataset(rows), span)
        query = table.query
        for word, moment in ((SINCE, span.since), (UNTIL, span.until)):
            query = query.replace(word, (moment or _BEGINNING).isoformat(sep=" "))
        try:
            new = _new(folder.with_suffix(".read"))
            writer, warnings, exact = _store(table.source, query, table.file_format, wanted, new, folder)
        except UserError as error:
            raise UserError(f"the features of '{table.shown}', whose time is '{table.time}': {error}") from error
        notes.extend(f"{table.shown}: {one}" for one in warnings)
        return writer.metadata(redact(exact))

    known, warnings = joined(rows, tables, every.span.column, store, scratch, into / _ONE_PART)
    return known, notes + warnings


def _selected(table: "FeatureTable", every: Selection, of_rows: Mapping[str, str], span: Timespan) -> Selection:
    """How a table of features is read: times as such, and keys as text where those of the rows are."""
    names = table.features(table.columns)
    times = dict.fromkeys([table.time, *([table.created] if table.created else [])], "time")
    types = times | {old: every.types[new] for old, new in names.items() if new in every.types} | dict(table.types)
    hints = {old: every.hints[new] for old, new in names.items() if new in every.hints}
    hints |= {right: "text" for left, right in table.keys.items() if of_rows.get(left) == "text"}
    columns = [*dict.fromkeys([*table.own, *table.columns])] if table.columns else []
    return Selection(columns, "", types, hints, every.notation, span, is_part=True)


def _part(selection: Selection) -> Selection:
    """How all rows and columns of a part are read, whose columns have the names of the source."""
    new = {selection.name(old): old for old in selection.rename}
    hints = {new.get(name, name): kind for name, kind in selection.hints.items()}
    return replace(selection, columns=(), where="", rename={}, hints=hints, is_part=True)


def _files(source: str, file_format: str, selection: Selection, scratch: Path) -> tuple[list[SourceFile], str]:
    """The files of a source that has some, and the address that reads the same rows again."""
    if scheme(source) in (*DATABASES, *LAKES):
        return [], source
    if scheme(source) == kafka.SCHEME:
        file, exact = kafka.stage_topic(source, selection.span, scratch)
        return [file], exact
    if scheme(source) == "dvc":
        from kubeline.data.dvc import stage_tracked

        place, exact = stage_tracked(source, scratch)
        found = stage(str(place), file_format, scratch, selection.span.may_hold)
        return [replace(file, name=file.name.replace(str(place), source, 1)) for file in found], exact
    return stage(source, file_format, scratch, selection.span.may_hold), source


def check(source: str, query: str, file_format: str, selection: Selection) -> None:
    """Raise a :class:`UserError` for what is wrong whatever the source holds."""
    if not source:
        raise UserError("source is empty; give a path, a folder, a glob or an address")
    formats = ["auto", *sorted({*FORMATS.values(), KSERVE})]
    if file_format not in formats:
        raise UserError(f"format '{file_format}' is not known; expected one of: {listed(formats)}")
    if query and scheme(source) not in DATABASES:
        raise UserError(
            f"a query needs a database (postgresql://, sqlite://), but '{redact(source)}' is none; choose rows of "
            "files by `where`"
        )
    require_names("columns", selection.columns)
    for name, kind in selection.types.items():
        if isinstance(kind, str) and "%" in kind:
            time_format(kind)
        elif kind not in [*KINDS]:
            raise UserError(
                f"types asks for '{name}' as {kind!r}; expected one of: {listed(KINDS)}, or a format such as %d/%m/%Y"
            )
    for old, new in selection.rename.items():
        if not isinstance(new, str):
            raise UserError(f"rename gives column '{old}' the name {new!r}; expected a text")
    if len(set(selection.columns)) < len(selection.columns):
        raise UserError(f"columns names a column twice: {listed(selection.columns)}; name each one once")


def open_tables(connection: Connection, files: list[SourceFile]) -> list[Table]:
    tables = []
    for file in files:
        with reading(file.name):
            tables.append(open_file(connection, file))
    return tables


def _write(
    connection: Connection, tables: list[Table], selection: Selection, folder: Path
) -> "tuple[DatasetWriter, list[str]]":
    names = agree(tables)
    types = {name: kind for name, kind in selection.types.items() if name in names or not selection.is_part}
    roles = {"column": selection.columns, "the column of types": types, "renamed column": selection.rename}
    for role, asked in roles.items():
        for name in asked:
            if name not in names:
                raise UserError(f"{role} '{name}' is not a column of this table; it has: {listed(names)}")
    left_out, warning = ([], "") if selection.columns else index_columns(tables, names)
    chosen = list(selection.columns) or [name for name in names if name not in left_out]
    if not chosen:
        raise UserError(f"{warning}, and no column is left; name those that are wanted in columns")
    check_names([selection.name(name) for name in chosen], "the table, renamed,")
    unlike = unlike_columns(tables, chosen, {name for name, kind in types.items() if kind == "text"})
    unlike += json_digits.warnings([table.rounded for table in tables], chosen)
    unlike += partitions.warnings(tables, chosen)
    from kubeline.data.rows import Rows, Typing

    hints = {name: selection.hints[selection.name(name)] for name in names if selection.name(name) in selection.hints}
    window = "" if selection.span.is_open else selection.span.condition(names)
    used = [*engine.filter_columns(connection, selection.where, names), *([selection.span.column] if window else [])]
    needed = list(dict.fromkeys([*chosen, *used]))
    rows = Rows(connection, tables, chosen, needed, selection.where, window, rename=selection.rename)
    writer, warnings = rows.store(folder, Typing(types, hints, selection.notation))
    return writer, [warning] * bool(warning) + unlike + warnings


def _no_rows(source: str, selection: Selection) -> str:
    if not selection.span.is_open and selection.is_part:
        return (
            f"no row of '{redact(source)}' is of the times {selection.span}, by '{selection.span.column}'; check them"
        )
    if not selection.span.is_open:
        return f"no row of '{redact(source)}' is in the window {selection.span} and passes `where`; choose another"
    if selection.where.strip():
        return f"no row of '{redact(source)}' passes {engine.shown(selection.where)}; widen it"
    return f"'{redact(source)}' has columns but no rows; expected at least one row"
