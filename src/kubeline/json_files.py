"""JSON that a step is given: no larger and no deeper than such a document can be."""

import json
from pathlib import Path
from typing import Any, BinaryIO

from kubeline.errors import UserError

MAX_BYTES = 16 << 20  # a schema of ten thousand columns


def contents(stream: BinaryIO, what: str, most: int = MAX_BYTES) -> bytes:
    """The bytes of a document.

    Args:
        stream: opened for reading; no more than `most` bytes of it are held.
        what: it is, for errors, such as ``schema 'orders.json'``.
        most: bytes that such a document can have.

    Raises:
        UserError: when there are more.
    """
    content = stream.read(most + 1)
    if len(content) > most:
        raise UserError(f"{what} is larger than {most / (1 << 20):g} MiB; give a smaller one")
    return content


def contents_of(file: str | Path, what: str, most: int = MAX_BYTES) -> bytes:
    """The bytes of a file, see :func:`contents`.

    Raises:
        UserError: when there are more, or it is no file: what a device or a pipe gives has no end.
        OSError: when it cannot be read.
    """
    place = Path(file)
    if place.exists() and not place.is_file():
        raise UserError(f"{what} is a folder or a device; give a file")
    with place.open("rb") as stream:
        return contents(stream, what, most)


def parse(content: bytes | str, what: str, **options: Any) -> Any:
    """The value of a JSON text.

    Args:
        content: the text.
        what: it is, for errors.
        options: of :func:`json.loads`.

    Raises:
        UserError: when it nests too deep.
        ValueError: when it is no JSON.
    """
    try:
        return json.loads(content, **options)
    except RecursionError as error:
        raise UserError(f"{what} is nested too deep; flatten it") from error
