"""SQL conditions on the values of one row: the filters of `load` and the rules of `validate`.

DuckDB's own parser makes the syntax tree without running anything, and an allow-list decides what may be in it:
columns, constants, comparisons, ``and``, ``or``, ``not``, ``between``, ``in (…)``, ``like``, ``is null``, ``case``,
casts, arithmetic, and functions whose time and memory are bounded by the row's values.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubeline.data.duck import Connection
from kubeline.errors import UserError
from kubeline.printable import is_text

MAX_CHARACTERS = 100_000  # which take seconds to parse
CONDITION = ("an SQL condition", "distance > 0 and carrier is not null")
MAX_TEXT = 10_000  # characters of one text in quotes, which may be a format that each row's answer is longer than
MAX_JOINED = 100  # texts that a condition puts together: thousands of them make gigabytes of a few rows
_SHOWN = 300  # characters of a condition, in an error
_TOO_DEEP = "is nested too deeply, or calculates with too many values; divide it, such as by a column of the query"


@dataclass(frozen=True)
class Language:
    """What a condition may use beside columns, constants and comparisons."""

    operators: frozenset[str]
    functions: frozenset[str]


RULE = Language(
    frozenset({"+", "-", "*", "/", "//", "%", "**", "^", "||", "~~", "!~~", "~~*", "!~~*"}),
    frozenset({
        *("abs", "ceil", "ceiling", "exp", "floor", "greatest", "isfinite", "isinf", "isnan", "least", "ln", "log"),
        *("log10", "log2", "mod", "pow", "power", "round", "sign", "sqrt", "trunc"),
        *("coalesce", "ifnull", "nullif"),
        *("contains", "ends_with", "left", "length", "lower", "ltrim", "prefix", "regexp_full_match"),
        *("regexp_matches", "replace", "right", "rtrim", "starts_with", "substr", "substring", "suffix", "trim"),
        *("upper", "date_diff", "date_part", "date_trunc", "datediff", "day", "dayofweek", "dayofyear", "epoch"),
        *("hour", "isodow", "minute", "month", "quarter", "second", "week", "year"),
        *("to_days", "to_hours", "to_minutes", "to_months", "to_seconds", "to_weeks", "to_years"),
    }),
)  # fmt: skip
FILTER = Language(
    RULE.operators | {"~", "!~", "&", "|", "<<", ">>", "@", "^@", "&&", "@>", "<@", "->", "->>"},
    RULE.functions | {
        *("~", "!~", "concat", "hash", "list_contains", "array_contains", "regexp_extract", "string_split"),
        *("strip_accents", "date_add", "date_sub", "epoch_ms", "last_day", "make_date", "make_timestamp", "monthname"),
        *("dayname", "strftime", "strptime", "try_strptime", "to_timestamp", "timezone", "today", "now"),
        *("current_date", "current_timestamp", "struct_extract", "array_extract", "json_extract"),
        *("json_extract_string", "->>", "->", "len", "md5", "sha256"),
    },
)  # fmt: skip
_CLASSES = {
    *("COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "FUNCTION", "CASE", "BETWEEN", "CAST", "TYPE"),
    "COLLATE",
}
_NAMES = {"SUBQUERY": "a subquery", "WINDOW": "a window", "STAR": "a star", "PARAMETER": "a parameter"}


def parse(connection: Connection, text: str, called: str, language: Language) -> list[tuple[str, ...]]:
    """Check that a text is one condition of a language, and return the columns it names.

    Args:
        connection: of DuckDB; only its parser is used.
        text: the condition.
        called: how an error names it, such as ``rule 'distance > 0'``.
        language: what it may use.

    Returns:
        The parts of each name as it is written, such as ``("flights", "distance")``, without repetitions.

    Raises:
        UserError: when it is not SQL, more than one condition, too long, or does more than compare the values of a row.
    """
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"{called} has {len(text):,} characters, and at most {MAX_CHARACTERS:,} are read; shorten it, such as by a "
            "column that says the same"
        )
    names: dict[tuple[str, ...], None] = {}
    joined = 0
    for node in _nodes(syntax_tree(connection, text, called)):
        if problem := _problem(node, language):
            raise _refused(called, problem)
        joined += len(node["arguments"]) if node.get("function_name") in ("||", "concat") else 0
        if joined > MAX_JOINED:
            raise _refused(called, f"more than {MAX_JOINED} texts put together")
        if node["class"] == "COLUMN_REF":
            names[tuple(node["column_names"])] = None
    return list(names)


def shown(text: str) -> str:
    """A condition as an error shows it; a long one is cut."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"


