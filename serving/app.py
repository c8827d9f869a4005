"""The ASGI application: paths, limits, request ids, errors."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any
from urllib.parse import quote

import orjson

from kubeline import __version__
from kubeline.errors import KubelineError
from kubeline.model_package.predictor import Predictions
from serving import cloudevents, openapi
from serving.engine import Engine, overloaded
from serving.errors import (
    BodyTimedOut,
    NotFound,
    Overloaded,
    RequestRefused,
    TooLarge,
    UnsupportedEncoding,
    WrongMethod,
    sentence,
)
from serving.exchange import Exchange, Inputs, Observer, ProtocolName
from serving.ids import new_id, usable
from serving.limits import RequestLimits
from serving.metrics import ServerMetrics
from serving.tracing import trace_context
from serving.v1 import V1
from serving.v2 import HEADER_LENGTH, V2, Wanted

logger = logging.getLogger(__name__)

Headers = dict[bytes, bytes]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

Lifespan = Callable[[Receive, Send], Awaitable[None]]

EXTENSIONS = ("binary_tensor_data", "model_repository")
_JSON = b"application/json"
_BINARY = b"application/octet-stream"


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    body: bytes
    status: int = 200
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


Page = Callable[[Headers], Answer]


class Application:
    """Answers HTTP for one model.

    Args:
        engine: answers predictions.
        v1: reads and writes KServe v1.
        v2: reads and writes the Open Inference Protocol.
        observers: are told of every prediction request.
        metrics: writes the page of ``/metrics``.
        limits: of one request.
        lifespan: starts and stops what belongs to the event loop.
    """

    def __init__(
        self,
        engine: Engine,
        v1: V1,
        v2: V2,
        observers: Sequence[Observer],
        metrics: ServerMetrics,
        limits: RequestLimits,
        lifespan: Lifespan,
    ):
        self.draining = False
        self._lifespan = lifespan
        self._engine = engine
        self._model = engine.model
        self._v1, self._v2 = v1, v2
        self._observers = observers
        self._metrics = metrics
        self._limits = limits
        self._buffered = 0
        self._openapi = orjson.dumps(
            openapi.document(self._model.signature, self._model.name, self._model.version, v2.output_metadata)
        )
        self._pages, self._predictions = self._routes()
        self._doors: dict[bytes, ProtocolName] = {
            quote(path, safe="/:").encode(): "v1" if path.startswith("/v1") else "v2" for path in self._predictions
        }
        self._slow = (self._metrics_page, self._load)  # take milliseconds

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        headers = _headers(scope["headers"])
        predict = self._predictions.get(scope["path"])
        if predict is not None and scope["method"] == "POST":
            await predict(headers, receive, send)
            return
        request_id = _request_id(headers)
        try:
            answer = await self._page(scope, headers, receive)
        except KubelineError as error:
            answer = refusal(error)
        except Exception as error:  # nothing below is expected to fail, and no client is shown a traceback
            logger.exception("%s %s failed", scope["method"], scope["path"], exc_info=error)
            answer = Answer(_error("the server failed on this request; its log tells why"), 500)
        await self._send(send, answer, request_id)

    def turn_away(self, url: bytes, pairs: list[tuple[bytes, bytes]]) -> bytes | None:
        """The whole HTTP answer to a prediction request that would wait too long; None when it may come in.

        Asked before anything is done for a request: under overload, refusing must cost a fraction of answering.
        """
        protocol = self._doors.get(url)
        if protocol is None or self.draining or not self._engine.is_full:
            return None
        error = overloaded()
        exchange = Exchange(protocol, _request_id(_headers(pairs)), "", "", time.time(), perf_counter())
        exchange.status, exchange.error = error.status, str(error)
        for observer in self._observers:
            observer.record(exchange)
        return _TURNED_AWAY % exchange.request_id.encode()

    async def _page(self, scope: dict[str, Any], headers: Headers, receive: Receive) -> Answer:
        method, path = scope["method"], scope["path"]
        found = self._pages.get(path)
        if found is None:
            if path in self._predictions:
                raise WrongMethod(f"{path} takes POST, not {method}", "POST")
            raise NotFound(self._unknown(path))
        allowed, page = found
        if method != allowed and not (method == "HEAD" and allowed == "GET"):
            raise WrongMethod(f"{path} takes {allowed}, not {method}", allowed)
        if method == "POST":
            await self._body(headers, receive)  # of a repository verb: it has no options here
        if page not in self._slow:
            return page(headers)
        self._metrics.flush()
        return await asyncio.to_thread(page, headers)

    async def _predict(
        self,
        protocol: ProtocolName,
        read: Callable[[Headers, Exchange, bytes], tuple[Callable[[], Inputs], Callable[[Predictions], Answer]]],
        headers: Headers,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a prediction request and tell the observers."""
        trace = headers.get(b"traceparent")
        traceparent, tracestate = trace_context(trace, headers.get(b"tracestate")) if trace else ("", "")
        exchange = Exchange(protocol, _request_id(headers), traceparent, tracestate, time.time(), perf_counter())
        size = 0
        try:
            body = await self._body(headers, receive)
            size = len(body)
            self._buffered += size
            parse, serialise = read(headers, exchange, body)
            answer = await self._engine.answer(exchange, size, parse, serialise)
        except KubelineError as error:
            answer = refusal(error)
            exchange.error = sentence(error)
        finally:
            self._buffered -= size
        exchange.status = answer.status
        exchange.total_seconds = perf_counter() - exchange.arrived
        await self._send(send, answer, exchange.request_id)
        for observer in self._observers:
            observer.record(exchange)

    def _read_v1(
        self, headers: Headers, exchange: Exchange, body: bytes
    ) -> tuple[Callable[[], Inputs], Callable[[Predictions], Answer]]:
        if cloudevents.is_event(headers):
            event = cloudevents.Event(headers, body, self._model.name)
            return (
                lambda: self._v1.inputs(event.data()),
                lambda predictions: Answer(*event.answer(self._v1.serialise(predictions))),
            )
        return partial(self._v1.parse, body), lambda predictions: Answer(self._v1.serialise(predictions))

    def _read_v2(
        self, headers: Headers, exchange: Exchange, body: bytes
    ) -> tuple[Callable[[], Inputs], Callable[[Predictions], Answer]]:
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

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body of a request, within the limits."""
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedEncoding("the body is compressed; send it as it is, without Content-Encoding")
        announced = headers.get(b"content-length", b"0")
        self._check_size(int(announced) if announced.isdigit() else 0)
        message = await receive()
        if not message.get("more_body"):
            body: bytes = message.get("body", b"")
            self._check_size(len(body))
            return body
        seconds = self._limits.body_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._rest(message, receive)
        except TimeoutError:
            raise BodyTimedOut(f"the request did not arrive within {seconds:g} s; send it faster") from None

    async def _rest(self, message: dict[str, Any], receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while message["type"] == "http.request":
                parts.append(message["body"])
                size += len(parts[-1])
                self._buffered += len(parts[-1])
                self._check_size(size)
                if not message["more_body"]:
                    return b"".join(parts)
                message = await receive()
            raise RequestRefused("the client left before the request was complete")
        finally:
            self._buffered -= size

    def _check_size(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise TooLarge(
                f"the request has more than {self._limits.body_bytes:,} bytes, which is the most the server takes; "
                "split it"
            )
        if self._buffered + size > self._limits.buffered_bytes:
            raise Overloaded("the server holds as many requests as its memory allows; try again later")

    async def _send(self, send: Send, answer: Answer, request_id: str) -> None:
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            (b"x-request-id", request_id.encode()),
            *answer.headers,
        ]
        # While it drains, connections move elsewhere. What is left of a refused body would be read as a next request.
        if self.draining or answer.status in (408, 413, 415):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _routes(self) -> tuple[dict[str, tuple[str, Page]], dict[str, Callable[..., Awaitable[None]]]]:
        """Pages by path, with their method, and the paths that predict."""
        name, version = self._model.name, self._model.version
        control = f"/v2/repository/models/{name}"
        pages: dict[str, tuple[str, Page]] = {
            "/": ("GET", lambda _: _json({"status": "alive"})),
            "/metrics": ("GET", self._metrics_page),
            "/openapi.json": ("GET", lambda _: Answer(self._openapi)),
            "/v1/models": ("GET", lambda _: _json({"models": [name]})),
            f"/v1/models/{name}": ("GET", self._ready({"name": name, "ready": True})),
            "/v2": ("GET", lambda _: _json({"name": "kubeline", "version": __version__, "extensions": EXTENSIONS})),
            "/v2/health/live": ("GET", lambda _: _json({"live": True})),
            "/v2/health/ready": ("GET", self._ready({"ready": True})),
            "/v2/models": ("GET", lambda _: _json({"models": [name]})),
            "/v2/repository/index": ("POST", self._index),
            f"{control}/load": ("POST", self._load),
            f"{control}/unload": ("POST", self._unload),
        }
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
            pages[path] = ("GET", self._metadata)
            pages[f"{path}/ready"] = ("GET", self._ready({"name": name, "ready": True}))
        predict_v2 = partial(self._predict, "v2", self._read_v2)
        return pages, {
            f"/v1/models/{name}:predict": partial(self._predict, "v1", self._read_v1),
            f"/v2/models/{name}/infer": predict_v2,
            f"/v2/models/{name}/versions/{version}/infer": predict_v2,
        }

    def _unknown(self, path: str) -> str:
        name, version = self._model.name, self._model.version
        model, _, rest = path.removeprefix("/v1/models/").removeprefix("/v2/models/").partition("/")
        model = model.partition(":")[0]
        if path.startswith(("/v1/models/", "/v2/models/")) and model != name:
            return f"there is no model '{model[:60]}' here; there is: {name}"
        if path.startswith("/v2/models/") and rest.startswith("versions/"):
            return f"model '{name}' has no version '{rest.split('/')[1][:60]}' here; it has: {version}"
        return f"there is nothing at {path[:120]}; /openapi.json lists what there is"

    def _ready(self, body: dict[str, Any]) -> Page:
        answer = _json(body)

        def page(_: Headers) -> Answer:
            if self.draining:
                raise Overloaded("the server is about to stop; ask another one")
            if not self._model.ready:
                raise Overloaded(f"model '{self._model.name}' is not loaded")
            return answer

        return page

    def _metrics_page(self, headers: Headers) -> Answer:
        body, content_type = self._metrics.page(headers.get(b"accept", b"").decode("latin-1"))
        return Answer(body, 200, content_type.encode())

    def _metadata(self, _: Headers) -> Answer:
        return _json(
            {
                "name": self._model.name,
                "versions": [self._model.version],
                "platform": "onnxruntime_onnx",
                "inputs": self._v2.input_metadata,
                "outputs": self._v2.output_metadata,
            }
        )

    def _index(self, _: Headers) -> Answer:
        state = "READY" if self._model.ready else "UNAVAILABLE"
        return _json([{"name": self._model.name, "version": self._model.version, "state": state, "reason": ""}])

    def _load(self, _: Headers) -> Answer:
        self._limits.check_control()
        self._model.reload()
        return _json({"name": self._model.name, "load": True})

    def _unload(self, _: Headers) -> Answer:
        self._limits.check_control()
        self._model.unload()
        return _json({"name": self._model.name, "unload": True})


def refusal(error: KubelineError) -> Answer:
    """The answer to a refused request."""
    if not isinstance(error, RequestRefused):
        return Answer(_error(sentence(error)), 400)
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, Overloaded):
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allowed.encode()))
    return Answer(_error(sentence(error)), error.status, _JSON, tuple(headers))


def _json(value: Any) -> Answer:
    return Answer(orjson.dumps(value))


def _error(words: str) -> bytes:
    return orjson.dumps({"error": words.encode("utf-8", "replace").decode()})


def _request_id(headers: Headers) -> str:
    given = headers.get(b"x-request-id")
    return (usable(given.decode("latin-1")) if given else "") or new_id()


def _headers(pairs: list[tuple[bytes, bytes]]) -> Headers:
    headers = dict(pairs)
    if len(headers) < len(pairs):  # one came several times: its values count as one list (RFC 9110, 5.3)
        headers = {name: b",".join(value for other, value in pairs if other == name) for name in headers}
    return headers


def _whole(answer: Answer) -> bytes:
    """An answer as HTTP, with a place for the request id."""
    headers = [(b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body)), *answer.headers]
    lines = [b"HTTP/1.1 %d %s" % (answer.status, HTTPStatus(answer.status).phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"x-request-id: %s", b"", answer.body])


_TURNED_AWAY = _whole(refusal(overloaded()))
