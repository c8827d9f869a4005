"""Text columns that are written as programs write them: inspected and converted in one pass over the rows.

The first rows say what a column seems to hold. Then every value is checked while it is converted; where one does not
fit, the column is left to :mod:`kubeline.data.inference`, which classifies all its values. Both give the same types and
values: what is not certain here is asked of the engine, by the classes of :mod:`kubeline.data.text`.
"""
# ruff: noqa: S608 - names and paths in queries are quoted

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kubeline.data import duck, lines, styles, text
from kubeline.data.duck import Connection
from kubeline.data.engine import identifier
from kubeline.data.lines import NotPlainError
from kubeline.data.notation import MISSING, Notation
from kubeline.data.reading import UNKNOWN, Reading, Table
from kubeline.typing import Mask

_SAMPLE = 1_000  # first rows that say what a column seems to hold
_DIGITS = 15  # characters of a number without an exponent that a double keeps for certain
_WHOLE = 18  # characters of a whole number that fits 64 bits for certain
_EXACT = (1e-4, 1e15)  # between them, numbers are printed without an exponent
_MIN_LOST = len("1e-400")  # characters of a number that a double takes for zero, at least
_NUMBERS = ("BIGINT", "DOUBLE")
_LENGTHS = (10, 16, 19)  # of a date, with hours and minutes, and with seconds
_ARROW = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "TIMESTAMP": pa.timestamp("us")}
_CLASSES = {"BIGINT": ("integer", "large"), "DOUBLE": text.EXACT, "TIMESTAMP": ("time",)}

_ASKING = threading.Lock()  # a connection answers one question at a time


def _table(characters: bytes) -> Mask:
    found = np.zeros(256, dtype=np.bool_)
    found[np.frombuffer(characters, dtype=np.uint8)] = True
    return found


_ALLOWED = {
    "BIGINT": _table(b"0123456789-"),
    "DOUBLE": _table(b"0123456789-."),
    "TIMESTAMP": _table(b"0123456789-: T"),
}
_DIGIT = _table(b"0123456789")
# No number, time or word for a missing value begins with any other character than these.
_UNCERTAIN = _table(b" \t+-.0123456789iInN#<\\")


class PlainColumn:
    """One column of all tables of a source, batch by batch.

    Args:
        kind: the DuckDB type that it seems to have.
        is_checked: whether its values are; not where text is asked for.
        sample: first values that are not missing, of a column of text.
    """

    def __init__(self, kind: str, is_checked: bool = True, sample: Sequence[str] = ()):
        self.kind = kind
        self.sample = sample
        self._is_checked = is_checked
        self._values = 0
        self._words = 0  # values that are certainly no numbers, times or missing
        self._counting = threading.Lock()

    @property
    def reading(self) -> Reading:
        """How the engine would read it."""
        return Reading(self.kind)

    @property
    def fits(self) -> bool:
        """Whether all values so far are of its kind; most values decide between text and numbers with mistakes."""
        return self.kind != "VARCHAR" or not self._is_checked or 2 * self._words > self._values

    def read(self, column: pa.Array, connection: Connection) -> pa.Array | None:
        """The values of a batch in the column's type; None when one does not fit."""
        if self.kind == "VARCHAR":
            if self._is_checked and len(column):
                self._inspect(column)
            return column
        if not len(column):
            return pa.nulls(0, _ARROW[self.kind])
        if self.kind in _NUMBERS and (numbers := _all_certain(column, self.kind)) is not None:
            return numbers
        is_odd = ~_is_plain(column, self.kind) & column.is_valid().to_numpy(zero_copy_only=False)
        certain = _cast(pc.if_else(pa.array(is_odd), None, column) if is_odd.any() else column, self.kind)
        if certain is None:
            return self._asked(column, connection)
        if not is_odd.any():
            return certain
        others = self._asked(column.take(pa.array(np.flatnonzero(is_odd))), connection)
        return None if others is None else pc.replace_with_mask(certain, pa.array(is_odd), others)

    def _inspect(self, column: pa.Array) -> None:
        starts, lengths, characters = _layout(column)
        filled = lengths > 0
        words = int(np.count_nonzero(~_UNCERTAIN[characters.take(starts[filled])]))
        with self._counting:
            self._values += len(column) - column.null_count
            self._words += words

    def _asked(self, column: pa.Array, connection: Connection) -> pa.Array | None:
        """The values by the engine's classes; None when one is of another class."""
        words = pc.utf8_trim(column, " ")
        words = pc.if_else(pc.is_in(words, pa.array(MISSING)), None, words)
        if words.null_count == len(words):
            return pa.nulls(len(words), _ARROW[self.kind])
        select = f"{text.class_of('v')} AS class, try_cast(v AS {self.kind}) AS value"
        found = _ask(connection, pa.table({"v": words}), select)
        classes = {each.as_py() for each in pc.unique(found["class"])} - {None}
        return found["value"].combine_chunks() if classes <= set(_CLASSES[self.kind]) else None


