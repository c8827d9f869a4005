"""Asks whether the server is alive, 100 times a second on a connection of its own, from a process of its own."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from benchmarks.serving.http_load import ADDRESS, get
from benchmarks.serving.measurement import milliseconds

_EVERY_SECONDS = 0.01
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Liveness:
    """Seconds of every answer, and how many were not 200."""

    seconds: list[float]
    failed: int

    def quantiles(self) -> tuple[float, float, float]:
        """Median, 99th percentile and maximum in milliseconds."""
        median, high, most = milliseconds(self.seconds, 0.5, 0.99, 1.0)
        return median, high, most


def ask(port: int, seconds: float) -> Liveness:
    """Ask for `seconds`."""
    request = get("/v2/health/live")
    times: list[float] = []
    failed = 0
    with socket.create_connection((ADDRESS, port), timeout=_TIMEOUT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due = time.perf_counter()
        end = due + seconds
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            sent = time.perf_counter()
            connection.sendall(request)
            failed += not connection.recv(65_536).startswith(b"HTTP/1.1 200")
            now = time.perf_counter()
            times.append(now - sent)
            due = max(due + _EVERY_SECONDS, now)  # a probe that waits for its answer asks no second time
    return Liveness(times, failed)


class Prober:
    """A process that asks while the load runs."""

    def __enter__(self) -> Self:
        """Start the process now, so that its start does not meet the load."""
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._pool.submit(time.sleep, 0).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._pool.shutdown()

    def start(self, port: int, seconds: float) -> Callable[[], Liveness]:
        """Ask for `seconds`; the result waits for the end."""
        future: Future[Liveness] = self._pool.submit(ask, port, seconds)
        return future.result
