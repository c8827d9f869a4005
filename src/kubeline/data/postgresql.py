"""A query's result from PostgreSQL, by ADBC, with the worth that the values have there."""
# ruff: noqa: S608 - names in queries are quoted

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from kubeline.addresses import redact
from kubeline.data.engine import identifier
from kubeline.data.failures import database_words
from kubeline.data.tables import check_names
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError

# What the driver would hand over as another value: cents, a number with a sign that it does not have.
_CASTS = {"money": "numeric", "oid": "bigint"}
# -4713, the first year that the server knows, in days and microseconds since 1970; infinity comes as an earlier time.
_FIRST_DAY = -2_441_000
_FIRST = {pa.int32(): _FIRST_DAY, pa.int64(): _FIRST_DAY * 86_400_000_000}


def open_postgresql(
    source: str, query: str, resources: ExitStack, transfer: Transfer
) -> tuple[pa.RecordBatchReader, list[str]]:
    """The rows of a query in a read-only transaction, and the columns whose text is to be inspected.

    Types that the driver does not know (enumerations, addresses, ranges) come as the server writes them in text.

    Raises:
        UserError: when the query is wrong.
        PlatformError: when the server cannot be reached, or fails.
    """
    import adbc_driver_postgresql.dbapi as postgresql
    from adbc_driver_manager import Error, OperationalError

    try:
        database = resources.enter_context(closing(postgresql.connect(source)))
    except Error as error:
        raise PlatformError(
            f"'{redact(source)}' cannot be reached ({database_words(error, source)}); check host, network, user and "
            "password"
        ) from None
    try:
        cursor = resources.enter_context(closing(database.cursor()))
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute(f"SET LOCAL statement_timeout = '{transfer.seconds}s'")
        cursor.execute(_readable(query, cursor.adbc_execute_schema(query)))
        reader = cursor.fetch_record_batch()
    except OperationalError as error:
        raise PlatformError(f"'{redact(source)}' failed ({database_words(error, source)}); try again later") from None
    except Error as error:
        raise UserError(f"the query on '{redact(source)}' failed ({database_words(error, source)}); fix it") from None
    # NUMERIC comes as text, to keep all its digits, and says so in the field's type.
    texts = [field.name for field in reader.schema if "numeric" in str(field.type).lower()]
    return pa.RecordBatchReader.from_batches(reader.schema, _finite(reader)), texts


def _readable(query: str, schema: pa.Schema) -> str:
    """The query, with what the driver hands over in a form of its own cast to what it means."""
    casts = {}
    for field in schema:
        kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        opaque = isinstance(field.type, pa.OpaqueType) and pat.is_binary(field.type.storage_type)
        if kind in _CASTS or opaque:
            casts[field.name] = _CASTS.get(kind, "text")
    if not casts:
        return query
    columns = ", ".join(
        f"CAST({identifier(name)} AS {casts[name]}) AS {identifier(name)}" if name in casts else identifier(name)
        for name in check_names(schema.names, "the query's result")
    )
    return f"SELECT {columns} FROM (\n{query}\n) AS result"


def _finite(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches, whose times are all times.

    Raises:
        UserError: when one is infinite.
    """
    times = [field for field in reader.schema if pat.is_timestamp(field.type) or pat.is_date32(field.type)]
    for batch in reader:
        for field in times:
            plain = pa.int32() if pat.is_date32(field.type) else pa.int64()
            least = pc.min(batch.column(field.name).cast(plain)).as_py()
            if least is not None and least < _FIRST[plain]:
                raise UserError(
                    f"column '{field.name}' of the query's result holds an infinite time, which no dataset has; make "
                    f"it missing in the query, by CASE WHEN isfinite({field.name}) THEN {field.name} END"
                )
        yield batch