def _ask(connection: Connection, rows: pa.Table | pa.RecordBatch, select: str, condition: str = "true") -> pa.Table:
    """What the engine selects from each of the rows, or of those that meet a condition, in their order."""
    number = "n"
    while number in map(str.casefold, rows.schema.names):
        number += "_"
    numbered = rows.append_column(number, pa.array(np.arange(rows.num_rows)))
    with _ASKING:
        connection.register("odd", numbered if isinstance(rows, pa.Table) else pa.Table.from_batches([numbered]))
        try:
            return connection.sql(
                f"SELECT {select} FROM odd AS data WHERE {condition} ORDER BY {number}"
            ).to_arrow_table()
        finally:
            connection.unregister("odd")


def seeming(
    connection: Connection,
    tables: Sequence[Table],
    columns: Sequence[str],
    asked: Mapping[str, str],
    hints: Mapping[str, str],
    notation: Notation,
) -> dict[str, PlainColumn]:
    """What the first rows of the first table say of the columns; those that they leave open are not among them.

    The arguments are those of :func:`kubeline.data.inference.infer`.
    """
    if not notation.is_plain:
        return {}
    untyped = [name for name in columns if all(table.raw[name] == UNKNOWN for table in tables)]
    found = {
        name: PlainColumn("VARCHAR", is_checked=False) for name in untyped if asked.get(name, hints.get(name)) == "text"
    }
    open_ = [name for name in untyped if name not in found and name not in asked]
    found |= _certain(tables[0], open_)
    open_ = [name for name in open_ if name not in found]
    if not open_:
        return found
    names = ", ".join(map(identifier, open_))
    head = replace(tables[0], relation=f"(SELECT {names} FROM {tables[0].relation} LIMIT {_SAMPLE})")
    counts = {name: counter for name, (counter, _) in text.classify(connection, head, open_, notation).items()}
    samples = styles.sample(connection, head, [name for name in open_ if counts[name]["text"]])
    for name in open_:
        kind = _kind(counts[name], samples.get(name, []))
        if kind:
            found[name] = PlainColumn(kind, sample=samples.get(name, ()))
    return found


def _certain(table: Table, names: Sequence[str]) -> dict[str, PlainColumn]:
    """The columns of which the first lines leave no doubt: where these are all, the engine does not have to start."""
    try:
        first = lines.head(table.lines, names, _SAMPLE) if names else None
    except NotPlainError:
        return {}
    columns = {} if first is None else {name: _plainly(first[name].combine_chunks().drop_null()) for name in names}
    return {name: column for name, column in columns.items() if column}


