"""Files as DuckDB relations: their columns and how to scan them."""
# ruff: noqa: S608 - names and paths in queries are quoted, filters are checked

import codecs
import csv
import io
import json
import re
import struct
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from kubeline.data import json_digits, partitions, timespan
from kubeline.data.arrow_files import check_batches, check_values
from kubeline.data.conditions import first_line
from kubeline.data.duck import Connection
from kubeline.data.engine import BUFFER_BYTES, fetch, identifier, literal
from kubeline.data.failures import explain, refuse_web_page
from kubeline.data.limits import ADVICE, COLUMNS, CSV_LINE, JSON_LINE, PAGES, RATIO, readable, scaled
from kubeline.data.lines import Lines
from kubeline.data.reading import MIXED, UNKNOWN, Table
from kubeline.data.sources import SourceFile
from kubeline.errors import UserError, listed
from kubeline.masking import without_values

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_HEADER_BYTES = 1 << 20
_HEADER_MOST = 32 << 20  # of a first line that does not end
_DELIMITERS = ",;\t|"
_DECIMAL_DIGITS = 38  # of the engine's exact numbers
_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def open_file(connection: Connection, file: SourceFile) -> Table:
    """One file as a table.

    Raises:
        UserError: when it is empty, is not what its format says, or its columns have no or equal names.
    """
    if not file.path.stat().st_size:
        raise UserError(f"'{file.name}' is empty; expected a table with at least one row")
    with file.path.open("rb") as stream:
        refuse_web_page(stream.read(1024), file.name)
    reader = {"csv": _csv, "tsv": _csv, "json": _json, "parquet": _parquet, "feather": _feather}[file.format]
    table = reader(connection, file)
    index = [name for name in table.raw if name in table.index or _INDEX.fullmatch(name)]
    beside = partitions.differing(connection, table, file)
    return _with_partitions(replace(table, index=index, size=file.path.stat().st_size, beside=beside), file)


# What pandas calls an index without a name, in Parquet and after a CSV file without index=False.
_INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0(?:\.\d+)?")


def _with_partitions(table: Table, file: SourceFile) -> Table:
    """The table with the columns that the names of its folders hold; a column of the file itself comes first."""
    known = {name.casefold() for name in table.raw}
    known |= {"date"} if timespan.COLUMN in table.raw else set()  # a log's folders say no more than its times
    added = {name: value for name, value in file.partitions if name.casefold() not in known}
    if not added:
        return table
    check_names([*table.raw, *added], file.name)
    values = ", ".join(
        f"{'CAST(NULL AS VARCHAR)' if value is None else literal(value)} AS {identifier(name)}"
        for name, value in added.items()
    )
    relation = f"(SELECT *, {values} FROM {table.relation})"
    lines = [replace(each, beside=added) for each in table.lines]
    return replace(table, relation=relation, raw={**table.raw, **dict.fromkeys(added, UNKNOWN)}, lines=lines)


def check_names(names: list[str], table: str) -> list[str]:
    """The names, when every column has one of its own.

    Raises:
        UserError: when one is empty, two are equal but for upper and lower case (which SQL does not distinguish), or
            there are more than `COLUMNS`.
    """
    if len(names) > scaled(COLUMNS):
        raise UserError(
            f"'{table}' has {len(names):,} columns, and at most {scaled(COLUMNS):,} are read: it may be on its side, "
            f"or without line ends; {ADVICE}"
        )
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
    """The columns that all tables have, in the order of the first; an index of pandas may be in some of them only.

    Raises:
        UserError: when a table has other columns than the first; it names the table and the columns.
    """
    first = tables[0]
    index = {name for table in tables for name in table.index}
    for table in tables[1:]:
        missing = [name for name in first.raw if name not in table.raw and name not in index]
        extra = [name for name in table.raw if name not in first.raw and name not in index]
        if missing or extra:
            parts = [f"lacks {listed(missing)}"] * bool(missing) + [f"has {listed(extra)} as well"] * bool(extra)
            raise UserError(
                f"'{table.name}' {' and '.join(parts)}, compared with '{first.name}'; all files of one source need the "
                "same columns"
            )
    return [name for name in first.raw if all(name in table.raw for table in tables)]


def index_columns(tables: list[Table], names: Sequence[str]) -> tuple[list[str], str]:
    """Those of `names` that pandas wrote as the index of the rows, and the warning that they are left out."""
    found = [name for name in names if any(name in table.index for table in tables)]
    if not found:
        return [], ""
    words = f"columns {listed(map(repr, found))} are" if len(found) > 1 else f"column '{found[0]}' is"
    return found, (
        f"{words} the index that pandas gave the rows, which says where a row stood and not what it is, and left out; "
        "to take an index that means something, name all columns that are wanted in columns"
    )


