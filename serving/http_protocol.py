"""HTTP connections: uvicorn's, with the head of a request limited in bytes and time, and errors in JSON."""

import asyncio
import math
import re
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.answers import Answer, error_body
from serving.app import Page
from serving.engine import INLINE_BYTES, Work
from serving.ids import new_id
from serving.predictions import Headers, Route, headers_of, request_id

_MOST_DIGITS = 9  # of a length
# What a glance at a request finds in the head of a usual one, in small letters, and what a usual one does not have.
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d{1,9})\r\n")
_OWN_ID = b"\r\nx-request-id:"
_UNUSUAL = re.compile(rb"transfer-encoding|\r\n(?:connection|expect|upgrade|content-encoding)")


class _JoiningTransport:
    """Writes the head of an answer together with its body, which uvicorn hands over in two parts.

    That is one system call and one packet instead of two: for a single row a tenth of the whole request.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._flushing: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        """Write with what was kept back, or keep back until the next part, at most for one turn of the event loop."""
        if self._head:
            data, self._head = self._head + data, b""
            self._transport.write(data)
        else:
            self._head = data
            if self._flushing is None:
                self._flushing = self._loop.call_soon(self._flush)

    def write_whole(self, data: bytes) -> None:
        """Write a whole answer."""
        self._flush()
        self._transport.write(data)

    def close(self) -> None:
        """Write what was kept back, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        self._flushing = None
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Direct:
    """A request for a prediction or a page that is answered without ASGI; to uvicorn it looks like a request's cycle.

    uvicorn makes a task, an event and two messages for each request. For a single row that costs as much as the model.
    """

    message_event = asyncio.Event()  # nobody waits for it

    def __init__(self, target: Route | Page, headers: Headers, keep_alive: bool):
        self.target = target
        self.headers = headers
        self.keep_alive = keep_alive
        self.body = b""
        self.response_complete = False
        self.work: Work[Answer] | None = None
        self._disconnected = False

    @property
    def disconnected(self) -> bool:
        """Whether the client has left."""
        return self._disconnected

    @disconnected.setter
    def disconnected(self, value: bool) -> None:
        self._disconnected = value
        if self.work is not None:
            self.work.abandoned = True


