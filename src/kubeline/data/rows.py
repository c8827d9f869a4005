"""The rows of a source, read once where the first ones say what the columns hold, and written as a dataset."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from kubeline.data import engine, lines
from kubeline.data.ahead import ahead, importing
from kubeline.data.conditions import enclosed
from kubeline.data.dataset import CHUNK_ROWS, DatasetWriter, chunk_rows
from kubeline.data.duck import Connection, Relation
from kubeline.data.failures import reading
from kubeline.data.inference import Inferred, infer
from kubeline.data.limits import ADVICE, CHUNK, ROW, readable, scaled
from kubeline.data.notation import PLAIN, Notation
from kubeline.data.plain import Converter, PlainColumn, seeming
from kubeline.data.reading import UNKNOWN, Reading, Table, together
from kubeline.data.styles import sample
from kubeline.errors import KubelineError, UserError
from kubeline.progress import Progress

_TEXT = Reading("VARCHAR")


@dataclass(frozen=True)
class Typing:
    """What is known of the columns' types before a row is read; see :func:`kubeline.data.inference.infer`."""

    asked: Mapping[str, str]
    hints: Mapping[str, str]
    notation: Notation = PLAIN


@dataclass(frozen=True)
class Rows:
    """Rows and columns of all tables of a source.

    Attributes:
        connection: the engine.
        tables: of the source, with the same columns.
        chosen: columns that are taken.
        needed: columns that are read, those of the filter included.
        where: the filter, checked; empty for none.
        window: SQL of the time window; empty for none.
        is_sampled: whether what the first rows say of the columns is tried before all their values are classified.
        rename: new names of chosen columns in the dataset.
    """

    connection: Connection
    tables: Sequence[Table]
    chosen: list[str]
    needed: list[str]
    where: str = ""
    window: str = ""
    is_sampled: bool = True
    rename: Mapping[str, str] = field(default_factory=dict)

    def store(self, folder: Path, typing: Typing) -> tuple[DatasetWriter, list[str]]:
        """Write the rows as a dataset in the new `folder`; its writer, and notes about the columns for the user.

        Raises:
            UserError: when a table cannot be read, or a column holds several types.
        """
        fewer = together(self.tables)
        if len(fewer) < len(self.tables):
            try:
                return replace(self, tables=fewer).store_each(folder, typing)
            except KubelineError:  # one by one, it is known in which file it is
                shutil.rmtree(folder, ignore_errors=True)
        return self.store_each(folder, typing)

    def store_each(self, folder: Path, typing: Typing) -> tuple[DatasetWriter, list[str]]:
        """The same with a query of its own for each table."""
        first = plain = self._seeming(typing) if self.is_sampled else {}
        found = self._classified([name for name in self.needed if name not in plain], typing)
        with importing("kubeline.data.lookalikes", in_name=()):
            writer, wrong = self._at_once(plain, found, folder)
        if wrong:
            found |= self._classified([name for name in self.needed if name in wrong], typing)
            plain = {name: column for name, column in plain.items() if name not in wrong}
        if self._condition:
            found |= Inferred({name: column.reading for name, column in plain.items()})
            plain = {}
        if writer is None or wrong:
            shutil.rmtree(folder, ignore_errors=True)
            writer, _ = self._write(plain, found, folder)
        warned = found.warnings | self._lookalikes(writer.schema, typing, found.warnings, first)
        return writer, [warned[name] for name in self.needed if name in warned]

    def _at_once(
        self, plain: Mapping[str, PlainColumn], found: Inferred, folder: Path
    ) -> tuple[DatasetWriter | None, set[str]]:
        """Write all rows while their values are inspected, and the plain columns that do not fit.

        Types are decided by all rows, and a filter needs them before it leaves some out: it is tried on what the
        columns seem to be; without a writer where that is not possible.
        """
        if not self._condition:
            return self._write(plain, found, folder)
        if plain and all(table.lines for table in self.tables):
            try:
                return self._write(plain, found, folder)
            except lines.NotPlainError:
                shutil.rmtree(folder, ignore_errors=True)
        return None, self._inspect(plain)

    @property
    def _condition(self) -> str:
        """SQL of window and filter; empty for none."""
        conditions = (self.window, enclosed(self.where) * bool(self.where.strip()))
        return " AND ".join(each for each in conditions if each)

    def _lookalikes(
        self, schema: pa.Schema, typing: Typing, warned: Mapping[str, str], first: Mapping[str, PlainColumn]
    ) -> dict[str, str]:
        """Of the text columns without a warning that were not asked for as text, those that look like no text."""
        from kubeline.data.lookalikes import warning_about

        taken = {**typing.hints, **typing.asked}
        texts = [
            name
            for name in self.chosen
            if pa.types.is_string(schema.field(self.rename.get(name, name)).type)
            and taken.get(name) != "text"
            and name not in warned
            and self.tables[0].raw[name] in (UNKNOWN, "VARCHAR")
        ]
        known = {name: first[name].sample for name in texts if name in first and first[name].sample}
        known |= sample(self.connection, self.tables[0], [name for name in texts if name not in known])
        words = {name: warning_about(name, values) for name, values in known.items()}
        return {name: sentence for name, sentence in words.items() if sentence}

    def _seeming(self, typing: Typing) -> dict[str, PlainColumn]:
        with reading(self.tables[0].name):
            return seeming(self.connection, self.tables, self.needed, typing.asked, typing.hints, typing.notation)

    def _classified(self, names: list[str], typing: Typing) -> Inferred:
        if not names:
            return Inferred()
        with reading(self.tables[0].name if len(self.tables) == 1 else "the files"):
            try:
                return infer(self.connection, list(self.tables), names, typing.asked, typing.hints, typing.notation)
            except UserError:
                if len(names) == len(self.needed):
                    raise
        return self._classified(self.needed, typing)  # the error is of the first column that is at fault

    def _inspect(self, plain: Mapping[str, PlainColumn]) -> set[str]:
        """The plain columns that do not fit, by all rows."""
        readings = dict.fromkeys(plain, _TEXT)
        with Converter(self.connection, plain) as converter:
            for table in self.tables if plain else ():
                _, stream = self._stream(table, readings, converter)
                with reading(table.name), closing(stream) as batches:
                    for _ in batches:
                        pass
        return converter.wrong

    def _write(self, plain: Mapping[str, PlainColumn], found: Inferred, folder: Path) -> tuple[DatasetWriter, set[str]]:
        """Write all rows; the plain columns that do not fit. Once there is one, the rest is only checked."""
        readings = {name: _TEXT if name in plain else found.readings[name] for name in self.needed}
        others = {name: each.sql(name, UNKNOWN) for name, each in readings.items() if name not in plain}
        names = [self.rename.get(name, name) for name in self.chosen]
        condition = self._condition if plain else ""
        with Converter(self.connection, plain, others, self.chosen, condition) as converter, ExitStack() as resources:
            writer, stored = None, None
            progress = resources.enter_context(Progress("loading", self._expected()))
            # One query for each file: of files that are read together, the engine drops a row whose quote does not end.
            for table in self.tables:
                stored, stream = self._stream(table, readings, converter, stored, is_filtered=True)
                if writer is None:
                    schema = converter.schema(stored)
                    schema = pa.schema([one.with_name(name) for one, name in zip(schema, names, strict=True)])
                    writer = resources.enter_context(DatasetWriter(folder, schema))
                with reading(table.name), closing(stream) as batches:
                    for batch in batches:
                        progress.add(batch.num_rows)
                        if not converter.wrong:
                            writer.write(batch.rename_columns(names))
                            _check_size(writer.pending_bytes, table.name)
        assert writer is not None  # noqa: S101 - there are tables
        return writer, converter.wrong

    def _expected(self) -> int:
        """About how many rows there are; 0 where that is not known before they are read."""
        if self._condition or not all(table.lines for table in self.tables):
            return 0
        return lines.estimated_rows([each for table in self.tables for each in table.lines])

    def _stream(
        self,
        table: Table,
        readings: Mapping[str, Reading],
        converter: Converter,
        stored: pa.Schema | None = None,
        *,
        is_filtered: bool = False,
    ) -> tuple[pa.Schema, Generator[pa.RecordBatch]]:
        """The columns that are read, or those that are chosen of the rows that pass the filter.

        Returns:
            How the engine gives them (what was found of an earlier text file is `stored`), and the rows, in which the
            plain columns are converted.
        """
        condition = self._condition if is_filtered else ""
        chosen = self.chosen if is_filtered else list(readings)
        if not table.lines or condition != converter.condition:
            stream = self._scan(table, readings, chosen, condition)
            return stream.schema, ahead(converter.convert(ahead(stream)))
        if stored is None and all(each == _TEXT for each in readings.values()):  # without asking: the engine plans long
            stored = pa.schema([(name, pa.string()) for name in chosen])
        if stored is None:
            with reading(table.name):
                stored = self._relation(table, readings, chosen).limit(0).to_arrow_table().schema

        def by_line() -> Generator[pa.RecordBatch]:
            rows = 0
            read = list(readings) if condition else chosen
            try:
                with closing(lines.read(table.lines, read, converter.of_text)) as batches:
                    for batch in batches:
                        rows += batch.num_rows
                        yield batch
            except lines.NotPlainError:
                if condition:
                    raise
                stream = _without(rows, self._scan(table, readings, chosen))
                yield from ahead(converter.convert(ahead(stream)))

        return stored, by_line()

    def _relation(
        self, table: Table, readings: Mapping[str, Reading], chosen: list[str], condition: str = ""
    ) -> Relation:
        row = ", ".join(
            f"{each.sql(name, table.raw[name])} AS {engine.identifier(name)}" for name, each in readings.items()
        )
        columns = ", ".join(map(engine.identifier, chosen))
        query = f"SELECT {columns} FROM (SELECT {row} FROM {table.relation}) AS data"
        if condition:
            query += f" WHERE {condition}"
        with engine.filter_errors(self.where, list(table.raw)):
            return self.connection.sql(query)

    def _scan(
        self, table: Table, readings: Mapping[str, Reading], chosen: list[str], condition: str = ""
    ) -> pa.RecordBatchReader:
        relation = self._relation(table, readings, chosen, condition)
        with reading(table.name):  # constants of the filter are converted here, and the first rows read
            return relation.to_arrow_reader(_batch_rows(self.connection, table, list(readings), chosen))


