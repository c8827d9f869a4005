"""One table against one schema: every check, in three passes of bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as pads

from kubeline.data.dataset import iter_batches, open_dataset
from kubeline.progress import Progress
from kubeline.roles import Roles
from kubeline.schema.document import Column, TableSchema, Target
from kubeline.schema.enforce import LABEL_LIMIT, RowChecker, Tally
from kubeline.schema.findings import Finding
from kubeline.schema.infer import infer_schema, infer_task
from kubeline.schema.labels import check_labels
from kubeline.schema.leaks import MIN_SAMPLE, SAMPLE_CELLS, SAMPLE_ROWS, leak_scores
from kubeline.schema.personal import personal_columns
from kubeline.schema.profile import TableProfile, TableQueries, open_queries, profile_table
from kubeline.schema.protection import schema_without_values, without_values
from kubeline.schema.roles import expected, feature_problems, role_problems
from kubeline.schema.rules import parse_rules
from kubeline.schema.sample import Sample
from kubeline.schema.table import (
    MOSTLY_NUMBERS,
    identifier,
    table_problems,
    table_warnings,
    text_numbers,
    text_styles,
    unchecked_rules,
)


@dataclass(frozen=True)
class TableLimits:
    """What is judged by the call rather than by the schema.

    Attributes:
        min_class_share: Smallest share of the rarest class, 0 to 1.
        leak_threshold: Score of one column alone (see :mod:`kubeline.schema.leaks`) from which it is a leak, up to 1.
    """

    min_class_share: float = 0.001
    leak_threshold: float = 0.99


@dataclass
class Examination:
    """The result of all checks of a table."""

    schema: TableSchema
    inferred: bool
    profile: TableProfile
    sample: pd.DataFrame
    checker: RowChecker
    tally: Tally
    problems: list[Finding] = field(default_factory=list)
    row_problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    leaks: dict[str, float] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)

    def find_personal_data(self) -> None:
        """Find the columns that look as if they held any, and let nothing found so far show a value of theirs.

        The target is known by its classes everywhere, and therefore not checked.
        """
        said = {name: column.personal for name, column in self.schema.columns.items() if column.personal is not None}
        target = self.schema.target.column if self.schema.target else ""
        self.personal = personal_columns(self.sample.drop(columns=target, errors="ignore"), said)
        if self.inferred:
            self.schema = schema_without_values(self.schema, self.personal)
        for found in (self.problems, self.row_problems, self.warnings):
            found[:] = without_values(found, self.personal)


def examine(
    path: str,
    given: TableSchema | None,
    roles: Roles | None = None,
    rules: Sequence[Any] = (),
    min_rows: int = 0,
    strict: bool = False,
    limits: TableLimits | None = None,
) -> Examination:
    """Run every check on a dataset.

    Args:
        path: The dataset.
        given: The schema to enforce; None infers one from the dataset.
        roles: Of the columns; without a target it is the schema's.
        rules: Row rules besides those of the schema.
        min_rows: Fewest rows besides the schema's.
        strict: How a schema is inferred, see :mod:`kubeline.schema.infer`.
        limits: What is judged by the call.

    Raises:
        UserError: when a role or a rule speaks of a column that there is not, or a column has two roles.
    """
    dataset = open_dataset(path)
    roles = roles or Roles()
    roles.require(dataset)
    with open_queries(dataset) as queries:
        most = max(MIN_SAMPLE, min(SAMPLE_ROWS, SAMPLE_CELLS // max(1, len(dataset.schema))))
        sample = Sample(queries.count, most)
        profile = profile_table(queries, sample)
        schema = infer_schema(profile, roles.target, strict) if given is None else given
        schema = _with_arguments(schema, profile, roles, list(rules), min_rows, inferred=given is None)
        parsed = parse_rules(schema.rules, list(dict.fromkeys([*schema.columns, *profile.columns])))
        repeated = {
            ", ".join(key): queries.repeated_rows(key)
            for key in schema.unique
            if all(name in profile.columns for name in key)
        }
        checker = RowChecker(schema, dataset.schema, parsed, profile, repeated, roles)
        tally = _scan(dataset, checker, schema, profile.rows)
        result = Examination(schema, given is None, profile, sample.frame(dataset.schema, schema), checker, tally)
        result.problems += [*table_problems(schema, profile), *role_problems(profile.columns, roles)]
        result.problems += feature_problems(profile.columns, roles)
        result.warnings += table_warnings(schema, profile, roles.others) + unchecked_rules(checker.unchecked)
        if given is None:
            _find_numbers_as_text(result, queries, roles)
        _find_identifiers(result, roles)
    result.row_problems = tally.findings(checker.checks)
    if schema.target is not None and schema.target.column in profile.columns:
        _judge_target(result, schema.target, limits or TableLimits(), roles)
    return result


def _with_arguments(
    schema: TableSchema, profile: TableProfile, roles: Roles, rules: list[Any], min_rows: int, inferred: bool
) -> TableSchema:
    """The schema with what the call adds to it."""
    changes: dict[str, Any] = {"rules": list(dict.fromkeys([*schema.rules, *rules]))}
    if min_rows > schema.rows.min:
        changes["rows"] = schema.rows.model_copy(update={"min": min_rows})
    columns, target = expected(schema.columns, profile.columns, roles, inferred), roles.target
    if target and (schema.target is None or schema.target.column != target):
        changes["target"] = Target(column=target, task=infer_task(profile.columns[target]))
        found = Column(type=profile.columns[target].type, max_missing=0)
        columns = {target: found, **columns}
    changes["columns"] = columns
    return schema.model_copy(update=changes)


def _scan(dataset: pads.Dataset, checker: RowChecker, schema: TableSchema, rows: int) -> Tally:
    """What the row checks find in the columns that the profile leaves in doubt, and the labels of the good rows."""
    target = schema.target.column if schema.target and schema.target.column in dataset.schema.names else ""
    names = [name for name in dataset.schema.names if name == target or name in checker.columns]
    if not names and not checker.finds_rows:
        return Tally(rows=rows)
    tally = Tally()
    with Progress("checking rows", rows) as progress:
        for batch in progress.over(iter_batches(dataset, names or dataset.schema.names[:1])):
            labels = checker.values(batch, target) if target else None
            tally.add(batch, checker.broken(batch, tally.rows), checker.checks, labels)
    return tally


def _find_numbers_as_text(result: Examination, queries: TableQueries, roles: Roles) -> None:
    """Find the number columns that a stray word has turned into text."""
    for index, (name, column) in enumerate(result.profile.columns.items()):
        if column.type != "string" or column.missing == column.rows or name in roles.others - {roles.target}:
            continue
        words = result.sample[name].dropna()
        if len(words) and pd.to_numeric(words, errors="coerce").notna().mean() < MOSTLY_NUMBERS / 2:
            result.warnings += text_styles(name, words.astype(str).tolist())
            continue
        number = f"TRY_CAST(trim({queries.column(index)}) AS DOUBLE)"
        numeric = int(queries.rows(f"count({number})")[0][0])
        present = f"WHERE {number} IS NULL AND {queries.column(index)} IS NOT NULL"
        others = tuple(
            value for (value,) in queries.rows(f"DISTINCT {queries.column(index)}", f"{present} ORDER BY 1 LIMIT 3")
        )
        problems, warnings = text_numbers(column, numeric, others)
        result.problems += problems
        result.warnings += warnings


def _find_identifiers(result: Examination, roles: Roles) -> None:
    """Find the identifiers that missing values have turned into floats."""
    target = result.schema.target.column if result.schema.target else ""
    for name, column in result.profile.columns.items():
        if column.type == "number" and name not in {target, *roles.others}:
            values = result.sample[name].dropna()
            if pd.api.types.is_numeric_dtype(values) and len(values) and (values == np.floor(values)).all():
                result.warnings += identifier(column)


def _judge_target(result: Examination, target: Target, limits: TableLimits, roles: Roles) -> None:
    """Label sanity over the good rows, and the features that give the target away."""
    profile = result.profile.columns[target.column]
    labels = result.tally.labels
    distinct = len(labels) if labels is not None else max(profile.distinct or 0, LABEL_LIMIT + 1)
    rows = sum(labels.values()) if labels is not None else result.tally.rows - result.tally.bad_rows
    problems, warnings = check_labels(target.column, target.task, labels, distinct, rows, limits.min_class_share)
    result.problems += problems
    result.warnings += warnings
    if problems or profile.type == "any":
        return
    excluded = roles.others - {target.column}
    usable = [name for name, column in result.profile.columns.items() if column.type != "any" and name not in excluded]
    result.leaks = leak_scores(result.sample[usable], target.column, target.task)
    measure = "AUC" if target.task == "classification" else "rank R²"
    for name, score in result.leaks.items():
        allowed = name in result.schema.columns and result.schema.columns[name].allow_leak
        if score >= limits.leak_threshold and not allowed:
            message = (
                f"column '{name}' gives target '{target.column}' away: alone it predicts it with {measure} {score:.3f} "
                f"(leak_threshold {limits.leak_threshold:g})"
            )
            advice = "leave it out (exclude), or set allow_leak for it in the schema"
            result.problems.append(Finding("leak", name, message, advice=advice))
