"""Query results as DuckDB relations, streamed in batches."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as pads

from kubeline.addresses import redact, scheme
from kubeline.data.dataset import chunk_rows
from kubeline.data.engine import identifier
from kubeline.data.failures import explain
from kubeline.data.reading import UNKNOWN, Table
from kubeline.data.sources import DATABASES
from kubeline.data.tables import check_names, described
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError
from kubeline.progress import Progress

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_VIEW = "query result"
_SQLITE_STEPS = 100_000  # instructions of its engine between two looks at the time
# SQLite has no type for time; this is how its date functions and most libraries write one.
_SQLITE_TIME = (
    "typeof({0}) = 'text' AND {0} GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]*' AND julianday({0}) IS NOT NULL"
)
_SQLITE_LARGE = "typeof({0}) = 'integer' AND ({0} > 9007199254740992 OR {0} < -9007199254740992)"


def open_query(connection: "DuckDBPyConnection", source: str, query: str, scratch: Path, resources: ExitStack) -> Table:
    """The result of `query` on a database, as a table; it is kept in `scratch`, and `resources` closes the database.

    Transactions are read-only.

    Raises:
        UserError: when the query is missing or wrong, or there is no such database.
        PlatformError: when the database server cannot be reached, or breaks off.
    """
    if not query.strip():
        raise UserError(
            f"'{redact(source)}' is a database, so a query is needed, such as query='SELECT * FROM flights'"
        )
    opener = {"sqlite": _sqlite, "postgresql": _postgresql}[DATABASES[scheme(source)]]
    with Progress("reading the query's result", unit="bytes") as progress:
        transfer = Transfer("the query's result", scratch, progress)
        reader, texts = opener(source, query.strip().rstrip(";"), resources, transfer)
        check_names(reader.schema.names, "the query's result")
        connection.register(_VIEW, _kept(reader, scratch / "query.arrow", transfer))
    table = described(connection, "the query's result", identifier(_VIEW))
    return replace(table, raw={**table.raw, **dict.fromkeys(texts, UNKNOWN)})


def _kept(reader: pa.RecordBatchReader, path: Path, transfer: Transfer) -> pads.Dataset:
    """The rows on disk: types are decided by all values before the first one is read as one, and asked for once."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    try:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, reader.schema, options=options) as writer:
            for batch in reader:
                transfer.take(batch.nbytes)
                writer.write_batch(batch)
    except sqlite3.OperationalError:
        transfer.check_time()
        raise
    except OSError as error:  # ADBC raises it when the connection breaks off; one of the disk bears a number
        if error.errno:
            raise
        transfer.check_time()
        raise explain("the query's result", str(error)) from None
    except pa.ArrowException as error:
        transfer.check_time()
        raise explain("the query's result", str(error)) from None
    return pads.dataset(str(path), format="feather")


def _sqlite(
    source: str, query: str, resources: ExitStack, transfer: Transfer
) -> tuple[pa.RecordBatchReader, list[str]]:
    """SQLite types values, not columns: one pass over the result finds the types, a second one streams it."""
    path = Path(unquote(source.split("://", 1)[1]).removeprefix("/"))
    if not path.is_file():
        raise UserError(
            f"there is no SQLite file at '{path}'; an absolute path takes four slashes: sqlite:////folder/file.db"
        )
    with path.open("rb"):
        pass
    address = f"{path.absolute().as_uri()}?mode=ro"
    # DuckDB pulls the batches from a thread of its own, one at a time.
    database = resources.enter_context(closing(sqlite3.connect(address, uri=True, check_same_thread=False)))
    database.set_progress_handler(lambda: transfer.left <= 0, _SQLITE_STEPS)
    try:
        names = check_names([item[0] for item in database.execute(query).description or []], "the query's result")
        if not names:
            raise UserError("the query returns no columns; expected a SELECT")
        schema, texts = _sqlite_types(database, query, names)
        return pa.RecordBatchReader.from_batches(schema, _sqlite_batches(database, query, schema)), texts
    except sqlite3.OperationalError as error:
        transfer.check_time()
        if "unable to open" in str(error) or "disk I/O" in str(error):
            raise PlatformError(f"the SQLite file '{path}' cannot be read ({error}); check its permissions") from error
        raise UserError(f"the query on '{path}' failed ({error}); mend it") from error
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"'{path}' cannot be queried as a SQLite database ({error}); check the file and the query"
        ) from error


def _sqlite_types(database: sqlite3.Connection, query: str, names: list[str]) -> tuple[pa.Schema, list[str]]:
    """The types of the columns, and those whose text is to be looked through: times and large numbers."""
    counts = ", ".join(
        f"count({column}), sum(typeof({column}) = 'integer'), sum(typeof({column}) IN ('integer', 'real')), "
        f"sum(typeof({column}) = 'text'), sum(typeof({column}) = 'blob'), sum({_SQLITE_TIME.format(column)}), "
        f"sum({_SQLITE_LARGE.format(column)})"
        for column in map(identifier, names)
    )
    row = database.execute(f"SELECT {counts} FROM ({query})").fetchone()
    fields, looked = [], []
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
            looked.append(name)
        fields.append(pa.field(name, kind))
    return pa.schema(fields), looked


def _sqlite_batches(database: sqlite3.Connection, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    cursor = database.execute(query)
    while rows := cursor.fetchmany(chunk_rows(schema)):
        columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
        yield pa.record_batch(
            [_sqlite_array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema
        )


def _sqlite_array(column: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    if kind == pa.string():  # numbers among them keep all their digits
        column = tuple(value if value is None or isinstance(value, str) else repr(value) for value in column)
    return pa.array(column, kind)


def _postgresql(
    source: str, query: str, resources: ExitStack, transfer: Transfer
) -> tuple[pa.RecordBatchReader, list[str]]:
    import adbc_driver_postgresql.dbapi as postgresql
    from adbc_driver_manager import Error, OperationalError

    try:
        database = resources.enter_context(closing(postgresql.connect(source)))
    except Error as error:
        raise PlatformError(
            f"'{redact(source)}' cannot be reached ({_told(error, source)}); check host, network, user and password"
        ) from None
    try:
        cursor = resources.enter_context(closing(database.cursor()))
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute(f"SET LOCAL statement_timeout = '{transfer.seconds}s'")
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
    except OperationalError as error:
        raise PlatformError(f"'{redact(source)}' failed ({_told(error, source)}); try again later") from None
    except Error as error:
        raise UserError(f"the query on '{redact(source)}' failed ({_told(error, source)}); mend it") from None
    # NUMERIC comes as text, to keep all its digits, and says so in the field's type.
    return reader, [field.name for field in reader.schema if "numeric" in str(field.type).lower()]


def _told(error: Exception, source: str) -> str:
    """The database's own words, without the credentials that the address holds."""
    words = " ".join(str(error).split())
    secrets = source.split("://", 1)[1].rsplit("@", 1)[0] if "@" in source else ""
    for secret in sorted(
        {secrets, *secrets.split(":")[1:], unquote(secrets.partition(":")[2])} - {""}, key=len, reverse=True
    ):
        words = words.replace(secret, "***")
    return redact(words)[:300]
