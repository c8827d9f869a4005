"""Column types: from every value of a text file, and from what typed formats declare."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubeline.data import failures, text
from kubeline.data.duck import Connection
from kubeline.data.engine import fetch, identifier
from kubeline.data.exact import Part, beyond, double_warning, is_number, number_type, rounding
from kubeline.data.notation import PLAIN, Notation, missing_words, time_format
from kubeline.data.reading import MIXED, UNKNOWN, Reading, Table
from kubeline.data.styles import Style, find_style, sample, unlike_units
from kubeline.errors import UserError, listed
from kubeline.masking import form_of

# What a user can ask for in `types`, as DuckDB types; or a format of strptime.
KINDS = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "time": "TIMESTAMP"}

# A column where this share of the values are numbers (or times), but not all, is a number column with mistakes in it.
_NEARLY_ALL = 0.9
_LOOKALIKE = 0.5  # from this share on, a text column is reported to look like numbers or times
_TIMES = ("TIMESTAMP", "TIMESTAMP_NS")
_ZONED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")

_CLOCK = re.compile("TIME|TIME WITH TIME ZONE|TIME_NS|INTERVAL")
_KEPT_AS = {
    '"NULL"': "NULL",
    **dict.fromkeys(("DATE", "TIMESTAMP_S", "TIMESTAMP_MS"), "TIMESTAMP"),
    **dict.fromkeys(("UUID", "TIME", "TIME_NS", "TIME WITH TIME ZONE", "INTERVAL", "ENUM", "JSON"), "VARCHAR"),
}


@dataclass
class Inferred:
    """How the columns are read, and notes about it for the user."""

    readings: dict[str, Reading] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)

    def __or__(self, other: "Inferred") -> "Inferred":
        """What is known of the columns of both."""
        return Inferred(self.readings | other.readings, self.warnings | other.warnings)


def infer(
    connection: Connection,
    tables: list[Table],
    columns: list[str],
    asked: Mapping[str, str],
    hints: Mapping[str, str],
    notation: Notation = PLAIN,
) -> Inferred:
    """How each of `columns` is read, the same for all tables.

    Text is classified value by value, all of it, so a type never depends on a sample. Every conversion is exact, or
    refused, or named in a warning.

    Args:
        connection: the engine.
        tables: of one source.
        columns: to be read.
        asked: column to one of `KINDS` or a format of strptime, by the user.
        hints: the same, of what will use the table; followed where the values leave it open.
        notation: of the numbers in text.

    Raises:
        UserError: when the tables disagree, or one column holds several types.
    """
    as_text = {name for name in columns if asked.get(name, hints.get(name)) == "text"}
    inspected = [name for name in columns if name not in as_text and "%" not in asked.get(name, "")]
    counts: dict[str, Counter[str]] = {name: Counter() for name in columns}
    units: dict[str, set[str]] = {name: set() for name in columns}
    for table in tables:
        unknown = [name for name in inspected if _is_text(table.raw[name], name in asked)]
        with failures.reading(table.name):
            found = text.classify(connection, table, unknown, notation)
        for name, (classes, borne) in found.items():
            counts[name] += classes
            units[name] |= borne
    samples = sample(connection, tables[0], [name for name in columns if counts[name]["text"]])
    result = Inferred()
    for name in columns:
        if name in as_text:
            result.readings[name] = Reading("VARCHAR")
            continue
        column = _Column(connection, tables, name, counts[name], notation, units[name], samples.get(name, []))
        if name in asked:
            reading, warning = column.as_asked(asked[name])
        else:
            reading, warning = column.inferred()
            # without such values, only how they are written says that they are text
            if reading.kind == "VARCHAR" and name in hints and not counts[name]["text"]:
                reading, warning = column.as_asked(hints[name])
        result.readings[name] = reading
        if warning:
            result.warnings[name] = warning
    return result


def _is_text(raw: str, is_asked: bool) -> bool:
    return raw == UNKNOWN or (is_asked and raw == "VARCHAR")


@dataclass(frozen=True)
class _Column:
    """One column in all tables, with the classes of its text values."""

    connection: Connection
    tables: list[Table]
    name: str
    counts: Counter[str]
    notation: Notation
    units: set[str]
    sample: list[str]

    @property
    def present(self) -> int:
        """Values that are not missing, of the tables that hold text."""
        return self.counts.total() - self.counts["missing"]

    def total(self, *classes: str) -> int:
        """Values of these classes."""
        return sum(self.counts[name] for name in classes)

    def inferred(self) -> tuple[Reading, str]:
        """The reading by the values and declared types alone, and a warning."""
        reading, warning = self._of_text() if self.counts.total() else (Reading("NULL"), "")
        if reading.times or reading.notation not in (PLAIN, self.notation):
            return reading, warning  # only text files have these
        kind = reading.kind
        numbers: list[Table] = [table for table in self.tables if table.raw[self.name] == UNKNOWN] * (
            kind in ("BIGINT", "DOUBLE")
        )
        for table in self.tables:
            if table.raw[self.name] == UNKNOWN:
                continue
            settled = self._settle(table)
            if is_number(settled):
                numbers.append(table)
            kind = self._unite(kind, settled, table.name)
        if numbers and any(table.raw[self.name] != UNKNOWN for table in numbers):
            kind, warning = number_type(self.connection, self._parts(numbers, reading), self.name)
        if kind == "VARCHAR" and not warning:
            warning = self._of_clocks()
        return Reading("VARCHAR" if kind == "NULL" else kind, reading.notation), warning

    def _of_clocks(self) -> str:
        """The warning that times of day and lengths of time become text."""
        if not any(_CLOCK.fullmatch(table.raw[self.name]) for table in self.tables):
            return ""
        return (
            f"column '{self.name}' holds times of day or lengths of time and is kept as text, each value a category: "
            f'write them as numbers, such as minutes, or say that it is text by types={{"{self.name}": "text"}}'
        )

    def as_asked(self, asked: str) -> tuple[Reading, str]:
        """The reading that the user (or a model) asks for, and a warning; values that do not fit it are errors."""
        if "%" in asked:
            times = time_format(asked)
            return Reading(times.kind, times=times), ""
        kind = KINDS[asked]
        style = self._style() if asked in ("integer", "number", "time") else None
        styled = style.reading if style else None
        if asked == "time":
            return (styled, "") if styled and styled.times else (self._times(), "")
        reading = Reading(kind, styled.notation if styled and not styled.times else self.notation)
        if asked != "number":
            return reading, ""
        if rounded := self.total("large", "long", "wide"):
            return reading, rounding(self.connection, self._digits(reading.notation), self.name, rounded)
        typed = [table for table in self.tables if is_number(table.raw[self.name])]
        return reading, double_warning(self.connection, self._parts(typed, reading), self.name)

    def _style(self) -> Style | None:
        """The notation of a column that a program would not write so."""
        if self.notation.is_plain and self.counts["text"]:
            return find_style(self.connection, self.tables, self.name, self.sample, self.present)
        return None

    def _parts(self, tables: Sequence[Table], reading: Reading) -> list[Part]:
        """The column's numbers in each table; those in text as they are read."""
        parts = []
        for table in tables:
            raw = table.raw[self.name]
            kind = reading.kind if raw == UNKNOWN else raw
            parts.append(
                Part(table.relation, reading.sql(self.name, raw) if raw == UNKNOWN else identifier(self.name), kind)
            )
        return parts

    def _digits(self, notation: Notation) -> list[Part]:
        """The column's numbers in text, as text."""
        value = text.trimmed(self.name, notation)
        present = f"CASE WHEN {value} NOT IN ({missing_words()}) THEN {value} END"
        tables = [table for table in self.tables if table.raw[self.name] in (UNKNOWN, "VARCHAR")]
        return [Part(table.relation, present, "VARCHAR") for table in tables]

    def _of_text(self) -> tuple[Reading, str]:
        """The reading of a column of text by the classes of its values."""
        if len(self.units) > 1:
            return Reading("VARCHAR"), unlike_units(self.name, self.units)
        found = self._one_class()
        if found == "mixed":
            return self._of_style()
        if found == "TIMESTAMP":
            return self._times(), ""
        if found == "beyond":
            return Reading("VARCHAR"), beyond(self.name)
        if found == "rounded":
            rounded = self.total("large", "long", "wide")
            warning = rounding(self.connection, self._digits(self.notation), self.name, rounded)
            return Reading("DOUBLE", self.notation), warning
        return Reading(found, self.notation if found in ("BIGINT", "DOUBLE") else PLAIN), ""

    def _one_class(self) -> str:
        """The DuckDB type that fits all values, or what else is to be said of them."""
        integers = self.total("integer", "large")
        numbers = self.total(*text.NUMBERS, "wide")
        zoned = self.total("zoned", "zonedfine")
        whole = self.counts["whole"] if self.counts["large"] else 0  # 2.0 is an integer where a double would round
        found = (
            ("VARCHAR", 0),
            ("BIGINT", integers + whole),
            ("DOUBLE", self.total(*text.EXACT)),
            ("beyond", integers + self.counts["wide"]),
            ("rounded", numbers),
            ("VARCHAR", numbers + self.counts["code"]),
            ("BOOLEAN", self.counts["boolean"]),
            ("TIMESTAMP", zoned or self.total(*text.TIMES)),
        )
        return next((kind for kind, count in found if count == self.present), "mixed")

    def _of_style(self) -> tuple[Reading, str]:
        """The reading of a column that is not all of one class: as people write numbers and times, or as text."""
        present, numbers, times = self.present, self.total(*text.NUMBERS), self.total(*text.TIMES)
        style = self._style()
        if style and style.reading:
            return style.reading, style.warning
        advice = style.warning.partition(": ")[2] if style else ""
        if numbers >= _NEARLY_ALL * present:
            raise self._mixed("numbers", (*text.NUMBERS,), present - numbers, advice)
        if times == present:
            naive = self.total("time", "fine")
            raise UserError(
                f"column '{self.name}' holds {naive:,} times without and {times - naive:,} with an offset from UTC; "
                f'write them all one way, or keep them as they are by types={{"{self.name}": "text"}}'
            )
        if times >= _NEARLY_ALL * present:
            raise self._mixed("times", text.TIMES, present - times, advice)
        if style:
            return Reading("VARCHAR"), style.warning
        for what, count in (("numbers", numbers), ("times", times)):
            if count >= _LOOKALIKE * present:
                return Reading("VARCHAR"), (
                    f"column '{self.name}' is kept as text, though {count:,} of its {present:,} values are {what}; "
                    f'fix the others, or say that it is text by types={{"{self.name}": "text"}}'
                )
        return Reading("VARCHAR"), ""

    def _times(self) -> Reading:
        """Times in text; where some have an offset, those without are UTC. Else as the tables have them."""
        kinds = {table.raw[self.name] for table in self.tables}
        if kinds <= {*_TIMES, *_ZONED}:
            return self.inferred()[0]
        fine = self.total("fine", "zonedfine") > 0
        zoned = self.total("zoned", "zonedfine") > 0
        return Reading((_ZONED if zoned else _TIMES)[fine])

    def _mixed(self, what: str, good: tuple[str, ...], wrong: int, advice: str) -> UserError:
        for table in self.tables:
            if table.raw[self.name] == UNKNOWN:
                found = text.stray(self.connection, table, self.name, self.notation, good)
                if found is not None:
                    row, value = found
                    return UserError(
                        f"column '{self.name}' holds {what}, but {wrong:,} of its {self.present:,} values are none, "
                        f"such as {form_of(value)} in row {row:,} of '{table.name}'; fix them, leave the column out, "
                        f'or keep it by types={{"{self.name}": "text"}}' + (f" ({advice})" if advice else "")
                    )
        raise AssertionError(self.name)

    def _settle(self, table: Table) -> str:
        """The type that a declared type is kept as: what pandas and scikit-learn have a type for."""
        raw = table.raw[self.name]
        if raw != MIXED:
            return raw if is_number(raw) else _KEPT_AS.get(raw.split("(", maxsplit=1)[0], raw)
        (present,) = fetch(self.connection, f"SELECT count({identifier(self.name)}) FROM {table.relation}")[0]  # noqa: S608
        if present:
            raise UserError(
                f"field '{self.name}' of '{table.name}' holds values of several types; write one type, leave it out, "
                f'or keep it by types={{"{self.name}": "text"}}'
            )
        return "NULL"

    def _unite(self, first: str, second: str, table: str) -> str:
        if second in (first, "NULL"):
            return first
        if first == "NULL":
            return second
        if is_number(first) and is_number(second):
            return "DOUBLE"  # number_type inspects the values
        both = {first, second}
        for family, widest in ((_TIMES, "TIMESTAMP_NS"), (_ZONED, "TIMESTAMPTZ_NS")):
            if both <= set(family):
                return widest
        raise UserError(
            f"column '{self.name}' is {second} in '{table}' but {first} in the files before it; write one type, or say "
            f'types={{"{self.name}": …}} with one of: {listed(KINDS)}'
        )
