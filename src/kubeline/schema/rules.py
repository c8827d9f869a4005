"""Row rules: SQL conditions, read by DuckDB's parser, limited to an allow-list and run without file or network access.

A rule is one DuckDB expression over the columns of a row that is true or false, such as
``sched_arr_minute >= 0 and distance > 0``. It may use column names (in double quotes where they are not plain words),
constants, comparisons, ``and``, ``or``, ``not``, ``between``, ``in (…)``, ``like``, ``is null``, ``case``, casts,
arithmetic, and the functions of `FUNCTIONS` (``replace`` where it makes no text longer). Subqueries, aggregates,
windows, other functions and more than one statement are refused before anything runs. As in an SQL CHECK, a rule that
is unknown because a value is missing passes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kubeline.errors import UserError, listed
from kubeline.typing import Mask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_CHARACTERS = 100_000  # of a rule or a filter, which take seconds to parse
OPERATORS = {"+", "-", "*", "/", "//", "%", "**", "^", "||", "~~", "!~~", "~~*", "!~~*"}
FUNCTIONS = {
    *("abs", "ceil", "ceiling", "exp", "floor", "greatest", "isfinite", "isinf", "isnan", "least", "ln", "log"),
    *("log10", "log2", "mod", "pow", "power", "round", "sign", "sqrt", "trunc"),
    *("coalesce", "ifnull", "nullif"),
    *("contains", "ends_with", "left", "length", "lower", "ltrim", "prefix", "regexp_full_match", "regexp_matches"),
    *("replace", "right", "rtrim", "starts_with", "substr", "substring", "suffix", "trim", "upper"),
    *("date_diff", "date_part", "date_trunc", "datediff", "day", "dayofweek", "dayofyear", "epoch", "hour", "isodow"),
    *("minute", "month", "quarter", "second", "week", "year"),
    *("to_days", "to_hours", "to_minutes", "to_months", "to_seconds", "to_weeks", "to_years"),
}
_CLASSES = {
    *("COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "FUNCTION", "CASE", "BETWEEN", "CAST", "TYPE"),
}
_NAMES = {"SUBQUERY": "a subquery", "WINDOW": "a window", "STAR": "a star", "PARAMETER": "a parameter"}


@dataclass(frozen=True)
class Rule:
    """A checked rule and the columns it reads."""

    text: str
    columns: tuple[str, ...]


def parse_rule(text: Any, connection: "DuckDBPyConnection") -> Rule:
    """Check that `text` is one allowed expression, without running it.

    Raises:
        UserError: when it is not SQL, or does more than compare the values of a row.
    """
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"rule {text!r} is not a text; give SQL conditions such as 'distance > 0'")
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"rule '{text[:60]}…' has {len(text):,} characters, and at most {MAX_CHARACTERS:,} are read; shorten it"
        )
    query = f"SELECT (\n{text}\n) AS rule FROM t"  # noqa: S608 -- parsed, not run
    answer = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    tree = json.loads(answer[0] if answer else "")
    if tree["error"]:
        raise UserError(
            f"rule '{text}' is not an SQL condition ({_first_line(tree['error_message'])}); write one such as "
            "'distance > 0 and carrier is not null', with column names that are not plain words in double quotes"
        )
    node = _only_expression(tree["statements"], text)
    columns: dict[str, None] = {}
    for part in _parts(node):
        _allow(part, text)
        if part["class"] == "COLUMN_REF":
            if len(part["column_names"]) > 1:
                raise _refused(text, f"'{'.'.join(part['column_names'])}', which is not a column")
            columns[part["column_names"][0]] = None
    if not columns:
        raise UserError(f"rule '{text}' reads no column, so it says nothing about a row; name the columns it compares")
    return Rule(text, tuple(columns))


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


def sandbox() -> "DuckDBPyConnection":
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
            query = f"SELECT (\n{rule.text}\n) AS rule FROM chunk"  # noqa: S608 -- parse_rule allowed it
            answer = self._connection.sql(query).to_arrow_table()["rule"]
        except duckdb.Error as error:
            raise UserError(
                f"rule '{rule.text}' does not fit the columns ({_first_line(str(error))}); compare values of one type"
            ) from error
        if not pa.types.is_boolean(answer.type):
            raise UserError(
                f"rule '{rule.text}' gives {answer.type} instead of true or false; make it a condition, such as "
                "'distance > 0'"
            )
        kept: Mask = answer.fill_null(True).to_numpy().astype(np.bool_)
        return ~kept


def _only_expression(statements: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """The one expression of ``SELECT (rule) AS rule FROM t``; anything smuggled around it is refused."""
    node = statements[0]["node"] if len(statements) == 1 else {}
    plain = (
        node.get("type") == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and node["from_table"].get("type") == "BASE_TABLE"
        and node["from_table"].get("table_name") == "t"
        and not any(
            node[key] for key in ("modifiers", "where_clause", "group_expressions", "having", "qualify", "sample")
        )
        and not node["cte_map"]["map"]
    )
    if not plain:
        raise _refused(text, "more than one expression")
    expression: dict[str, Any] = node["select_list"][0]
    return expression


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every node of an expression tree."""
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)


def _allow(part: dict[str, Any], text: str) -> None:
    kind = part["class"]
    if kind not in _CLASSES:
        raise _refused(text, _NAMES.get(kind, kind.lower()))
    if kind == "FUNCTION":
        name = part["function_name"]
        allowed = OPERATORS if part["is_operator"] else FUNCTIONS | OPERATORS
        if name not in allowed or part["schema"] or part["catalog"] or part["filter"]:
            raise _refused(text, f"the function '{name}'")
        if makes_longer(part):
            raise _refused(text, "'replace' with more than it takes away, or with what is no text in quotes")


def makes_longer(part: Mapping[str, Any]) -> bool:
    """Whether a node is a `replace` whose answer may be longer than its text: nested, they make gigabytes of it."""
    if part.get("class") != "FUNCTION" or part.get("function_name") != "replace" or len(part["arguments"]) != 3:
        return False
    words = [argument["expression"].get("literal", {}).get("text") for argument in part["arguments"][1:]]
    search, instead = (word.encode() if isinstance(word, str) else None for word in words)
    return search is None or instead is None or len(instead) > len(search)


def _refused(text: str, what: str) -> UserError:
    return UserError(
        f"rule '{text}' uses {what}; a rule is one condition on the values of a row, made of columns, constants, "
        "comparisons, arithmetic and the functions that the documentation of validate lists"
    )


def _first_line(message: str) -> str:
    return message.strip().split("\n")[0].rstrip(".")
