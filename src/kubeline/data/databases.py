"""Streams of Arrow batches (query results, tables of a lake) as DuckDB relations."""
# ruff: noqa: S608 - an example of a query

import sqlite3
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from kubeline.addresses import redact, scheme
from kubeline.data.bigquery import open_bigquery
from kubeline.data.duck import Connection
from kubeline.data.engine import identifier
from kubeline.data.failures import explain
from kubeline.data.lakes import open_lake
from kubeline.data.mysql import open_mysql
from kubeline.data.postgresql import open_postgresql
from kubeline.data.reading import UNKNOWN, Table
from kubeline.data.snowflake import open_snowflake
from kubeline.data.sources import DATABASES, remote_errors
from kubeline.data.sqlite import open_sqlite
from kubeline.data.tables import check_names, described
from kubeline.data.transfer import Transfer
from kubeline.errors import UserError
from kubeline.progress import Progress

if TYPE_CHECKING:
    import pyarrow.dataset as pads

_VIEW = "stream"
_OPENERS = {
    "bigquery": open_bigquery,
    "mysql": open_mysql,
    "postgresql": open_postgresql,
    "snowflake": open_snowflake,
    "sqlite": open_sqlite,
}


def open_query(connection: Connection, source: str, query: str, scratch: Path, resources: ExitStack) -> Table:
    """The result of `query` on a database, as a table; it is stored in `scratch`, and `resources` closes the database.

    Transactions are read-only.

    Raises:
        UserError: when the query is missing or wrong, or there is no such database.
        PlatformError: when the database server cannot be reached, or breaks off.
    """
    if not query.strip():
        raise UserError(
            f"'{redact(source)}' is a database, so a query is needed, such as query='SELECT * FROM flights'"
        )
    opener = _OPENERS[DATABASES[scheme(source)]]
    name = "the query's result"
    with Progress(f"reading {name}", unit="bytes") as progress:
        transfer = Transfer(name, scratch, progress)
        reader, texts = opener(source, query.strip().rstrip(";"), resources, transfer)
        table = _table(connection, reader, name, scratch, transfer)
    return replace(table, raw={**table.raw, **dict.fromkeys(texts, UNKNOWN)})


def open_lake_table(connection: Connection, source: str, scratch: Path) -> tuple[Table, str]:
    """A table of a lake, stored in `scratch`, and the address of the version that was read."""
    name = redact(source)
    with Progress(f"reading '{name}'", unit="bytes") as progress, remote_errors(source):
        transfer = Transfer(name, scratch, progress)
        lake = open_lake(source)
        return _table(connection, lake.reader, name, scratch, transfer), lake.source


def _table(connection: Connection, reader: pa.RecordBatchReader, name: str, scratch: Path, transfer: Transfer) -> Table:
    check_names(reader.schema.names, name)
    connection.register(_VIEW, _kept(reader, name, scratch / "stream.arrow", transfer))
    return described(connection, name, identifier(_VIEW))


def _kept(reader: pa.RecordBatchReader, name: str, path: Path, transfer: Transfer) -> "pads.Dataset":
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
        raise explain(name, str(error)) from None
    except pa.ArrowException as error:
        transfer.check_time()
        raise explain(name, str(error)) from None
    import pyarrow.dataset as pads

    return pads.dataset(str(path), format="feather")
