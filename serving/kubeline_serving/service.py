"""A prediction request, whatever its protocol: queued, answered or refused, and recorded by the observers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeVar

from kubeline.errors import KubelineError
from kubeline.model_package.predictor import Predictions
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.errors import TimedOut, overloaded, sentence, status_of
from kubeline_serving.exchange import Exchange, Observer, ProtocolName
from kubeline_serving.ids import new_id
from kubeline_serving.inference.engine import Engine, Work
from kubeline_serving.observability.tracing import trace_context

T = TypeVar("T")

CLIENT_LEFT = 499  # nginx's; there is no official status for it
OVERLOADED = overloaded()


class PredictionService:
    """Answers the prediction requests of one model; every protocol comes through here.

    Args:
        engine: answers predictions.
        observers: are called once with every request, answered or not.

    Attributes:
        engine: the same.
        model: that it serves.
    """

    def __init__(self, engine: Engine, observers: Sequence[Observer]):
        self.engine = engine
        self.model = engine.model
        self._observers = observers

    def handle(
        self,
        exchange: Exchange,
        size: int,
        parse: Callable[[], Inputs],
        serialise: Callable[[Predictions], T],
        send: Callable[[T | KubelineError, str], None],
        explain: Callable[[Inputs, Callable[[], None]], T] | None = None,
    ) -> Work[T]:
        """Answer a request that has come whole.

        Args:
            exchange: of the request; inputs, predictions, times and status are written into it.
            size: bytes of the request.
            parse: makes the inputs; a KubelineError refuses the request.
            serialise: makes the answer.
            send: is called with the answer, or with why there is none, and the request id, now or later, from the event
                loop.
            explain: makes the answer in place of a prediction, see :class:`Work`.
        """

        def done(outcome: T | KubelineError) -> None:
            if exchange.status:  # its client left, and the observers recorded that
                return
            _finish(exchange, outcome)
            send(outcome, exchange.request_id)
            self._notify(exchange)

        work = Work(exchange, parse, serialise, done, explain=explain)
        try:
            self.engine.submit(work, size)
        except KubelineError as error:
            done(error)
        return work

    async def answer(
        self,
        exchange: Exchange,
        size: int,
        parse: Callable[[], Inputs],
        serialise: Callable[[Predictions], T],
        expired: Callable[[], bool] = bool,
    ) -> T:
        """The same for who waits for the answer.

        Args:
            exchange: of the request.
            size: bytes of the request.
            parse: makes the inputs.
            serialise: makes the answer.
            expired: whether it was the client's deadline, when the wait is cancelled.

        Raises:
            KubelineError: why the request is refused.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def send(outcome: T | KubelineError, _: str) -> None:
            if future.done():
                return
            if isinstance(outcome, KubelineError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        work = self.handle(exchange, size, parse, serialise, send)
        try:
            return await future
        except asyncio.CancelledError:
            work.abandoned = True
            if not exchange.status:
                left = ("the call's deadline passed", TimedOut.status) if expired() else (_CANCELLED, CLIENT_LEFT)
                exchange.error, exchange.status = left
                exchange.total_seconds = perf_counter() - exchange.arrived
                self._notify(exchange)
            raise

    def refuse(self, exchange: Exchange, error: KubelineError) -> None:
        """Record a request that is refused before it is handled, such as one that does not come whole."""
        _finish(exchange, error)
        self._notify(exchange)

    def reject_early(self, protocol: ProtocolName, request_id: str) -> None:
        """Refuse before anything is done for a request: under overload, that must cost a fraction of answering."""
        exchange = Exchange(protocol, request_id, "", "", time.time(), perf_counter())
        exchange.status, exchange.error = OVERLOADED.status, str(OVERLOADED)
        self._notify(exchange)

    def _notify(self, exchange: Exchange) -> None:
        exchange.request_id = exchange.request_id or new_id()
        for observer in self._observers:
            observer.record(exchange)


_CANCELLED = "the client cancelled the call"


def begin(protocol: ProtocolName, request_id: str, traceparent: bytes | None, tracestate: bytes | None) -> Exchange:
    """The exchange of a request that has just come; a trace context that is malformed counts as none."""
    trace, state = trace_context(traceparent, tracestate) if traceparent else ("", "")
    return Exchange(protocol, request_id, trace, state, time.time(), perf_counter())


def _finish(exchange: Exchange, outcome: object) -> None:
    if isinstance(outcome, KubelineError):
        exchange.status, exchange.error = status_of(outcome), sentence(outcome)
    else:
        exchange.status = 200
    exchange.total_seconds = perf_counter() - exchange.arrived
