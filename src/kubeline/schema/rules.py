"""Row rules: SQL conditions that each row must meet, run without file or network access.

A rule is a condition as :mod:`kubeline.data.conditions` allows it, such as ``sched_arr_minute >= 0 and distance > 0``.
As in an SQL CHECK, a rule that is unknown because a value is missing passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from kubeline.data.conditions import RULE, enclosed, first_line, parse, shown
from kubeline.data.duck import Connection
from kubeline.errors import UserError, listed
from kubeline.typing import Mask


@dataclass(frozen=True)
class Rule:
    """A checked rule and the columns it reads."""

    text: str
    columns: tuple[str, ...]


def parse_rule(text: Any, connection: Connection) -> Rule:
    """Check that `text` is one allowed expression, without running it.

    Raises:
        UserError: when it is not SQL, or does more than compare the values of a row.
    """
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"rule {text!r} is not a text; give SQL conditions such as 'distance > 0'")
    called = f"rule {shown(text)}"
    columns = parse(connection, text, called, RULE)
    if qualified := [parts for parts in columns if len(parts) > 1]:
        raise UserError(f"{called} reads '{'.'.join(qualified[0])}', which is not a column; name columns alone")
    if not columns:
        raise UserError(f"{called} reads no column, so it says nothing about a row; name the columns it compares")
    return Rule(text, tuple(name for (name,) in columns))


def read_rules(texts: Sequence[Any]) -> "list[Rule]":
    """Check all rules, whatever the columns.

    Raises:
        UserError: for the first rule that is refused.
    """
    if not texts:
        return []
    with sandbox() as connection:
        return [parse_rule(text, connection) for text in texts]


def parse_rules(texts: Sequence[Any], known: Sequence[str]) -> "list[Rule]":
    """Check all rules against the columns there may be.

    Raises:
        UserError: for the first rule that is refused or reads an unknown column.
    """
    rules = read_rules(texts)
    for rule in rules:
        for name in rule.columns:
            if name not in known:
                raise UserError(f"rule '{rule.text}' reads '{name}', which is not a column; there are: {listed(known)}")
    return rules


def sandbox() -> Connection:
    """A connection that reaches no file, no network, no Python variable and no extension, for good."""
    from kubeline.data.engine import in_memory, lock

    connection = in_memory(enable_external_access="false", threads="1")
    lock(connection)
    return connection


class RuleRunner:
    """Runs rules on chunks of columns."""

    def __init__(self, rules: Sequence[Rule]):
        self.rules = list(rules)
        self._connection = sandbox() if self.rules else None

    def broken(self, columns: Mapping[str, pa.Array]) -> dict[str, Mask]:
        """By rule, a mask of the rows that break it; shape (rows,).

        Raises:
            UserError: when a rule does not fit the types of its columns, or is not true or false.
        """
        if self._connection is None:
            return {}
        needed = sorted({name for rule in self.rules for name in rule.columns})
        self._connection.register("chunk", pa.table({name: columns[name] for name in needed}))
        return {rule.text: self._run(rule) for rule in self.rules}

    def _run(self, rule: Rule) -> Mask:
        import duckdb

        assert self._connection is not None  # noqa: S101 -- broken() returns before
        try:
            query = f"SELECT {enclosed(rule.text)} AS rule FROM chunk"  # noqa: S608 -- parse_rule allowed it
            answer = self._connection.sql(query).to_arrow_table()["rule"]
        except duckdb.Error as error:
            raise UserError(
                f"rule '{rule.text}' does not fit the columns ({first_line(str(error))}); compare values of one type"
            ) from error
        if not pa.types.is_boolean(answer.type):
            raise UserError(
                f"rule '{rule.text}' gives {answer.type} instead of true or false; make it a condition, such as "
                "'distance > 0'"
            )
        met: Mask = answer.fill_null(True).to_numpy().astype(np.bool_)
        return ~met
