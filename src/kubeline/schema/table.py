"""Checks of the table as a whole: its columns, types, missing shares, and what differs from what was seen before."""

from collections.abc import Container, Iterator, Sequence

from kubeline.data.notation import COMMA, POINT, TIMES
from kubeline.data.styles import mostly
from kubeline.errors import listed
from kubeline.schema.document import Column, Observed, TableSchema
from kubeline.schema.findings import Finding
from kubeline.schema.infer import observe
from kubeline.schema.profile import EXACT_ROWS, ColumnProfile, TableProfile
from kubeline.schema.rules import Rule
from kubeline.schema.types import is_readable, target_type

MANY_CATEGORIES = 1_000
MISSING_GROWTH = 0.05  # a missing share that grew by more than this since the schema was made gets a warning
MOSTLY_NUMBERS = 0.8
MIN_ROWS = 50  # with fewer, whole numbers may well differ by chance

_STORED = {
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "true and false",
    "string": "text",
    "datetime": "times",
    "any": "values of another type",
}


def table_problems(schema: TableSchema, profile: TableProfile) -> list[Finding]:
    """What is wrong with the table however good its single rows are."""
    names = list(profile.columns)
    found: list[Finding] = []
    for name, column in schema.columns.items():
        if name in profile.columns:
            found += _column_problems(column, profile.columns[name])
        elif column.required:
            message = f"column '{name}' of the schema is not in the table, which has {listed(names)}"
            advice = "add it to the table, or set required to false for it in the schema"
            found.append(Finding("missing column", name, message, advice=advice))
    extra = [name for name in names if name not in schema.columns]
    if extra and schema.extra_columns == "refuse":
        words = f"columns {listed(map(repr, extra))} are" if len(extra) > 1 else f"column '{extra[0]}' is"
        advice = "leave out what is not wanted when loading, or add it to the schema, or set its extra_columns to allow"
        only = extra[0] if len(extra) == 1 else ""
        found.append(Finding("extra column", only, f"{words} not in the schema", advice=advice))
    return found


def row_count_problems(schema: TableSchema, rows: int, what: str) -> list[Finding]:
    """Too few or too many rows; `what` says which rows were counted."""
    if rows < schema.rows.min:
        message = f"there are {rows:,} {what}, and at least {schema.rows.min:,} are needed"
        return [Finding("row count", "", message)]
    if schema.rows.max is not None and rows > schema.rows.max:
        return [Finding("row count", "", f"there are {rows:,} {what}, and at most {schema.rows.max:,} are expected")]
    return []


def table_warnings(schema: TableSchema, profile: TableProfile, no_features: Container[str] = ()) -> list[Finding]:
    """Warnings, which stop nothing; about `no_features`, none that concerns what a model learns."""
    found: list[Finding] = []
    if profile.copies:
        message = f"{profile.copies:,} of {profile.rows:,} rows equal an earlier row in every column"
        found.append(Finding("copies", "", message, profile.copies))
    target = schema.target.column if schema.target else ""
    for name, column in profile.columns.items():
        if name == target or name not in no_features:
            found += _oddities(column, is_target=name == target)
        expected = schema.columns.get(name)
        if expected is not None:
            found += _differences(expected, column)
            if target_type(column.stored, expected.type) != column.stored and is_readable(column.stored, expected.type):
                message = f"column '{name}' holds {_STORED[column.type]} and is read as {expected.type}"
                found.append(Finding("conversion", name, message))
    return found


def unchecked_rules(rules: Sequence[Rule]) -> list[Finding]:
    """Warnings about rules that could not be checked, because a column they read is absent or of another type."""
    words = "was not checked: a column it reads is not there, or of another type"
    return [Finding("rule", "", f"rule '{rule.text}' {words}") for rule in rules]


def text_numbers(column: ColumnProfile, numeric: int, others: tuple[str, ...]) -> tuple[list[Finding], list[Finding]]:
    """Problems and warnings about a text column with `numeric` values that are numbers, and `others` that are not."""
    present = column.rows - column.missing
    if not present or numeric < MOSTLY_NUMBERS * present:
        return [], []
    if numeric == present:
        message = f"column '{column.name}' is text, and all its values are numbers"
        return [], [Finding("text of numbers", column.name, message)]
    message = (
        f"column '{column.name}' is text, but all except {present - numeric:,} of its {present:,} values "
        f"are numbers (the others are such as {', '.join(map(repr, others))})"
    )
    advice = "correct these values, or give a schema with type number (quarantine takes them out) or string"
    return [Finding("text of numbers", column.name, message, None, others, advice)], []


