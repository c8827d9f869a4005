"""Column types: from every value of a text file, and from what typed formats declare."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubeline.data.engine import fetch, identifier, literal
from kubeline.errors import UserError, listed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# What a user can ask for in `types`, as DuckDB types.
KINDS = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "time": "TIMESTAMP"}
# Written for a missing value in columns that are not text; in text, NA may well be Namibia.
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")

# A column where this share of the values are numbers (or times), but not all, is a number column with mistakes in it.
_NEARLY_ALL = 0.9
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_FLOATS = ("FLOAT", "DOUBLE")
_TIMES = ("TIMESTAMP", "TIMESTAMP_NS")
_ZONED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")


@dataclass(frozen=True)
class Table:
    """One file or query result, as DuckDB sees it.

    `relation` stands in a FROM clause; `raw` maps columns to the DuckDB types that it has there, `UNKNOWN` where text
    is still to be looked through, and `MIXED` where one column holds several types.
    """

    name: str
    relation: str
    raw: Mapping[str, str]


UNKNOWN = "UNKNOWN"
MIXED = "MIXED"  # of JSON fields: values of several types, or none at all
# Text that a database means as another type.
TIME_TEXT = "TEXT OF TIME"
NUMBER_TEXT = "TEXT OF NUMBER"
_KEPT_AS = {
    '"NULL"': "NULL",
    NUMBER_TEXT: "DOUBLE",
    **dict.fromkeys(("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", TIME_TEXT), "TIMESTAMP"),
    **dict.fromkeys(
        ("UUID", "TIME", "TIME WITH TIME ZONE", "INTERVAL", "HUGEINT", "UHUGEINT", "ENUM", "JSON"), "VARCHAR"
    ),
}
_TEXTS = (UNKNOWN, "VARCHAR", TIME_TEXT, NUMBER_TEXT)


def infer(connection: "DuckDBPyConnection", tables: list[Table], columns: list[str]) -> dict[str, str]:
    """The DuckDB type of each of `columns`, the same for all tables.

    Text is classified value by value, all of it, so a type never depends on a sample. Integers with leading zeros and
    integers beyond 64 bits stay text, because as numbers they would lose digits.

    Raises:
        UserError: when the tables disagree, or one column holds several types.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in columns}
    types: dict[str, str] = dict.fromkeys(columns, "NULL")
    for table in tables:
        unknown = [name for name in columns if table.raw[name] == UNKNOWN]
        for name, classes in _classify(connection, table, unknown).items():
            counts[name] += classes
    for name in columns:
        if counts[name]:
            types[name] = _decide(connection, tables, name, counts[name])
        for table in tables:
            raw = table.raw[name]
            if raw != UNKNOWN:
                types[name] = _unite(types[name], _settle(connection, table, name, raw), table.name, name)
    return {name: "VARCHAR" if kind == "NULL" else kind for name, kind in types.items()}


def typed(name: str, raw: str, kind: str) -> str:
    """The SQL expression of a column as `kind`."""
    column = identifier(name)
    if raw == kind or (raw in _TEXTS and kind == "VARCHAR"):
        return column
    if raw == MIXED and kind == "VARCHAR":
        return f"({column} ->> '$')"  # a JSON string without its quotes
    if raw in _TEXTS:
        missing = ", ".join(literal(word) for word in MISSING)
        return f"CASE WHEN trim({column}) NOT IN ({missing}) THEN CAST(trim({column}) AS {kind}) END"
    return f"CAST({column} AS {kind})"


def _class_of(name: str) -> str:
    """SQL that names the class of one text value; NULL when it is missing."""
    value = f"trim({identifier(name)})"
    date, clock, offset = r"\d{4}-\d\d-\d\d", r"[ T]\d\d:\d\d(:\d\d([.]\d{1,6})?)?", r"(Z|[+-]\d\d(:?\d\d)?)"
    decimal = "-?((0|[1-9][0-9]*)([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?|-?(?i:inf|infinity)"
    missing = ", ".join(literal(word) for word in MISSING)
    return f"""CASE
        WHEN {identifier(name)} IS NULL THEN NULL
        WHEN regexp_full_match({value}, '-?(0|[1-9][0-9]*)')
            THEN CASE WHEN try_cast({value} AS BIGINT) IS NULL THEN 'wide' ELSE 'integer' END
        WHEN regexp_full_match({value}, '-?0[0-9]+') THEN 'code'
        WHEN regexp_full_match({value}, '{decimal}') THEN 'decimal'
        WHEN {value} IN ({missing}) THEN 'missing'
        WHEN lower({value}) IN ('true', 'false') THEN 'boolean'
        WHEN regexp_full_match({value}, '{date}({clock})?') AND try_cast({value} AS TIMESTAMP) IS NOT NULL THEN 'time'
        WHEN regexp_full_match({value}, '{date}{clock}{offset}') AND try_cast({value} AS TIMESTAMPTZ) IS NOT NULL
            THEN 'zoned'
        ELSE 'text' END"""


