"""Expressions of SQL over the columns of a row, compiled to a program.

DuckDB's parser makes the syntax tree, as for the filters of `load` and the rules of `validate`, and the meaning is
SQL's, with what SQL leaves to an error made a missing value: division by zero, the logarithm of what is not positive,
the root of what is negative, results beyond float32.
"""

import math
from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np

from kubeline.data.conditions import modified, shown, syntax_tree
from kubeline.data.duck import Connection
from kubeline.errors import UserError, suggestion
from kubeline.transform import typed
from kubeline.transform.functions import FUNCTIONS, power, quotient
from kubeline.transform.program import Builder
from kubeline.transform.typed import RawColumn, Typed, WrongError

MAX_CHARACTERS = 10_000
_EXAMPLE = ("an SQL expression", "ln(1 + amount) / coalesce(limit_, 1)")
_COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
# What other languages call what SQL has under another name.
_ELSEWHERE = {
    "clip": "least(greatest(x, low), high)",
    "log1p": "ln(1 + x)",
    "max": "greatest",
    "min": "least",
    "where": "case when … then … else … end",
}


def parse(connection: Connection, name: str, text: str) -> Any:
    """The syntax tree of the expression of a derived column.

    Raises:
        UserError: when it is no SQL expression, or too long.
    """
    called = f"the derived column '{name}', {shown(text)},"
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{called} has {len(text):,} characters, and at most {MAX_CHARACTERS:,} are read; shorten it")
    return syntax_tree(connection, text, called, _EXAMPLE)


def columns_of(tree: Any) -> list[str]:
    """The columns that a syntax tree names, as they are written."""
    found: dict[str, None] = {}
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("class") == "COLUMN_REF":
                found[".".join(node["column_names"])] = None
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return sorted(found)


