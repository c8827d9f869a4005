"""What a hostile client does to a model server: it makes the server hold as much as it can, for as long as it can.

Each attack sends what it has to send and leaves its connections open, as it would go on for ever.
"""

import contextlib
import os
import pickle
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.serving import grpc_frames

ADDRESS = "127.0.0.1"
_SECONDS = 20.0  # for one attack to send what it has
_STUCK_SECONDS = 0.5  # without a byte that the server takes, after which it takes no more


@dataclass(frozen=True)
class Target:
    """A server, what it serves, and a request for many rows of it.

    Attributes:
        http_port: of the server.
        grpc_port: of the server.
        model: its name.
        request: over HTTP, whole.
        message: of gRPC.
    """

    http_port: int
    grpc_port: int
    model: str
    request: bytes
    message: bytes

    @property
    def v1(self) -> str:
        """The path that predicts."""
        return f"/v1/models/{self.model}:predict"

    def connect(self, stack: ExitStack, port: int | None = None) -> socket.socket:
        """A connection that stays open as long as the stack."""
        connection = socket.create_connection((ADDRESS, port or self.http_port), timeout=_SECONDS)
        return stack.enter_context(connection)


Attack = Callable[[Target, ExitStack], list[int]]  # the statuses of the answers that came, 0 for none


def empty_lists(target: Target, stack: ExitStack) -> list[int]:
    """Eight bodies of 16 MB at a time: five million empty lists each."""
    body = b'{"instances":[' + b"[]," * 5_500_000 + b"[]]}"
    return _ask_all(target, stack, [_post(target.v1, body)] * 8)


def lists_of_lists_within_the_rows(target: Target, stack: ExitStack) -> list[int]:
    """The same in a single row, which no number of rows gives away."""
    body = b'{"instances":[[' + b"[]," * 5_500_000 + b"[]]]}"
    return _ask_all(target, stack, [_post(target.v1, body)] * 8)


def records_of_one(target: Target, stack: ExitStack) -> list[int]:
    """Two million records, each of one value, as tensors of v2."""
    body = b'{"inputs":[' + b'{"":0},' * 2_000_000 + b"{}]}"
    return _ask_all(target, stack, [_post(f"/v2/models/{target.model}/infer", body)] * 8)


def as_many_values_as_are_taken(target: Target, stack: ExitStack) -> list[int]:
    """Eight bodies just below the limit of values."""
    body = b'{"instances":[[' + b"[]," * 800_000 + b"[]]]}"
    return _ask_all(target, stack, [_post(target.v1, body)] * 8)


def deep_nesting(target: Target, stack: ExitStack) -> list[int]:
    """Sixteen megabytes of brackets that only open."""
    return _ask_all(target, stack, [_post(target.v1, b"[" * 16_000_000)] * 4)


def long_text(target: Target, stack: ExitStack) -> list[int]:
    """Four texts of 16 MB, each with one letter that makes four bytes of all the others."""
    body = '{"instances":[["' + "x" * 15_000_000 + '😀"]]}'
    return _ask_all(target, stack, [_post(target.v1, body.encode())] * 4)


def huge_numbers(target: Target, stack: ExitStack) -> list[int]:
    """Whole numbers of sixteen million digits."""
    return _ask_all(target, stack, [_post(target.v1, b'{"instances":[[' + b"9" * 16_000_000 + b"]]}")] * 4)


def tiny_chunks(target: Target, stack: ExitStack) -> list[int]:
    """Bodies in chunks of one byte, each of which could become an object of its own."""
    head = _head(target.v1, "Transfer-Encoding: chunked")
    return _push(target, stack, [head + b"1\r\n[\r\n" * 500_000] * 8)


