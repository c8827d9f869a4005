"""A Kubernetes API server on the loopback, over the objects of a store: the calls that a rollout makes, and faults."""

import asyncio
import contextlib
import json
import secrets
import time
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from embedded_kserve.faults import ADMIN_PATH, Fault, FaultBook
from embedded_kserve.kubernetes import discovery, proxy, watch
from embedded_kserve.kubernetes.http_server import ConnectionReset, HttpServer
from embedded_kserve.kubernetes.operations import perform
from embedded_kserve.kubernetes.requests import ApiRequest, parse
from embedded_kserve.kubernetes.resources import POD, SERVICE
from embedded_kserve.kubernetes.statuses import StatusError, bad_request, forbidden, too_large
from embedded_kserve.kubernetes.store import Store

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_MAX_BYTES = 3 * 2**20  # of a request's body
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class ApiServer(HttpServer):
    """Serves a store to whoever holds the token of the kubeconfig. A context manager: answers from start to end.

    Args:
        store: the objects.
        faults: what goes wrong.
    """

    def __init__(self, store: Store, faults: FaultBook | None = None) -> None:
        self.store = store
        self.faults = faults or FaultBook()
        self.token = secrets.token_urlsafe(24)
        routes = [
            Route(ADMIN_PATH + "/{call:path}", self._administer, methods=_METHODS),
            Route(_REVIEWS, self._review_access, methods=["POST"]),
            Route("/{path:path}", self._answer, methods=_METHODS),
        ]
        handlers: dict[Any, Any] = {StatusError: _refused}
        super().__init__(Starlette(routes=routes, exception_handlers=handlers))

    def write_kubeconfig(self, path: Path) -> Path:
        """Write how to reach this server to a file that only its owner can read; JSON is YAML, too."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "embedded",
            "contexts": [
                {"name": "embedded", "context": {"cluster": "embedded", "user": "embedded", "namespace": "default"}}
            ],
            "clusters": [{"name": "embedded", "cluster": {"server": self.url}}],
            "users": [{"name": "embedded", "user": {"token": self.token}}],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=2), encoding="utf-8")
        return path

    async def _serve(self) -> None:
        """Changes of the store, in whatever thread they are made, wake the watches in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._news = watch.News()
        with self.store.listening(lambda: self._loop.call_soon_threadsafe(self._news.announce)):
            await super()._serve()

    def stop(self) -> None:
        """Stop answering; watches end."""
        with contextlib.suppress(RuntimeError):  # it has been stopped before
            self._loop.call_soon_threadsafe(self._news.close)
        super().stop()

    def _authenticate(self, request: Request) -> None:
        given = request.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            raise StatusError(401, "Unauthorized", "Unauthorized")

    async def _administer(self, request: Request) -> Response:
        self._authenticate(request)
        text = await request.body()
        body = json.loads(text) if text else None
        return JSONResponse(self.faults.answer(request.method, request.path_params["call"], body))

    async def _review_access(self, request: Request) -> Response:
        self._authenticate(request)
        return JSONResponse(discovery.access_review(await request.json(), self.faults.denied), 201)

    async def _answer(self, request: Request) -> Response:
        self._authenticate(request)
        path = request.url.path
        if request.method == "GET" and (found := discovery.answer(path, self.store.kinds)) is not None:
            return JSONResponse(found)
        query = request.scope["query_string"].decode()
        target = request.scope["raw_path"].decode() + (f"?{query}" if query else "")
        if (proxied := proxy.parse(request.method, target)) is not None:
            return await self._forward(request, proxied)
        if len(await request.body()) > _MAX_BYTES:
            raise too_large(_MAX_BYTES)
        try:
            content_type = request.headers.get("Content-Type", "")
            asked = parse(request.method, target, content_type, await request.body(), self.store.kinds)
        except ValueError as error:
            raise bad_request(f"the body cannot be read: {error}") from error
        if asked is None:
            return PlainTextResponse("404 page not found\n", 404)
        try:
            return await self._perform(asked, self.faults.take(asked.verb, asked.kind.plural, asked.name))
        except StatusError as error:
            self._record(asked, error.code)
            raise

    async def _forward(self, request: Request, proxied: proxy.ProxyRequest) -> Response:
        """Ask a pod, in a thread: it may take its time."""
        if self.faults.denied(proxied.verb, proxied.resource, proxied.name):
            kind = POD if proxied.plural == "pods" else SERVICE
            raise forbidden(kind, proxied.verb, proxied.name, proxied.namespace)
        content_type = request.headers.get("Content-Type", "")
        body = await request.body()
        code, answered, content = await run_in_threadpool(
            proxy.forward, self.store, proxied, request.method, body, content_type
        )
        return Response(content, code, {"Content-Type": answered})

    async def _perform(self, request: ApiRequest, fault: Fault | None) -> Response:
        """Do what is asked, or what the fault makes of it."""
        action = fault.action if fault else ""
        delay = fault.seconds if fault and action == "slow" else 0.0
        if action == "deny":
            raise forbidden(request.kind, request.verb, request.name, request.namespace)
        if fault and action == "status":
            waiting = {"Retry-After": f"{fault.retry_after:g}"} if fault.retry_after else {}
            raise StatusError(fault.code, fault.reason, fault.message, waiting)
        if action == "reset-before":
            return self._reset(request)
        if request.verb == "watch":
            self._record(request, 200)
            events = watch.events(self.store, self._news, request, delay)
            return StreamingResponse(events, media_type="application/json")
        await asyncio.sleep(delay)
        code, document = perform(self.store, request, fault.versions_back if fault and action == "stale" else 0)
        if action == "reset-after":
            return self._reset(request)
        self._record(request, code)
        return JSONResponse(document, code)

    def _reset(self, request: ApiRequest) -> Response:
        self._record(request, 0)
        return ConnectionReset()

    def _record(self, request: ApiRequest, code: int) -> None:
        self.faults.record(
            time=time.time(),
            verb=request.verb,
            resource=request.kind.plural,
            namespace=request.namespace,
            name=request.name,
            query=request.query,
            content_type=request.content_type,
            body=request.body,
            code=code,
        )


async def _refused(_: Request, error: StatusError) -> Response:
    return JSONResponse(error.document(), error.code, error.headers)
