"""A limit to the connections of HTTP that keeps no new client out."""

import contextlib
import resource
from typing import Protocol

_OTHER_FILES = 512  # of gRPC's connections, logs and libraries


def connections_of(most: int) -> int:
    """So many connections, or as many as the process may have open files; that limit is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # more than the system has
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft - _OTHER_FILES))


class Open(Protocol):
    """A connection."""

    @property
    def is_busy(self) -> bool:
        """Whether the server works on a request of it."""

    def evict(self) -> None:
        """Close it: another one needs its place."""


class Connections:
    """The open connections, in the order in which they began to wait for their clients.

    When there are as many as may be, the one that waits the longest is closed for a new one: thousands of clients that
    send nothing, or next to nothing, cannot keep others, or a health check, from being answered.

    Args:
        most: connections.
    """

    def __init__(self, most: int):
        self._most = most
        self._open: dict[Open, None] = {}

    def add(self, connection: Open) -> bool:
        """Take a new one in, which waits for its client; False when the server works on requests of all the others."""
        if len(self._open) >= self._most:
            oldest = next((other for other in self._open if not other.is_busy), None)
            if oldest is None:
                return False
            del self._open[oldest]
            oldest.evict()
        self._open[connection] = None
        return True

    def became_idle(self, connection: Open) -> None:
        """A request of it was answered: it waits from now on."""
        if self._open.pop(connection, connection) is None:  # it was there
            self._open[connection] = None

    def remove(self, connection: Open) -> None:
        """It is closed."""
        self._open.pop(connection, None)
