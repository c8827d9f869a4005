"""Compressed files and archives, unpacked by streaming, and checked to be whole."""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from kubeline.data.limits import ADVICE, FILES, Unpacking, scaled
from kubeline.errors import UserError

COMPRESSIONS = (".gz", ".zst", ".zip")
_BLOCK = 1 << 20


def unpack(name: str, path: Path, allowed: Unpacking) -> Iterator[tuple[str, Path]]:
    """The plain files inside `path`, each with its name for messages; the file itself when it is not compressed.

    The first bytes decide, not the name. What is unpacked lies beside `path`. A reader that decompresses as it goes
    may take the end of a cut stream for the end of the table, so the whole stream is checked before a row is read.

    Raises:
        UserError: when the archive is damaged, encrypted or empty, or holds far more than it seems to.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        yield name, _decompress(name, path, gzip.GzipFile(path), allowed)
    elif magic == b"\x28\xb5\x2f\xfd":
        try:
            import pyarrow as pa  # here: a registry is asked for files as well, without a table
        except ImportError as error:  # in the image that deploys
            raise UserError(
                f"'{name}' is compressed by Zstandard, which is not read here; give it with gzip"
            ) from error

        yield name, _decompress(name, path, pa.CompressedInputStream(str(path), "zstd"), allowed)
    elif magic in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _unzip(name, path, allowed)
    else:
        yield name, path


def _decompress(name: str, path: Path, stream: Any, allowed: Unpacking) -> Path:
    plain = path.with_name(f"{path.name}-plain")
    try:
        with stream, plain.open("wb") as file:
            _copy(stream, file, name, allowed)
    except _DamagedError as error:
        raise UserError(f"'{name}' is cut off or damaged ({error}); copy or compress it again") from error
    return plain


class _DamagedError(Exception):
    """The compressed stream, not the disk that it is unpacked to, is at fault."""


def _copy(stream: IO[bytes], file: IO[bytes], name: str, allowed: Unpacking) -> None:
    """Write all of `stream`; an error of reading it is distinguished from one of writing."""
    while True:
        try:
            block = stream.read(_BLOCK)
        except (EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
            raise _DamagedError(str(error)) from error
        if not block:
            return
        allowed.take(len(block), name)
        file.write(block)


def _unzip(name: str, path: Path, allowed: Unpacking) -> Iterator[tuple[str, Path]]:
    found = False
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.filename)
            if len(members) > scaled(FILES):
                raise UserError(
                    f"the archive '{name}' holds {len(members):,} files, and at most {scaled(FILES):,} are read; "
                    f"{ADVICE}"
                )
            for number, member in enumerate(members):
                if member.is_dir() or _is_hidden(member.filename):
                    continue
                found = True
                plain = path.with_name(f"{path.name}-{number:05d}")
                with archive.open(member) as stream, plain.open("wb") as file:
                    _copy(stream, file, f"{name}/{member.filename}", allowed)
                yield f"{name}/{member.filename}", plain
    except (zipfile.BadZipFile, _DamagedError) as error:
        raise UserError(f"the archive '{name}' is cut off or damaged ({error}); copy or make it again") from error
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or a method that Python does not know
        raise UserError(
            f"the archive '{name}' cannot be unpacked ({error}); make it again without a password"
        ) from error
    if not found:
        raise UserError(f"the archive '{name}' holds no files; give one with a table in it")


def _is_hidden(member: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in member.split("/"))
