"""Calls of gRPC that no client library would make: messages that never end, and answers that are never taken."""

import selectors
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack

import grpc

from benchmarks.serving.grpc_load import METHOD, frame, header_block

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0, b"")
_END_HEADERS, _ACK = 4, 1
_INITIAL_WINDOW = 4  # the setting
_LARGEST_FRAME = 16_384
_ENTRIES = 3_800  # of metadata in a frame
_WINDOW = 65_535
_SECONDS = 20.0
_STUCK_SECONDS = 0.5


def field(number: int, content: bytes) -> bytes:
    """A field of a message of protobuf."""
    size, rest = b"", len(content)
    while rest > 0x7F:
        size += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return bytes([number << 3 | 2]) + size + bytes([rest]) + content


def head(stream: int, entries: int, is_whole: bool = True) -> bytes:
    """The frames with which a call begins, whose metadata has entries of 16,000 bytes, each in a frame of its own."""
    frames = [frame(_HEADERS, 0, stream, header_block("x"))]
    for number in range(entries):  # a literal without indexing; its size in seven bits and two times seven
        entry = b"\0\x05x%04d\x7f\x81\x7c" % number + b"v" * 16_000
        is_last = is_whole and number == entries - 1
        frames.append(frame(_CONTINUATION, _END_HEADERS if is_last else 0, stream, entry))
    return b"".join(frames)


def tiny_head(stream: int, entries: int) -> bytes:
    """The frames with which a call begins whose metadata has so many entries of one byte each.

    HPACK has `accept-charset` without a value in its static table. A frame has no more of them than the core's limit of
    its size lets through, which counts 32 bytes and the name for each.
    """
    frames = [frame(_HEADERS, 0, stream, header_block("x"))]
    for number in range(0, entries, _ENTRIES):
        is_last = number + _ENTRIES >= entries
        part = b"\x8f" * min(_ENTRIES, entries - number)
        frames.append(frame(_CONTINUATION, _END_HEADERS if is_last else 0, stream, part))
    return b"".join(frames)


def inside(outer: int, inner: int, content: bytes, times: int = 1) -> bytes:
    """A field with fields in it."""
    return field(outer, field(inner, content) * times)


def ask_all(port: int, messages: Sequence[bytes]) -> list[grpc.StatusCode]:
    """Send messages that come whole, all at a time; what each is answered."""
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        call = channel.unary_unary(METHOD)
        futures = [call.future(message, timeout=60) for message in messages]
        return [future.code() for future in futures]


class Endless:
    """A connection with one call, which sends its message as far as the server takes it."""

    def __init__(self, port: int, content: bytes, takes_answer: bool):
        self.socket = socket.create_connection(("127.0.0.1", port))
        settings = struct.pack(">HI", _INITIAL_WINDOW, _WINDOW if takes_answer else 0)
        opening = frame(_SETTINGS, 0, 0, settings) + frame(_HEADERS, _END_HEADERS, 1, header_block("x"))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + opening)
        self.socket.setblocking(False)
        self.left = memoryview(content)
        self.ended = False
        self._received = b""
        self._ready = b""  # to send
        self._windows = {0: _WINDOW, 1: _WINDOW}
        self._initial = _WINDOW

    @property
    def has_something(self) -> bool:
        """Whether there is something that may be sent now."""
        return bool(self._ready) or (bool(self.left) and min(self._windows.values()) > 0)

    def send(self) -> None:
        """Send as much as may be."""
        while not self._ready and self.left and (most := min(*self._windows.values(), _LARGEST_FRAME)) > 0:
            part = self.left[:most]
            self.left = self.left[len(part) :]
            self._windows = {stream: window - len(part) for stream, window in self._windows.items()}
            self._ready = frame(_DATA, 0, 1, bytes(part))
        try:
            self._ready = self._ready[self.socket.send(self._ready) :]
        except BlockingIOError:
            return
        except OSError:
            self.ended = True

    def receive(self) -> None:
        """Read frames, and answer those that need it."""
        try:
            data = self.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.ended = self.ended or not data
        self._received += data
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags = self._received[3], self._received[4]
            stream = int.from_bytes(self._received[5:9], "big")
            self._read(kind, flags, stream, self._received[9 : 9 + size])
            self._received = self._received[9 + size :]

    def _read(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW_UPDATE and stream in self._windows:
            self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            for number, value in struct.iter_unpack(">HI", payload):
                if number == _INITIAL_WINDOW:
                    self._windows[1] += value - self._initial
                    self._initial = value
            self._ready += frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self._ready += frame(_PING, _ACK, 0, payload)
        elif kind in (_RST_STREAM, _GOAWAY):
            self.ended = True


def send_endless(port: int, contents: Sequence[bytes], stack: ExitStack, takes_answer: bool = True) -> list[Endless]:
    """Send what is no whole call, each on a connection of its own, until the server takes no more of any.

    Args:
        port: of the server.
        contents: of the calls, their five bytes of gRPC in front.
        stack: the connections stay open as long as it.
        takes_answer: whether the answer finds room at the client.
    """
    selector = stack.enter_context(selectors.DefaultSelector())
    calls = [Endless(port, content, takes_answer) for content in contents]
    for call in calls:
        stack.enter_context(call.socket)
        selector.register(call.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, call)
    moved, end = time.monotonic(), time.monotonic() + _SECONDS
    while time.monotonic() < min(end, moved + _STUCK_SECONDS):
        for key, events in selector.select(0.05):
            call = key.data
            if events & selectors.EVENT_READ:
                call.receive()
            if call.has_something:
                call.send()
                moved = time.monotonic()
            if call.ended:
                selector.unregister(call.socket)
        if not any(call.has_something for call in calls):
            time.sleep(0.005)
        if not selector.get_map():
            break
    return calls
