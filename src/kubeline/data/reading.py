"""A table as the engine sees it, and the SQL that reads its columns as their types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from kubeline.data.engine import identifier
from kubeline.data.exact import FLOATS, INTEGERS, is_number, plain_digits
from kubeline.data.json_digits import Rounded
from kubeline.data.lines import Lines
from kubeline.data.notation import PLAIN, Notation, TimeNotation, missing_words

UNKNOWN = "UNKNOWN"  # text that is still to be inspected
_SMALL = 8 << 20  # bytes of the files that are read by one query, which are
_MAX = 64  # at most
MIXED = "MIXED"  # of JSON fields: values of several types, or none at all


@dataclass(frozen=True)
class Table:
    """One file or query result, as DuckDB sees it.

    `relation` stands in a FROM clause; `raw` maps columns to the DuckDB types that it has there, `UNKNOWN` where text
    is still to be inspected, and `MIXED` where one column holds several types. `index` names the columns that
    pandas wrote as the index of its rows. `repeats`: the file may hold a text once for any number of rows.
    `size` is the bytes of a file; 0 where that is not known. `unlike` are the columns of a type that the engine has
    not, and reads as another. `rounded` are those whose numbers have digits that the engine does not keep. `beside`
    are those whose values are not those that the folder's name says. `lines` are the text files whose rows may be read
    line by line.
    """

    name: str
    relation: str
    raw: Mapping[str, str]
    index: Sequence[str] = ()
    repeats: bool = False
    size: int = 0
    unlike: Mapping[str, pa.DataType] = field(default_factory=dict)
    rounded: Mapping[str, Rounded] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[Lines] = ()


def together(tables: Sequence[Table]) -> list[Table]:
    """The same rows as fewer tables: small text files of the same columns, next to each other, are read by one query.

    What goes wrong then names no file: read them one by one to learn in which it is.
    """
    found: list[list[Table]] = []
    for table in tables:
        group = found[-1] if found else []
        size = sum(each.size for each in group) + table.size
        is_text = set(table.raw.values()) == {UNKNOWN} and not table.index
        alike = group and is_text and group[0].raw == table.raw and not group[0].index
        if alike and table.size > 0 and size <= _SMALL and len(group) < _MAX:
            group.append(table)
        else:
            found.append([table])
    return [group[0] if len(group) == 1 else _union(group) for group in found]


def _union(tables: Sequence[Table]) -> Table:
    names = ", ".join(map(identifier, tables[0].raw))
    rows = " UNION ALL ".join(f"SELECT {names} FROM {table.relation}" for table in tables)  # noqa: S608 - quoted
    lines = [each for table in tables for each in table.lines] if all(table.lines for table in tables) else ()
    return Table("the files", f"({rows})", tables[0].raw, lines=lines)


@dataclass(frozen=True)
class Reading:
    """How a column is read: as a DuckDB type, from text by a notation of numbers or of times."""

    kind: str
    notation: Notation = PLAIN
    times: TimeNotation | None = None

    def sql(self, name: str, raw: str) -> str:
        """The SQL expression of a column that is of the type `raw`; a value that would change is an error."""
        column = identifier(name)
        if raw in FLOATS:  # missing is one thing, and NaN would pass every filter as the greatest number
            column = f"nullif({column}, CAST('NaN' AS {raw}))"
        if raw == self.kind or (raw == UNKNOWN and self.kind == "VARCHAR"):
            return column
        if self.kind == "VARCHAR":
            return _as_text(column, raw)
        if raw in (UNKNOWN, "VARCHAR"):
            value = f"trim({column})"
            return f"CASE WHEN {value} NOT IN ({missing_words()}) THEN {self._from_text(value)} END"
        return _strict(column, raw, self.kind)

    def _from_text(self, value: str) -> str:
        if self.times:
            return self.times.parsed(value)
        if self.kind in INTEGERS:  # SQL would round a fraction
            plain = self.notation.only(value)
            whole = f"regexp_full_match({plain}, '[-+]?[0-9]+([.]0*)?')"
            number = f"CAST(regexp_replace({plain}, '[.]0*$', '') AS {self.kind})"
            return f"CASE WHEN {whole} THEN {number} {_else_error(value)}"
        return f"CAST({self.notation.only(value) if self.kind == 'DOUBLE' else value} AS {self.kind})"


def _else_error(value: str) -> str:
    return f"ELSE error('Could not convert the value: ' || CAST({value} AS VARCHAR)) END"


def _as_text(column: str, raw: str) -> str:
    if raw == MIXED:
        return f"({column} ->> '$')"  # a JSON string without its quotes
    return plain_digits(column) if raw.startswith("DECIMAL") else f"CAST({column} AS VARCHAR)"


def _strict(column: str, raw: str, kind: str) -> str:
    """A cast of a typed column that refuses what it would change."""
    if kind == "BOOLEAN" and is_number(raw):
        return f"CASE WHEN {column} IS NULL OR {column} IN (0, 1) THEN {column} = 1 {_else_error(column)}"
    if kind in (*INTEGERS, "UBIGINT") and (raw in FLOATS or raw.startswith("DECIMAL")):
        return (
            f"CASE WHEN {column} IS NULL THEN NULL "
            f"WHEN {column} = trunc({column}) THEN CAST({column} AS {kind}) {_else_error(column)}"
        )
    return f"CAST({column} AS {kind})"
