"""The interpreter's memory: what a burst took goes back to the system, and nobody waits for the search for cycles."""

import contextlib
import ctypes
import gc
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


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
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


class Uncollected:
    """No search for cycles while large requests are read: among millions of new lists it keeps all threads waiting.

    What is parsed has no cycles. Others wait for the end of the last such request to be found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """No search from here on, until all threads that are inside have left."""
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


uncollected = Uncollected()
