"""The ASGI application: paths, limits, request ids, errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import orjson

from kubeline import __version__
from kubeline.errors import KubelineError
from serving import openapi
from serving.answers import Answer, error_body, json_answer, refusal
from serving.errors import (
    BodyTimedOut,
    NotFound,
    Overloaded,
    RequestRefused,
    TooLarge,
    UnsupportedEncoding,
    WrongMethod,
)
from serving.limits import RequestLimits
from serving.metrics import ServerMetrics
from serving.model import ServedModel
from serving.predictions import Headers, PredictionService, Route, headers_of, request_id
from serving.v2 import V2

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Lifespan = Callable[[Receive, Send], Awaitable[None]]
Page = Callable[[Headers], Answer]

EXTENSIONS = ("binary_tensor_data", "model_repository")


class Application:
    """Answers HTTP for one model.

    Args:
        model: that is served.
        service: answers prediction requests.
        v2: describes the tensors of the model.
        metrics: writes the page of ``/metrics``.
        limits: of one request.
        lifespan: starts and stops what belongs to the event loop.
    """

    def __init__(
        self,
        model: ServedModel,
        service: PredictionService,
        v2: V2,
        metrics: ServerMetrics,
        limits: RequestLimits,
        lifespan: Lifespan,
    ):
        self.draining = False
        self.service = service
        self.limits = limits
        self._lifespan = lifespan
        self._model = model
        self._v2 = v2
        self._metrics = metrics
        self._buffered = 0
        self._openapi = orjson.dumps(openapi.document(model.signature, model.name, model.version, v2.output_metadata))
        self._pages = self._routes()
        self._direct = {quote(path, safe="/:").encode(): route for path, route in service.routes.items()}
        self._slow = (self._metrics_page, self._load)  # take milliseconds
        self._quick = {
            quote(path, safe="/:").encode(): _safe(page, path)
            for path, (method, page) in self._pages.items()
            if method == "GET" and page not in self._slow
        }

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        headers = headers_of(scope["headers"])
        route = self.service.routes.get(scope["path"])
        if route is not None and scope["method"] == "POST":
            await self._predict(route, headers, receive, send)
            return
        try:
            answer = await self._page(scope, headers, receive)
        except Exception as error:
            answer = _instead(error, scope["path"])
        await self._send(send, answer, request_id(headers))

    def route_of(self, url: bytes) -> Route | None:
        """The route of a path as it stands in a request, when it predicts."""
        return self._direct.get(url)

    def page_at(self, url: bytes) -> Page | None:
        """What shows the page of a path as it stands in a request for it, when that takes no time; it never raises."""
        return self._quick.get(url)

    async def _page(self, scope: dict[str, Any], headers: Headers, receive: Receive) -> Answer:
        method, path = scope["method"], scope["path"]
        found = self._pages.get(path)
        if found is None:
            if path in self.service.routes:
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

    async def _predict(self, route: Route, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer a prediction request that is large, comes in chunks, or goes around :mod:`serving.http_protocol`."""
        exchange = self.service.begin(route, headers)
        size = 0
        outcome: Answer | KubelineError
        try:
            body = await self._body(headers, receive)
            size = len(body)
            self._buffered += size
            outcome = await self.service.answer(exchange, route, headers, body)
        except KubelineError as error:
            outcome = error
        finally:
            self._buffered -= size
        await self._send(send, self.service.end(exchange, outcome), exchange.request_id)

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
        seconds = self.limits.body_seconds
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
        if size > self.limits.body_bytes:
            raise TooLarge(
                f"the request has more than {self.limits.body_bytes:,} bytes, which is the most the server takes; "
                "split it"
            )
        if self._buffered + size > self.limits.buffered_bytes:
            raise Overloaded("the server holds as many requests as its memory allows; try again later")

    async def _send(self, send: Send, answer: Answer, own_id: str) -> None:
        headers = answer.all_headers(own_id, close=self.draining)  # while it drains, connections move elsewhere
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _routes(self) -> dict[str, tuple[str, Page]]:
        """Pages by path, with their method."""
        name, version = self._model.name, self._model.version
        control = f"/v2/repository/models/{name}"
        about = {"name": "kubeline", "version": __version__, "extensions": EXTENSIONS}
        pages: dict[str, tuple[str, Page]] = {
            "/": ("GET", lambda _: json_answer({"status": "alive"})),
            "/metrics": ("GET", self._metrics_page),
            "/openapi.json": ("GET", lambda _: Answer(self._openapi)),
            "/v1/models": ("GET", lambda _: json_answer({"models": [name]})),
            f"/v1/models/{name}": ("GET", self._ready({"name": name, "ready": True})),
            "/v2": ("GET", lambda _: json_answer(about)),
            "/v2/health/live": ("GET", lambda _: json_answer({"live": True})),
            "/v2/health/ready": ("GET", self._ready({"ready": True})),
            "/v2/models": ("GET", lambda _: json_answer({"models": [name]})),
            "/v2/repository/index": ("POST", self._index),
            f"{control}/load": ("POST", self._load),
            f"{control}/unload": ("POST", self._unload),
        }
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
            pages[path] = ("GET", self._metadata)
            pages[f"{path}/ready"] = ("GET", self._ready({"name": name, "ready": True}))
        return pages

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
        answer = json_answer(body)

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
        return json_answer(
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
        return json_answer([{"name": self._model.name, "version": self._model.version, "state": state, "reason": ""}])

    def _load(self, _: Headers) -> Answer:
        self.limits.check_control()
        self._model.reload()
        return json_answer({"name": self._model.name, "load": True})

    def _unload(self, _: Headers) -> Answer:
        self.limits.check_control()
        self._model.unload()
        return json_answer({"name": self._model.name, "unload": True})


def _instead(error: Exception, path: str) -> Answer:
    """What is shown instead of a page: why it is refused. Nothing else is expected, and no client sees a traceback."""
    if isinstance(error, KubelineError):
        return refusal(error)
    logger.error("%s failed", path, exc_info=error)
    return Answer(error_body("the server failed on this request; its log tells why"), 500)


def _safe(page: Page, path: str) -> Page:
    def shown(headers: Headers) -> Answer:
        try:
            return page(headers)
        except Exception as error:
            return _instead(error, path)

    return shown
