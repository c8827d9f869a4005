"""The folder of a payload log, on disk or in an object store: a file is there whole or not at all."""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubeline.addresses import redact, refuse_credentials, scheme
from kubeline.data.sources import STORES
from kubeline.errors import KubelineError, PlatformError, UserError

_START_SECONDS = 30.0
# A put shows an object when all of it is there; other file systems show a file while it is written.
_ATOMIC_PUT = (*STORES, "memory")


class PayloadStore:
    """A folder that files are written to, each appearing under its name only when it is complete.

    Nothing is read or listed, so the right to create objects is enough. What a process that was killed leaves behind
    has a name that begins with a dot, which no reader of a dataset takes.
    """

    def __init__(self, uri: str):
        """Take a path or an address of any fsspec file system.

        Raises:
            UserError: when there is no such file system, or its driver is not installed.
        """
        import fsspec

        refuse_credentials(uri, "payload_log")
        self.shown = redact(uri)
        self._local = scheme(uri) in ("", "file")
        self._atomic = scheme(uri) in _ATOMIC_PUT
        try:
            self._system, self._folder = fsspec.core.url_to_fs(uri, skip_instance_cache=True)
        except ImportError as error:
            raise UserError(
                f"the payload log cannot be written to '{self.shown}': {error}; use an image with this driver"
            ) from None
        except ValueError as error:
            raise UserError(
                f"the payload log cannot be written to '{self.shown}': {error}; check the address"
            ) from None
        except Exception as error:  # each driver's own: no project, no credentials, …
            raise PlatformError(self._refused(error)) from None

    def check(self, name: str) -> None:
        """Write and remove an empty file, so that a log that cannot be written fails at start.

        Raises:
            PlatformError: when it cannot be written, or the store does not answer within 30 s.
        """
        ended: list[Exception | None] = []

        def attempt() -> None:
            try:
                self.write(name, b"")
                ended.append(None)
            except Exception as error:
                ended.append(error)
                return
            with contextlib.suppress(Exception):  # a right to create need not be one to delete
                self._system.rm_file(self._path(name))

        thread = threading.Thread(target=attempt, name="payload-log-check", daemon=True)
        thread.start()
        thread.join(_START_SECONDS)
        if not ended:
            raise PlatformError(
                f"the payload log at '{self.shown}' did not answer within {_START_SECONDS:g} s; check the address and "
                "the network, or serve without --payload_log"
            )
        if isinstance(ended[0], KubelineError):
            raise ended[0]
        if ended[0] is not None:
            raise PlatformError(self._refused(ended[0]))

    def write(self, name: str, content: bytes) -> None:
        """Make the file `name` (a path below the folder, of a name not used before) with this content.

        Raises whatever the file system does.
        """
        path = self._path(name)
        if self._local:
            _write_local(Path(path), content)
        elif self._atomic:
            self._system.pipe_file(path, content)
        else:
            self._write_and_move(path, content)

    def _write_and_move(self, path: str, content: bytes) -> None:
        folder, _, name = path.rpartition("/")
        self._system.makedirs(folder, exist_ok=True)
        partial = f"{folder}/.{name}.partial"
        self._system.pipe_file(partial, content)
        self._system.mv(partial, path)

    def _path(self, name: str) -> str:
        return f"{self._folder.rstrip('/')}/{name}"

    def _refused(self, error: Exception) -> str:
        cause = " ".join(redact(str(error)).split()) or type(error).__name__
        return (
            f"the payload log cannot be written to '{self.shown}' ({cause}); give this server the right to write "
            "there, or serve without --payload_log"
        )


def _write_local(path: Path, content: bytes, flush: Callable[[int], Any] = os.fsync) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            flush(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems sync no folders
            flush(folder)
    finally:
        os.close(folder)