def _plainly(values: pa.Array) -> PlainColumn | None:
    """What a column of these values seems to hold, as :func:`_kind` says of their classes; None where it might not."""
    if not len(values):
        return None
    for kind in _NUMBERS:
        if _all_certain(values, kind) is not None:
            return PlainColumn(kind)
    if _is_plain(values, "TIMESTAMP").all() and _cast(values, "TIMESTAMP") is not None:
        return PlainColumn("TIMESTAMP")
    sample = [value for value in pc.utf8_trim(values, " ").to_pylist() if value not in MISSING]
    is_text = any(not _UNCERTAIN[value.encode()[0]] and value.lower() not in ("true", "false") for value in sample)
    return PlainColumn("VARCHAR", sample=sample) if is_text and not styles.is_styled(sample) else None


def _kind(counts: Mapping[str, int], sample: Sequence[str]) -> str:
    """The type of a column whose first values are of these classes; empty where that is not certain."""
    present = sum(counts.values()) - counts.get("missing", 0)

    def all_are(*classes: str) -> bool:
        return present > 0 and sum(counts.get(name, 0) for name in classes) == present

    if counts.get("text") and sample and not styles.is_styled(sample):
        return "VARCHAR"
    if all_are("integer", "large"):
        return "BIGINT"
    if all_are(*text.EXACT) and not all_are("integer"):
        return "DOUBLE"
    return "TIMESTAMP" if all_are("time") else ""


