"""Row checks of a schema, run chunk by chunk, and what they found over the whole table."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.errors import counted
from kubeline.roles import Roles
from kubeline.schema.document import Column, TableSchema
from kubeline.schema.findings import Finding
from kubeline.schema.profile import ColumnProfile, TableProfile
from kubeline.schema.rules import Rule, RuleRunner
from kubeline.schema.types import is_readable, read_column, series_of
from kubeline.typing import Mask

_Test = Callable[[pd.Series], pd.Series]
"""Says of the values of a column which are bad, by their index; those it leaves out are not."""

EXAMPLES = 3
LABEL_LIMIT = 2_000  # a target with more values is not counted value by value


@dataclass(frozen=True)
class RowCheck:
    """One thing that each row must meet.

    Attributes:
        reason: What stands in the quarantine: ``distance: below 0``. Unique in a schema.
        check: The kind of check.
        column: The column; empty for rules and keys.
        words: What a finding says before the count: ``column 'distance' is below 0``.
    """

    reason: str
    check: str
    column: str
    words: str


class RowChecker:
    """Checks chunks of a table against a schema.

    Columns that are absent, or of a type that cannot be read as the schema's, are table-level problems; here they are
    left out, with the rules that need them.

    Args:
        schema: What is expected.
        stored: The table's columns.
        rules: The schema's rules, parsed.
        profile: What the table holds: what it proves of all rows is not checked in each.
        repeated: Key, as columns joined by ``, `` -> sorted numbers of the rows that repeat an earlier one.
        roles: What columns are called in findings.

    Attributes:
        checks: What is checked, by reason.
        columns: Those whose values are checked.
        unchecked: Rules that cannot be checked.
    """

    def __init__(
        self,
        schema: TableSchema,
        stored: pa.Schema,
        rules: Sequence[Rule],
        profile: TableProfile,
        repeated: Mapping[str, np.ndarray[Any, np.dtype[np.int64]]],
        roles: Roles,
    ):
        self.checks: dict[str, RowCheck] = {}
        self._profile = profile
        names = set(stored.names)
        self._expected = {
            name: column
            for name, column in schema.columns.items()
            if name in names and is_readable(stored.field(name).type, column.type)
        }
        self._target = schema.target.column if schema.target else ""
        self._words = {self._target: "target", **roles.words}
        self._repeated = {
            self._add(f"key {key}: repeated", "unique", "", f"key '{key}' repeats an earlier row"): rows
            for key, rows in repeated.items()
        }
        for name in {name for rule in rules for name in rule.columns} & names - set(schema.columns):
            self._expected[name] = Column()  # a rule may read a column that the schema only tolerates
        self._runner = RuleRunner([rule for rule in rules if set(rule.columns) <= set(self._expected)])
        self.unchecked = [rule for rule in rules if rule not in self._runner.rules]
        for rule in self._runner.rules:
            self._add(f"rule: {rule.text}", "rule", "", f"rule '{rule.text}' is broken")
        for name, column in self._expected.items():
            self._add(f"{name}: not {column.type}", "type", name, f"column '{name}' is not {_article(column.type)}")
        self._tests = [test for name, column in self._expected.items() for test in self._tests_of(name, column)]
        self._tested = {name for _, name, _ in self._tests}
        ruled = {name for rule in self._runner.rules for name in rule.columns}
        converted = {name for name, column in self._expected.items() if self._known(name, column) is None}
        self.columns = [name for name in self._expected if name in {*ruled, *converted, *self._tested}]

    @property
    def finds_rows(self) -> bool:
        """Whether rows may be at fault whatever their values: those that repeat the key of another one."""
        return any(len(rows) for rows in self._repeated.values())

    def read(self, batch: pa.RecordBatch) -> tuple[dict[str, pa.Array], dict[str, Mask]]:
        """The columns to be checked of a chunk in the schema's types, and by reason the rows that could not be read."""
        columns, unread = {}, {}
        for name in self.columns:
            expected = self._expected[name]
            columns[name], mask = read_column(batch.column(name), expected.type)
            if mask.any():
                unread[f"{name}: not {expected.type}"] = mask
        return columns, unread

    def values(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        """One column of a chunk, in the schema's type where it can be read as such."""
        expected = self._expected.get(name)
        return read_column(batch.column(name), expected.type if expected else "any")[0]

    def broken(self, batch: pa.RecordBatch, start: int) -> dict[str, Mask]:
        """By reason, a mask of the rows of a chunk that are bad; reasons without a bad row are left out.

        Args:
            batch: Rows of the table.
            start: The number of the first of them in the table.
        """
        columns, found = self.read(batch)
        for text, mask in self._runner.broken(columns).items():
            found[f"rule: {text}"] = mask
        for reason, rows in self._repeated.items():
            low, high = np.searchsorted(rows, [start, start + batch.num_rows])
            mask = np.zeros(batch.num_rows, dtype=np.bool_)
            mask[rows[low:high] - start] = True
            found[reason] = mask
        values = {name: series_of(columns[name]) for name in self._tested}
        for reason, name, is_bad in self._tests:
            bad = is_bad(values[name]).reindex(values[name].index, fill_value=False)
            found[reason] = bad.to_numpy(dtype=np.bool_)
        return {reason: mask for reason, mask in found.items() if mask.any()}

    def _add(self, reason: str, check: str, column: str, words: str) -> str:
        self.checks[reason] = RowCheck(reason, check, column, words)
        return reason

    def _tests_of(self, name: str, column: Column) -> Iterator[tuple[str, str, _Test]]:
        """The reason, the column and the test of each check of its values that its profile does not prove."""
        known, role = self._known(name, column), self._words.get(name, "column")
        for check, tail, words, is_bad in _value_checks(column, column.max_missing == 0 or name == self._target):
            reason = self._add(f"{name}: {tail}", check, name, f"{role} '{name}' {words}")
            if known is None or not _is_proven(check, column, known):
                yield reason, name, is_bad

    def _known(self, name: str, column: Column) -> ColumnProfile | None:
        """The profile of a column whose values are checked as they are stored."""
        found = self._profile.columns.get(name)
        return found if found is not None and column.type in (found.type, "any") else None


def _value_checks(column: Column, required: bool) -> Iterator[tuple[str, str, str, _Test]]:
    """Kind, end of the reason, words and test of each check; a missing value fails the first alone."""
    if required:
        yield "missing", "missing", "is missing", pd.isna
    if not column.allow_infinite and column.type in ("number", "integer"):
        yield "infinite", "infinite", "is infinite", lambda values: values.isin([np.inf, -np.inf])
    if column.min is not None:
        low = column.limit(column.min)
        yield "range", f"below {column.min}", f"is below {column.min}", lambda values: values.dropna() < low
    if column.max is not None:
        high = column.limit(column.max)
        yield "range", f"above {column.max}", f"is above {column.max}", lambda values: values.dropna() > high
    if column.categories is not None:
        known, words = column.categories, f"is none of its {counted(len(column.categories), 'category')}"
        yield "categories", "not a category", words, lambda values: ~values.dropna().isin(known)


def _is_proven(check: str, expected: Column, found: ColumnProfile) -> bool:
    """Whether the profile says that no value breaks a check."""
    if check == "missing":
        return found.missing == 0
    if check == "infinite":
        return found.infinite == 0
    if check == "categories":
        return found.counts is not None and set(found.counts) <= set(expected.categories or ())
    if found.type not in ("integer", "number") or found.infinite:
        return False
    above = expected.min is None or found.min is None or float(found.min) >= float(expected.limit(expected.min))
    below = expected.max is None or found.max is None or float(found.max) <= float(expected.limit(expected.max))
    return above and below and abs(float(found.min or 0)) < 2**53 and abs(float(found.max or 0)) < 2**53


def _article(kind: str) -> str:
    return {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "datetime": "an ISO 8601 time",
        "string": "text",
    }.get(kind, kind)


@dataclass
class Tally:
    """What the row checks found, added up over chunks."""

    rows: int = 0
    bad_rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    labels: Counter[Any] | None = field(default_factory=Counter)

    def add(
        self, batch: pa.RecordBatch, broken: Mapping[str, Mask], checks: Mapping[str, RowCheck], labels: pa.Array | None
    ) -> None:
        """Add the result of a chunk."""
        bad = np.zeros(batch.num_rows, dtype=np.bool_)
        for reason, mask in broken.items():
            bad |= mask
            rows = np.flatnonzero(mask)
            self.counts[reason] += len(rows)
            self.first.setdefault(reason, self.rows + int(rows[0]))
            self._add_examples(reason, batch, rows, checks[reason].column)
        if labels is not None and self.labels is not None:
            self._add_labels(labels, bad)
        self.bad_rows += int(bad.sum())
        self.rows += batch.num_rows

    def findings(self, checks: Mapping[str, RowCheck]) -> list[Finding]:
        """One finding for each broken check, the most frequent first."""
        found = []
        for reason, count in self.counts.most_common():
            check = checks[reason]
            examples = tuple(self.examples.get(reason, ()))
            with_examples = examples and check.check != "infinite"
            hint = f"such as {', '.join(examples)}" if with_examples else f"first in row {self.first[reason]:,}"
            message = f"{check.words} in {count:,} of {self.rows:,} rows ({hint})"
            found.append(Finding(check.check, check.column, message, count, examples))
        return found

    def _add_examples(self, reason: str, batch: pa.RecordBatch, rows: Any, column: str) -> None:
        if not column:
            return
        seen = self.examples.setdefault(reason, [])
        for row in rows[: 20 * EXAMPLES]:
            value = batch.column(column)[int(row)].as_py()
            if value is not None and value == value and len(seen) < EXAMPLES:  # noqa: PLR0124 -- NaN is missing
                words = repr(value) if isinstance(value, str) else str(value)
                if words not in seen:
                    seen.append(words if len(words) <= 40 else words[:37] + "…'")

    def _add_labels(self, column: pa.Array, bad: Mask) -> None:
        assert self.labels is not None  # noqa: S101 -- add() asks first
        good = column.filter(pa.array(~bad)).drop_null()
        for pair in good.value_counts().to_pylist():
            self.labels[pair["values"]] += pair["counts"]
        if len(self.labels) > LABEL_LIMIT:
            self.labels = None