def _csv(connection: Connection, file: SourceFile) -> Table:
    delimiter, end, names = _header(file)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in check_names(names, file.name))
    # Nothing is sniffed from a sample, nothing is skipped and nothing is padded: a row that does not fit is an error.
    relation = (
        f"read_csv({literal(str(file.path))}, columns = {{{columns}}}, auto_detect = false, header = true, skip = 0, "
        f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', comment = '', strict_mode = true, "
        + "new_line = '\\r', "
        * (end == "\r")
        + f"null_padding = false, ignore_errors = false, compression = 'none', max_line_size = {scaled(CSV_LINE)}, "
        f"buffer_size = {max(BUFFER_BYTES, scaled(CSV_LINE))})"
    )
    is_by_line = len(names) > 1 and end in ("\n", "\r\n") and not any("\n" in name or "\r" in name for name in names)
    lines = [Lines(file.path, delimiter, names, end)] if is_by_line else ()
    return Table(file.name, relation, dict.fromkeys(names, UNKNOWN), lines=lines)


def _header(file: SourceFile) -> tuple[str, str, list[str]]:
    """Delimiter, line end (empty where there is none), and column names.

    The delimiter is a tab for TSV, else the one that parts the first line the most.
    """
    line, end = _first_line(file)
    outside = re.sub(r'"[^"]*"', "", line)
    delimiter = "\t" if file.format == "tsv" else max(_DELIMITERS, key=outside.count)
    try:
        names = next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        if len(line) > csv.field_size_limit():
            raise UserError(
                f"the first line of '{file.name}' is one of {len(line):,} characters that {delimiter!r} does not part "
                "into names of columns; give the file its own format (csv, tsv), or write it with line ends"
            ) from error
        raise UserError(f"the first line of '{file.name}' is not a header ({error}); expected column names") from error
    if not names:
        raise UserError(f"the first line of '{file.name}' is blank; expected column names")
    return delimiter, end, names


# Up to its end, a line feed, a carriage return or both; quotes may hold any of them.
_LINE = re.compile(r'((?:[^"\r\n]|"[^"]*")*)(\r\n|\r(?!$)|\n)')


def _first_line(file: SourceFile) -> tuple[str, str]:
    """The first line of a text file, and what ends it."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    text, read = "", 0
    with file.path.open("rb") as stream:
        while True:
            head = stream.read(_HEADER_BYTES)
            try:
                text += decoder.decode(head, final=not head)
            except UnicodeDecodeError as error:
                line = text.count("\n") + error.object.count(b"\n", 0, error.start) + 1
                raise UserError(
                    f"line {line:,} of '{file.name}' is not UTF-8 text (byte {error.object[error.start]:#04x}); "
                    "convert the file to UTF-8"
                ) from error
            if "\0" in text:
                raise UserError(
                    f"'{file.name}' holds binary data, not text; expected a {file.format.upper()} file in UTF-8"
                )
            if found := _LINE.match(text if head else text + "\n"):
                return found.group(1), found.group(2)
            read += len(head)
            if not head or read > _HEADER_MOST:
                return text, ""


def _json(connection: Connection, file: SourceFile) -> Table:
    import duckdb

    options = (
        "format = 'newline_delimited', records = true, map_inference_threshold = -1, "
        f"maximum_object_size = {scaled(JSON_LINE)}"
    )
    path = literal(str(file.path))
    try:
        fields = fetch(connection, f"DESCRIBE SELECT * FROM read_json({path}, sample_size = -1, {options})")
    except duckdb.InvalidInputException as error:
        if "maximum_object_size" in str(error):
            raise explain(file.name, str(error)) from error
        line = _broken_line(file)
        place = f"line {line:,} of '{file.name}'" if line else f"'{file.name}'"
        raise UserError(
            f"{place} is not a JSON object ({without_values(first_line(str(error)))}); expected one object on each line"
        ) from error
    inferred = {name: kind for name, kind, *_ in fields}
    check_names(list(inferred), file.name)
    # DuckDB takes more notations for dates than the ISO one, and guesses which number is the month.
    dates = {name for name, kind in inferred.items() if kind.startswith(("DATE", "TIMESTAMP"))}
    # Numbers of more than 64 bits would become doubles: they are read with all their digits, and checked.
    numbers = {name for name, kind in inferred.items() if kind in ("DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT")}
    kinds = {name: "VARCHAR" if name in dates | numbers else kind for name, kind in inferred.items()}
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in kinds.items())
    relation = f"read_json({path}, columns = {{{columns}}}, {options})"
    special = dict.fromkeys(dates | numbers, UNKNOWN) | {name: MIXED for name, kind in kinds.items() if kind == "JSON"}
    has_fractions = any("DOUBLE" in kind or "JSON" in kind for kind in inferred.values())
    rounded = json_digits.rounded(file.path) if has_fractions else {}
    return Table(file.name, relation, kinds | special, rounded=rounded)


def _broken_line(file: SourceFile) -> int:
    """The first line that is not JSON, or 0: DuckDB's own numbers are off by one."""
    with file.path.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(scaled(JSON_LINE) + 1), b""), 1):
            if len(line) > scaled(JSON_LINE):
                return 0
            try:
                json.loads(line or b"null")
            except (ValueError, RecursionError):  # nested some thousand levels deep
                return number
    return 0