def _layout(column: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
    """Where each value starts, its length, and all characters; (n,), (n,) and one byte for each character and more."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    characters = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    return ends[:-1], np.diff(ends), characters


def _is_plain(column: pa.Array, kind: str) -> Mask:
    """(n,) whether a value is certainly of the kind, if only Arrow can read it as such."""
    starts, lengths, characters = _layout(column)
    first, last = int(starts[0]), int(starts[-1] + lengths[-1])
    strange = np.flatnonzero(~_ALLOWED[kind][characters[first:last]])
    plain: Mask = lengths > 0
    if len(strange):
        plain[np.searchsorted(starts, strange + first, side="right") - 1] = False
    lead = characters.take(starts, mode="clip")  # several times as fast as by an index
    if kind == "TIMESTAMP":
        plain &= np.isin(lengths, _LENGTHS) & ((lead == ord("1")) | (lead == ord("2")))
        return plain
    negative = lead == ord("-")
    digits = lengths - negative
    lead = characters.take(starts + negative, mode="clip")
    second = characters.take(starts + negative + 1, mode="clip")
    plain &= (lead != ord("0")) | (digits < 2) | ~_DIGIT[second]
    if kind == "BIGINT":
        return plain & (lengths <= _WHOLE)
    long = np.flatnonzero(plain & (lengths > _DIGITS))
    if len(long):
        plain[long] = _is_kept(column.take(pa.array(long)))
    return plain


def _all_certain(column: pa.Array, kind: str) -> pa.Array | None:
    """The numbers, where Arrow alone reads all of them for certain; None where one has to be inspected by itself.

    What Arrow reads as a number is one, except for codes with leading zeros, hexadecimal digits and a plus sign; a
    double may keep less than what is written. (What makes an array of Arrow from other values imports pandas, which
    takes longer than a small table.)
    """
    numbers = _cast(column, kind)
    if numbers is None:
        return None
    starts, lengths, characters = _layout(column)
    lead = characters.take(starts, mode="clip")  # several times as fast as by an index
    negative = lead == ord("-")
    if negative.any():
        lead = characters.take(starts + negative, mode="clip")
    zeros = np.flatnonzero(lead == ord("0"))
    zeros = zeros[lengths[zeros] - negative[zeros] > 1]
    if kind == "DOUBLE":
        zeros = zeros[_DIGIT[characters[starts[zeros] + negative[zeros] + 1]]]
    if len(zeros) or (lead == ord("+")).any():
        return None
    return numbers if kind == "BIGINT" or _are_kept(numbers, column, lengths) else None


def _are_kept(numbers: pa.Array, column: pa.Array, lengths: NDArray[np.int32]) -> bool:
    """Whether all numbers are finite, and a double keeps what is written."""
    values = np.frombuffer(numbers.buffers()[1], count=len(numbers))  # anything where one is missing
    long = np.flatnonzero(lengths > _DIGITS)
    zeros = np.flatnonzero(values == 0)
    none = zeros[lengths.take(zeros) >= _MIN_LOST]
    return bool(
        (np.isfinite(values).all() or pc.all(pc.is_finite(numbers)).as_py() is not False)
        and (not len(long) or np.all(_is_kept(column.take(pa.array(long)))))
        and (not len(none) or pc.all(pc.match_substring_regex(column.take(pa.array(none)), "^-?[0.]*$")).as_py())
    )


def _is_kept(words: pa.Array) -> Mask | bool:
    """(n,) whether a double prints with all digits of these numbers; False for all where one is no number."""
    numbers = _cast(words, "DOUBLE")
    if numbers is None:
        return False
    size = np.abs(numbers.to_numpy())
    printed = pc.equal(numbers.cast(pa.string()), words).to_numpy(zero_copy_only=False)
    kept: Mask = printed & (size >= _EXACT[0]) & (size < _EXACT[1])
    return kept


def _cast(column: pa.Array, kind: str) -> pa.Array | None:
    try:
        return column.cast(_ARROW[kind])
    except pa.ArrowInvalid:
        return None


class Converter:
    """Batches with their plain columns converted, on as many threads as there are cores.

    Args:
        connection: the engine.
        columns: the plain ones, by name.
        others: SQL of further columns, that the engine reads from text.
        chosen: columns that are given of the rows that pass the filter.
        condition: SQL of the filter over the columns; empty for none.

    Attributes:
        condition: of the filter.
        wrong: the columns that do not fit; they stay as they are.
    """

    def __init__(
        self,
        connection: Connection,
        columns: Mapping[str, PlainColumn],
        others: Mapping[str, str] | None = None,
        chosen: Sequence[str] = (),
        condition: str = "",
    ):
        self.wrong: set[str] = set()
        self.condition = condition
        self._chosen = chosen
        self._columns = columns
        self._others = others or {}
        self._connection = connection.cursor()
        if condition:
            self._connection.begin()  # in which there is one `now()`
        self._workers = ThreadPoolExecutor(min(4, os.cpu_count() or 1))

    def convert(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same rows."""
        for batch in batches:
            columns = list(self._workers.map(self._read, batch.schema.names, batch.columns))
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    def of_text(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One batch of text with all its columns converted, those of the engine too; several threads may ask.

        Of a filter, the chosen columns of the rows that pass; where a column does not fit, all.

        Raises:
            NotPlainError: when the engine cannot read a value, or apply the filter.
        """
        try:  # after an error in one batch, the engine answers nothing about another
            columns = dict(zip(batch.schema.names, map(self._read, batch.schema.names, batch.columns), strict=True))
            if self._others:
                select = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in self._others.items())
                found = _ask(self._connection, batch.select(list(self._others)), select)
                columns |= {name: found[name].combine_chunks() for name in self._others}
            typed = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
            if not self.condition or self.wrong:
                return typed
            table = _ask(self._connection, typed, ", ".join(map(identifier, self._chosen)), self.condition)
        except duck.errors() as error:
            raise NotPlainError from error
        # A table of no rows has no batch.
        return (table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)])[0]

    def schema(self, stored: pa.Schema) -> pa.Schema:
        """That of the converted batches."""
        kinds = {name: _ARROW.get(column.kind) for name, column in self._columns.items()}
        return pa.schema([(each.name, kinds.get(each.name) or each.type) for each in stored])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads, and judge the columns by all their values."""
        self._workers.shutdown()
        self._connection.close()
        self.wrong |= {name for name, column in self._columns.items() if not column.fits}

    def _read(self, name: str, column: pa.Array) -> pa.Array:
        if name not in self._columns or name in self.wrong:
            return column
        found = self._columns[name].read(column, self._connection)
        if found is None:
            self.wrong.add(name)
        return column if found is None else found
