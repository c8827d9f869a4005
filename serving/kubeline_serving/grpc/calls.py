"""The open calls of gRPC: their messages come within limits, and their answers are read.

gRPC's own core, which Python cannot inspect, buffers the parts of a message until it is whole, and an answer until the
client reads it, without a limit in time. It asks for no more than a window of a few kilobytes, though, until
the message is read. So that is begun only when there is room for the largest message that may come.
"""

import asyncio
import contextlib
from collections import deque
from functools import partial
from itertools import takewhile
from time import monotonic
from typing import Any

from grpc.aio import EOF

from kubeline_serving.budget import SHED_AFTER_SECONDS, Budget
from kubeline_serving.errors import BodyTimedOut, Overloaded, TooLarge
from kubeline_serving.grpc.connections import disconnect
from kubeline_serving.state import ServerState

CallContext = Any  # grpc.aio.ServicerContext; the library has no types

_SWEEP_SECONDS = 0.25  # between two sweeps over the calls that wait
_ROOM_SECONDS = 5.0  # for which a call waits for room
_REFUSAL_SECONDS = 0.1  # for a refusal to be sent before its connection ends


class Call:
    """A call whose message has come.

    Attributes:
        message: of the client.
    """

    __slots__ = ("_budget", "_calls", "_context", "_task", "held", "message", "since", "was_shed")

    def __init__(self, calls: "Calls", budget: Budget, context: CallContext, task: "asyncio.Task[Any]"):
        self._calls, self._budget, self._context, self._task = calls, budget, context, task
        self.message = b""
        self.since = monotonic()  # it waits for the client
        self.held = 0  # bytes of the budget
        self.was_shed = False

    def answer(self, content: bytes) -> bytes:
        """Count an answer, until it is read; a client that does not read it is disconnected."""
        self.hold(len(content))
        self.since = monotonic()
        self._calls.unread[self] = None
        self._budget.begin_waiting(self)
        return content

    def hold(self, size: int) -> None:
        """Count bytes as long as the call is open."""
        self.held += size
        self._budget.note(size)

    def shed(self) -> None:
        """Others need the memory that it holds, or it has waited for too long."""
        self.was_shed = True
        if self in self._calls.unread:
            self.end()
            asyncio.get_running_loop().run_in_executor(None, disconnect, self._context.peer())
        else:
            self._task.cancel()

    def end(self, _: Any = None) -> None:
        """The call is over; what gRPC retains of it for a while does not retain the message."""
        self.message = b""
        self._budget.give(self.held)
        self.held = 0
        if self._calls.unread.pop(self, self) is None:
            self._budget.end_waiting(self)


class Calls:
    """Receives the messages of calls, and watches whether their answers are read.

    Args:
        state: of the worker.
        most: open calls; others are refused.

    Attributes:
        unread: calls whose answers are not read, the oldest first.
    """

    def __init__(self, state: ServerState, most: int = 1000):
        self._state = state
        self._most = most
        self._open = 0
        self._reserved = 0  # bytes, for messages that are being received
        self._readings: dict[Call, None] = {}  # the oldest first
        self._waiting: deque[asyncio.Future[None]] = deque()  # for room, the newest last
        self.unread: dict[Call, None] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._ending: set[str] = set()  # peers whose connections are about to be ended

    async def receive(self, context: CallContext) -> Call:
        """A call that has just begun, when its message has come.

        Raises:
            Overloaded: when there is no room for it.
            BodyTimedOut: when it does not come in time.
            TooLarge: when it is larger than the limit, or there is none.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - gRPC makes one for each call
        call = Call(self, self._state.budget, context, task)
        self._open += 1
        task.add_done_callback(partial(self._closed, call))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        if self._open > self._most:
            self._refuse_oldest_waiting()
        if self._waiting or not self._reserve():
            await self._room()
        try:
            call.message = await self._read(call, context)
            call.hold(len(call.message))
        finally:
            self._release()
            if self._waiting:
                self._admit()
        return call

    def end_connection(self, context: CallContext) -> None:
        """End the connection of a call, once a refusal has been sent."""
        peer = context.peer()
        if peer not in self._ending:
            self._ending.add(peer)
            asyncio.get_running_loop().call_later(_REFUSAL_SECONDS, self._end_connection, peer)

    def _end_connection(self, peer: str) -> None:
        self._ending.discard(peer)
        asyncio.get_running_loop().run_in_executor(None, disconnect, peer)

    async def _read(self, call: Call, context: CallContext) -> bytes:
        call.since = monotonic()
        self._readings[call] = None
        self._state.budget.begin_waiting(call)
        try:
            message: bytes = await context.read()
        except asyncio.CancelledError:
            if not call.was_shed:  # but the client has left
                raise
            raise self._unfinished(call) from None
        finally:
            self._state.budget.end_waiting(call)
            del self._readings[call]
        if message is EOF:  # also when gRPC has refused a larger one
            most = self._state.limits.body_bytes
            raise TooLarge(
                f"the call has no message, or one of more than the {most:,} bytes that the server takes; split it"
            )
        return message

    def _unfinished(self, call: Call) -> Overloaded | BodyTimedOut:
        """Why a message that has not come whole is not waited for."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        task.uncancel()
        seconds = self._state.limits.body_seconds
        if monotonic() - call.since >= seconds:
            return BodyTimedOut(f"the request did not arrive within {seconds:g} s; send it faster")
        return Overloaded("the rest of the request did not come while others needed its room; try again later")

    async def _room(self) -> None:
        """Wait for room for the largest message; the newest call has it first, as the oldest has most likely gone."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(_ROOM_SECONDS):
                await waiting
        except BaseException as error:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiting)
            if waiting.done() and not waiting.cancelled() and not waiting.exception():  # let in at this very moment
                self._release()
            if isinstance(error, TimeoutError):
                raise Overloaded("the server holds as many requests as its memory allows; try again later") from None
            raise

    def _refuse_oldest_waiting(self) -> None:
        """Let the call that waits for room the longest make place for a new one."""
        refusal = Overloaded("the server has as many open calls as it takes; try again later")
        if not self._waiting:
            raise refusal
        oldest = self._waiting.popleft()
        if not oldest.done():
            oldest.set_exception(refusal)

    def _reserve(self) -> bool:
        """Reserve room for a message of any size; half of the budget is left to HTTP, and to what is being answered."""
        size, budget = self._state.limits.body_bytes, self._state.budget
        if self._reserved and self._reserved + size > budget.limit // 2:
            oldest = next(iter(self._readings), None)
            if oldest is not None and oldest.since < monotonic() - SHED_AFTER_SECONDS and not oldest.was_shed:
                oldest.shed()
            return False
        if not budget.reserve(size):
            return False
        self._reserved += size
        return True

    def _release(self) -> None:
        self._reserved -= self._state.limits.body_bytes
        self._state.budget.give(self._state.limits.body_bytes)

    def _admit(self) -> None:
        while self._waiting and self._reserve():
            waiting = self._waiting.pop()
            if waiting.done():
                self._release()
            else:
                waiting.set_result(None)

    def _sweep(self) -> None:
        """Let in what there is room for, and end what has waited for its client for too long."""
        self._sweeper = None
        self._admit()
        latest = monotonic() - self._state.limits.body_seconds
        for waiting in (self._readings, self.unread):
            for call in list(takewhile(lambda call: call.since <= latest, waiting)):
                if not call.was_shed:
                    call.shed()
        if self._open:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _closed(self, call: Call, _: Any) -> None:
        self._open -= 1
        call.end()
