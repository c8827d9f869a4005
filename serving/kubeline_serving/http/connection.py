"""The transport of an HTTP connection: waits have time limits, buffers are counted, and refusals are delivered."""

import asyncio
import math
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState as Uvicorn

from kubeline_serving.http.application import Application

_LINGER_SECONDS = 10.0  # for which what a refused client goes on sending is read and discarded (lingering close)
_QUIET_SECONDS = 1.0  # without anything of it, after which the connection is closed before that
_EARLY_SECONDS = 0.001  # by which a timer may fire, as libuv counts milliseconds
_MIN_READ = 64 * 1024  # bytes of answers that a client reads in `write_seconds`


class HttpConnection(asyncio.Protocol):
    """A connection of uvicorn's server, without the parsing of HTTP.

    Attributes:
        write_seconds: for a client to read what was written.
        unread: bytes of answers that wait in memory for the client to read them; 0 while they are few.
    """

    write_seconds = 30.0

    def __init__(
        self,
        config: Config,
        server_state: Uvicorn,
        app_state: dict[str, Any] | None = None,
        _loop: asyncio.AbstractEventLoop | None = None,
    ):
        if not config.loaded:
            config.load()
        self.app: Application = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.uvicorn = server_state
        self.keep_alive_seconds = config.timeout_keep_alive
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.unread = 0
        self._read_deadline = 0.0  # for the client to send, by the time of the event loop; 0: none
        self._read_timer: asyncio.TimerHandle | None = None  # fires at it, or earlier
        self._read_timer_at = math.inf
        self._write_timer: asyncio.TimerHandle | None = None  # for it to read
        self._is_reading = True
        self._lingers_until = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether the server works on a request of this connection."""
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        """Read what came."""
        raise NotImplementedError

    def advance(self) -> None:
        """Go on with what waits, unless it waits for the client to read answers."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self.transport = transport  # type: ignore[assignment]
        self.uvicorn.connections.add(self)  # type: ignore[arg-type]
        if not self.app.state.connections.add(self):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self.uvicorn.connections.discard(self)
        self.app.state.connections.remove(self)
        self._cancel_read_timer()
        self._stop_write_timer()

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        if not self._lingers_until:
            self.take(data)
        elif self._read_deadline:
            self._start_quiet_timer()

    def pause_writing(self) -> None:
        """The client reads more slowly than answers are written."""
        self.unread = max(self.transport.get_write_buffer_size(), 1)
        self.app.state.budget.note(self.unread)
        self.app.state.budget.begin_waiting(self)
        self._start_write_timer()

    def resume_writing(self) -> None:
        """The client has read nearly all."""
        if not self.transport.is_closing():  # otherwise it still has to read the rest in time
            self._stop_write_timer()
            self.advance()

    def shed(self) -> None:
        """Others need the memory that answers hold which this client does not read."""
        self.transport.abort()
        self._stop_write_timer()

    def evict(self) -> None:
        """Another connection needs the place of this one."""
        if self.unread:
            self.transport.abort()
        else:
            self.close()

    def start_read_timer(self, seconds: float) -> None:
        """Time out in so many seconds, unless a timer runs already.

        A handle of the event loop that fires before that is left to fire: to cancel it and to make another would take
        time of every request.
        """
        if not self._read_deadline:
            self._read_deadline = self.loop.time() + seconds
            if self._read_deadline < self._read_timer_at:
                self._arm_read_timer()

    def stop_read_timer(self) -> None:
        """The client has sent what it was waited for."""
        self._read_deadline = 0.0

    def read_timed_out(self) -> None:
        """The client has not sent in time what it was waited for."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Read no more for the moment; a client that goes on sending is kept waiting by TCP."""
        if self._is_reading:
            self._is_reading = False
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._is_reading and not self.transport.is_closing():
            self._is_reading = True
            self.transport.resume_reading()

    def close(self) -> None:
        """Close when all is written; a client that does not read it has its time for that."""
        self.stop_read_timer()
        if not self.transport.is_closing():
            self.transport.close()
            if self._write_timer is None:
                self._write_timer = self.loop.call_later(self.write_seconds, self.transport.abort)

    def linger(self) -> None:
        """Close when the client has stopped sending, or some seconds later.

        Closed at once, TCP would reset the connection because of what came meanwhile, and a client that is still
        sending would see that instead of the answer.
        """
        self.stop_read_timer()
        self._lingers_until = self.loop.time() + _LINGER_SECONDS
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._start_quiet_timer()

    def _start_quiet_timer(self) -> None:
        self.stop_read_timer()
        left = self._lingers_until - self.loop.time()
        self.start_read_timer(min(max(left, 0.0), _QUIET_SECONDS))

    def _arm_read_timer(self) -> None:
        self._cancel_read_timer()
        self._read_timer_at = self._read_deadline
        self._read_timer = self.loop.call_later(self._read_deadline - self.loop.time(), self._read_timer_fired)

    def _cancel_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer, self._read_timer_at = None, math.inf

    def _read_timer_fired(self) -> None:
        self._read_timer, self._read_timer_at = None, math.inf
        if not self._read_deadline or self.transport.is_closing():
            return
        if self._read_deadline > self.loop.time() + _EARLY_SECONDS:
            self._arm_read_timer()
            return
        self._read_deadline = 0.0
        if self._lingers_until:
            self.close()
        else:
            self.read_timed_out()

    def _start_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
        self._write_timer = self.loop.call_later(self.write_seconds, self._check_write_progress, self.unread)

    def _check_write_progress(self, before: int) -> None:
        """Go on waiting for a client that reads, if slowly."""
        left = self.transport.get_write_buffer_size()
        if left > before - _MIN_READ:
            self.transport.abort()
            return
        self.app.state.budget.give(self.unread - left)
        self.unread = left
        self._start_write_timer()

    def _stop_write_timer(self) -> None:
        self.app.state.budget.end_waiting(self)
        self.app.state.budget.give(self.unread)
        self.unread = 0
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
