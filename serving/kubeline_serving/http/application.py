"""The routing table: which path is a prediction, and which a page."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import httptools
import orjson

from kubeline import __version__
from kubeline.errors import KubelineError
from kubeline_serving.codec.v2 import V2
from kubeline_serving.errors import NotFound, Overloaded, RequestRefused, WrongMethod
from kubeline_serving.http import openapi
from kubeline_serving.http.predictions import Headers, PredictionRoutes, Route
from kubeline_serving.http.responses import Response, error_body, json_response, refusal
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.observability.metrics import ServerMetrics
from kubeline_serving.state import ServerState

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Lifespan = Callable[[Receive, Send], Awaitable[None]]

EXTENSIONS = ("binary_tensor_data", "model_repository")


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown at a path.

    Attributes:
        path: of it.
        method: that it takes.
        content: makes it of the headers of a request.
        is_quick: whether that takes microseconds; otherwise it must not be made on the event loop.
    """

    path: str
    method: str
    content: Callable[[Headers], Response]
    is_quick: bool = True

    def show(self, headers: Headers) -> Response:
        """The page, or why it is refused; it never raises, and no client sees a traceback."""
        try:
            return self.content(headers)
        except KubelineError as error:
            return refusal(error)
        except Exception:
            logger.exception("%s failed", self.path)
            return Response(error_body("the server failed on this request; its log says why"), 500)


RequestTarget = Route | Page


class Application:
    """The paths of one model; to uvicorn, an ASGI application that starts and stops.

    Args:
        model: that is served.
        predictions: the paths that predict.
        v2: describes the tensors of the model.
        metrics: writes the page of ``/metrics``.
        state: of the worker.
        lifespan: starts and stops what belongs to the event loop.
    """

    def __init__(
        self,
        model: ServedModel,
        predictions: PredictionRoutes,
        v2: V2,
        metrics: ServerMetrics,
        state: ServerState,
        lifespan: Lifespan,
    ):
        self.predictions = predictions
        self.state = state
        self._lifespan = lifespan
        self._model = model
        self._v2 = v2
        self._metrics = metrics
        self._openapi = orjson.dumps(openapi.document(model.signature, model.name, model.version, v2.output_metadata))
        self._pages = self._make_pages()
        self._routes_by_url = {quote(path, safe="/:").encode(): route for path, route in predictions.by_path.items()}
        self._pages_by_url = {
            quote(path, safe="/:").encode(): page for path, page in self._pages.items() if page.method == "GET"
        }

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Start and stop (ASGI 3, lifespan); requests come to :mod:`kubeline_serving.http.protocol`."""
        await self._lifespan(receive, send)

    def route_of(self, url: bytes) -> Route | None:
        """The route of a path as it stands in a request, when it predicts."""
        return self._routes_by_url.get(url)

    def target_of(self, method: bytes, url: bytes) -> RequestTarget:
        """What a request is for.

        Raises:
            NotFound: when there is nothing at its path.
            WrongMethod: when the path takes another method.
        """
        usual: RequestTarget | None = None
        if method == b"POST":
            usual = self._routes_by_url.get(url)
        elif method == b"GET":
            usual = self._pages_by_url.get(url)
        return usual or self._search(method.decode("latin-1"), url)

    async def show_later(self, page: Page, headers: Headers) -> Response:
        """A page that is not quick, made in a thread; what was counted so far stands in it."""
        self._metrics.flush()
        return await asyncio.to_thread(page.show, headers)

    def _search(self, method: str, url: bytes) -> RequestTarget:
        try:
            path = unquote((httptools.parse_url(url).path or b"/").decode("ascii"))
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            raise RequestRefused("the path of the request is no URL") from None
        route = self.predictions.by_path.get(path)
        if route is not None:
            if method != "POST":
                raise WrongMethod(f"{path} takes POST, not {method}", "POST")
            return route
        page = self._pages.get(path)
        if page is None:
            raise NotFound(self._unknown(path))
        if method != page.method and not (method == "HEAD" and page.method == "GET"):
            raise WrongMethod(f"{path} takes {page.method}, not {method}", page.method)
        return page

    def _make_pages(self) -> dict[str, Page]:
        """Pages by path."""
        name, version = self._model.name, self._model.version
        control = f"/v2/repository/models/{name}"
        about = {"name": "kubeline", "version": __version__, "extensions": EXTENSIONS}
        pages = [
            Page("/", "GET", lambda _: json_response({"status": "alive"})),
            Page("/metrics", "GET", self._metrics_page, is_quick=False),
            Page("/openapi.json", "GET", lambda _: Response(self._openapi)),
            Page("/v1/models", "GET", lambda _: json_response({"models": [name]})),
            Page(f"/v1/models/{name}", "GET", self._ready({"name": name, "ready": True})),
            Page("/v2", "GET", lambda _: json_response(about)),
            Page("/v2/health/live", "GET", lambda _: json_response({"live": True})),
            Page("/v2/health/ready", "GET", self._ready({"ready": True})),
            Page("/v2/models", "GET", lambda _: json_response({"models": [name]})),
            Page("/v2/repository/index", "POST", self._index),
            Page(f"{control}/load", "POST", self._load, is_quick=False),
            Page(f"{control}/unload", "POST", self._unload),
        ]
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
            pages.append(Page(path, "GET", self._metadata))
            pages.append(Page(f"{path}/ready", "GET", self._ready({"name": name, "ready": True})))
        return {page.path: page for page in pages}

    def _unknown(self, path: str) -> str:
        name, version = self._model.name, self._model.version
        model, _, rest = path.removeprefix("/v1/models/").removeprefix("/v2/models/").partition("/")
        model = model.partition(":")[0]
        if path.startswith(("/v1/models/", "/v2/models/")) and model != name:
            return f"there is no model '{model[:60]}' here; there is: {name}"
        if path.startswith("/v2/models/") and rest.startswith("versions/"):
            return f"model '{name}' has no version '{rest.split('/')[1][:60]}' here; it has: {version}"
        return f"there is nothing at {path[:120]}; /openapi.json lists what there is"

    def _ready(self, body: dict[str, Any]) -> Callable[[Headers], Response]:
        answer = json_response(body)

        def page(_: Headers) -> Response:
            if self.state.draining:
                raise Overloaded("the server is about to stop; ask another one")
            if not self._model.ready:
                raise Overloaded(f"model '{self._model.name}' is not loaded")
            return answer

        return page

    def _metrics_page(self, headers: Headers) -> Response:
        body, content_type = self._metrics.page(headers.get(b"accept", b"").decode("latin-1"))
        return Response(body, 200, content_type.encode())

    def _metadata(self, _: Headers) -> Response:
        return json_response(
            {
                "name": self._model.name,
                "versions": [self._model.version],
                "platform": "onnxruntime_onnx",
                "inputs": self._v2.input_metadata,
                "outputs": self._v2.output_metadata,
            }
        )

    def _index(self, _: Headers) -> Response:
        state = "READY" if self._model.ready else "UNAVAILABLE"
        return json_response([{"name": self._model.name, "version": self._model.version, "state": state, "reason": ""}])

    def _load(self, _: Headers) -> Response:
        self.state.limits.check_control()
        self._model.reload()
        return json_response({"name": self._model.name, "load": True})

    def _unload(self, _: Headers) -> Response:
        self.state.limits.check_control()
        self._model.unload()
        return json_response({"name": self._model.name, "unload": True})
