"""HTTP connections: uvicorn's, with the head of a request limited in bytes and time, and errors in JSON."""

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_STATUS_LINES = {
    400: b"HTTP/1.1 400 Bad Request\r\n",
    408: b"HTTP/1.1 408 Request Timeout\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
}


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


class HttpProtocol(HttpToolsProtocol):
    """One connection. uvicorn itself waits without end for a head, and keeps all that comes of it."""

    head_bytes = 64 * 1024  # of method, path and headers
    head_seconds = 30.0  # for them to come, from the first byte, or from the connection

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._in_head = False
        self._received = 0  # bytes of an unfinished head
        self._patience: asyncio.TimerHandle | None = None
        self._turned_away: bytes | None = None  # the answer to a request that is not let in

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See :class:`asyncio.Protocol`."""
        super().connection_made(_JoiningTransport(transport, self.loop))  # type: ignore[arg-type]
        self._patience = self.loop.call_later(self.head_seconds, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        went_on = self._in_head
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
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
        """All headers are there; the application limits what follows."""
        self._in_head = False
        if self._patience is not None:
            self._stop_waiting()
        if self._is_plain_post():
            self._turned_away = self.app.turn_away(self.url, self.headers)
        if self._turned_away is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, which is thrown away when the request is not let in."""
        if self._turned_away is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there as a whole."""
        if self._turned_away is None:
            super().on_message_complete()
            return
        self.transport.write(self._turned_away)
        self._turned_away = None
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _is_plain_post(self) -> bool:
        """Whether the request may be answered here: nothing is open before it, and the connection goes on after it."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"
            and not self.expect_100_continue
        )

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
        else:  # nothing came at all
            self.transport.close()

    def _refuse(self, status: int, sentence: str) -> None:
        body = orjson.dumps({"error": sentence})
        headers = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(_STATUS_LINES[status] + headers + body)
        self.transport.close()