def _without(rows: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches after so many rows."""
    for batch in batches:
        left_out = min(rows, batch.num_rows)
        rows -= left_out
        if left_out < batch.num_rows:
            yield batch.slice(left_out)


def _batch_rows(connection: Connection, table: Table, needed: list[str], chosen: list[str]) -> int:
    """Rows that are read at a time: fewer where a file has long texts, each of which may stand for many rows.

    Raises:
        UserError: when even the fewest that the engine reads at a time take too much memory.
    """
    # Several batches are on their way at a time, each at another step.
    most = max(engine.VECTOR_ROWS, chunk_rows(pa.schema([(name, pa.null()) for name in chosen])) // 2)
    texts = [engine.identifier(name) for name in needed if table.raw[name] in ("VARCHAR", "BLOB")]
    if not (texts and table.repeats):
        return most
    lengths = ", ".join(f"strlen(CAST({text} AS VARCHAR))" for text in texts)
    ((widest,),) = engine.fetch(connection, f"SELECT max(list_sum([{lengths}])) FROM {table.relation}")
    if (widest or 0) > scaled(ROW):
        raise UserError(
            f"a row of '{table.name}' holds {readable(widest)} of text, and at most {readable(scaled(ROW))} are read; "
            f"leave its column out by columns, or, {ADVICE}"
        )
    return max(engine.VECTOR_ROWS, min(most, (CHUNK >> 3) // max(1, int(widest or 0))))


def _check_size(pending: int, name: str) -> None:
    if pending > scaled(CHUNK):
        raise UserError(
            f"{CHUNK_ROWS:,} rows of '{name}' take more than {readable(scaled(CHUNK))} of memory, for texts or lists "
            f"are long; leave such columns out by columns, or, {ADVICE}"
        )
