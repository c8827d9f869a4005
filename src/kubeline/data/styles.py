"""Text columns that hold numbers or times as people write them: read where only one way of reading fits all values."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubeline.data.duck import Connection
from kubeline.data.engine import fetch, identifier, literal
from kubeline.data.notation import COMMA, MISSING, POINT, TIMES, Notation, missing_words, unit
from kubeline.data.reading import Reading, Table
from kubeline.masking import form_of

_SAMPLE = 1_000  # values that are sampled before all are checked
_MAX = 0.8  # from this share on, a column looks like numbers or times


@dataclass(frozen=True)
class Style:
    """The one reading of a column, or None where there are several or not all values fit; and what to say of it."""

    reading: Reading | None
    warning: str


def sample(connection: Connection, table: Table, columns: list[str]) -> dict[str, list[str]]:
    """Values of the first rows, by column, without the missing ones."""
    if not columns:
        return {}
    values = ", ".join(f"trim({identifier(name)})" for name in columns)
    rows = fetch(connection, f"SELECT {values} FROM {table.relation} LIMIT {_SAMPLE}")
    absent = {None, *MISSING}
    return {name: [row[place] for row in rows if row[place] not in absent] for place, name in enumerate(columns)}


def find_style(
    connection: Connection, tables: Sequence[Table], name: str, seen: list[str], present: int
) -> Style | None:
    """How a text column may be read as numbers or times; None when it does not look like any.

    Args:
        connection: the engine.
        tables: that hold the column.
        name: of the column.
        seen: some of its values; when most of them look like numbers or times, all are tried.
        present: how many values it has that are not missing.
    """
    cells = " UNION ALL ".join(f"SELECT trim({identifier(name)}) AS v FROM {table.relation}" for table in tables)
    numbered = f"SELECT row_number() OVER () - 1 AS r, v FROM ({cells})"
    every = f"(SELECT r, v FROM ({numbered}) WHERE v IS NOT NULL AND v NOT IN ({missing_words()}))"
    if mostly(seen, [COMMA.pattern, POINT.pattern]) and (style := _numbers(connection, every, name, present)):
        return style
    if mostly(seen, [times.pattern for times in TIMES]):
        return _times(connection, every, name, present)
    return None


def is_styled(seen: Sequence[str]) -> bool:
    """Whether most of these values look like numbers or times that people write."""
    return mostly(seen, [COMMA.pattern, POINT.pattern]) or mostly(seen, [times.pattern for times in TIMES])


def unlike_units(name: str, units: set[str]) -> str:
    """The warning that numbers are kept as text because of what they bear."""
    borne = ", ".join(sorted(repr(each) if each else "none" for each in units))
    return f"column '{name}' looks like numbers and is kept as text: its values bear different units ({borne})"


def mostly(sample: Sequence[str], patterns: Iterable[str]) -> bool:
    """Whether most of these values match one of the patterns as a whole."""
    whole = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    return sum(count for value, count in Counter(sample).items() if whole.fullmatch(value)) >= _MAX * len(sample)


def _numbers(connection: Connection, every: str, name: str, present: int) -> Style | None:
    fits = {notation: notation.fits("v") for notation in (COMMA, POINT)}
    as_comma, as_point = (f"CASE WHEN {fits[each]} THEN try_cast({each.plain('v')} AS DOUBLE) END" for each in fits)
    whole = [f"regexp_full_match({each.plain('v')}, '-?[0-9]{{1,18}}')" for each in fits]
    query = (
        f"SELECT count(*) FILTER (WHERE {fits[COMMA]}), count(*) FILTER (WHERE {fits[POINT]}), "
        f"count(*) FILTER (WHERE {fits[COMMA]} OR {fits[POINT]}), "
        f"count(*) FILTER (WHERE {as_comma} IS DISTINCT FROM {as_point}), list(DISTINCT {unit('v')}) "
        f"FILTER (WHERE {fits[COMMA]} OR {fits[POINT]}), "
        f"count(*) FILTER (WHERE NOT {whole[0]}), count(*) FILTER (WHERE NOT {whole[1]}), min(v) FROM {every}"
    )
    comma, point, either, different, units, *fractions, example = fetch(connection, query)[0]
    if either < _MAX * present:
        return None
    finding = f"column '{name}' looks like numbers ({form_of(example)}) and is kept as text"
    keep = f'types={{"{name}": "text"}}'
    if len(units) > 1:
        return Style(None, unlike_units(name, set(units)))
    if comma == point == present and different:
        return Style(
            None, f"{finding}: whether ',' parts thousands or a fraction is not clear; give load decimal or thousands"
        )
    if present not in (comma, point):
        stray = _stray(connection, every, present - max(comma, point), present, fits[COMMA if comma > point else POINT])
        return Style(None, f"{finding}: {stray}; fix them, or say {keep}")
    notation: Notation = POINT if point == present else COMMA
    is_whole = not fractions[notation == POINT] and not units[0]
    of = {"%": " of per cent", "": ""}.get(units[0], f" of {units[0]}")
    warning = (
        f"column '{name}' is read as numbers{of} with '{notation.decimal}' before the fraction, such as "
        f"{form_of(example)}; give load decimal='{notation.decimal}' so that every later file is read alike, or keep "
        f"it by {keep}"
    )
    return Style(Reading("BIGINT" if is_whole else "DOUBLE", notation), warning)


def _times(connection: Connection, every: str, name: str, present: int) -> Style | None:
    fits = [
        f"CASE WHEN regexp_full_match(v, {literal(times.pattern)}) THEN {times.parsed('v', strict=False)} END"
        for times in TIMES
    ]
    counts = ", ".join(f"count({each})" for each in fits)
    either = " OR ".join(f"({each}) IS NOT NULL" for each in fits)
    query = f"SELECT {counts}, count(*) FILTER (WHERE {either}), min(v) FROM {every}"
    *found, some, example = fetch(connection, query)[0]
    if some < _MAX * present:
        return None
    finding = f"column '{name}' looks like times ({form_of(example)}) and is kept as text"
    matching = [times for times, count in zip(TIMES, found, strict=True) if count == present]
    ways = ", ".join(fit for fit, count in zip(fits, found, strict=True) if count == present)
    hint = f'types={{"{name}": "%d/%m/%Y"}} or the format that it has'
    if not matching:
        fitting = f"({fits[found.index(max(found))]}) IS NOT NULL"
        stray = _stray(connection, every, present - max(found), present, fitting)
        return Style(None, f"{finding}: {stray}; fix them, or give {hint}")
    if (
        len(matching) > 1
        and fetch(connection, f"SELECT count(*) FROM {every} WHERE least({ways}) <> greatest({ways})")[0][0]
    ):
        return Style(None, f"{finding}: which number is the month is not clear; give {hint}")
    warning = (
        f"column '{name}' is read as times, {matching[0].name}, such as {form_of(example)}; give the format in types, "
        f'such as {{"{name}": {matching[0].formats[0]!r}}}, so that every later file is read alike, or keep it by '
        f'types={{"{name}": "text"}}'
    )
    return Style(Reading(matching[0].kind, times=matching[0]), warning)


def _stray(connection: Connection, every: str, strays: int, present: int, fits: str) -> str:
    """The words that some values are of another notation: how many, and where the first of them stands."""
    row, value = fetch(connection, f"SELECT r, v FROM {every} WHERE NOT coalesce({fits}, false) ORDER BY r LIMIT 1")[0]
    return f"{strays:,} of its {present:,} values are not of one notation, the first is {form_of(value)} in row {row:,}"
