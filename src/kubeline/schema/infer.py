"""A schema from a table: strict where a break would hurt a model, tolerant where the next month may differ.

What is enforced from the start, and what only recorded:

| expectation | tolerant (default) | strict |
|---|---|---|
| column is there, type | enforced | enforced |
| other columns | refused, because training would use them | refused |
| missing share | 1.2 times the observed share plus 0.1 | the observed share |
| missing target | each is a bad row | the same |
| classes of the target | enforced: the model knows no others | the same |
| infinite numbers | each is a bad row | the same |
| range, categories | recorded in `observed`, not enforced | enforced as observed |
| a column of unique values | recorded | enforced, up to `EXACT_ROWS` rows |
"""

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from kubeline.schema.document import Column, Observed, RowLimits, SchemaTask, TableSchema, Target, Value
from kubeline.schema.profile import ColumnProfile, TableProfile
from kubeline.task import task_of

MISSING_SLACK = 0.1  # the missing share may grow by this much before it is a problem,
MISSING_GROWTH = 1.2  # and by this factor, because what is often missing varies most


def infer_schema(profile: TableProfile, target: str = "", strict: bool = False) -> TableSchema:
    """The schema of a table.

    Args:
        profile: The table's statistics.
        target: The column to be predicted; empty for none.
        strict: Whether ranges, categories, missing shares and unique columns are enforced as observed.
    """
    task = infer_task(profile.columns[target]) if target else None
    columns = {
        name: _column(column, strict, is_target=name == target, task=task) for name, column in profile.columns.items()
    }
    unique = [[name] for name, column in profile.columns.items() if strict and name != target and _is_key(column)]
    return TableSchema(
        target=Target(column=target, task=task) if task else None,
        rows=RowLimits(min=1),
        extra_columns="refuse",
        unique=unique,
        columns=columns,
    )


def infer_task(target: ColumnProfile) -> SchemaTask:
    """As `train` takes it."""
    found = task_of(target.type in ("integer", "number"), target.distinct or 0, target.counts)
    return "regression" if found == "regression" else "classification"


def observe(column: ColumnProfile) -> Observed:
    """What is recorded of a column."""
    counts = column.counts if column.type in ("string", "boolean", "integer") else None
    return Observed(
        missing=round(column.missing_share, 6),
        distinct=column.distinct,
        min=plain(column.min),
        max=plain(column.max),
        categories=sorted(counts, key=lambda value: (str(type(value)), value)) if counts else None,
    )


def plain(value: Any) -> Value | None:
    """A value in the form of the JSON document."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (bool, int, float, str)) else None


def _column(profile: ColumnProfile, strict: bool, is_target: bool, task: SchemaTask | None) -> Column:
    observed = observe(profile)
    classes = is_target and task == "classification" and profile.counts is not None
    low, high = (observed.min, observed.max) if strict and not classes else (None, None)
    categories = None
    if classes:
        categories = [value for value in map(plain, sorted(profile.counts or {})) if value is not None]
    elif strict and profile.type == "string":
        categories = observed.categories
    return Column(
        type=profile.type if profile.missing < profile.rows else "any",
        max_missing=0.0 if is_target else _max_missing(profile, strict),
        min=low,
        max=high,
        categories=categories or None,
        observed=observed,
    )


def _max_missing(profile: ColumnProfile, strict: bool) -> float:
    """The share allowed, in whole hundredths; below 1, so that an empty column must be allowed explicitly."""
    share = profile.missing_share if strict else MISSING_GROWTH * profile.missing_share + MISSING_SLACK
    most = 1.0 if 0.99 < profile.missing_share < 1 else 0.99
    return min(most, math.ceil(round(share * 100, 9)) / 100)


def _is_key(column: ColumnProfile) -> bool:
    identifying = column.type in ("integer", "string")
    return identifying and column.missing == 0 and column.rows > 1 and column.distinct == column.rows
