"""Memory that a burst of requests took goes back to the system."""

import ctypes
from collections.abc import Callable


def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # not glibc
        return None


_trim = _malloc_trim()


def give_back() -> None:
    """Let the C library return what is free: it keeps that between blocks that are in use (``malloc_trim(3)``).

    That takes milliseconds, in which no other thread can take memory of the same arena.
    """
    if _trim is not None:
        _trim(0)
