"""Files as DuckDB relations: their columns and how to scan them."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

import codecs
import csv
import io
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from kubeline.data.engine import BUFFER_BYTES, fetch, first_line, identifier, literal
from kubeline.data.inference import MIXED, UNKNOWN, Table
from kubeline.data.sources import SourceFile
from kubeline.errors import UserError, listed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_HEADER_BYTES = 1 << 20
_DELIMITERS = ",;\t|"


def open_file(connection: "DuckDBPyConnection", file: SourceFile) -> Table:
    """One file as a table.

    Raises:
        UserError: when it is empty, is not what its format says, or its columns have no or equal names.
    """
    if not file.path.stat().st_size:
        raise UserError(f"'{file.name}' is empty; expected a table with at least one row")
    reader = {"csv": _csv, "tsv": _csv, "json": _json, "parquet": _parquet, "feather": _feather}[file.format]
    return reader(connection, file)


def check_names(names: list[str], table: str) -> list[str]:
    """The names, when every column has one of its own.

    Raises:
        UserError: when one is empty, or two are equal but for upper and lower case (which SQL does not tell apart).
    """
    seen: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise UserError(
                f"column {number} of '{table}' has no name; name it (an index written by pandas: index=False)"
            )
        if name.casefold() in seen:
            twin = seen[name.casefold()]
            how = (
                f"two columns '{name}'" if twin == name else f"columns '{twin}' and '{name}', which differ only in case"
            )
            raise UserError(f"'{table}' has {how}; rename one of them")
        seen[name.casefold()] = name
    return names


def agree(tables: list[Table]) -> list[str]:
    """The columns that all tables have, in the order of the first.

    Raises:
        UserError: when a table has other columns than the first; it names the table and the columns.
    """
    first = tables[0]
    for table in tables[1:]:
        missing = [name for name in first.raw if name not in table.raw]
        extra = [name for name in table.raw if name not in first.raw]
        if missing or extra:
            parts = [f"lacks {listed(missing)}"] * bool(missing) + [f"has {listed(extra)} as well"] * bool(extra)
            raise UserError(
                f"'{table.name}' {' and '.join(parts)}, compared with '{first.name}'; all files of one source need the "
                "same columns"
            )
    return list(first.raw)


def _csv(connection: "DuckDBPyConnection", file: SourceFile) -> Table:
    delimiter, names = _header(file)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in check_names(names, file.name))
    # Nothing is sniffed from a sample, nothing is skipped and nothing is padded: a row that does not fit is an error.
    relation = (
        f"read_csv({literal(str(file.path))}, columns = {{{columns}}}, auto_detect = false, header = true, skip = 0, "
        f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', comment = '', strict_mode = true, "
        f"null_padding = false, ignore_errors = false, compression = 'none', buffer_size = {BUFFER_BYTES})"
    )
    return Table(file.name, relation, dict.fromkeys(names, UNKNOWN))


def _header(file: SourceFile) -> tuple[str, list[str]]:
    """Delimiter and column names: the delimiter is a tab for TSV, else the one that parts the first line the most."""
    with file.path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"line {line:,} of '{file.name}' is not UTF-8 text (byte {head[error.start]:#04x}); "
            "convert the file to UTF-8"
        ) from error
    if "\0" in text:
        raise UserError(f"'{file.name}' holds binary data, not text; expected a {file.format.upper()} file in UTF-8")
    candidates = "\t" if file.format == "tsv" else _DELIMITERS
    try:
        rows = {delimiter: next(csv.reader(io.StringIO(text), delimiter=delimiter), []) for delimiter in candidates}
    except csv.Error as error:
        raise UserError(f"the first line of '{file.name}' is not a header ({error}); expected column names") from error
    delimiter = max(candidates, key=lambda candidate: len(rows[candidate]))
    if not rows[delimiter]:
        raise UserError(f"the first line of '{file.name}' is blank; expected column names")
    return delimiter, rows[delimiter]


def _json(connection: "DuckDBPyConnection", file: SourceFile) -> Table:
    import duckdb

    options = (
        "format = 'newline_delimited', records = true, map_inference_threshold = -1, maximum_object_size = 16777216"
    )
    path = literal(str(file.path))
    try:
        fields = fetch(connection, f"DESCRIBE SELECT * FROM read_json({path}, sample_size = -1, {options})")
    except duckdb.InvalidInputException as error:
        line = _broken_line(file)
        place = f"line {line:,} of '{file.name}'" if line else f"'{file.name}'"
        raise UserError(
            f"{place} is not a JSON object ({first_line(str(error))}); expected one object on each line"
        ) from error
    inferred = {name: kind for name, kind, *_ in fields}
    check_names(list(inferred), file.name)
    # DuckDB takes more notations for dates than the ISO one, and guesses which number is the month.
    dates = {name for name, kind in inferred.items() if kind.startswith(("DATE", "TIMESTAMP"))}
    kinds = {name: "VARCHAR" if name in dates else kind for name, kind in inferred.items()}
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in kinds.items())
    relation = f"read_json({path}, columns = {{{columns}}}, {options})"
    special = dict.fromkeys(dates, UNKNOWN) | {name: MIXED for name, kind in kinds.items() if kind == "JSON"}
    return Table(file.name, relation, kinds | special)


def _broken_line(file: SourceFile) -> int:
    """The first line that is not JSON, or 0: DuckDB's own numbers are off by one."""
    with file.path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                json.loads(line or b"null")
            except ValueError:
                return number
    return 0


def _parquet(connection: "DuckDBPyConnection", file: SourceFile) -> Table:
    try:
        schema = pq.read_schema(file.path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"'{file.name}' is not a whole Parquet file; copy or write it again") from error
    check_names(schema.names, file.name)
    relation = f"read_parquet({literal(str(file.path))}, hive_partitioning = false)"
    return described(connection, file.name, relation)


def _feather(connection: "DuckDBPyConnection", file: SourceFile) -> Table:
    try:
        dataset = pads.dataset(str(file.path), format="feather")
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"'{file.name}' is not a whole Feather file (version 2); copy or write it again") from error
    check_names(dataset.schema.names, file.name)
    view = f"feather {file.path.name}"
    connection.register(view, dataset)
    return described(connection, file.name, identifier(view))


def described(connection: "DuckDBPyConnection", name: str, relation: str) -> Table:
    """A table whose columns have the types that DuckDB sees; no row is read."""
    scan = connection.sql(f"SELECT * FROM {relation}")
    return Table(name, relation, dict(zip(scan.columns, map(str, scan.types), strict=True)))