def _parquet(connection: Connection, file: SourceFile) -> Table:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file.path) as parquet:
            schema, metadata = parquet.schema_arrow, parquet.metadata
        names = schema.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"'{file.name}' is not a whole Parquet file; copy or write it again") from error
    check_names(names, file.name)
    check_pages(metadata, file.name)
    relation = f"read_parquet({literal(str(file.path))}, hive_partitioning = false)"
    unlike = {each.name: each.type for each in schema if pa.types.is_duration(each.type) or _is_wide(each.type)}
    return replace(described(connection, file.name, relation), index=_pandas_index(schema), repeats=True, unlike=unlike)


def _is_wide(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) and kind.precision > _DECIMAL_DIGITS)


def unlike_columns(tables: list[Table], chosen: Sequence[str], text: Container[str]) -> list[str]:
    """Warnings about columns whose type the engine has not.

    Args:
        tables: of one source.
        chosen: columns that are taken.
        text: those that are asked for as text.

    Raises:
        UserError: when such a column would be rounded, or is in another unit in each table.
    """
    messages = []
    for name in chosen:
        kinds = {table.unlike[name] for table in tables if name in table.unlike}
        if wide := [kind for kind in kinds if _is_wide(kind)]:
            raise UserError(
                f"column '{name}' has decimals of {wide[0].precision} digits, and at most {_DECIMAL_DIGITS} are read "
                "as they are; write it with fewer, or as text, or leave it out by columns"
            )
        units = sorted({kind.unit for kind in kinds})
        if len(units) > 1 or (units and not all(name in table.unlike for table in tables)):
            raise UserError(
                f"column '{name}' holds lengths of time, but not in one unit in all files (found: {listed(units)}); "
                "write one unit"
            )
        if units and name not in text:
            messages.append(
                f"column '{name}' holds lengths of time, and is read as whole numbers of {_UNITS[units[0]]}; requests "
                "send them so"
            )
    return messages


def check_pages(metadata: "pq.FileMetaData", name: str) -> None:
    """Refuse a file whose pages come to far more than they seem: each is unpacked whole."""
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            size = chunk.total_uncompressed_size
            if size > scaled(PAGES) and size > RATIO * chunk.total_compressed_size:
                raise UserError(
                    f"column '{chunk.path_in_schema}' of '{name}' unpacks to {readable(size)} in one row group, "
                    f"{size // max(1, chunk.total_compressed_size):,} times what is stored; {ADVICE}"
                )


def _feather(connection: Connection, file: SourceFile) -> Table:
    import pyarrow.dataset as pads

    try:
        dataset = pads.dataset(str(file.path), format="feather")
        check_batches(file.path, file.name)
        check_values(dataset)
        names = dataset.schema.names
    except (pa.ArrowException, OSError, struct.error, IndexError, UnicodeDecodeError) as error:
        raise UserError(f"'{file.name}' is not a whole Feather file (version 2); copy or write it again") from error
    check_names(names, file.name)
    view = f"feather {file.path.name}"
    connection.register(view, dataset)
    return replace(
        described(connection, file.name, identifier(view)), index=_pandas_index(dataset.schema), repeats=True
    )


def _pandas_index(schema: pa.Schema) -> list[str]:
    """The columns that pandas wrote as the index of its rows, by the metadata that it leaves."""
    try:
        index = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
        return [name for name in index if isinstance(name, str)]  # a range is no column
    except (KeyError, TypeError, ValueError):
        return []


def described(connection: Connection, name: str, relation: str) -> Table:
    """A table whose columns have the types that DuckDB sees; no row is read."""
    scan = connection.sql(f"SELECT * FROM {relation}")
    return Table(name, relation, dict(zip(scan.columns, map(str, scan.types), strict=True)))
