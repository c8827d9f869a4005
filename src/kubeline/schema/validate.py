"""The `validate` step: infer or enforce a schema, and decide whether the table may go on."""

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

from pydantic import Field, field_validator

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data.dataset import open_dataset, refuse, require_columns
from kubeline.errors import UserError, listed
from kubeline.options import require_names
from kubeline.retries import repeated
from kubeline.roles import Roles
from kubeline.schema.document import TableSchema, read_schema
from kubeline.schema.examine import Examination, TableLimits, examine
from kubeline.schema.findings import Finding, problem_count, summary
from kubeline.schema.outputs import write_outputs
from kubeline.schema.personal import Handling
from kubeline.schema.protection import Protection, findings, hash_key, protection
from kubeline.schema.rules import read_rules
from kubeline.schema.table import row_count_problems
from kubeline.schema.validation_report import Mode, build_report
from kubeline.settings import Parameters

log = logging.getLogger(__name__)
_SHOWN = 20  # warnings in the metadata of the report


class ValidationSettings(Parameters):
    """What a table must pass, whatever it holds; see the component `validate`."""

    mode: Mode = Field(default="fail", description=f"one of: {listed(get_args(Mode))}")
    rules: list[Any] | tuple[Any, ...] = Field(default=(), description="a list of SQL conditions")
    min_rows: int = Field(default=1, ge=0, description="a whole number of rows, at least 0")
    strict: bool = False
    max_quarantine: float = Field(default=0.5, ge=0, le=1, description="a share of rows between 0 and 1")
    min_class_share: float = Field(default=0.001, ge=0, le=1, description="a share of rows between 0 and 1")
    leak_threshold: float = Field(default=0.99, gt=0, description="a score above 0 (more than 1 turns the check off)")
    personal_data: Handling = Field(default="warn", description=f"one of: {listed(get_args(Handling))}")

    @field_validator("rules")
    @classmethod
    def _are_rules(cls, rules: Sequence[Any]) -> Sequence[Any]:
        read_rules(rules)
        return rules


class ValidationOutputs(NamedTuple):
    """The output parameters of the component.

    Attributes:
        passed: Whether every row of `valid` meets the schema.
        problems: How many kinds of problems the table had, those of quarantined rows included.
    """

    passed: bool
    problems: int


@step
@repeated
def run(
    dataset: Artifact,
    valid: Artifact,
    quarantine: Artifact,
    schema: Artifact,
    report: Artifact,
    *,
    target: str = "",
    exclude: Sequence[str] = (),
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    slices: Sequence[str] = (),
    gate: Mapping[str, Any] = MappingProxyType({}),
    schema_uri: str = "",
    defer_failure: bool = False,
    **settings: Any,
) -> ValidationOutputs:
    """Validate a dataset; the arguments are those of the component `validate`.

    `settings` are the fields of :class:`ValidationSettings`.

    On failure `report` and `schema` are written, because they help to fix the table; `valid` and `quarantine` are not,
    or, with `defer_failure`, hold no table but the sentence that whatever opens them fails with.

    Raises:
        UserError: when an argument is wrong, or the table does not pass and `defer_failure` is not set.
    """
    asked = ValidationSettings(**settings)
    key = hash_key(asked.personal_data)
    given = read_schema(schema_uri) if schema_uri else None
    limits = TableLimits(min_class_share=asked.min_class_share, leak_threshold=asked.leak_threshold)
    roles = Roles(target, tuple(exclude), group_column, time_column, weight_column)
    judged_by = _judged_by(dataset, slices, gate)
    found = examine(dataset.path, given, roles, asked.rules, asked.min_rows, asked.strict, limits)
    protected = _protection(found, asked.personal_data, roles, key, judged_by)
    mode = asked.mode
    found.problems += _row_counts(found, mode, asked.max_quarantine)
    found.warnings += [Finding("load", "", str(one)) for one in dataset.metadata.get("warnings", [])]  # what it said
    everything = [*found.problems, *found.row_problems]
    blocking = found.problems if mode == "quarantine" else everything
    _log(everything, found.warnings)
    failed = bool(blocking) and mode != "warn"
    if not failed:
        write_outputs(dataset, valid, quarantine, found, mode == "quarantine", protected)
    _write_schema(schema, found.schema)
    joined = dataset.metadata.get("features", [])
    build_report(found, mode, schema_uri, failed, joined).write(report.path)
    describe(
        report, {"problems": len(everything), "warnings": [finding.message for finding in found.warnings[:_SHOWN]]}
    )
    if failed:
        sentence = _sentence(blocking, mode, by_row=not found.problems)
        if not defer_failure:
            raise UserError(sentence)
        log.error("the next step will refuse this table: %s", sentence)
        for output in (valid, quarantine):
            refuse(output, sentence)
    return ValidationOutputs(passed=not blocking, problems=len(everything))


def _log(problems: Sequence[Finding], warnings: Sequence[Finding]) -> None:
    for finding in problems:
        log.error("%s", finding.message)
    for finding in warnings:
        log.warning("%s", finding.message)


def _judged_by(dataset: Artifact, slices: Sequence[str], gate: Mapping[str, Any]) -> dict[str, str]:
    """The columns that `evaluate` will need, with what it needs them for."""
    from kubeline.evaluation.fairness.requirements import columns_of

    require_names("slices", slices)
    wanted = {"slices": [*slices], "gate.fairness": columns_of(gate.get("fairness", {}))}
    table = open_dataset(dataset.path)
    for parameter, names in wanted.items():
        require_columns(table, names, f"a column of {parameter},")
    return {name: f"a column of {parameter}" for parameter, names in wanted.items() for name in names}


def _protection(
    found: Examination, personal_data: str, roles: Roles, key: bytes, judged_by: Mapping[str, str]
) -> Protection:
    """What is done with the columns of personal data, and what is said of them."""
    if personal_data == "ignore":
        return Protection()
    found.find_personal_data()
    personal = findings(personal_data, found.personal)
    (found.problems if personal_data == "refuse" else found.warnings).extend(personal)
    return protection(personal_data, found.personal, roles, key, judged_by)


def _row_counts(found: Examination, mode: str, max_quarantine: float) -> list[Finding]:
    rows, bad = found.tally.rows, found.tally.bad_rows
    if mode != "quarantine":
        return row_count_problems(found.schema, rows, "rows")
    if bad > max_quarantine * rows:
        message = (
            f"{bad:,} of {rows:,} rows ({bad / rows:.1%}) would be quarantined, more than max_quarantine "
            f"{max_quarantine:.0%}: {summary(found.row_problems, 2)}"
        )
        return [Finding("quarantine", "", message, bad)]
    return row_count_problems(found.schema, rows - bad, "rows without a fault")


def _write_schema(artifact: Artifact, schema: TableSchema) -> None:
    with publish(artifact.path) as path:
        path.write_text(schema.to_json(), encoding="utf-8")
    describe(artifact, {"columns": len(schema.columns), "fingerprint": schema.fingerprint})


def _sentence(blocking: Sequence[Finding], mode: str, by_row: bool) -> str:
    common = {finding.advice for finding in blocking}
    advice = common.pop() if len(common) == 1 else ""
    advice = advice or "correct the data or the schema, both described in the log and in the report"
    if mode == "fail" and by_row:
        advice += ", or set mode to quarantine to go on without the bad rows"
    return f"the table has {problem_count(blocking)}: {summary(blocking)}; {advice}"
