"""Payload logs and tables of outcomes, read by the engine of `load`, shut in as there: by DuckDB."""
# ruff: noqa: S608 - names and paths in queries are quoted

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from kubeline.columns import Kind
from kubeline.data.conditions import first_line
from kubeline.data.duck import Connection
from kubeline.data.engine import fetch, identifier, literal
from kubeline.data.sources import SourceFile
from kubeline.errors import UserError, listed
from kubeline.masking import words_of
from kubeline.typing import Array

logger = logging.getLogger(__name__)

ID, ROW, TIME, VERSION = "request.id", "request.row", "request.time", "model.version"
PLACE = "request.place"  # of a row in the log that was taken
LOG = "log"  # what is taken of a payload log
_READERS = {
    "parquet": "read_parquet({files}, union_by_name = true, hive_partitioning = false)",
    # The first line is the header, whatever the lines below it look like: what is no header is not shown as one.
    "csv": "read_csv({files}, union_by_name = true, hive_partitioning = false, "
    "delim = ',', quote = '\"', escape = '\"', header = true, skip = 0{types})",
    "json": "read_json({files}, union_by_name = true, hive_partitioning = false)",
}


@dataclass(frozen=True)
class Opened:
    """Files as one table: what follows FROM in a query, and the types of its columns by their names."""

    source: str
    types: Mapping[str, str]
    what: str

    def require(self, columns: Sequence[str]) -> None:
        """Raise a :class:`UserError` that names the columns which the table lacks."""
        if missing := [name for name in columns if name not in self.types]:
            raise UserError(
                f"the {self.what} has no column {listed(missing)} (there are: {listed(list(self.types))}); is it of "
                "this model?"
            )


def opened(connection: Connection, files: Sequence[SourceFile], what: str) -> Opened:
    """The files as one table, in which a request's id is text, whatever a file of text makes of it.

    Raises:
        UserError: when they are of another format, or one cannot be read.
    """
    import duckdb

    formats = {file.format for file in files}
    if len(formats) > 1 or not formats <= set(_READERS):
        raise UserError(f"the {what} is of the formats {listed(sorted(formats))}; expected Parquet, CSV or JSON lines")
    reader, names = _READERS[formats.pop()], ", ".join(literal(str(file.path)) for file in files)
    try:
        source = reader.format(files=f"[{names}]", types="")
        types = _types(connection, source)
        if ID in types:
            source = reader.format(files=f"[{names}]", types=f", types = {{{literal(ID)}: 'VARCHAR'}}")
        return Opened(source, types, what)
    except duckdb.Error as error:
        raise UserError(f"'{files[0].name}' of the {what} cannot be read ({first_line(words_of(error))})") from error


def whole(connection: Connection, files: Sequence[SourceFile]) -> list[SourceFile]:
    """The files that are whole: the last one of a log may be cut, and the rows of the others count all the same."""
    import duckdb

    found = []
    for file in files:
        try:
            _types(connection, f"read_parquet({literal(str(file.path))})")
        except duckdb.Error as error:
            logger.warning("'%s' is no whole Parquet file and is left out (%s)", file.name, first_line(words_of(error)))
        else:
            found.append(file)
    if not found:
        raise UserError(f"'{files[0].name}' and all other files of the payload log are no whole Parquet files")
    return found


def keep(connection: Connection, query: str, order: str = "") -> int:
    """Make `LOG` of the rows of a query, each with its `PLACE`; how many they are."""
    connection.execute(
        f"CREATE OR REPLACE TABLE {LOG} AS SELECT * REPLACE (CAST({identifier(ID)} AS VARCHAR) AS {identifier(ID)}), "
        f"row_number() OVER ({order}) - 1 AS {identifier(PLACE)} FROM ({query})"
    )
    ((rows,),) = fetch(connection, f"SELECT count(*) FROM {LOG}")
    return int(rows)


def hold(connection: Connection, columns: Mapping[str, Array]) -> None:
    """Make `LOG` of columns, of which one is `ID`."""
    names = ", ".join(f"unnest(?) AS {identifier(name)}" for name in columns)
    connection.execute(
        f"CREATE OR REPLACE TABLE {LOG} AS SELECT *, row_number() OVER () - 1 AS {identifier(PLACE)} "
        f"FROM (SELECT {names})",
        [values.tolist() for values in columns.values()],
    )


def drawn(share: float) -> str:
    """A condition on a request: by a hash of its id, other than the one by which the server draws."""
    chosen = f"md5_number_lower('rollout' || CAST({identifier(ID)} AS VARCHAR)) < {int(share * 2**64)}::UHUGEINT"
    return "true" if share >= 1 else chosen


def arrays(connection: Connection, columns: Sequence[str]) -> dict[str, Array]:
    """The columns of `LOG` in the order of places, and ``request``: equal numbers for equal ids.

    Numbers are float64, NaN where one is missing; texts are objects.
    """
    names = ", ".join(identifier(name) for name in columns)
    request = f"dense_rank() OVER (ORDER BY {identifier(ID)}) AS request"
    ordered = f"SELECT {request}{', ' * bool(columns)}{names} FROM {LOG} ORDER BY {identifier(PLACE)}"
    return {name: _filled(values) for name, values in connection.execute(ordered).fetchnumpy().items()}


def plain_rows(connection: Connection, kinds: Mapping[str, Kind]) -> list[dict[str, Any]]:
    """The rows of `LOG` as a client of the model server sends them, in the order of places.

    Args:
        connection: that has `LOG`.
        kinds: of the features, by their names.
    """
    types = _types(connection, LOG)
    zoned = {name for name in kinds if "TIMESTAMPTZ" in types[name] or "TIME ZONE" in types[name]}
    # In microseconds, as Python has them, of UTC: what has a zone would need another library to become Python's.
    times = {name: f"CAST({identifier(name)} AS TIMESTAMP)" for name in kinds if "TIMESTAMP" in types[name]}
    nanoseconds = [name for name in times if "_NS" in types[name]]  # which a cast would round up
    times |= {name: f"make_timestamp(epoch_ns({identifier(name)}) // 1000)" for name in nanoseconds}
    values = ", ".join(times.get(name) or identifier(name) for name in kinds)
    rows = fetch(connection, f"SELECT {values} FROM {LOG} ORDER BY {identifier(PLACE)}")
    return [{name: _plain(value, name in zoned) for name, value in zip(kinds, row, strict=True)} for row in rows]


def numbers(values: Sequence[Any], name: str) -> Array:
    """(n,) float64 of numbers, or of true and false.

    Raises:
        UserError: when one is something else, or infinite.
    """
    if other := next((value for value in values if not isinstance(value, int | float | Decimal)), None):
        raise UserError(f"column '{name}' of the outcomes holds {type(other).__name__} where a number is expected")
    found: Array = np.array([float(value) for value in values], dtype=np.float64)
    if np.isinf(found).any():
        raise UserError(f"column '{name}' of the outcomes holds an infinite number; make it finite or missing")
    return found


def _types(connection: Connection, source: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in fetch(connection, f"DESCRIBE SELECT * FROM {source}")}


def _filled(values: Array) -> Array:
    if values.dtype == object:
        texts: Array = np.ma.getdata(values).copy()
        texts[np.ma.getmaskarray(values)] = None
        return texts
    if values.dtype.kind in "iu" and not np.ma.isMaskedArray(values):
        return values
    filled: Array = np.ma.filled(np.ma.asarray(values, np.float64), np.nan)
    return filled


def _plain(value: Any, zoned: bool) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC if zoned else None).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float | Decimal):
        return None if value != value else float(value)  # noqa: PLR0124 - NaN alone is not itself
    return value