class HttpProtocol(HttpToolsProtocol):
    """One connection. uvicorn itself waits without end for a head, and keeps all that comes of it."""

    head_bytes = 64 * 1024  # of method, path and headers
    head_seconds = 30.0  # for them to come, from the first byte, or from the connection

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._in_head = False
        self._received = 0  # bytes of an unfinished head
        self._patience: asyncio.TimerHandle | None = None
        self._direct: _Direct | None = None  # that is being read
        self._refused_at = -math.inf  # by the time of the event loop
        self._longest = min(INLINE_BYTES, self.app.limits.body_bytes)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See :class:`asyncio.Protocol`."""
        self._joining = _JoiningTransport(transport, self.loop)
        super().connection_made(self._joining)  # type: ignore[arg-type]
        self._patience = self.loop.call_later(self.head_seconds, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        if self.app.service.is_full and self._turn_away(data):
            return
        went_on = self._in_head
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._direct is not None and self._patience is None:
            self._patience = self.loop.call_later(self.app.limits.body_seconds, self._lose_patience)
        if not self._in_head:
            return
        if went_on:  # the bytes before may be of another request
            self._received += len(data)
        if self._received > self.head_bytes:
            self._refuse(431, f"the headers have more than {self.head_bytes:,} bytes; send fewer")
        elif self._patience is None:
            self._patience = self.loop.call_later(self.head_seconds, self._lose_patience)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head = True
        self._received = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """All headers are there: a prediction of usual size is answered here, anything else by the application."""
        self._in_head = False
        self._stop_waiting()
        direct = self._as_direct()
        if direct is None:
            super().on_headers_complete()
        else:
            self._direct = self.cycle = direct  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._direct is None:
            super().on_body(body)
        else:
            self._direct.body += body

    def on_message_complete(self) -> None:
        """The request is there as a whole."""
        direct, self._direct = self._direct, None
        if direct is None:
            super().on_message_complete()
            return
        self._stop_waiting()
        service, target = self.app.service, direct.target
        if not isinstance(target, Route):
            self._send(direct, target(direct.headers), request_id(direct.headers))
        elif service.is_full:
            self._send(direct, *service.turn_away(target, direct.headers))
            self._rest()
        else:
            work = service.submit(target, direct.headers, direct.body, partial(self._send, direct))
            if not direct.response_complete:
                direct.work = work

    def _as_direct(self) -> "_Direct | None":
        """The request, when it is a prediction of usual size, or asks for a page, and none is before it."""
        method = self.parser.get_method()
        target = self.app.route_of(self.url) if method == b"POST" else self.app.page_at(self.url)
        if (
            target is None
            or method not in (b"POST", b"GET")
            or not (self.cycle is None or self.cycle.response_complete)
            or self.parser.get_http_version() != "1.1"
            or self.expect_100_continue
        ):
            return None
        headers = headers_of(self.headers)
        length = headers.get(b"content-length", b"" if method == b"POST" else b"0")
        if not length.isdigit() or len(length) > _MOST_DIGITS or int(length) > self._longest:
            return None
        if b"content-encoding" in headers or b"transfer-encoding" in headers or self.parser.should_upgrade():
            return None
        return _Direct(target, headers, self.parser.should_keep_alive())

    def _turn_away(self, data: bytes) -> bool:
        """Refuse what is a whole prediction request of the usual form by a glance, and say whether it was one.

        To read requests that are refused anyway would take the time in which others are answered.
        """
        end = data.find(b"\r\n\r\n") + 2
        head = data[:end].lower()
        url = data[5 : data.find(b" ", 5)]
        route, length = self.app.route_of(url), _LENGTH.search(head)
        if (
            route is None
            or length is None
            or len(data) != end + 2 + int(length[1])
            or not data.startswith(b"POST %b HTTP/1.1\r\n" % url)
            or self._in_head
            or not (self.cycle is None or self.cycle.response_complete)
            or _UNUSUAL.search(head)
        ):
            return False
        self._stop_waiting()
        answer, own_id = self.app.service.turn_away(route, _own_id(data, head))
        draining = self.app.draining
        self._joining.write_whole(answer.as_http(own_id, draining, self.server_state.default_headers))
        if draining:
            self.transport.close()
        elif self.timeout_keep_alive_task is None:
            self.on_response_complete()
        self._refused_at = self.loop.time()
        self._rest()
        return True

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection: one whose requests were not turned away lately."""
        left = self._refused_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _rest(self) -> None:
        """Read no more in this turn of the event loop, when others should have theirs.

        libuv reads on as long as it finds a thousand connections with something to read: clients that ask again at once
        when they are refused would keep it from everything else.
        """
        if self.app.service.is_late and not self.transport.is_closing():
            self.flow.pause_reading()
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _send(self, direct: "_Direct", answer: Answer, request_id: str) -> None:
        direct.response_complete = True
        direct.work = None  # it refers back: left in place, only the garbage collector would free the request
        if direct.disconnected or self.transport.is_closing():
            return
        keep = direct.keep_alive and not self.app.draining
        self._joining.write_whole(answer.as_http(request_id, not keep, self.server_state.default_headers))
        if not keep:
            self.transport.close()
        self.on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        self._refuse(400, "what was sent is not an HTTP/1.1 request")

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        if self._in_head:
            self._refuse(408, f"the headers did not arrive within {self.head_seconds:g} s; send them faster")
        elif self._direct is not None:
            self._refuse(408, f"the request did not arrive within {self.app.limits.body_seconds:g} s; send it faster")
        else:  # nothing came at all
            self.transport.close()

    def _refuse(self, status: int, sentence: str) -> None:
        self._joining.write_whole(Answer(error_body(sentence), status).as_http(new_id(), close=True))
        self.transport.close()


def _own_id(data: bytes, head: bytes) -> Headers:
    """The header by which a client names its request, if it has one; `head` is that of `data` in small letters."""
    start = head.find(_OWN_ID) + len(_OWN_ID)
    return {b"x-request-id": data[start : data.find(b"\r\n", start)].strip()} if start >= len(_OWN_ID) else {}
