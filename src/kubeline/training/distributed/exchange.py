"""Where a worker takes the files of a training from and leaves what it made: a folder, or the server of the step."""

import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar

from kubeline.artifacts import publish
from kubeline.errors import PlatformError

FOLDER, URL, TOKEN, CERTIFICATE = (f"KUBELINE_EXCHANGE_{name}" for name in ("FOLDER", "URL", "TOKEN", "CERTIFICATE"))
_SECONDS = 60.0  # for an answer to begin, and between two pieces of it
_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each further attempt: a server that is gone is given up soon

T = TypeVar("T")


class Folder:
    """The files of one training by name, in a folder that the step and its workers share."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fetch(self, name: str) -> Path | None:
        """The file on this machine; None when there is none of that name."""
        path = self._path / name
        return path if path.is_file() else None

    def put(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        with publish(self._path / name) as path:
            path.write_bytes(content)


class Remote:
    """The step's server, whose certificate is known and who is shown a token.

    Args:
        url: of the server.
        token: is sent with each request.
        certificate: of the server, PEM.
        waits: seconds before each further attempt.
    """

    def __init__(self, url: str, token: str, certificate: str, waits: Sequence[float] = _WAITS) -> None:
        self._url, self._waits = url, waits
        self._headers = {"Authorization": f"Bearer {token}"}
        self._context = ssl.create_default_context(cadata=certificate)
        self._cache = tempfile.TemporaryDirectory()  # of this pod

    def fetch(self, name: str) -> Path | None:
        """As of :class:`Folder`.

        Raises:
            PlatformError: when the server does not answer, or not to the end.
        """
        return self._repeated(lambda: self._fetch(name), f"fetching {name}")

    def put(self, name: str, content: bytes) -> None:
        """As of :class:`Folder`.

        Raises:
            PlatformError: when the server does not answer.
        """
        self._repeated(lambda: self._put(name, content), f"sending {name}")

    def _fetch(self, name: str) -> Path | None:
        try:
            path = Path(self._cache.name) / name
            with self._ask("GET", name, None) as answer, path.open("wb") as file:
                shutil.copyfileobj(answer, file, 1 << 20)
                if file.tell() != int(answer.headers["Content-Length"]):
                    raise OSError("the answer has no end")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return path

    def _put(self, name: str, content: bytes) -> None:
        with self._ask("PUT", name, content):
            pass

    def _ask(self, method: str, name: str, content: bytes | None) -> "urllib.request._UrlopenRet":
        request = urllib.request.Request(f"{self._url}/{name}", content, self._headers, method=method)  # noqa: S310
        return urllib.request.urlopen(request, timeout=_SECONDS, context=self._context)  # noqa: S310

    def _repeated(self, work: Callable[[], T], doing: str) -> T:
        for wait in self._waits:
            with suppress(OSError, HTTPException):
                return work()
            time.sleep(wait)
        try:
            return work()
        except (OSError, HTTPException) as error:
            raise PlatformError(
                f"{doing} failed: the training step at {self._url} does not answer ({error})"
            ) from error


Exchange = Folder | Remote


def exchange_of(environment: Mapping[str, str]) -> Exchange:
    """What a worker's environment names."""
    if FOLDER in environment:
        return Folder(Path(environment[FOLDER]))
    return Remote(environment[URL], environment[TOKEN], environment[CERTIFICATE])