class Compiler:
    """Adds expressions to a program.

    Args:
        builder: of the program.
        columns: that expressions may read, by name.
    """

    def __init__(self, builder: Builder, columns: Mapping[str, RawColumn]):
        self._builder, self._columns = builder, columns

    def compile(self, tree: Any) -> Typed:
        """The value of a syntax tree.

        Raises:
            WrongError: what it does that it cannot.
        """
        try:
            return self._value(tree)
        except RecursionError as error:
            raise WrongError("is nested too deeply") from error

    def _value(self, node: Any) -> Typed:
        rules = {
            "COLUMN_REF": self._column,
            "CONSTANT": self._constant,
            "COMPARISON": self._comparison,
            "CONJUNCTION": self._conjunction,
            "BETWEEN": self._between,
            "OPERATOR": self._operator,
            "CASE": self._case,
            "CAST": self._cast,
            "FUNCTION": self._function,
        }
        kind = node["class"]
        if kind not in rules:
            what = {"SUBQUERY": "a subquery", "WINDOW": "a window", "STAR": "a star"}.get(kind, kind.lower())
            raise WrongError(
                f"uses {what}; an expression is of the values of one row: what reads other rows, such as windows, "
                "belongs to the query of load"
            )
        return rules[kind](node)

    def _values(self, nodes: Any) -> list[Typed]:
        return [self._value(node) for node in nodes]

    def _column(self, node: Any) -> Typed:
        name = ".".join(node["column_names"])
        if name not in self._columns:
            hint = suggestion(name, sorted(self._columns), "there are", 20)
            raise WrongError(f"reads the column '{name}', which the table does not have or has no value of; {hint}")
        return Typed.of_column(self._builder, name, self._columns[name])

    def _constant(self, node: Any) -> Typed:
        kind, text = node["literal"]["kind"], node["literal"].get("text", "")
        if kind == "STRING":
            return Typed.of_text(self._builder, text)
        if kind == "BOOLEAN":
            return Typed("boolean", self._builder.constant(text.lower() == "true"))
        if kind not in ("INTEGER", "NUMERIC"):
            return Typed(None, self._builder.constant(math.nan))
        return Typed("number", self._builder.constant(_number(text)))

    def _comparison(self, node: Any) -> Typed:
        if node["type"] not in _COMPARISONS:
            raise WrongError("compares by what is none of =, <>, <, <=, > and >=")
        return typed.compare(_COMPARISONS[node["type"]], self._value(node["left"]), self._value(node["right"]))

    def _conjunction(self, node: Any) -> Typed:
        rule = typed.both if node["type"] == "CONJUNCTION_AND" else typed.either
        return reduce(rule, self._values(node["children"]))

    def _between(self, node: Any) -> Typed:
        value, low, high = self._values([node["input"], node["lower"], node["upper"]])
        return typed.both(typed.compare(">=", value, low), typed.compare("<=", value, high))

    def _operator(self, node: Any) -> Typed:
        kind, values = node["type"], self._values(node["children"])
        if kind == "COMPARE_IN":
            return typed.is_one_of(values[0], values[1:])
        if kind == "OPERATOR_NOT":
            return typed.negated(values[0])
        if kind == "OPERATOR_IS_NULL":
            return Typed("boolean", values[0].value.missing().number())
        if kind == "OPERATOR_IS_NOT_NULL":
            return Typed("boolean", values[0].value.missing().apply("Not").number())
        if kind == "OPERATOR_COALESCE":
            return typed.coalesced(values)
        raise WrongError(f"uses {kind.lower().replace('_', ' ')}, which is not of the language of expressions")

    def _case(self, node: Any) -> Typed:
        found = self._value(node["else_expr"])
        for check in reversed(node["case_checks"]):
            found = typed.choose(self._value(check["when_expr"]).mask(), self._value(check["then_expr"]), found)
        return found

    def _cast(self, node: Any) -> Typed:
        value, wanted = self._value(node["child"]), node["type_expr"]["type_name"].lower()
        if wanted in ("timestamp", "timestamptz", "timestamp with time zone", "datetime", "date"):
            time = typed.as_time(value)
            if wanted != "date":
                return time
            return Typed("datetime", (time.value / 86_400.0).floor() * 86_400.0, wide=True)
        if wanted in ("double", "float", "real", "float4", "float8"):
            return Typed("number", value.require("number", "boolean").value, value.wide)
        if wanted in ("integer", "int", "bigint", "smallint", "tinyint") and value.kind == "boolean":
            return Typed("number", value.value)
        raise WrongError(
            f"casts to {wanted}; a truth value may become an integer, numbers a double, and texts in quotes a time "
            "(whole numbers are made by floor and round)"
        )

    def _function(self, node: Any) -> Typed:
        name = node["function_name"].lower()
        if word := modified(node):
            raise WrongError(f"calls {name} with {word}, which belongs to aggregates")
        if node["schema"] or node["catalog"]:
            raise WrongError(f"calls {name} of a schema; functions are named without one")
        values = self._values([argument["expression"] for argument in node["arguments"]])
        if node["is_operator"]:
            return self._arithmetic(name, values)
        if name == "pi" and not values:
            return Typed("number", self._builder.constant(math.pi))
        if name not in FUNCTIONS:
            raise WrongError(f"calls {name}, which is no function of it; {_instead(name)}")
        least, most, function = FUNCTIONS[name]
        if not least <= len(values) <= most:
            raise WrongError(
                f"calls {name} with {len(values)} arguments; expected {least if least == most else 'more'}"
            )
        return function(*values)

    def _arithmetic(self, name: str, values: list[Typed]) -> Typed:
        if name == "||" and len(values) == 2:
            return typed.joined(*values)
        if name in ("**", "^"):
            return power(*values)
        if name not in ("+", "-", "*", "/"):
            raise WrongError(f"uses '{name}', which is not of the language of expressions")
        if any(value.kind == "datetime" for value in values):
            raise WrongError("calculates with times; write epoch(one) - epoch(other), or date_diff('day', other, one)")
        numbers = [value.require("number").value for value in values]
        if len(numbers) == 1:
            return Typed(
                "number", numbers[0] if name == "+" else self._builder.constant(0.0) - numbers[0], values[0].wide
            )
        one, other = numbers
        wide = any(value.wide for value in values)
        if name == "/":
            return Typed("number", quotient(one, other))
        return Typed("number", {"+": one + other, "-": one - other, "*": one * other}[name], wide)


def _number(text: str) -> float:
    """The value of a number in an expression.

    ONNX Runtime leaves out what it takes for adding zero and multiplying by one, and reads constants as float32.
    """
    value = float(text)
    near = float(np.float32(value)) if abs(value) < float(np.finfo(np.float32).max) else math.inf
    if math.isinf(near) or (near in (0.0, 1.0, -1.0) and near != value):
        raise WrongError(
            f"has the number {text}, which float32 does not distinguish from {near:g}; write one that it does"
        )
    return value


def _instead(name: str) -> str:
    """What to write in the place of an unknown function."""
    if name in _ELSEWHERE:
        return f"SQL writes {_ELSEWHERE[name]}"
    return suggestion(name, sorted(FUNCTIONS), "there are", 60)