def _column_problems(expected: Column, found: ColumnProfile) -> Iterator[Finding]:
    name = found.name
    if not found.rows:
        return
    if found.missing == found.rows and 0 < expected.max_missing < 1:
        message = f"column '{name}' is missing in all {found.rows:,} rows"
        advice = "leave it out when loading, or set its max_missing to 1 in the schema"
        yield Finding("all missing", name, message, advice=advice)
    elif not is_readable(found.stored, expected.type):
        message = (
            f"column '{name}' holds {_STORED[found.type]} ({found.stored}), and the schema expects {expected.type}"
        )
        advice = "correct the source, or name this schema in types_from when loading, so that its types are kept"
        yield Finding("type", name, message, advice=advice)
    elif 0 < expected.max_missing < found.missing_share:
        message = (
            f"column '{name}' is missing in {found.missing_share:.1%} of the rows, more than max_missing "
            f"{expected.max_missing:.0%}"
        )
        yield Finding("missing share", name, message)


def text_styles(name: str, words: Sequence[str]) -> list[Finding]:
    """Warnings about a text column whose values look like numbers or times that people write; `words` are some."""
    for what, patterns in _WRITTEN.items():
        if words and mostly([word.strip() for word in words], patterns):
            message = f"column '{name}' is text, and its values look like {what}, such as {words[0]!r}"
            advice = "read it as such when loading (types, decimal, thousands): as categories they say little"
            return [Finding(f"text of {what}", name, message, None, (words[0],), advice)]
    return []


_WRITTEN = {
    "numbers": (COMMA.pattern, POINT.pattern),
    "times": (
        *(times.pattern for times in TIMES),
        r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d([.,]\d+)?)?)?(Z|[+-]\d\d:?\d\d)?",
    ),
}


def identifier(column: ColumnProfile) -> list[Finding]:
    """The warning that a column of whole numbers has another one in every row, as an identifier has."""
    present = column.rows - column.missing
    every = present if column.rows <= EXACT_ROWS else 0.98 * present  # an estimate
    if present < MIN_ROWS or (column.distinct or 0) < every:
        return []
    message = (
        f"column '{column.name}' has a different whole number in each of its {present:,} rows: an identifier, from "
        "which a model learns the row rather than what it is"
    )
    return [Finding("identifier", column.name, message, advice="leave it out (exclude), unless it measures something")]


def _oddities(column: ColumnProfile, is_target: bool) -> Iterator[Finding]:
    present = column.rows - column.missing
    if column.type == "integer" and not is_target:
        yield from identifier(column)
    if column.distinct == 1 and present > 1 and column.missing == 0:
        value = next(iter(column.counts or {"": 0}))
        yield Finding("constant", column.name, f"column '{column.name}' is constant ({value!r}) and says nothing")
    if column.type == "string" and (column.distinct or 0) > MANY_CATEGORIES:
        words = "an identifier" if column.distinct == present else "text or an identifier rather than a category"
        message = f"column '{column.name}' has {column.distinct:,} different values in {present:,} rows: {words}"
        yield Finding("many categories", column.name, message)


def _differences(expected: Column, found: ColumnProfile) -> Iterator[Finding]:
    """How a column differs from the table that the schema was inferred from."""
    before = expected.observed
    if before is None or not found.rows or found.missing == found.rows:
        return
    name, now = found.name, observe(found)
    if found.missing_share > before.missing + MISSING_GROWTH:
        message = f"column '{name}' is missing in {found.missing_share:.1%} of the rows, {before.missing:.1%} before"
        yield Finding("missing share", name, message)
    as_text = expected.type == "string" and found.type == "integer"
    if (found.type != expected.type and not as_text) or expected.categories is not None:
        return
    yield from _new_categories(before, found, as_text)
    for limit, old, new_value in (("min", before.min, now.min), ("max", before.max, now.max)):
        if getattr(expected, limit) is None and old is not None and new_value is not None and not as_text:
            if found.type == "datetime" and limit == "max":
                continue  # time moves on
            beyond = new_value < old if limit == "min" else new_value > old  # type: ignore[operator]
            if beyond:
                end = "goes down" if limit == "min" else "goes up"
                yield Finding("range", name, f"column '{name}' {end} to {new_value}, {old} before")


def _new_categories(before: Observed, found: ColumnProfile, as_text: bool) -> Iterator[Finding]:
    if before.categories is None or (found.type == "integer" and not as_text):
        return
    values = [str(value) if as_text else value for value in found.counts or ()]
    new = [value for value in values if value not in before.categories]
    if new or found.counts is None:
        words = listed(map(repr, new)) if new else f"{found.distinct:,} different values"
        message = f"column '{found.name}' has values that were not there before: {words}"
        yield Finding("new categories", found.name, message)
