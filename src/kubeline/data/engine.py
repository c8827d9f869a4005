"""DuckDB, shut in: it reads what was staged and nothing else, whatever a filter says."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

from kubeline.data import conditions, duck
from kubeline.data.conditions import enclosed, first_line
from kubeline.data.duck import Connection
from kubeline.data.limits import memory
from kubeline.errors import UserError, listed

# It takes a Parquet file's least and greatest value, which leave NaN out, for proof that a column has no NaN.
BLIND_OPTIMIZER = "statistics_propagation"
_WIDE = 250  # columns, from which on
_WIDE_KIB = 320  # of memory are added for each
VECTOR_ROWS = 2_048  # that the engine reads at a time, at least
BUFFER_BYTES = 8 << 20  # of text that one thread reads at a time


def connect(scratch: Path, files: Sequence[Path] = (), memory_limit: str = "") -> Connection:
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


def in_memory(**settings: str) -> Connection:
    """A connection without extensions and Python variables, on whose clock it is UTC everywhere."""
    import duckdb

    alone = ("autoinstall_known_extensions", "autoload_known_extensions", "python_enable_replacements")
    connection = duckdb.connect(config={**dict.fromkeys(alone, "false"), **settings})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")  # of its cursors, too
    connection.execute("SET enable_progress_bar = false")
    return connection


class _Later:
    """What a connection is until something is asked of it; several threads may ask."""

    def __init__(self, connect: Callable[[], Connection]):
        self._connect = connect
        self._connection: Connection | None = None
        self._opening = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened(), name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self) -> Connection:
        """A cursor, of the same kind."""
        return later(lambda: self._opened().cursor())

    def close(self) -> None:
        """Close what was opened."""
        if self._connection is not None:
            self._connection.close()

    def prepare(self, prepare: Callable[[Connection], None]) -> None:
        """Do something with the connection before anything further is asked of it."""
        with self._opening:
            if self._connection is not None:
                prepare(self._connection)
                return
            connect = self._connect

            def prepared() -> Connection:
                connection = connect()
                prepare(connection)
                return connection

            self._connect = prepared

    def _opened(self) -> Connection:
        with self._opening:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection


def later(connect: Callable[[], Connection]) -> Connection:
    """A connection that is opened when something is first asked of it: that takes as long as to read a small table."""
    return cast("Connection", _Later(connect))


def lock(connection: Connection, columns: int = 0) -> None:
    """Lock the settings, for good, before anything that a user wrote runs.

    For a table of many columns the engine gets more memory, and one thread: it reads 2,048 rows at a time in each, with
    several values for every cell of them.
    """
    if isinstance(connection, _Later):
        connection.prepare(lambda opened: lock(opened, columns))
        return
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


def fetch(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query whose result is small."""
    return connection.sql(query).fetchall()


def filter_columns(connection: Connection, where: str, names: Sequence[str]) -> list[str]:
    """Check that a filter is one condition on a row, and return those of `names` that it uses.

    Raises:
        UserError: when it is none, uses what is not a column, or a function that is not of a row's values: `repeat` and
            `range` make gigabytes of nothing.
    """
    if not where.strip():
        return []
    columns = conditions.parse(connection, where, shown(where), conditions.FILTER)
    row = ", ".join(f"NULL AS {identifier(name)}" for name in names)
    with filter_errors(where, names):
        connection.sql(f"SELECT 1 FROM (SELECT {row}) AS data WHERE {enclosed(where)}")
    used = {part.casefold() for parts in columns for part in parts}
    return [name for name in names if name.casefold() in used]


def shown(where: str) -> str:
    """A filter as an error names it."""
    return f"the filter where={conditions.shown(where)}"


@contextmanager
def filter_errors(where: str, names: Sequence[str]) -> Iterator[None]:
    """Turn what DuckDB says when it compiles a filter into one sentence."""
    try:
        yield
    except duck.errors() as error:
        unknown = re.search(r'Referenced (?:column|table) "(.*?)" not found', str(error))
        if unknown:
            raise UserError(
                f"{shown(where)} uses '{unknown.group(1)}', which is not a column (text stands in single "
                f"quotes); there are: {listed(names)}"
            ) from error
        raise UserError(f"{shown(where)} does not fit the table: {first_line(str(error))}; fix it") from error
