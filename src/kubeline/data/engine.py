"""DuckDB, shut in: it reads what was staged and nothing else, whatever a filter says."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeline.data.limits import memory
from kubeline.errors import UserError, listed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# It takes a Parquet file's least and greatest value, which leave NaN out, for proof that a column has no NaN.
BLIND_OPTIMIZER = "statistics_propagation"
# Functions that a filter may use besides those of a rule of `validate`.
_MORE_FUNCTIONS = {
    *(
        "~",
        "!~",
        "concat",
        "hash",
        "list_contains",
        "array_contains",
        "regexp_extract",
        "string_split",
        "strip_accents",
    ),
    *(
        "date_add",
        "date_sub",
        "epoch_ms",
        "last_day",
        "make_date",
        "make_timestamp",
        "monthname",
        "dayname",
        "strftime",
    ),
    *("strptime", "try_strptime", "to_timestamp", "timezone", "today", "now", "current_date", "current_timestamp"),
    *("struct_extract", "array_extract", "json_extract", "json_extract_string", "->>", "->", "len", "md5", "sha256"),
}
_SHOWN = 300  # letters of a filter, in an error
_WIDE = 250  # columns, from which on
_WIDE_KIB = 320  # of memory are added for each
VECTOR_ROWS = 2_048  # that the engine reads at a time, at least
BUFFER_BYTES = 8 << 20  # of text that one thread reads at a time


def connect(scratch: Path, files: Sequence[Path] = (), memory_limit: str = "") -> "DuckDBPyConnection":
    """An in-memory connection that can open `files` and what is under `scratch`; :func:`lock` locks its settings.

    What needs more than its memory is spilled to `scratch`.

    Source: DuckDB documentation, "Securing DuckDB".
    """
    connection = in_memory(
        threads=str(min(4, os.cpu_count() or 1)),  # each thread has buffers of its own
        memory_limit=memory_limit or f"{memory()}MB",
        temp_directory=str(scratch / "spill"),
        preserve_insertion_order="true",
    )
    # The first turns a long IN list into a join, and the rows of a join come in any order; for the second see below.
    connection.execute(f"SET disabled_optimizers = 'in_clause,{BLIND_OPTIMIZER}'")
    connection.execute(f"SET allowed_directories = [{literal(str(scratch.resolve()))}]")
    paths = ", ".join(literal(str(file.resolve())) for file in files)  # access is checked behind links
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false")
    return connection


def in_memory(**settings: str) -> "DuckDBPyConnection":
    """A connection without extensions and Python variables, on whose clock it is UTC everywhere."""
    import duckdb

    alone = ("autoinstall_known_extensions", "autoload_known_extensions", "python_enable_replacements")
    connection = duckdb.connect(config={**dict.fromkeys(alone, "false"), **settings})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def lock(connection: "DuckDBPyConnection", columns: int = 0) -> None:
    """Lock the settings, for good, before anything that a user wrote runs.

    For a table of many columns the engine gets more memory, and one thread: it reads 2,048 rows at a time in each, with
    several values for every cell of them.
    """
    if columns > _WIDE:
        connection.execute("SET threads = 1")
        connection.execute(f"SET memory_limit = '{memory() + columns * _WIDE_KIB // 1024}MB'")
    connection.execute("SET lock_configuration = true")


def identifier(name: str) -> str:
    """A column name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string, quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def fetch(connection: "DuckDBPyConnection", query: str) -> list[tuple[Any, ...]]:
    """All rows of a query whose result is small."""
    return connection.sql(query).fetchall()


def filter_columns(connection: "DuckDBPyConnection", where: str, names: Sequence[str]) -> list[str]:
    """Check that a filter is one expression over a row, and return those of `names` that it uses.

    Raises:
        UserError: when it does not parse, is more than one expression, or uses what is not a column or not a function
            of a row's values: `repeat` and `range` make gigabytes of nothing.
    """
    if not where.strip():
        return []
    from kubeline.schema.rules import FUNCTIONS, MAX_CHARACTERS, makes_longer

    if len(where) > MAX_CHARACTERS:
        raise UserError(
            f"the filter {shown(where)} has {len(where):,} characters, and at most {MAX_CHARACTERS:,} are read; filter "
            "by a column that says the same"
        )
    nodes = list(_nodes(_parse(connection, where)))
    for node in nodes:
        if node.get("class") in ("SUBQUERY", "STAR"):
            raise UserError(
                f"the filter {shown(where)} holds a subquery or a star; expected a condition on the row's columns"
            )
        name = node.get("function_name", "")
        if (
            node.get("class") in ("FUNCTION", "WINDOW")
            and not node.get("is_operator")
            and (name not in FUNCTIONS | _MORE_FUNCTIONS)
        ):
            raise UserError(
                f"the filter {shown(where)} uses the function '{name}', which is not one of those that compare the "
                "values of a row in little time and memory (validate's documentation says where they are listed)"
            )
        if makes_longer(node):
            raise UserError(
                f"the filter {shown(where)} uses 'replace' with more than it takes away, or with what is no text in "
                "quotes, which may take all memory; compare the values as they are"
            )
    row = ", ".join(f"NULL AS {identifier(name)}" for name in names)
    with filter_errors(where, names):
        connection.sql(f"SELECT 1 FROM (SELECT {row}) AS data WHERE {enclosed(where)}")
    used = {part.casefold() for node in nodes for part in node.get("column_names", [])}
    return [name for name in names if name.casefold() in used]


def shown(where: str) -> str:
    """A filter in an error; a long one is cut."""
    return f"where={where!r}" if len(where) <= _SHOWN else f"where={where[:_SHOWN]!r}…"


def enclosed(where: str) -> str:
    """A checked filter as a part of a query; the line ends keep a comment in it from swallowing the rest."""
    return f"(\n{where}\n)"


@contextmanager
def filter_errors(where: str, names: Sequence[str]) -> Iterator[None]:
    """Tell what DuckDB says when it compiles a filter as one sentence."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        unknown = re.search(r'Referenced (?:column|table) "(.*?)" not found', str(error))
        if unknown:
            raise UserError(
                f"the filter {shown(where)} uses '{unknown.group(1)}', which is not a column (text stands in single "
                f"quotes); there are: {listed(names)}"
            ) from error
        raise UserError(
            f"the filter {shown(where)} does not fit the table: {first_line(str(error))}; fix it"
        ) from error


def first_line(message: str) -> str:
    """What happened, in DuckDB's words, without the kind in front and the advice behind."""
    line = message.split("\n", 1)[0]
    return re.sub(r"^[A-Za-z ]+ Error: ", "", line).rstrip(".! ")


def _parse(connection: "DuckDBPyConnection", where: str) -> Any:
    """The syntax tree of a filter; anything around it but the one WHERE clause is refused."""

    def statements(condition: str) -> Any:
        query = f"SELECT 1 FROM data WHERE {condition}"
        tree = json.loads(fetch(connection, f"SELECT json_serialize_sql({literal(query)})")[0][0])
        if tree["error"]:
            raise UserError(f"the filter {shown(where)} is not an SQL expression: {tree['error_message']}; fix it")
        return tree["statements"]

    frame = statements(enclosed("true"))
    frame[0]["node"].pop("where_clause")
    # In parentheses, and without them: "true) OR (true" is an expression in the first way only.
    for condition in (enclosed(where), f"\n{where}\n"):
        tree = statements(condition)
        clause = tree[0]["node"].pop("where_clause", None)
        if tree != frame:
            raise UserError(
                f"the filter {shown(where)} is more than one expression; expected a condition on the row's columns"
            )
    return clause


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            yield from _nodes(item)
