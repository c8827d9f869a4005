"""A quick check of a source: is it there, may it be read, and which columns has it?"""

import csv
import io
import uuid
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

from kubeline.addresses import file_system, refuse_credentials, scheme
from kubeline.data.failures import refuse_web_page
from kubeline.data.sources import DATABASES, STORES, WEB, link_local, local_path, remote_errors, remote_paths

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST = 1 << 20  # bytes in which a header is looked for


TypedColumns = dict[str, "pa.DataType | None"]  # with their types, where a file says them (Parquet)


def column_names(source: str, file_format: str = "auto") -> list[str] | None:
    """The names of :func:`columns_of`."""
    found = columns_of(source, file_format)
    return None if found is None else [*found]


def columns_of(source: str, file_format: str = "auto") -> TypedColumns | None:
    """The columns of the first file of `source`; None where loading alone shows them (archives, JSON, databases).

    Raises:
        UserError: when nothing is there.
        PlatformError: when the store cannot be reached, or does not let this user read.
    """
    kind = scheme(source)
    refuse_credentials(source, "data")
    if kind in DATABASES:
        return None
    if kind in ("", "file"):
        with TemporaryDirectory(prefix="kubeline-peek-") as scratch:
            first = link_local(local_path(source), Path(scratch), lambda _: True)[0]
            with first.path.open("rb") as file:
                return _columns(file, first.name, file_format)
    if kind not in STORES and kind not in WEB:
        return None  # load says what it takes
    with remote_errors(source):
        system, _, paths = remote_paths(source)
        with system.open(paths[0], "rb") as file:
            return _columns(file, paths[0], file_format)


def reach(uri: str) -> None:
    """List a place in an object store, whether anything is there yet or not.

    Raises:
        PlatformError: when it cannot be reached, or does not let this user read.
    """
    refuse_credentials(uri, "address")
    with remote_errors(uri):
        system, path = file_system(uri)
        try:
            system.ls(path, detail=False)
        except FileNotFoundError:
            system.ls(path.partition("/")[0], detail=False)  # the bucket at least


def write_and_delete(uri: str) -> None:
    """Write a small object beside a place in an object store, and delete it: whoever may do so can put a package there.

    Raises:
        PlatformError: when the store does not let this user write, or delete.
    """
    with remote_errors(uri):
        system, path = file_system(uri)
        probe = f"{path.rstrip('/')}.kubeline-preflight-{uuid.uuid4().hex}"  # beside it: a package holds its own files
        system.pipe_file(probe, b"written by a preflight, which deletes it")
        system.rm_file(probe)


def _columns(file: BinaryIO | Any, name: str, file_format: str) -> TypedColumns | None:
    """The columns in the file, and those in the names of its folders (``date=2013-10-01``)."""
    found = _in_file(file, name, file_format)
    folders = [part.partition("=")[0] for part in PurePosixPath(name).parts[:-1] if "=" in part]
    return None if found is None else dict.fromkeys([*found, *folders]) | found


def _in_file(file: BinaryIO | Any, name: str, file_format: str) -> TypedColumns | None:
    ending = PurePosixPath(name).suffix.lower() if file_format == "auto" else f".{file_format}"
    if ending in (".parquet", ".pq"):
        import pyarrow.parquet as pq

        return {field.name: field.type for field in pq.read_schema(file)}
    if ending in (".csv", ".tsv", ".tab"):
        first = file.read(_FIRST)
        refuse_web_page(first[:1024], name)
        header = _header(first, "," if ending == ".csv" else "\t")
        return None if header is None else dict.fromkeys(header)
    refuse_web_page(file.read(1024), name)  # and it may be read
    return None


def _header(text: bytes, delimiter: str) -> list[str] | None:
    try:
        rows = csv.reader(io.StringIO(text.decode("utf-8-sig", errors="strict"), newline=""), delimiter=delimiter)
        header = next(rows, None)
    except (UnicodeDecodeError, csv.Error):  # load reports what is wrong, or reads it
        return None
    if header is not None and len(header) == 1 and any(other in header[0] for other in ";|\t"):
        return None  # another delimiter, which load may know
    return header
