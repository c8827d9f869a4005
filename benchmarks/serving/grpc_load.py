"""A load generator for gRPC: HTTP/2 frames that are bytes already, one call at a time on each connection.

Python's gRPC client takes as long for a call as the server that is to be measured. This one knows as much of HTTP/2
(RFC 9113) and HPACK (RFC 7541) as a unary call needs: the same header block each time, without a dynamic table, and
a window so large that it need not be opened again.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import cast

from benchmarks.serving.http_load import ADDRESS
from benchmarks.serving.measurement import Measurement

METHOD = "/inference.GRPCInferenceService/ModelInfer"
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_HEAD = 9  # bytes of a frame's head
_LARGEST_FRAME = 16_384
_WINDOW = 2**31 - 1
_LATEST_SECONDS = 10.0  # for the last answers

# the stream's answer (without its 5 bytes of gRPC), or None when the call failed or the connection was lost
Answered = Callable[["Connection", bytes | None], None]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(authority: str) -> bytes:
    """The headers of a call as literals without indexing, so that every call has the same bytes."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", METHOD),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    )
    block = b""
    for name, value in fields:
        assert len(name) < 127 and len(value) < 127  # noqa: PT018, S101 - one byte for each length
        block += b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return block


def message_frames(stream: int, message: bytes) -> bytes:
    """The frames of a call's message, its 5 bytes of gRPC in front."""
    content = b"\0" + struct.pack(">I", len(message)) + message
    parts = [content[start : start + _LARGEST_FRAME] for start in range(0, len(content), _LARGEST_FRAME)]
    return b"".join(frame(_DATA, _END_STREAM if part is parts[-1] else 0, stream, part) for part in parts)


class Connection(asyncio.Protocol):
    """One HTTP/2 connection with one call at a time."""

    def __init__(self, port: int, answered: Answered):
        self._answered = answered
        self._headers = header_block(f"localhost:{port}")
        self._received = b""
        self._content = b""
        self._stream = -1
        self.position = 0
        self.sent = 0.0
        self.busy = False
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves: no dynamic header table, and windows that never fill."""
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _WINDOW)  # table size, push, initial window
        opening = frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW - 65_535))
        self._transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + opening)

    def call(self, message: bytes, position: int) -> None:
        """Send a call; `answered` is called with its answer."""
        self._stream += 2
        self._content = b""
        self.position, self.sent, self.busy = position, perf_counter(), True
        head = frame(_HEADERS, _END_HEADERS, self._stream, self._headers)
        self._transport.write(head + message_frames(self._stream, message))

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        received = self._received + data if self._received else data
        start = 0
        while len(received) - start >= _HEAD:
            size = int.from_bytes(received[start : start + 3], "big")
            if len(received) - start < _HEAD + size:
                break
            kind, flags = received[start + 3], received[start + 4]
            self._read(kind, flags, received[start + _HEAD : start + _HEAD + size])
            start += _HEAD + size
        self._received = received[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Record it when a call was under way."""
        self.lost = True
        self._end(None)

    def close(self) -> None:
        """Hang up."""
        self.busy = False
        self._transport.close()

    def _read(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == _DATA:
            self._content += payload
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._transport.write(frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _GOAWAY:
            self._transport.close()
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            self._end(self._content[5:] if self._content else None)  # a failed call has headers alone

    def _end(self, answer: bytes | None) -> None:
        if self.busy:
            self.busy = False
            self._answered(self, answer)


async def connect(port: int, answered: Answered) -> Connection:
    """A new connection."""
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(port, answered), ADDRESS, port
    )
    return connection


async def closed_loop(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Measurement:
    """Ask for `seconds` on `connections` connections, each as fast as it is answered."""
    measurement = Measurement(seconds)
    end = perf_counter() + seconds
    turn = 0

    def ask(connection: Connection) -> None:
        nonlocal turn
        turn = (turn + 1) % len(requests)
        connection.call(requests[turn], turn)

    def answered(connection: Connection, answer: bytes | None) -> None:
        now = perf_counter()
        if answer is not None:
            measurement.answers[connection.position] = answer
            measurement.answered[connection.position] += 1
        if now > end:
            return
        if answer is None:
            measurement.errors["connection lost" if connection.lost else "gRPC call failed"] += 1
        else:
            measurement.latencies.append(now - connection.sent)
        if not connection.lost:
            ask(connection)

    opened = [await connect(port, answered) for _ in range(connections)]
    for connection in opened:
        ask(connection)
    await asyncio.sleep(max(0.0, end - perf_counter()))
    while any(connection.busy for connection in opened) and perf_counter() < end + _LATEST_SECONDS:
        await asyncio.sleep(0.001)
    for connection in opened:
        connection.close()
    return measurement
