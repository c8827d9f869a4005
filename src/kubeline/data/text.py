"""What the values of a text column are: one class for each value, in SQL over all of them."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

from collections import Counter

from kubeline.data.duck import Connection
from kubeline.data.engine import fetch, identifier, literal
from kubeline.data.notation import Notation, missing_words, unit
from kubeline.data.reading import Table

# Each class excludes those before it:
# integer   fits a double without rounding       large     fits 64 bits, but not a double
# wide      whole, but fits no 64 bits           code      digits with leading zeros, or more than any number has
# whole     2.0                                  decimal   any other number that a double keeps
# long      more digits than a double may keep   huge      a finite number that is infinite as a double
# missing   see notation                           boolean   true or false
# time      ISO 8601 to the microsecond          fine      the same to the nanosecond
# zoned     the same with an offset from UTC     zonedfine
# text      anything else
EXACT = ("integer", "whole", "decimal")
NUMBERS = (*EXACT, "large", "long")
TIMES = ("time", "fine", "zoned", "zonedfine")

_COLUMNS = 1_024  # whose values are laid one below the other in one query, 2,048 rows at a time


def class_of(value: str) -> str:
    """SQL that names the class of one trimmed text value; NULL when it is NULL."""
    date, clock, offset = (
        r"\d{4}-\d\d-\d\d",
        r"[ T]\d\d:\d\d(:\d\d([.]\d{1,6}0*)?)?",
        r"(Z|[+-]\d\d(:?\d\d)?| UTC| GMT)",
    )
    fine = r"[ T]\d\d:\d\d:\d\d[.]\d{7,9}0*"
    decimal = "-?((0|[1-9][0-9]*)([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?|-?(?i:inf|infinity)"
    double = f"CAST({value} AS DOUBLE)"
    # A double keeps 15 digits, and those that it is printed with; what is small enough becomes zero.
    lost = (
        f"(length({value}) > 16 AND CAST({double} AS VARCHAR) <> {value}) "
        f"OR ({double} = 0 AND regexp_matches({value}, '^-?[0.]*[1-9]'))"
    )
    return f"""CASE
        WHEN {value} IS NULL THEN NULL
        WHEN regexp_full_match({value}, '-?(0|[1-9][0-9]*)') THEN CASE
            WHEN length({value}) <= 15 THEN 'integer'
            WHEN length({value}) > 308 THEN 'code'
            WHEN try_cast({value} AS BIGINT) IS NULL THEN 'wide'
            WHEN abs(CAST({value} AS HUGEINT)) > 9007199254740992 THEN 'large' ELSE 'integer' END
        WHEN regexp_full_match({value}, '-?0[0-9]+') THEN 'code'
        WHEN regexp_full_match({value}, '{decimal}') THEN CASE
            WHEN isinf({double}) AND regexp_matches({value}, '[0-9]') THEN 'huge'
            WHEN {lost} THEN 'long'
            WHEN regexp_full_match({value}, '-?[0-9]+[.]0*') THEN 'whole' ELSE 'decimal' END
        WHEN {value} IN ({missing_words()}) THEN 'missing'
        WHEN lower({value}) IN ('true', 'false') THEN 'boolean'
        WHEN regexp_full_match({value}, '{date}({clock})?') AND try_cast({value} AS TIMESTAMP) IS NOT NULL THEN 'time'
        WHEN regexp_full_match({value}, '{date}{clock}{offset}') AND try_cast({value} AS TIMESTAMPTZ) IS NOT NULL
            THEN 'zoned'
        WHEN regexp_full_match({value}, '{date}{fine}') AND try_cast({value} AS TIMESTAMP_NS) IS NOT NULL THEN 'fine'
        WHEN regexp_full_match({value}, '{date}{fine}{offset}') AND try_cast({value} AS TIMESTAMPTZ_NS) IS NOT NULL
            THEN 'zonedfine'
        ELSE 'text' END"""


def trimmed(name: str, notation: Notation) -> str:
    """SQL of a text column without blanks around it, its numbers in plain form."""
    return notation.only(f"trim({identifier(name)})")


def classify(
    connection: Connection, table: Table, columns: list[str], notation: Notation
) -> dict[str, tuple[Counter[str], set[str]]]:
    """How many values of each class the columns of one table hold, and the units that their numbers bear."""
    found: dict[str, tuple[Counter[str], set[str]]] = {name: (Counter(), set()) for name in columns}
    for start in range(0, len(columns), _COLUMNS):
        part = columns[start : start + _COLUMNS]
        values = ", ".join(trimmed(name, notation) for name in part)
        units = "''" if notation.is_plain else f"unnest([{', '.join(_unit(name, notation) for name in part)}])"
        # One expression for all columns: to plan one for each of a thousand takes longer than to run it.
        cells = f"SELECT unnest([{values}]) AS v, {units} AS u, unnest(range({len(part)})) AS c FROM {table.relation}"
        query = f"SELECT c, {class_of('v')} AS class, u, count(*) FROM ({cells}) WHERE v IS NOT NULL GROUP BY ALL"
        for place, name, unit_, count in fetch(connection, query):
            counts, borne = found[part[place]]
            counts[name] += count
            if name in (*NUMBERS, "wide"):
                borne.add(unit_)
    return found


def _unit(name: str, notation: Notation) -> str:
    value = f"trim({identifier(name)})"
    return f"CASE WHEN {notation.fits(value)} THEN {unit(value)} ELSE '' END"


def stray(
    connection: Connection, table: Table, name: str, notation: Notation, good: tuple[str, ...]
) -> tuple[int, str] | None:
    """The first value of another class than the `good` ones, as it stands in the table, and its row there, from 0."""
    classes = ", ".join(map(literal, (*good, "missing")))
    found = fetch(
        connection,
        f"SELECT r, v FROM (SELECT row_number() OVER () - 1 AS r, {identifier(name)} AS v, "
        f"{trimmed(name, notation)} AS c0 FROM {table.relation}) "
        f"WHERE {class_of('c0')} NOT IN ({classes}) ORDER BY r LIMIT 1",
    )
    return (int(found[0][0]), str(found[0][1])) if found else None
