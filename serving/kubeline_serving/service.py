"""Prediction requests over HTTP, however they come in: read, queued, answered, and told to the observers."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

from kubeline.errors import KubelineError
from kubeline.model_package.predictor import Predictions
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.codec.v1 import V1
from kubeline_serving.codec.v2 import HEADER_LENGTH, V2, Wanted
from kubeline_serving.errors import sentence
from kubeline_serving.exchange import Exchange, Observer, ProtocolName
from kubeline_serving.http import cloudevents
from kubeline_serving.http.answers import Answer, refusal
from kubeline_serving.ids import new_id, usable
from kubeline_serving.inference.engine import Engine, Work, overloaded
from kubeline_serving.observability.tracing import trace_context

Headers = dict[bytes, bytes]
Body = bytes | bytearray
Parse = Callable[[], Inputs]
Serialise = Callable[[Predictions], Answer]

_BINARY = b"application/octet-stream"
_TURNED_AWAY = overloaded()
_TURNED_AWAY_ANSWER = refusal(_TURNED_AWAY)


class Route(NamedTuple):
    """A path that predicts: its protocol, and how its requests are read and answered."""

    protocol: ProtocolName
    read: Callable[[Headers, Exchange, Body], tuple[Parse, Serialise]]


class PredictionService:
    """Answers the prediction requests of one model.

    Args:
        engine: answers predictions.
        v1: reads and writes KServe v1.
        v2: reads and writes the Open Inference Protocol.
        observers: are told of every request.
    """

    def __init__(self, engine: Engine, v1: V1, v2: V2, observers: Sequence[Observer]):
        self._engine = engine
        self._v1, self._v2 = v1, v2
        self._observers = observers
        name, version = engine.model.name, engine.model.version
        v2_route = Route("v2", self._read_v2)
        self.routes: dict[str, Route] = {
            f"/v1/models/{name}:predict": Route("v1", self._read_v1),
            f"/v2/models/{name}/infer": v2_route,
            f"/v2/models/{name}/versions/{version}/infer": v2_route,
        }

    @property
    def is_full(self) -> bool:
        """Whether a request that comes now would wait too long."""
        return self._engine.is_full

    @property
    def is_late(self) -> bool:
        """Whether requests are read for so long already that others should have their turn."""
        return self._engine.is_late

    def begin(self, route: Route, headers: Headers) -> Exchange:
        """The exchange of a request that has just come."""
        trace = headers.get(b"traceparent")
        traceparent, tracestate = trace_context(trace, headers.get(b"tracestate")) if trace else ("", "")
        return Exchange(route.protocol, request_id(headers), traceparent, tracestate, time.time(), perf_counter())

    def turn_away(self, route: Route, headers: Headers) -> tuple[Answer, str]:
        """Refuse before anything is done for a request: under overload, that must cost a fraction of answering."""
        exchange = Exchange(route.protocol, request_id(headers), "", "", time.time(), perf_counter())
        exchange.status, exchange.error = _TURNED_AWAY.status, str(_TURNED_AWAY)
        self._tell(exchange)
        return _TURNED_AWAY_ANSWER, exchange.request_id

    def refuse(self, route: Route, headers: Headers, error: KubelineError) -> tuple[Answer, str]:
        """Refuse a request that does not come whole."""
        exchange = self.begin(route, headers)
        answer = self._finish(exchange, error)
        self._tell(exchange)
        return answer, exchange.request_id

    def handle(self, route: Route, headers: Headers, body: Body, send: Callable[[Answer, str], None]) -> Work[Answer]:
        """Answer a request that has come whole.

        Args:
            route: of its path.
            headers: of the request.
            body: of the request.
            send: is called with the answer and the request id, now or later, from the event loop.
        """
        exchange = self.begin(route, headers)

        def done(outcome: Answer | KubelineError) -> None:
            answer = self._finish(exchange, outcome)
            send(answer, exchange.request_id)
            self._tell(exchange)

        work = Work(exchange, *route.read(headers, exchange, body), done)
        try:
            self._engine.submit(work, len(body))
        except KubelineError as error:
            done(error)
        return work

    def _finish(self, exchange: Exchange, outcome: Answer | KubelineError) -> Answer:
        if isinstance(outcome, Answer):
            answer = outcome
        else:
            answer = refusal(outcome)
            exchange.error = sentence(outcome)
        exchange.status = answer.status
        exchange.total_seconds = perf_counter() - exchange.arrived
        return answer

    def _tell(self, exchange: Exchange) -> None:
        for observer in self._observers:
            observer.record(exchange)

    def _read_v1(self, headers: Headers, exchange: Exchange, body: Body) -> tuple[Parse, Serialise]:
        if cloudevents.is_event(headers):
            event = cloudevents.Event(headers, body, self._engine.model.name)

            def parse() -> Inputs:
                self._v1.check(body, rows_as_usual=False)
                return self._v1.inputs(event.data())

            return (
                parse,
                lambda predictions: Answer(*event.answer(self._v1.serialise(predictions))),
            )
        return partial(self._v1.parse, body), lambda predictions: Answer(self._v1.serialise(predictions))

    def _read_v2(self, headers: Headers, exchange: Exchange, body: Body) -> tuple[Parse, Serialise]:
        wanted = Wanted()

        def parse() -> Inputs:
            nonlocal wanted
            columns, wanted = self._v2.read(body, headers.get(HEADER_LENGTH))
            if wanted.id and b"x-request-id" not in headers:
                exchange.request_id = usable(wanted.id) or exchange.request_id
            return self._v2.inputs(columns)

        def serialise(predictions: Predictions) -> Answer:
            content, json_bytes = self._v2.serialise(predictions, wanted, exchange.request_id)
            if json_bytes is None:
                return Answer(content)
            return Answer(content, 200, _BINARY, ((HEADER_LENGTH, b"%d" % json_bytes),))

        return parse, serialise


def request_id(headers: Headers) -> str:
    """The client's, or a new one."""
    given = headers.get(b"x-request-id")
    return (usable(given.decode("latin-1")) if given else "") or new_id()


def headers_of(pairs: list[tuple[bytes, bytes]]) -> Headers:
    """Headers by name; the values of one that came several times count as one list (RFC 9110, 5.3)."""
    headers = dict(pairs)
    if len(headers) < len(pairs):
        values: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        headers = {name: b",".join(several) for name, several in values.items()}
    return headers
