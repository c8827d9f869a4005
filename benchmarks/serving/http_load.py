"""A load generator for HTTP/1.1: raw asyncio protocols, requests that are bytes already, and as little parsing as goes.

The closed loop sends the next request on a connection when the last one is answered: it finds the capacity. The open
loop sends at a rate, whatever comes back, and counts from the moment a request was to be sent: a server that is late
with one answer does not slow the questions down, so its lateness is seen in all of them (no coordinated omission).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import cast

from benchmarks.serving.measurement import Measurement

ADDRESS = "127.0.0.1"
_LATEST_SECONDS = 10.0  # for the last answers
_TURNS = 64  # requests that a late client sends before it reads answers
_END = b"\r\n\r\n"

# status, body, whether there is Retry-After; status 0: the connection was lost
Answered = Callable[["Connection", int, bytes, bool], None]


def post(path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a request with a JSON body, unless `headers` say otherwise."""
    lines = {"Host": "localhost", "Content-Type": "application/json", **(headers or {}), "Content-Length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def get(path: str) -> bytes:
    """The bytes of a request for a page."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, answered: Answered):
        self._answered = answered
        self._received = b""
        self._size = 0  # of the whole answer, as soon as its head is there; 0 when it comes in chunks
        self._head = b""
        self.position = 0  # of the request that is under way
        self.due = 0.0  # when it was to be sent
        self.busy = False
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def send(self, request: bytes, position: int, due: float) -> None:
        """Send a request; `answered` is called with its answer."""
        self.position, self.due, self.busy = position, due, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collect an answer."""
        self._received = self._received + data if self._received else data
        if not self._head and not self._read_head():
            return
        head = self._head
        if self._size:
            if len(self._received) < self._size:
                return
            body = self._received[len(head) : self._size]
        else:
            whole = unchunked(self._received, len(head))
            if whole is None:
                return
            body = whole
        self._received, self._head, self._size, self.busy = b"", b"", 0, False
        self._answered(self, int(head[9:12]), body, b"\r\nretry-after:" in head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Record it when a request was under way."""
        self.lost = True
        if self.busy:
            self.busy = False
            self._answered(self, 0, b"", False)

    def close(self) -> None:
        """Hang up."""
        self.busy = False
        self._transport.close()

    def _read_head(self) -> bool:
        end = self._received.find(_END)
        if end < 0:
            return False
        self._head = self._received[: end + len(_END)].lower()
        field = self._head.find(b"\r\ncontent-length:")  # Inference-Header-Content-Length is another one
        if field >= 0:
            value = field + len(b"\r\ncontent-length:")
            self._size = len(self._head) + int(self._head[value : self._head.find(b"\r", value)])
        elif b"\r\ntransfer-encoding: chunked" not in self._head:
            raise ValueError(f"the answer states no length: {self._head!r}")
        return True


def unchunked(received: bytes, start: int) -> bytes | None:
    """The body of an answer in chunks, which begins at `start`; None while it is not complete."""
    parts: list[bytes] = []
    while (end := received.find(b"\r\n", start)) >= 0:
        size = int(received[start:end], 16)
        start = end + 2 + size + 2
        if start > len(received):
            return None
        if not size:
            return b"".join(parts)
        parts.append(received[end + 2 : end + 2 + size])
    return None


async def connect(port: int, answered: Answered) -> Connection:
    """A new connection."""
    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(answered), ADDRESS, port)
    return connection


async def closed_loop(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Measurement:
    """Ask for `seconds` on `connections` connections, each as fast as it is answered."""
    loop = _ClosedLoop(port, requests, seconds)
    await asyncio.gather(*(loop.keep_one() for _ in range(connections)))
    return loop.measurement


class _ClosedLoop:
    def __init__(self, port: int, requests: Sequence[bytes], seconds: float):
        self.measurement = Measurement(seconds)
        self._port = port
        self._requests = requests
        self._end = perf_counter() + seconds
        self._turn = 0

    async def keep_one(self) -> None:
        """Keep one connection, opened again when the server closes it."""
        connection = None
        while perf_counter() < self._end:
            if connection is None or connection.lost:
                try:
                    connection = await connect(self._port, self._answered)
                    self._ask(connection)
                except OSError:
                    self.measurement.errors["connection refused"] += 1
            await asyncio.sleep(max(0.0, min(0.05, self._end - perf_counter())))
        if connection is not None:
            await self._last_answer(connection)
            connection.close()

    async def _last_answer(self, connection: Connection) -> None:
        while connection.busy and perf_counter() < self._end + _LATEST_SECONDS:
            await asyncio.sleep(0.001)

    def _ask(self, connection: Connection) -> None:
        self._turn = (self._turn + 1) % len(self._requests)
        connection.send(self._requests[self._turn], self._turn, perf_counter())

    def _answered(self, connection: Connection, status: int, body: bytes, retry_after: bool) -> None:
        now = perf_counter()
        if status == 200:
            self.measurement.answers[connection.position] = body
            self.measurement.answered[connection.position] += 1
        if now > self._end:
            return
        self.measurement.count(status, now - connection.due, retry_after)
        if not connection.lost:
            self._ask(connection)


async def open_loop(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, connections: int = 1000
) -> Measurement:
    """Ask `rate` times a second for `seconds`, whatever comes back.

    Args:
        port: of the server.
        requests: are sent in turn.
        rate: requests in a second.
        seconds: how long.
        connections: how many requests can be under way; what finds none free waits for one, and its time counts.
    """
    loop = _OpenLoop(port, requests, Measurement(seconds))
    await loop.open(connections)
    await loop.ask(rate, int(rate * seconds))
    return await loop.close()


class _OpenLoop:
    def __init__(self, port: int, requests: Sequence[bytes], measurement: Measurement):
        self._port = port
        self._requests = requests
        self._measurement = measurement
        self._connections: list[Connection] = []
        self._free: deque[Connection] = deque()
        self._waiting: deque[tuple[int, float]] = deque()
        self._under_way = 0

    async def open(self, connections: int) -> None:
        self._connections = [await connect(self._port, self._answered) for _ in range(connections)]
        self._free.extend(self._connections)

    async def ask(self, rate: float, count: int) -> None:
        """Send `count` requests, each at its time."""
        started = perf_counter()
        for number in range(count):
            due = started + number / rate
            now = perf_counter()
            if due > now:
                await asyncio.sleep(due - now)
                now = perf_counter()
            elif number % _TURNS == 0:
                await asyncio.sleep(0)  # the client is late itself: read the answers all the same
            self._measurement.late.append(max(0.0, now - due))
            self._waiting.append((number % len(self._requests), due))
            self._send_waiting()

    async def close(self) -> Measurement:
        """Wait for the last answers, and hang up."""
        deadline = perf_counter() + _LATEST_SECONDS
        while (self._under_way or self._waiting) and perf_counter() < deadline:
            await asyncio.sleep(0.01)
        if unanswered := self._under_way + len(self._waiting):
            self._measurement.errors["never answered"] += unanswered
        for connection in self._connections:
            connection.close()
        return self._measurement

    def _send_waiting(self) -> None:
        while self._waiting and self._free:
            connection = self._free.popleft()
            if not connection.lost:
                position, due = self._waiting.popleft()
                self._under_way += 1
                connection.send(self._requests[position], position, due)

    def _answered(self, connection: Connection, status: int, body: bytes, retry_after: bool) -> None:
        self._under_way -= 1
        self._measurement.count(status, perf_counter() - connection.due, retry_after)
        if not connection.lost:
            self._free.append(connection)
        self._send_waiting()