def _classify(connection: "DuckDBPyConnection", table: Table, columns: list[str]) -> dict[str, Counter[str]]:
    if not columns:
        return {}
    histograms = ", ".join(f"histogram({_class_of(name)})" for name in columns)
    (row,) = fetch(connection, f"SELECT {histograms} FROM {table.relation}")
    return {name: Counter(classes or {}) for name, classes in zip(columns, row, strict=True)}


def _decide(connection: "DuckDBPyConnection", tables: list[Table], name: str, counts: Counter[str]) -> str:
    present = counts.total() - counts["missing"]
    if not present:
        return "VARCHAR"
    numbers = counts["integer"] + counts["decimal"]
    times = counts["time"] + counts["zoned"]
    for kind, number in (
        ("BIGINT", counts["integer"]),
        ("DOUBLE", numbers),
        ("VARCHAR", numbers + counts["code"] + counts["wide"]),
        ("BOOLEAN", counts["boolean"]),
        ("TIMESTAMP", counts["time"]),
        ("TIMESTAMP WITH TIME ZONE", counts["zoned"]),
    ):
        if number == present:
            return kind
    if numbers >= _NEARLY_ALL * present:
        raise _mixed(connection, tables, name, "numbers", present - numbers, present)
    if times == present:
        raise UserError(
            f"column '{name}' holds {counts['time']:,} times without and {counts['zoned']:,} with an offset from UTC; "
            f'write them all one way, or keep them as they are by types={{"{name}": "text"}}'
        )
    if times >= _NEARLY_ALL * present:
        raise _mixed(connection, tables, name, "times", present - times, present)
    return "VARCHAR"


def _mixed(
    connection: "DuckDBPyConnection", tables: list[Table], name: str, what: str, wrong: int, present: int
) -> UserError:
    good = "'integer', 'decimal', 'missing'" if what == "numbers" else "'time', 'zoned', 'missing'"
    for table in tables:
        query = f"SELECT {identifier(name)} FROM {table.relation} WHERE {_class_of(name)} NOT IN ({good}) LIMIT 1"
        found = fetch(connection, query) if table.raw[name] == UNKNOWN else []
        if found:
            return UserError(
                f"column '{name}' holds {what}, but {wrong:,} of its {present:,} values are none, such as "
                f"{str(found[0][0])[:60]!r} in '{table.name}'; mend them, leave the column out, or keep it by "
                f'types={{"{name}": "text"}}'
            )
    raise AssertionError(name)


def _settle(connection: "DuckDBPyConnection", table: Table, name: str, raw: str) -> str:
    """The type that a declared type is kept as: what pandas and scikit-learn have a type for."""
    if raw == MIXED:
        (present,) = fetch(connection, f"SELECT count({identifier(name)}) FROM {table.relation}")[0]
        if present:
            raise UserError(
                f"field '{name}' of '{table.name}' holds values of several types; write one type, leave it out, or "
                f'keep it by types={{"{name}": "text"}}'
            )
        return "NULL"
    if raw.startswith("DECIMAL"):
        return "BIGINT" if raw.endswith(",0)") and int(raw[8:-3]) <= 18 else "DOUBLE"
    return _KEPT_AS.get(raw.split("(", maxsplit=1)[0], raw)


def _unite(first: str, second: str, table: str, column: str) -> str:
    if second in (first, "NULL"):
        return first
    if first == "NULL":
        return second
    both = {first, second}
    families = (_INTEGERS, (*_INTEGERS, *_FLOATS), _TIMES, _ZONED)
    for family, widest in zip(families, ("BIGINT", "DOUBLE", "TIMESTAMP_NS", "TIMESTAMPTZ_NS"), strict=True):
        if both <= set(family):
            return widest
    raise UserError(
        f"column '{column}' is {second} in '{table}' but {first} in the files before it; write one type, or say "
        f'types={{"{column}": …}} with one of: {listed(KINDS)}'
    )