def enclosed(text: str) -> str:
    """A checked condition as a part of a query; the line ends keep a comment in it from swallowing the rest."""
    return f"(\n{text}\n)"


def first_line(message: str) -> str:
    """The first line of DuckDB's message, without the kind in front."""
    kind, error, rest = message.strip().split("\n", 1)[0].partition(" Error: ")
    return (rest if error and kind.replace(" ", "").isalpha() else kind + error + rest).rstrip(".! ")


def syntax_tree(connection: Connection, text: str, called: str, what: tuple[str, str] = CONDITION) -> Any:
    """The tree of a condition, or another expression; anything around it but the one WHERE clause is refused.

    Args:
        connection: of DuckDB; only its parser is used.
        text: of the expression.
        called: how an error names it.
        what: it is to be, and an example.

    Raises:
        UserError: when it is not SQL, or more than one expression.
    """

    def statements(condition: str) -> Any:
        query = f"SELECT 1 FROM data WHERE {condition}"  # noqa: S608 - parsed, not run
        ((answer,),) = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
        try:
            tree = json.loads(answer)
        except RecursionError as error:
            raise UserError(f"{called} {_TOO_DEEP}") from error
        if tree["error"] and "max_expression_depth" in tree["error_message"]:
            raise UserError(f"{called} {_TOO_DEEP}")
        if tree["error"]:
            raise UserError(
                f"{called} is not {what[0]} ({first_line(tree['error_message'])}); write one such as "
                f"{what[1]!r}, with column names that are not plain words in double quotes"
            )
        return [statement["node"] for statement in tree["statements"]]

    if not is_text(text):
        raise UserError(f"{called} holds half of a surrogate pair, which is no character; write the character itself")
    frame = statements(enclosed("true"))
    frame[0].pop("where_clause")
    clause = None
    # In parentheses, and without them: "true) OR (true" is a condition in the first way only.
    for condition in (enclosed(text), f"\n{text}\n"):
        nodes = statements(condition)
        clause = nodes[0].pop("where_clause", None)
        if nodes != frame:
            raise _refused(called, "more than one expression")
    return clause


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of a syntax tree."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class" in value:
                yield value
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)


def modified(node: Mapping[str, Any]) -> str:
    """What of a call belongs to aggregates: a filter, an order, or that only different values count."""
    found = {"filter": node["filter"], "order by": node["order_bys"]["orders"], "distinct": node["distinct"]}
    return next((word for word, there in found.items() if there), "")


def _problem(node: Mapping[str, Any], language: Language) -> str:
    """What of a node is not of the language; empty when nothing is."""
    kind = node["class"]
    if kind not in _CLASSES:
        return _NAMES.get(kind, str(kind).lower())
    if kind == "CONSTANT" and len(str(node.get("literal", {}).get("text") or "")) > MAX_TEXT:
        return f"a text of more than {MAX_TEXT:,} characters"
    if kind == "FUNCTION":
        name = node["function_name"]
        if word := modified(node):
            return f"'{name}' with {word}, which belongs to aggregates"
        allowed = language.operators if node["is_operator"] else language.functions | language.operators
        if name not in allowed or node["schema"] or node["catalog"]:
            return f"the function '{name}'"
        if _makes_longer(node):
            return "'replace' with more than it takes away, or with what is no text in quotes"
    return ""


def _makes_longer(node: Mapping[str, Any]) -> bool:
    """Whether a node is a `replace` whose answer may be longer than its text: nested, they make gigabytes of it."""
    if node["function_name"] != "replace" or len(node["arguments"]) != 3:
        return False
    words = [argument["expression"].get("literal", {}).get("text") for argument in node["arguments"][1:]]
    search, instead = (word.encode() if isinstance(word, str) else None for word in words)
    return search is None or instead is None or len(instead) > len(search)


def _refused(called: str, what: str) -> UserError:
    return UserError(
        f"{called} uses {what}; expected one condition on the values of a row, made of columns, constants, "
        "comparisons, arithmetic and the functions that the documentation of validate lists"
    )
