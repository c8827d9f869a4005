"""Connections of urllib3 that end when the time of an exchange is over, and read no more bytes than they may.

Libraries that ask by urllib3 or requests have a time limit for each read only, and read whatever comes.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kubeline.http.watchdog import watch, watchdog


class TooLargeError(OSError):
    """An answer has more bytes than are read."""


def connections(kind: Any, most_bytes: int, note: Callable[[Any], None] = watch) -> Any:
    """A class of connections that a :func:`~kubeline.http.watchdog.watchdog` can end, new ones and open ones.

    Args:
        kind: of urllib3.
        most_bytes: of one answer, with its headers.
        note: called with each connection; that of the thread's watchdog.
    """

    class Answer(kind.response_class):  # type: ignore[misc]  # known when it runs
        fp: Any

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.fp = io.BufferedReader(_Counted(self.fp.detach(), most_bytes))

    class Bounded(kind):  # type: ignore[misc]
        response_class = Answer

        def _new_conn(self) -> Any:
            made = super()._new_conn()
            note(made)
            return made

        def request(self, *args: Any, **options: Any) -> Any:
            if self.sock is not None:
                note(self.sock)
            return super().request(*args, **options)

    return Bounded


@contextmanager
def bounded_requests(seconds: float, most_bytes: int) -> Iterator[None]:
    """Within it, the requests that libraries make, in any thread, have bounds; for a process that makes no others.

    Raises:
        TimeoutError: when the time was over.
    """
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

    pools: tuple[Any, ...] = (HTTPConnectionPool, HTTPSConnectionPool)
    before = [pool.ConnectionCls for pool in pools]
    try:
        with watchdog(seconds, Exception) as dog:
            for pool in pools:
                pool.ConnectionCls = connections(pool.ConnectionCls, most_bytes, dog.watch)
            yield
    finally:
        for pool, kind in zip(pools, before, strict=True):
            pool.ConnectionCls = kind


class _Counted(io.RawIOBase):
    """Bytes of a connection, up to as many as may be read."""

    def __init__(self, raw: Any, most_bytes: int) -> None:
        self._raw = raw
        self._left = most_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise TooLargeError("the answer is larger than it may be")
        found = int(self._raw.readinto(memoryview(buffer)[: self._left]) or 0)
        self._left -= found
        return found

    def close(self) -> None:
        self._raw.close()
        super().close()