def trailers(target: Target, stack: ExitStack) -> list[int]:
    """Trailers without end behind a body of chunks."""
    head = _head(target.v1, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n"
    return _push(target, stack, [head + b"X-Trailer: %b\r\n" % (b"x" * 1000) * 20_000] * 4)


def one_trailer(target: Target, stack: ExitStack) -> list[int]:
    """One trailer without end."""
    head = _head(target.v1, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\nX-Trailer: "
    return _push(target, stack, [head + b"x" * 20_000_000] * 4)


def chunk_extensions(target: Target, stack: ExitStack) -> list[int]:
    """An extension of a chunk without end."""
    head = _head(target.v1, "Transfer-Encoding: chunked") + b"2;name="
    return _push(target, stack, [head + b"x" * 20_000_000] * 4)


def many_headers(target: Target, stack: ExitStack) -> list[int]:
    """Eight thousand headers of different names, and one twice."""
    headers = "\r\n".join(f"h{number}:" for number in range(8000))
    return _push(target, stack, [_head("/v2/health/live", headers, "h1:", method="GET")] * 50)


def slow_heads(target: Target, stack: ExitStack) -> list[int]:
    """Three thousand heads of 60 kB that never end."""
    head = b"POST / HTTP/1.1\r\n" + (b"X: %b\r\n" % (b"x" * 1000)) * 60
    return _push(target, stack, [head] * 3000)


def slow_bodies(target: Target, stack: ExitStack) -> list[int]:
    """Three thousand bodies of a usual size that never end."""
    size = 128 * 1024
    return _push(target, stack, [_head(target.v1, f"Content-Length: {size}") + b" " * (size - 1)] * 3000)


def unread_pages(target: Target, stack: ExitStack) -> list[int]:
    """Twenty connections that ask for a thousand pages each and read none."""
    return _push(target, stack, [_head("/openapi.json", method="GET") * 1000] * 20, reads=False)


def unread_pages_of_megabytes(target: Target, stack: ExitStack) -> list[int]:
    """Six connections that send 4.3 MB of requests for pages and read no answer."""
    request = _head("/openapi.json", method="GET")
    return _push(target, stack, [request * (4_300_000 // len(request))] * 6, reads=False)


def unread_predictions(target: Target, stack: ExitStack) -> list[int]:
    """A hundred connections that ask for large answers and read none."""
    return _push(target, stack, [target.request * 50] * 100, reads=False)


def empty_inputs(target: Target, stack: ExitStack) -> list[int]:
    """Four messages of gRPC with millions of inputs that are empty."""
    return _ask_grpc(target, [b"\x2a\x00" * 7_500_000] * 4)


def empty_outputs(target: Target, stack: ExitStack) -> list[int]:
    """The same of outputs."""
    return _ask_grpc(target, [b"\x32\x00" * 7_500_000] * 4)


def shapes(target: Target, stack: ExitStack) -> list[int]:
    """An input of fifteen million dimensions."""
    return _ask_grpc(target, [grpc_frames.inside(5, 3, b"\x01" * 15_000_000)] * 4)


def contents(target: Target, stack: ExitStack) -> list[int]:
    """An input of seven million empty texts."""
    return _ask_grpc(target, [grpc_frames.inside(5, 5, b"\x42\x00" * 7_500_000)] * 4)


def whole_numbers(target: Target, stack: ExitStack) -> list[int]:
    """An input of fifteen million whole numbers of one byte each."""
    numbers = grpc_frames.field(3, b"\x01" * 15_000_000)
    return _ask_grpc(target, [grpc_frames.inside(5, 5, numbers)] * 4)


def parameters(target: Target, stack: ExitStack) -> list[int]:
    """An output of millions of empty parameters."""
    return _ask_grpc(target, [grpc_frames.inside(6, 2, b"", 3_700_000)] * 4)


def incomplete_messages(target: Target, stack: ExitStack) -> list[int]:
    """A hundred messages of gRPC of 15 MB, without their ends."""
    content = b"\0" + (15_000_001).to_bytes(4, "big") + bytes(15_000_000)
    return [int(not call.ended) for call in grpc_frames.send_endless(target.grpc_port, [content] * 100, stack)]


def unread_answers(target: Target, stack: ExitStack) -> list[int]:
    """Three hundred calls whose answers are not taken."""
    content = b"\0" + len(target.message).to_bytes(4, "big") + target.message
    calls = grpc_frames.send_endless(target.grpc_port, [content] * 300, stack, takes_answer=False)
    return [int(not call.ended) for call in calls]


def metadata(target: Target, stack: ExitStack) -> list[int]:
    """Sixteen connections of twenty calls each with a megabyte of metadata, and no message."""
    calls = b"".join(grpc_frames.head(2 * call + 1, 60) for call in range(20))
    return _push(target, stack, [grpc_frames.PREFACE + calls] * 16, reads=False, port=target.grpc_port)


def tiny_metadata(target: Target, stack: ExitStack) -> list[int]:
    """Sixteen connections of a call whose metadata has 100,000 entries of a byte each."""
    call = grpc_frames.PREFACE + grpc_frames.tiny_head(1, 100_000)
    return _push(target, stack, [call] * 16, reads=False, port=target.grpc_port)


def unfinished_metadata(target: Target, stack: ExitStack) -> list[int]:
    """Sixty calls with 16 MB of metadata that does not end."""
    call = grpc_frames.PREFACE + grpc_frames.head(1, 1000, is_whole=False)
    return _push(target, stack, [call] * 60, reads=False, port=target.grpc_port)


HTTP: tuple[Attack, ...] = (
    *(empty_lists, lists_of_lists_within_the_rows, records_of_one, as_many_values_as_are_taken, deep_nesting),
    *(long_text, huge_numbers, tiny_chunks, trailers, one_trailer, chunk_extensions, many_headers, slow_heads),
    *(slow_bodies, unread_pages, unread_pages_of_megabytes, unread_predictions),
)
GRPC: tuple[Attack, ...] = (
    *(empty_inputs, empty_outputs, shapes, contents, whole_numbers, parameters, incomplete_messages, unread_answers),
    *(metadata, tiny_metadata, unfinished_metadata),
)
ATTACKS = {attack.__name__: attack for attack in (*HTTP, *GRPC)}


def main() -> None:
    """Read a name and a target, say that it is ready, attack when it is asked to, and hold on until it is killed."""
    os.nice(19)
    name, target = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the process that started this one
    print("ready", flush=True)
    sys.stdin.buffer.readline()
    with ExitStack() as stack:
        ATTACKS[name](target, stack)
        signal.pause()


def _ask_grpc(target: Target, messages: list[bytes]) -> list[int]:
    codes = grpc_frames.ask_all(target.grpc_port, messages)
    return [code.value[0] for code in codes]


def _head(path: str, *headers: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def _post(path: str, body: bytes) -> bytes:
    return _head(path, f"Content-Length: {len(body)}") + body


def _ask_all(target: Target, stack: ExitStack, requests: list[bytes]) -> list[int]:
    """Send requests at a time, and wait for their answers."""
    return _push(target, stack, requests, wait=True)


def _push(
    target: Target,
    stack: ExitStack,
    requests: Iterable[bytes],
    wait: bool = False,
    reads: bool = True,
    port: int | None = None,
) -> list[int]:
    """Send each on a connection of its own, all at a time, as far as the server takes it."""
    what = selectors.EVENT_READ | selectors.EVENT_WRITE if reads else selectors.EVENT_WRITE
    selector = stack.enter_context(selectors.DefaultSelector())
    left: dict[socket.socket, memoryview] = {}
    statuses: dict[socket.socket, int] = {}
    for request in requests:
        connection = target.connect(stack, port)
        connection.setblocking(False)
        left[connection] = memoryview(request)
        selector.register(connection, what)
    moved, end = time.monotonic(), time.monotonic() + _SECONDS
    waiting = set(left)
    while waiting and time.monotonic() < end and (wait or time.monotonic() < moved + _STUCK_SECONDS):
        for key, events in selector.select(0.1):
            found = key.fileobj
            assert isinstance(found, socket.socket)  # noqa: S101 - as registered
            connection = found
            with contextlib.suppress(BlockingIOError):
                try:
                    if events & selectors.EVENT_READ:
                        status = _status(connection)
                        statuses.setdefault(connection, status)
                        waiting.discard(connection)
                        selector.unregister(connection)
                    elif left[connection]:
                        sent = connection.send(left[connection][: 1 << 20])
                        left[connection] = left[connection][sent:]
                        moved = time.monotonic()
                    elif wait:
                        selector.modify(connection, selectors.EVENT_READ)
                    else:
                        waiting.discard(connection)
                        selector.unregister(connection)
                except OSError:
                    waiting.discard(connection)
                    with contextlib.suppress(KeyError):
                        selector.unregister(connection)
    return [statuses.get(connection, 0) for connection in left]


def _status(connection: socket.socket) -> int:
    """The status of the answer that begins; no more of it is read."""
    start = connection.recv(12)
    return int(start[9:12]) if start.startswith(b"HTTP/1.1 ") and len(start) == 12 else 0


if __name__ == "__main__":
    main()
