"""Ends an exchange when its whole time is over.

A timeout of a socket is one of each read: a peer that sends a byte now and then keeps a client for ever. So the socket
is shut when the time of the whole exchange is over, and the read that waits on it then ends.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_OF_THREAD = threading.local()


def watch(connected: socket.socket) -> None:
    """From now on this connection is shut when the time of the exchange is over that this thread is in."""
    current: Watchdog | None = getattr(_OF_THREAD, "current", None)
    if current is not None:
        current.watch(connected)


@contextmanager
def watchdog(seconds: float, *exceptions: type[Exception]) -> Iterator["Watchdog"]:
    """One exchange, in which :func:`watch` names the connection.

    Args:
        seconds: from now until the last byte of the answer.
        exceptions: what a connection that is shut raises.

    Raises:
        TimeoutError: when they were over.
    """
    dog = Watchdog()
    timer = threading.Timer(max(seconds, 0.0), dog.shut)
    timer.daemon = True
    timer.start()
    begun, before = time.monotonic(), getattr(_OF_THREAD, "current", None)
    _OF_THREAD.current = dog
    late = f"there was no whole answer within {seconds:.3g} s"
    try:
        yield dog
    except exceptions as error:
        if dog.over or time.monotonic() - begun >= seconds:
            raise TimeoutError(late) from error
        raise
    finally:
        _OF_THREAD.current = before
        timer.cancel()
        dog.leave()
    if dog.over:
        raise TimeoutError(late)


class Watchdog:
    """Knows the connection of one exchange, by a handle of its own: TLS and HTTP close theirs when they like."""

    def __init__(self) -> None:
        self.over = False
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None

    def watch(self, connected: socket.socket) -> None:
        """The exchange goes on over this connection."""
        self.leave()
        with self._lock:
            self._handle = socket.socket(fileno=os.dup(connected.fileno()))
            if self.over:
                _shut(self._handle)

    def leave(self) -> None:
        """The exchange is over."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def shut(self) -> None:
        """The time is over."""
        with self._lock:
            self.over = True
            if self._handle is not None:
                _shut(self._handle)


def _shut(handle: socket.socket) -> None:
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)
