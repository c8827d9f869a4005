"""Reading the files of a package, which may come from anywhere: regular files of its own folder, of a stated size.

A link may lead out of the folder, a FIFO has no end and a device has effects: none is opened. Files are opened relative
to the folder's descriptor, and what the descriptor of a file says is what counts, so that nothing can be put in its
place meanwhile.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from kubeline.errors import KubelineError, PlatformError, UserError

_BROKEN_WORLD = {errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_KINDS = [
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
]


def read(folder: Path, name: str, most: int, size: int | None = None) -> bytes:
    """The content of one file.

    Args:
        folder: of the package.
        name: of the file in it.
        most: bytes that it may have.
        size: that it must have, or None when it is not known.

    Raises:
        UserError: when it is not a regular file, or not of that size; then nothing of it was read.
        PlatformError: when the file system does not give it.
    """
    with _opened(folder, name, most, size) as (file, there):
        content = file.read(there + 1)
        if len(content) != there:
            raise UserError(f"{name} of the model package at '{folder}' changed while it was read; fetch it again")
        return content


def digest(folder: Path, name: str, most: int, size: int | None = None) -> str:
    """The SHA-256 of one file as hexadecimal digits; arguments and errors are those of :func:`read`."""
    with _opened(folder, name, most, size) as (file, _):
        return hashlib.file_digest(file, "sha256").hexdigest()


def unexpected_file(folder: Path, known: Collection[str]) -> str:
    """A file of the folder, or below it, that is not among the `known` names; empty when there is none."""
    waiting = [folder]
    with _readable_errors(folder, "its folder"):
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    name = str(Path(entry.path).relative_to(folder))
                    if name in known:
                        continue
                    if not entry.is_dir(follow_symlinks=False):
                        return name
                    waiting.append(Path(entry.path))
    return ""


@contextmanager
def _opened(folder: Path, name: str, most: int, size: int | None) -> Iterator[tuple[BufferedReader, int]]:
    """The open file, and how many bytes it has."""
    with _readable_errors(folder, name):
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # before it is opened, as to open a device may have an effect, and not to wait for the writer of a FIFO
            _require_regular(folder, name, os.stat(name, dir_fd=place, follow_symlinks=False))
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.fdopen(os.open(name, flags, dir_fd=place), "rb")
        finally:
            os.close(place)
        with file:
            there = os.fstat(file.fileno())
            _require_regular(folder, name, there)
            _require_size(folder, name, there.st_size, most, size)
            yield file, there.st_size


def _require_regular(folder: Path, name: str, there: os.stat_result) -> None:
    if not stat.S_ISREG(there.st_mode):
        kind = next((words for is_kind, words in _KINDS if is_kind(there.st_mode)), "no file")
        raise UserError(
            f"{name} of the model package at '{folder}' is {kind}; a package consists of regular files: copy what it "
            "leads to, or fetch the package again"
        )


def _require_size(folder: Path, name: str, there: int, most: int, size: int | None) -> None:
    if size is not None and there != size:
        raise UserError(
            f"{name} of the model package at '{folder}' was changed after training: it has {there:,} bytes, the "
            f"manifest says {size:,}; do not use it, train or fetch it again"
        )
    if there > most:
        raise UserError(
            f"{name} of the model package at '{folder}' has {there:,} bytes, but at most {most:,} are read; do not use "
            "this package"
        )


@contextmanager
def _readable_errors(folder: Path, what: str) -> Iterator[None]:
    """What the file system refuses, as a sentence."""
    try:
        yield
    except KubelineError:
        raise
    except OSError as error:
        kind = PlatformError if error.errno in _BROKEN_WORLD else UserError
        raise kind(
            f"{what} of the model package at '{folder}' cannot be read: {error.strerror or error}; "
            + ("try again" if kind is PlatformError else "fetch the package again")
        ) from error
