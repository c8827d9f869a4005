"""HTTP/1.1 of one connection: requests are read within their limits, and answered in their order."""

import asyncio
import logging
import math
from collections import deque
from functools import partial
from typing import Any

import httptools

from kubeline.errors import KubelineError
from kubeline_serving.errors import (
    BodyTimedOut,
    BrokenModel,
    Overloaded,
    RequestRefused,
    TooLarge,
    UnsupportedEncoding,
    headers_too_large,
    without_frames,
)
from kubeline_serving.http.application import Page
from kubeline_serving.http.connection import HttpConnection
from kubeline_serving.http.predictions import Route, headers_of, request_id
from kubeline_serving.http.request import Request, usual_request
from kubeline_serving.http.responses import Response, refusal
from kubeline_serving.limits import HEAD_BYTES, MAX_HEADERS

logger = logging.getLogger(__name__)

_FREE_PARTS, _MIN_OF_PART = 4096, 64  # chunks that may be of any size, and bytes of one on average after that
_OVERHEAD = 1024  # bytes that a request takes in memory besides its own


class HttpProtocol(HttpConnection):
    """One connection of HTTP.

    Attributes:
        head_bytes: of method, path and headers, and of what comes between the parts of a body that is sent in chunks.
        head_seconds: for them to come, from the first byte, or from the connection.
        most_headers: of one request.
        most_waiting: requests that were sent before the ones in front of them were answered.
    """

    head_bytes = HEAD_BYTES
    head_seconds = 30.0
    most_headers = MAX_HEADERS
    most_waiting = 64

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        state = self.app.state
        self._limits, self._budget, self._connections = state.limits, state.budget, state.connections
        self._predictions = self.app.predictions
        self._engine = self._predictions.service.engine
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0  # bytes of the headers so far
        self._in_head = False
        self._between = 0  # bytes since the head began, or since the last part of a body
        self._refused: KubelineError | None = None  # why what is being read is refused
        self._request: Request | None = None  # whose body is being read
        self._waiting: deque[Request] = deque()
        self._active: Request | None = None  # that is being answered
        self._is_idle = False  # between two requests
        self._is_last = False  # nothing that comes after it is read
        self._refused_at = -math.inf  # by the time of the event loop

    @property
    def is_busy(self) -> bool:
        """Whether the server works on a request of this connection."""
        return self._active is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        super().connection_made(transport)
        self.start_read_timer(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        super().connection_lost(exc)
        if self._active is not None and self._active.work is not None:
            self._active.work.abandoned = True
        self._release_all()
        del self._parser  # it refers back

    def shutdown(self) -> None:
        """Answer what has come, and close: see uvicorn's protocols."""
        last = self._request or (self._waiting[-1] if self._waiting else self._active)
        if last is None:
            self.close()
        else:
            last.keep_alive = False

    def take(self, data: bytes) -> None:
        """Read what came."""
        if self._is_last or (self._engine.is_full and self._reject_early(data)):
            return
        if self._is_idle:
            self._is_idle = False
            self._read_deadline = 0.0
        self._between += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as what it is without that, and the connection ends
        except httptools.HttpParserCallbackError as error:
            self._refuse(without_frames(self._refused) if self._refused else _broken(error))
        except httptools.HttpParserError:
            self._refuse(RequestRefused("what was sent is not an HTTP/1.1 request"))
        if (self._in_head or self._request is not None) and not self._is_last:
            self._limit_unfinished()

    def _limit_unfinished(self) -> None:
        """Give a request that has not come whole its time, and no more than its room."""
        if self._between > self.head_bytes:
            self._refuse(headers_too_large(len(self._headers), self.most_headers, self.head_bytes))
        elif self._in_head:
            self.start_read_timer(self.head_seconds)
        elif self._request is not None:
            self.start_read_timer(self._limits.body_seconds)
            if self._request.body:
                self._budget.begin_waiting(self)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if len(self._waiting) >= self.most_waiting:
            self._refused = Overloaded(
                f"{self.most_waiting} requests wait on this connection; wait for their answers, or use more connections"
            )
            raise self._refused
        self._in_head = True
        self._between = self._head_size = 0
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """The path, or a part of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or behind a body of chunks a trailer, of which nothing is kept."""
        if not self._in_head:
            return
        self._head_size = size = self._head_size + len(name) + len(value)
        headers = self._headers
        headers.append((name.lower(), value))
        if size > self.head_bytes or len(headers) > self.most_headers:
            self._refused = headers_too_large(len(headers), self.most_headers, self.head_bytes)
            raise self._refused

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._between = 0
        self._read_deadline = 0.0
        method, parser = self._parser.get_method(), self._parser
        headers = headers_of(self._headers)
        keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0" and not parser.should_upgrade()
        request = self._request = Request(None, headers, keep_alive)
        request.is_head = method == b"HEAD"
        try:
            request.target = self.app.target_of(method, self._url)
        except KubelineError as error:
            request.answer = refusal(error)
        try:
            self._check_head(request)
        except KubelineError as error:
            self._refused = error
            raise
        if request.expects_continue:
            self._send_continue()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        self._between = 0
        request, size = self._request, len(data)
        if request is None:
            return
        request.read += size
        request.parts += 1
        try:
            if request.parts > _FREE_PARTS and request.parts * _MIN_OF_PART > request.read:
                raise RequestRefused(f"the chunks are smaller than {_MIN_OF_PART} bytes; send larger ones")
            if request.read > self._limits.body_bytes:
                raise self._too_large()
            if isinstance(request.target, Route):
                self._budget.take(size)
                request.size += size
                if request.body:
                    request.add(data)
                else:
                    request.body = data
        except KubelineError as error:
            self._refused = error
            raise

    def on_message_complete(self) -> None:
        """The request is there as a whole."""
        request, self._request = self._request, None
        if request is None:
            return
        if self._read_deadline:
            self.stop_read_timer()
            self._budget.end_waiting(self)
        self._waiting.append(request)
        self.advance()

    def _check_head(self, request: Request) -> None:
        headers = request.headers
        length = headers.get(b"content-length", b"").lstrip(b"0")  # Python reads no number of thousands of zeros
        if length.isdigit() and int(length) > self._limits.body_bytes:
            raise self._too_large()
        if isinstance(request.target, Route):
            if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
                raise UnsupportedEncoding("the body is compressed; send it as it is, without Content-Encoding")
            size = self._head_size + _OVERHEAD
            self._budget.take(size)
            request.size = size
        request.expects_continue = b"expect" in headers and headers[b"expect"].lower() == b"100-continue"

    def _send_continue(self) -> None:
        request = self._request
        if request is not None and request.expects_continue and self._active is None and not self._waiting:
            request.expects_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def read_timed_out(self) -> None:
        """The client has not sent in time what it was waited for."""
        seconds = self._limits.body_seconds
        if self._in_head or self._request is not None:
            if not self._is_reading:  # because of what waits in front of it
                self.start_read_timer(seconds)
            elif self._in_head:
                self._refuse(
                    BodyTimedOut(f"the headers did not arrive within {self.head_seconds:g} s; send them faster")
                )
            else:
                self._refuse(BodyTimedOut(f"the request did not arrive within {seconds:g} s; send it faster"))
            return
        left = self._refused_at + self.keep_alive_seconds - self.loop.time()
        if self._is_idle and left > 0:  # its requests were refused lately
            self.start_read_timer(left)
        else:
            self.close()

    def shed(self) -> None:
        """Others need the memory that this connection holds: its client sends slowly, or does not read."""
        if self.unread:
            super().shed()
            self._release_all()
        else:
            self._refuse(
                Overloaded("the rest of the request did not come while others needed its room; try again later")
            )

    def advance(self) -> None:
        """Work on what waits, one request after the other, as long as the client reads the answers."""
        while self._waiting and self._active is None and not self.unread and not self.transport.is_closing():
            request = self._active = self._waiting.popleft()
            self._work_on(request)
        if self._waiting:
            self.pause_reading()
        elif not self.unread:
            self.resume_reading()
            if self._request is not None:
                self._send_continue()

    def _work_on(self, request: Request) -> None:
        target, predictions = request.target, self._predictions
        if request.answer is not None:
            self._send(request, request.answer, request_id(request.headers))
        elif isinstance(target, Page):
            if target.is_quick:
                self._send(request, target.show(request.headers), request_id(request.headers))
            else:
                self._show_later(request, target)
        elif target is not None and self._engine.is_full:
            self._send(request, *predictions.reject_early(target, request.headers))
            self._yield_turn()
        elif target is not None:
            work = predictions.handle(target, request.headers, request.body, partial(self._answered, request))
            if self._active is request:
                request.work = work

    def _show_later(self, request: Request, page: Page) -> None:
        async def show() -> None:
            self._answered(request, await self.app.show_later(page, request.headers), request_id(request.headers))

        task = self.loop.create_task(show())
        self.uvicorn.tasks.add(task)
        task.add_done_callback(self.uvicorn.tasks.discard)

    def _answered(self, request: Request, outcome: Response | KubelineError, own_id: str) -> None:
        """Send an answer that took its time, or none, and go on with what waits."""
        self._send(request, outcome if isinstance(outcome, Response) else refusal(outcome), own_id)
        if self._waiting or self._request is not None or not self._is_reading:
            self.loop.call_soon(self.advance)

    def _send(self, request: Request, answer: Response, own_id: str) -> None:
        self._active = None
        request.work = None  # it refers back: left in place, only the garbage collector would free the request
        self._release(request)
        self.uvicorn.total_requests += 1
        if self.transport.is_closing():
            return
        keep = request.keep_alive and not self.app.state.draining
        self.transport.write(answer.as_http(own_id, not keep, self.uvicorn.default_headers, request.is_head))
        self._connections.became_idle(self)
        if not keep:
            self._end()
        elif not self._waiting and self._request is None and not self._in_head:
            self._is_idle = True
            self.start_read_timer(self.keep_alive_seconds)

    def _end(self) -> None:
        if self._is_last or self._request is not None or self._in_head:
            self.linger()
        else:
            self.close()

    def _refuse(self, error: KubelineError) -> None:
        """Answer what is being read with an error, after what is in front of it, and read no more."""
        self.stop_read_timer()
        self._is_last = True
        request, self._request = self._request, None
        if request is None:
            request = Request(None, {}, False)
        self._release(request)
        self._budget.end_waiting(self)
        request.keep_alive = False
        if isinstance(request.target, Route):
            request.answer, own_id = self._predictions.refuse(request.target, request.headers, error)
            request.headers = {b"x-request-id": own_id.encode()}
        else:
            request.answer = refusal(error)
        self._waiting.append(request)
        self.advance()

    def _release(self, request: Request) -> None:
        self._budget.give(request.size)
        request.size = 0
        request.body = b""

    def _release_all(self) -> None:
        """Release what requests hold that are not being answered."""
        for request in (self._request, *self._waiting):
            if request is not None:
                self._release(request)
        self._request = None
        self._waiting.clear()

    def _too_large(self) -> TooLarge:
        most = self._limits.body_bytes
        return TooLarge(f"the request has more than {most:,} bytes, which is the most the server takes; split it")

    def _reject_early(self, data: bytes) -> bool:
        """Refuse a whole prediction request of the usual form by its head alone, and say whether it was one.

        To read requests that are refused anyway would take the time in which others are answered.
        """
        usual = usual_request(data)
        route = self.app.route_of(usual.url) if usual is not None else None
        if (
            usual is None
            or route is None
            or self._in_head
            or self._request is not None
            or self._active is not None
            or self._waiting
        ):
            return False
        self.stop_read_timer()
        request = Request(route, usual.headers, keep_alive=True)
        self._send(request, *self._predictions.reject_early(route, request.headers))
        self._refused_at = self.loop.time()
        self._yield_turn()
        return True

    def _yield_turn(self) -> None:
        """Read no more in this turn of the event loop, when others should have theirs.

        libuv reads on as long as it finds a thousand connections with something to read: clients that ask again at once
        when they are refused would keep it from everything else.
        """
        if self._engine.is_late and not self.transport.is_closing():
            self.pause_reading()
            self.loop.call_soon(self.advance)


def _broken(error: Exception) -> BrokenModel:
    logger.error("a request could not be read", exc_info=error)
    return BrokenModel("the server failed on this request; its log says why")
