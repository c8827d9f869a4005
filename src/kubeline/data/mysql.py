"""A query's result from MySQL or MariaDB: what the server writes as text is read as the type that it names."""

import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa

from kubeline.addresses import redact
from kubeline.data.dataset import chunk_rows
from kubeline.data.failures import database_words
from kubeline.data.lakes import missing
from kubeline.data.tables import check_names
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError
from kubeline.masking import words_of

if TYPE_CHECKING:
    from pymysql.connections import Connection

PASSWORD, USER = "MYSQL_PWD", "MYSQL_USER"
_BINARY = 63  # the number of the character set of bytes
_CONNECT_SECONDS = 30
# Errors of the server's state, and not of the query: too many connections, lost, shut down, a lock that is not had.
_STATES = {1040, 1041, 1044, 1045, 1053, 1077, 1079, 1152, 1203, 1205, 1213, 1927}


def open_mysql(
    source: str, query: str, resources: ExitStack, transfer: Transfer
) -> tuple[pa.RecordBatchReader, list[str]]:
    """The rows of a query in a read-only transaction, and the columns whose text is to be inspected.

    Times of the type TIMESTAMP are UTC. The address may name a file of certificates, ``?ssl_ca=/path``: the server must
    then show one of theirs.

    Raises:
        UserError: when the query is wrong.
        PlatformError: when the server cannot be reached, or fails.
    """
    try:
        import pymysql
    except ImportError:
        raise missing(source, "pymysql", "mysql") from None

    try:
        database = _connected(source)
    except (pymysql.Error, OSError) as error:
        raise PlatformError(
            f"'{redact(source)}' cannot be reached ({database_words(error, source)}); check host, network, user and "
            "password"
        ) from None
    resources.callback(_given_up, database)
    try:
        cursor = database.cursor()
        for statement in _settings(database.get_server_info(), transfer.seconds):
            cursor.execute(statement)
        # Of what changes a table's form no transaction is in the way: it would end it first. This knows queries alone.
        cursor.execute(f"EXPLAIN {query}")
        cursor.fetchall()
        cursor.execute(query)
        fields = cursor._result.fields  # the only place that says which numbers are unsigned
        check_names([field.name for field in fields], "the query's result")
    except pymysql.Error as error:
        raise _explained(error, source, transfer) from None
    schema = pa.schema([(field.name, _type(field)) for field in fields])
    texts = [field.name for field in fields if field.type_code in _decimals()]
    return pa.RecordBatchReader.from_batches(schema, _batches(cursor, schema, source, transfer)), texts


def _connected(source: str) -> "Connection[Any]":
    import pymysql
    from pymysql.converters import encoders
    from pymysql.cursors import SSCursor

    parts = urlsplit(source)
    authority = parse_qs(parts.query).get("ssl_ca", [""])[0]
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or "") or os.environ.get(USER, ""),
        password=unquote(parts.password or "") or os.environ.get(PASSWORD, ""),
        database=unquote(parts.path.lstrip("/")) or None,
        charset="utf8mb4",
        conv=dict(encoders),  # and no decoders: text is converted by column
        cursorclass=SSCursor,  # rows are not gathered before the first one comes
        connect_timeout=_CONNECT_SECONDS,
        ssl=ssl.create_default_context(cafile=authority) if authority else None,
    )


def _given_up(database: "Connection[Any]") -> None:
    """Close a connection whose rows were not all read; the driver would read them to the end."""
    if database._result is not None:
        database._result.unbuffered_active = False
    database.close()


def _settings(version: str, seconds: int) -> list[str]:
    """A read-only transaction, whose times are UTC and whose query ends in time."""
    limit = (
        f"SET SESSION max_statement_time = {seconds}"
        if "mariadb" in version.lower()
        else f"SET SESSION max_execution_time = {1000 * seconds}"
    )
    return ["SET SESSION time_zone = '+00:00'", limit, "START TRANSACTION READ ONLY"]


def _decimals() -> tuple[int, ...]:
    from pymysql.constants import FIELD_TYPE

    return (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL)


def _type(field: Any) -> pa.DataType:
    from pymysql.constants import FIELD_TYPE as KIND
    from pymysql.constants import FLAG

    unsigned = bool(field.flags & FLAG.UNSIGNED)
    whole = {
        KIND.TINY: (pa.int8(), pa.uint8()),
        KIND.SHORT: (pa.int16(), pa.uint16()),
        KIND.YEAR: (pa.int16(), pa.uint16()),
        KIND.INT24: (pa.int32(), pa.uint32()),
        KIND.LONG: (pa.int32(), pa.uint32()),
        KIND.LONGLONG: (pa.int64(), pa.uint64()),
        KIND.BIT: (pa.uint64(), pa.uint64()),
    }
    if field.type_code in whole:
        return whole[field.type_code][unsigned]
    if field.type_code == KIND.FLOAT:
        raise UserError(
            f"column '{field.name}' of the query's result is a FLOAT, of which the server sends 6 digits; CAST it AS "
            "DOUBLE in the query"
        )
    texts = (*_decimals(), KIND.JSON, KIND.TIME, KIND.ENUM, KIND.SET)
    plain = {
        KIND.DOUBLE: pa.float64(),
        KIND.DATE: pa.date32(),
        KIND.NEWDATE: pa.date32(),
        KIND.DATETIME: pa.timestamp("us"),
        KIND.TIMESTAMP: pa.timestamp("us", "UTC"),
        **dict.fromkeys(texts, pa.string()),
    }
    return plain.get(field.type_code, pa.binary() if field.charsetnr == _BINARY else pa.string())


def _batches(cursor: Any, schema: pa.Schema, source: str, transfer: Transfer) -> Iterator[pa.RecordBatch]:
    import pymysql

    while True:
        try:
            rows = cursor.fetchmany(chunk_rows(schema))
        except pymysql.Error as error:
            raise _explained(error, source, transfer) from None
        if not rows:
            return
        columns = list(zip(*rows, strict=True))
        yield pa.record_batch([_array(*each) for each in zip(columns, schema, strict=True)], schema)


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Values as the server writes them, as the type of their column."""
    if field.type == pa.uint64() and any(isinstance(value, bytes) for value in values):  # BIT
        return pa.array([None if value is None else int.from_bytes(value, "big") for value in values], field.type)
    if pa.types.is_binary(field.type):
        return pa.array([value.encode() if isinstance(value, str) else value for value in values], field.type)
    texts = pa.array([value.decode() if isinstance(value, bytes) else value for value in values], pa.string())
    try:
        if pa.types.is_timestamp(field.type):  # the session's times are UTC
            return texts.cast(pa.timestamp("us")).cast(field.type)
        return texts.cast(field.type)
    except pa.ArrowInvalid as error:
        raise UserError(
            f"column '{field.name}' of the query's result holds what is no {field.type} ({words_of(error)}); make it "
            "missing in the query, such as by NULLIF"
        ) from None


def _explained(error: Exception, source: str, transfer: Transfer) -> Exception:
    """What to raise: codes from 2000 on are the client's own, of the connection."""
    transfer.check_time()
    code, words = error.args[0], database_words(error, source)
    if code in _STATES or not isinstance(code, int) or 2000 <= code < 3000:
        return PlatformError(f"'{redact(source)}' failed ({words}); try again later, or check the rights")
    return UserError(f"the query on '{redact(source)}' failed ({words}); fix it")
