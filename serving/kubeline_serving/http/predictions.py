"""Predictions over HTTP: the paths that predict or explain, and what comes and goes there: v1, v2 or CloudEvents."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from kubeline.errors import KubelineError
from kubeline.model_package.predictor import Predictions
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.codec.v1 import V1
from kubeline_serving.codec.v2 import HEADER_LENGTH, V2, OutputSelection
from kubeline_serving.exchange import Exchange, ProtocolName
from kubeline_serving.http import cloudevents
from kubeline_serving.http.responses import Response, refusal
from kubeline_serving.ids import new_id, usable
from kubeline_serving.inference.engine import Work
from kubeline_serving.service import OVERLOADED, PredictionService, begin

Headers = dict[bytes, bytes]
Body = bytes | bytearray
Parse = Callable[[], Inputs]
Serialise = Callable[[Predictions], Response]

_BINARY = b"application/octet-stream"
_OVERLOADED = refusal(OVERLOADED)


class Route(NamedTuple):
    """A path that predicts: its protocol, and how its requests are read and answered."""

    protocol: ProtocolName
    read: Callable[[Headers, Exchange, Body], tuple[Parse, Serialise]]
    explains: bool = False


class PredictionRoutes:
    """Requests of HTTP to the service, and its answers back.

    Args:
        service: answers prediction requests.
        v1: reads and writes KServe v1.
        v2: reads and writes the Open Inference Protocol.

    Attributes:
        by_path: the paths that predict.
    """

    def __init__(self, service: PredictionService, v1: V1, v2: V2):
        self.service = service
        self._v1, self._v2 = v1, v2
        name, version = service.model.name, service.model.version
        v2_route = Route("v2", self._read_v2)
        self.by_path: dict[str, Route] = {
            f"/v1/models/{name}:predict": Route("v1", self._read_v1),
            f"/v1/models/{name}:explain": Route("explain", self._read_v1, explains=True),
            f"/v2/models/{name}/infer": v2_route,
            f"/v2/models/{name}/versions/{version}/infer": v2_route,
        }

    def reject_early(self, route: Route, headers: Headers) -> tuple[Response, str]:
        """Refuse before anything is done for a request; returns the answer and the request id."""
        own_id = request_id(headers)
        self.service.reject_early(route.protocol, own_id)
        return _OVERLOADED, own_id

    def refuse(self, route: Route, headers: Headers, error: KubelineError) -> tuple[Response, str]:
        """Refuse a request that does not come whole."""
        exchange = _begin(route, headers)
        self.service.refuse(exchange, error)
        return refusal(error), exchange.request_id

    def handle(
        self, route: Route, headers: Headers, body: Body, send: Callable[[Response | KubelineError, str], None]
    ) -> Work[Response]:
        """Answer a request that has come whole.

        Args:
            route: of its path.
            headers: of the request.
            body: of the request.
            send: is called with the answer, or with why there is none, and the request id, now or later, from the event
                loop.
        """
        exchange = _begin(route, headers)
        explain = self._explain if route.explains else None
        return self.service.handle(exchange, len(body), *route.read(headers, exchange, body), send, explain)

    def _explain(self, inputs: Inputs, go_on: Callable[[], None]) -> Response:
        return Response(self._v1.explained(*self.service.model.explain(inputs, go_on)))

    def _read_v1(self, headers: Headers, exchange: Exchange, body: Body) -> tuple[Parse, Serialise]:
        if cloudevents.is_event(headers):
            event = cloudevents.CloudEvent(headers, body, self.service.model.name)

            def parse() -> Inputs:
                self._v1.check(body, rows_as_usual=False)
                return self._v1.inputs(event.data())

            return (
                parse,
                lambda predictions: Response(*event.answer(self._v1.serialise(predictions))),
            )
        return partial(self._v1.parse, body), lambda predictions: Response(self._v1.serialise(predictions))

    def _read_v2(self, headers: Headers, exchange: Exchange, body: Body) -> tuple[Parse, Serialise]:
        wanted = OutputSelection()

        def parse() -> Inputs:
            nonlocal wanted
            columns, wanted = self._v2.read(body, headers.get(HEADER_LENGTH))
            if wanted.id and b"x-request-id" not in headers:
                exchange.request_id = usable(wanted.id) or exchange.request_id
            return self._v2.inputs(columns)

        def serialise(predictions: Predictions) -> Response:
            content, json_bytes = self._v2.serialise(predictions, wanted, exchange.request_id)
            if json_bytes is None:
                return Response(content)
            return Response(content, 200, _BINARY, ((HEADER_LENGTH, b"%d" % json_bytes),))

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


def _begin(route: Route, headers: Headers) -> Exchange:
    return begin(route.protocol, request_id(headers), headers.get(b"traceparent"), headers.get(b"tracestate"))
