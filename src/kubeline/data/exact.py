"""Numbers of several types, or of many digits: the type that holds them all without rounding, or what rounding does."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from kubeline.data.duck import Connection
from kubeline.data.engine import fetch

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
FLOATS = ("FLOAT", "DOUBLE")
_WIDE = ("UBIGINT", "HUGEINT", "UHUGEINT")
_SHORT = tuple(kind for kind in INTEGERS if kind != "BIGINT")
_DIGITS = 15  # that a double keeps of any decimal number


@dataclass(frozen=True)
class Part:
    """One column in one table: what stands in a FROM clause, and the SQL and DuckDB type of its values there."""

    relation: str
    value: str
    kind: str


@dataclass(frozen=True)
class _Extent:
    """The least and the greatest finite value of a part, and how many have a fraction, or are rounded as doubles."""

    least: Decimal | None
    most: Decimal | None
    fractions: int
    rounded: int


def is_number(kind: str) -> bool:
    """Whether a DuckDB type is one of numbers."""
    return kind in (*INTEGERS, *FLOATS, *_WIDE) or kind.startswith("DECIMAL")


def number_type(connection: Connection, parts: Sequence[Part], name: str) -> tuple[str, str]:
    """The type for the numbers of all parts, and a warning where it is not a matter of course.

    Whole numbers stay whole: they become 64-bit integers, or text when they do not fit, wherever a double would round
    one of them. Only numbers with fractions are rounded to doubles, and the warning counts them.
    """
    kinds = {part.kind for part in parts}
    scales = [_scale(part.kind) for part in parts]
    if len(kinds) == 1 and kinds <= {*INTEGERS, *FLOATS, "UBIGINT"}:
        return parts[0].kind, ""
    if kinds <= set(INTEGERS) or all(scale == 0 and digits <= 18 for digits, scale in scales):
        return "BIGINT", ""
    if kinds <= {*_SHORT, *FLOATS} or all(scale is not None and digits <= _DIGITS for digits, scale in scales):
        return "DOUBLE", ""
    extents = [_extent(connection, part) for part in parts]
    has_fractions = any(extent.fractions for extent in extents)
    rounded = sum(extent.rounded for extent in extents)
    declared_whole = all(part.kind in (*INTEGERS, *_WIDE) or _scale(part.kind)[1] == 0 for part in parts)
    if declared_whole or (rounded and not has_fractions):
        return _whole_type(extents, name)
    return "DOUBLE", rounding(connection, parts, name, rounded) if rounded else ""


def double_warning(connection: Connection, parts: Sequence[Part], name: str) -> str:
    """The warning about typed numbers that are read as doubles because someone asks for it; empty when none is due."""
    wide = [part for part in parts if part.kind in ("BIGINT", *_WIDE) or _scale(part.kind)[0] > _DIGITS]
    rounded = sum(_extent(connection, part).rounded for part in wide)
    return rounding(connection, parts, name, rounded) if rounded else ""


def rounding(connection: Connection, parts: Sequence[Part], name: str, rounded: int) -> str:
    """The warning that `rounded` values of a column are rounded to doubles: how many different ones become equal."""
    rows = " UNION ALL ".join(
        f"SELECT {plain_digits(part.value)} AS t, CAST({part.value} AS DOUBLE) AS d FROM {part.relation}"
        for part in parts
    )
    ((texts, doubles),) = fetch(connection, f"SELECT count(DISTINCT t), count(DISTINCT d) FROM ({rows})")
    return (
        f"column '{name}' has {rounded:,} values of more digits than a number keeps (a double, 15 to 17); rounded, "
        f"{texts - doubles:,} of its {texts:,} different values equal another one: keep them by "
        f'types={{"{name}": "text"}}'
    )


def plain_digits(value: str) -> str:
    """SQL of a number as text, without the zeros at the end of its fraction."""
    text = f"CAST({value} AS VARCHAR)"
    return f"CASE WHEN contains({text}, '.') THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"


def _scale(kind: str) -> tuple[int, int | None]:
    """Digits and those of the fraction of a DECIMAL; (0, None) for other types."""
    found = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    return (int(found.group(1)), int(found.group(2))) if found else (0, None)


def _extent(connection: Connection, part: Part) -> _Extent:
    is_float = part.kind in FLOATS
    finite = "isfinite(x)" if is_float else "x IS NOT NULL"
    fraction = "x <> trunc(x) OR isinf(x)" if is_float or part.kind.startswith("DECIMAL") else "false"
    changed = "false" if is_float else f"try_cast(CAST(x AS DOUBLE) AS {part.kind}) IS DISTINCT FROM x"
    row = fetch(
        connection,
        f"SELECT CAST(min(x) FILTER (WHERE {finite}) AS VARCHAR), CAST(max(x) FILTER (WHERE {finite}) AS VARCHAR), "
        f"count(*) FILTER (WHERE {fraction}), count(*) FILTER (WHERE {changed}) "
        f"FROM (SELECT {part.value} AS x FROM {part.relation})",
    )[0]
    least, most = (None if text is None else Decimal(text) for text in row[:2])
    return _Extent(least, most, *row[2:])


def _whole_type(extents: Sequence[_Extent], name: str) -> tuple[str, str]:
    least = min((extent.least for extent in extents if extent.least is not None), default=Decimal(0))
    most = max((extent.most for extent in extents if extent.most is not None), default=Decimal(0))
    if least >= -(2**63) and most < 2**63:
        return "BIGINT", ""
    if least >= 0 and most < 2**64:
        return "UBIGINT", ""
    return "VARCHAR", beyond(name)


def beyond(name: str) -> str:
    """The warning that whole numbers are kept as text."""
    return (
        f"column '{name}' has whole numbers beyond 64 bits and is kept as text, so that no digit is lost; to round "
        f'them to numbers: types={{"{name}": "number"}}'
    )
