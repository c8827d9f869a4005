"""What a column must hold for its role: weights from 0, and groups and times in every row."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from kubeline.columns import TO_BE_A_FEATURE, why_no_feature
from kubeline.roles import Roles
from kubeline.schema.document import Column
from kubeline.schema.findings import Finding
from kubeline.schema.profile import ColumnProfile


def expected(
    columns: Mapping[str, Column], profiles: Mapping[str, ColumnProfile], roles: Roles, inferred: bool
) -> dict[str, Column]:
    """The schema's columns, with what their roles ask of them besides.

    A weight that is missing, infinite or negative, and a group or time that is missing, makes a bad row. Text is read
    as the numbers or times that its role needs. What is excluded may be infinite where there is no schema.
    """
    changed = dict(columns)
    for name in (roles.weight, roles.group, roles.time):
        if name:
            column = columns.get(name, Column(type=profiles[name].type))
            changed[name] = column.model_copy(update=_changes(column, name, roles))
    for name in roles.exclude if inferred else ():
        changed[name] = changed[name].model_copy(update={"allow_infinite": True})
    return changed


def _changes(column: Column, name: str, roles: Roles) -> dict[str, Any]:
    changes: dict[str, Any] = {"max_missing": 0.0}
    if name == roles.group:
        return changes
    changes["allow_infinite"] = False
    kind = column.type
    if kind == "string":
        kind = changes["type"] = "number" if name == roles.weight else "datetime"
    if name == roles.weight and kind in ("integer", "number"):
        changes["min"] = column.min if isinstance(column.min, (int, float)) and column.min > 0 else 0
    return changes


def role_problems(profiles: Mapping[str, ColumnProfile], roles: Roles) -> Iterator[Finding]:
    """Columns of a type that cannot have their role, and weights that are all 0."""
    wanted = {roles.weight: "numbers", roles.time: "times, dates or numbers", roles.group: "single values"}
    for name, words in wanted.items():
        if not name or profiles[name].missing == profiles[name].rows:
            continue
        found = profiles[name]
        if not _fits(found, name, roles):
            message = f"{roles.words[name]} '{name}' holds {found.stored}, and expected are {words}"
            yield Finding("role", name, message, advice=f"convert it when loading, or name another {roles.words[name]}")
        elif name == roles.weight and found.min == found.max == 0:
            message = f"weight column '{name}' is 0 in every row, and at least one row must count"
            yield Finding("role", name, message, advice="correct it, or name another weight column")


def feature_problems(profiles: Mapping[str, ColumnProfile], roles: Roles) -> Iterator[Finding]:
    """Columns that no model can learn from, of a table that one is to be trained on."""
    for name, found in profiles.items() if roles.target else ():
        is_feature = name not in roles.others and found.missing < found.rows
        if is_feature and (message := why_no_feature(name, found.stored)):
            yield Finding("type", name, message, advice=TO_BE_A_FEATURE)


def _fits(found: ColumnProfile, name: str, roles: Roles) -> bool:
    if name == roles.group:
        return not pa.types.is_nested(found.stored)
    if name == roles.weight:
        return found.type in ("integer", "number", "boolean", "string")
    return found.type in ("integer", "number", "datetime", "string") and not pa.types.is_decimal(found.stored)
