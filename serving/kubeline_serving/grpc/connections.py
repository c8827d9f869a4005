"""The connections of gRPC, which its core does not expose: they are found among the open files of the process.

The core buffers a call's metadata until all of it has come, and only then is there a call: sixty connections could hold
a gigabyte that no budget counts. What is counted has a limit, so memory above it belongs to such connections.
"""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

from kubeline_serving.memory import resident_bytes, resident_bytes_often, trim_memory

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 0.05  # between two readings of the memory, in which sixty connections bring a hundred megabytes
_MARGIN_BYTES = 64 * 2**20  # by which it must have grown, when it did not shrink, before connections are ended again


class MemoryGuard:
    """Ends all connections of gRPC when the process has more memory than its requests take.

    Their clients connect anew; one that sends metadata without end has to begin again.

    Args:
        port: of the server.
        most: bytes that requests take at the most, beside what the process has when it starts.
        memory: bytes that it has; by default what the system says.
    """

    def __init__(self, port: int, most: int, memory: Callable[[], int] | None = None):
        self._port = port
        self._memory = memory
        self._usual = self._limit = (memory or resident_bytes)() + most
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to watch the memory, in a thread: what takes it may hold up the event loop as well."""
        threading.Thread(target=self._watch, name="grpc-memory", daemon=True).start()

    def stop(self) -> None:
        """Stop."""
        self._stopping.set()

    def _watch(self) -> None:
        with nullcontext(self._memory) if self._memory else resident_bytes_often() as memory:
            while not self._stopping.wait(_EVERY_SECONDS):
                taken = memory()
                self._limit = self._usual if taken <= self._usual else min(self._limit, taken + _MARGIN_BYTES)
                if taken > self._limit:
                    ended = disconnect_all(self._port)
                    logger.warning("more memory is taken than by requests: %d connections of gRPC were ended", ended)
                    self._limit = max(self._limit, memory() + _MARGIN_BYTES)


def disconnect(peer: str) -> None:
    """End the connection of a client: gRPC has no other way to end a call whose answer the client does not take.

    Args:
        peer: as gRPC names it: ``ipv4:127.0.0.1:50123`` or ``ipv6:%5B::1%5D:50123``.
    """
    _, _, address = peer.partition(":")
    host, _, port = address.rpartition(":")
    host = host.replace("%5B", "").replace("%5D", "").strip("[]").removeprefix("::ffff:")
    for connection in _connections():
        name = connection.getpeername()
        if (name[0].removeprefix("::ffff:"), str(name[1])) == (host, port):
            connection.shutdown(socket.SHUT_RDWR)
            return


def disconnect_all(port: int) -> int:
    """End all connections to a port of this process, give back what they held, and say how many there were."""
    ended = 0
    for connection in _connections():
        if connection.getsockname()[1] == port:
            connection.shutdown(socket.SHUT_RDWR)
            ended += 1
    trim_memory()
    return ended


def _connections() -> Iterator[socket.socket]:
    """The connections over IP of this process, each open while it is yielded."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile, or no socket
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as copy:
                if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getpeername():
                    yield copy
