"""The interpreter's memory: freed memory goes back to the system, and garbage collection pauses for large requests."""

import contextlib
import ctypes
import gc
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_MUCH = 64 * 2**20  # bytes
_TRIM_SECONDS = (2.0, 64.0)  # between two trims, the shortest and the longest


def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # not glibc
        return None


_trim = _malloc_trim()


def trim_memory() -> None:
    """Let the C library return what is free: it keeps that between blocks that are in use (``malloc_trim(3)``).

    That takes milliseconds, in which no other thread can take memory of the same arena.
    """
    if _trim is not None:
        _trim(0)


def resident_bytes() -> int:
    """Memory that this process has."""
    return _bytes(Path("/proc/self/statm").read_bytes())


@contextlib.contextmanager
def resident_bytes_often() -> Iterator[Callable[[], int]]:
    """Yields `resident_bytes` on a file that stays open: a thread that reads it gives the GIL away once, not thrice."""
    file = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        yield lambda: _bytes(os.pread(file, 128, 0))
    finally:
        os.close(file)


def _bytes(statm: bytes) -> int:
    return int(statm.split()[1]) * resource.getpagesize()


class TrimSchedule:
    """Says when to trim memory: when the process has clearly more than at its start, less and less often.

    Who took it does not matter: requests, or calls of gRPC's core that no budget counts. What is in use is not given
    back, so a trim is tried again after 2, 4, … 64 seconds; gRPC, too, frees in threads of its own, some time later.

    Args:
        usual: bytes that the process has before its first request.
    """

    def __init__(self, usual: int):
        self._usual = self._highest = usual
        self._pause = _TRIM_SECONDS[0]
        self._next = 0.0

    def is_due(self, taken: int, now: float) -> bool:
        """Whether to trim now.

        Args:
            taken: bytes that the process has.
            now: seconds of a monotonic clock.
        """
        if taken <= self._usual + _MUCH or taken > self._highest + _MUCH:  # all is given back, or more came
            self._pause, self._highest = _TRIM_SECONDS[0], taken
            self._next = min(self._next, now + self._pause)
        if taken <= self._usual + _MUCH or now < self._next:
            return False
        self._next = now + self._pause
        self._pause = min(2 * self._pause, _TRIM_SECONDS[1])
        return True


class PausedCollection:
    """Pauses the garbage collector while large requests are read: over millions of new lists it holds the GIL.

    What is parsed has no cycles. Other cycles are collected after the last such request.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Pause until every thread inside has left."""
        with self._lock:
            self._inside += 1
            gc.disable()
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    gc.enable()


paused_collection = PausedCollection()
