"""A query's result from SQLite, which types values and not columns."""
# ruff: noqa: S608 - names in queries are quoted

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from kubeline.addresses import redact
from kubeline.data.dataset import chunk_rows
from kubeline.data.engine import identifier
from kubeline.data.tables import check_names
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError

_STEPS = 100_000  # instructions of its engine between two checks of the time
# SQLite has no type for time; this is how its date functions and most libraries write one.
_TIME = "typeof({0}) = 'text' AND {0} GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]*' AND julianday({0}) IS NOT NULL"
_LARGE = "typeof({0}) = 'integer' AND ({0} > 9007199254740992 OR {0} < -9007199254740992)"


def open_sqlite(
    source: str, query: str, resources: ExitStack, transfer: Transfer
) -> tuple[pa.RecordBatchReader, list[str]]:
    """SQLite types values, not columns: one pass over the result finds the types, a second one streams it."""
    path = Path(unquote(source.split("://", 1)[1]).removeprefix("/"))
    if not path.is_file():
        raise UserError(
            f"there is no SQLite file at '{redact(str(path))}'; an absolute path takes four slashes: "
            "sqlite:////folder/file.db"
        )
    with path.open("rb"):
        pass
    address = f"{path.absolute().as_uri()}?mode=ro"
    # DuckDB pulls the batches from a thread of its own, one at a time.
    database = resources.enter_context(closing(sqlite3.connect(address, uri=True, check_same_thread=False)))
    database.set_progress_handler(lambda: transfer.left <= 0, _STEPS)
    try:
        names = check_names([item[0] for item in database.execute(query).description or []], "the query's result")
        if not names:
            raise UserError("the query returns no columns; expected a SELECT")
        schema, texts = _types(database, query, names)
        return pa.RecordBatchReader.from_batches(schema, _batches(database, query, schema)), texts
    except sqlite3.OperationalError as error:
        transfer.check_time()
        if "unable to open" in str(error) or "disk I/O" in str(error):
            raise PlatformError(f"the SQLite file '{path}' cannot be read ({error}); check its permissions") from error
        raise UserError(f"the query on '{path}' failed ({error}); fix it") from error
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"'{path}' cannot be queried as a SQLite database ({error}); check the file and the query"
        ) from error


def _types(database: sqlite3.Connection, query: str, names: list[str]) -> tuple[pa.Schema, list[str]]:
    """The types of the columns, and those whose text is to be inspected: times and large numbers."""
    counts = ", ".join(
        f"count({column}), sum(typeof({column}) = 'integer'), sum(typeof({column}) IN ('integer', 'real')), "
        f"sum(typeof({column}) = 'text'), sum(typeof({column}) = 'blob'), sum({_TIME.format(column)}), "
        f"sum({_LARGE.format(column)})"
        for column in map(identifier, names)
    )
    row = database.execute(f"SELECT {counts} FROM ({query})").fetchone()
    fields, inspected = [], []
    for number, name in enumerate(names):
        present, integers, numbers, texts, blobs, times, large = (
            value or 0 for value in row[7 * number : 7 * number + 7]
        )
        found = {pa.int64(): integers, pa.float64(): numbers, pa.string(): texts, pa.binary(): blobs}
        kind = next((kind for kind, count in found.items() if count == present), None) if present else pa.null()
        if kind is None:
            raise UserError(
                f"column '{name}' of the query's result holds {numbers:,} numbers among {present:,} values in all; "
                f'make it one type in the query, such as CAST("{name}" AS TEXT)'
            )
        if kind == pa.float64() and large:
            kind = pa.string()
        if present and (times == present or (large and kind == pa.string())):
            inspected.append(name)
        fields.append(pa.field(name, kind))
    return pa.schema(fields), inspected


def _batches(database: sqlite3.Connection, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    cursor = database.execute(query)
    while rows := cursor.fetchmany(chunk_rows(schema)):
        columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
        yield pa.record_batch(
            [_array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema
        )


def _array(column: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    if kind == pa.string():  # numbers among them keep all their digits
        column = tuple(value if value is None or isinstance(value, str) else repr(value) for value in column)
    return pa.array(column, kind)
