"""A Kubernetes API server on the loopback, over the objects of a store: the calls that a rollout makes, and faults."""

import json
import secrets
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from embedded_kserve.faults import ADMIN_PATH, Fault, FaultBook
from embedded_kserve.kubernetes import discovery, proxy
from embedded_kserve.kubernetes.proxy import ProxyRequest
from embedded_kserve.kubernetes.requests import ApiRequest, parse, selected
from embedded_kserve.kubernetes.resources import INFERENCE_SERVICE, POD, SERVICE
from embedded_kserve.kubernetes.schema import check_fields
from embedded_kserve.kubernetes.statuses import StatusError, bad_request, forbidden
from embedded_kserve.kubernetes.store import Change, Store

_WATCH_SECONDS = 300.0  # a watch without a timeout of its own
_POLL_SECONDS = 1.0


class ApiServer(ThreadingHTTPServer):
    """Serves a store to whoever holds the token of the kubeconfig. A context manager: listens from start to end.

    Args:
        store: the objects.
        faults: what goes wrong.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, store: Store, faults: FaultBook | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store
        self.faults = faults or FaultBook()
        self.token = secrets.token_urlsafe(24)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.ending = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "ApiServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def write_kubeconfig(self, path: Path) -> Path:
        """Write how to reach this server to a file that only its owner can read."""
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
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    timeout = 600

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if not secrets.compare_digest(self.headers.get("Authorization", ""), f"Bearer {self.server.token}"):
            self._refuse(StatusError(401, "Unauthorized", "Unauthorized"))
        elif path.startswith(f"{ADMIN_PATH}/"):
            body = json.loads(text) if text else None
            self._send(200, self.server.faults.answer(self.command, path.removeprefix(f"{ADMIN_PATH}/"), body))
        elif path.endswith("/selfsubjectaccessreviews") and self.command == "POST":
            self._send(201, discovery.access_review(json.loads(text), self.server.faults.denied))
        elif self.command == "GET" and (found := discovery.answer(path, self.server.store.kinds)) is not None:
            self._send(200, found)
        elif (proxied := proxy.parse(self.command, self.path)) is not None:
            self._pass_on(proxied, text)
        else:
            self._objects(text)

    def _pass_on(self, request: ProxyRequest, text: bytes) -> None:
        try:
            if self.server.faults.denied(request.verb, request.resource, request.name):
                kind = POD if request.plural == "pods" else SERVICE
                raise forbidden(kind, request.verb, request.name, request.namespace)
            content_type = self.headers.get("Content-Type", "")
            code, told, body = proxy.fulfil(self.server.store, request, self.command, text, content_type)
        except StatusError as error:
            self._refuse(error)
        else:
            self._send_bytes(code, body, {"Content-Type": told})

    def _objects(self, text: bytes) -> None:
        try:
            content_type = self.headers.get("Content-Type", "")
            request = parse(self.command, self.path, content_type, text, self.server.store.kinds)
        except ValueError as error:
            self._refuse(bad_request(f"the body cannot be read: {error}"))
            return
        if request is None:
            self._send_text(404, "404 page not found\n")
            return
        fault = self.server.faults.take(request.verb, request.kind.plural, request.name)
        try:
            self._fulfil(request, fault)
        except StatusError as error:
            self._note(request, error.code)
            self._refuse(error)

    def _fulfil(self, request: ApiRequest, fault: Fault | None) -> None:
        action = fault.action if fault else ""
        if fault and action == "slow" and request.verb != "watch":
            time.sleep(fault.seconds)
        if fault and action == "status":
            waiting = {"Retry-After": f"{fault.retry_after:g}"} if fault.retry_after else {}
            raise StatusError(fault.code, fault.reason, fault.message, waiting)
        if action == "deny":
            raise forbidden(request.kind, request.verb, request.name, request.namespace)
        if action == "reset-before":
            self._reset(request)
        elif request.verb == "watch":
            self._watch(request, fault.seconds if fault else 0.0)
        else:
            versions_back = fault.versions_back if fault and action == "stale" else 0
            code, document = _done(self.server.store, request, versions_back)
            if action == "reset-after":
                self._reset(request)
            else:
                self._note(request, code)
                self._send(code, document)

    def _watch(self, request: ApiRequest, delay: float) -> None:
        store = self.server.store
        given = request.query.get("resourceVersion", "")
        version = int(given) if given not in {"", "0"} else store.version
        until = time.monotonic() + float(request.query.get("timeoutSeconds", _WATCH_SECONDS))
        if given in {"", "0"}:
            first = [
                Change(version, (request.kind, "", ""), "ADDED", d)
                for d in store.every(request.kind, request.namespace)
            ]
        else:
            first = []
        self._note(request, 200)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._stream(request, first, delay)
            while (left := until - time.monotonic()) > 0 and not self.server.ending.is_set():
                changes = store.changes_since(version, min(left, _POLL_SECONDS))
                version = changes[-1].version if changes else version
                self._stream(request, [c for c in changes if _followed(c, request)], delay)
        except StatusError as error:
            self._chunk({"type": "ERROR", "object": error.document()})
        self.wfile.write(b"0\r\n\r\n")

    def _stream(self, request: ApiRequest, changes: list[Change], delay: float) -> None:
        for change in changes:
            if selected(change.document, request.query):
                time.sleep(delay)
                self._chunk({"type": change.type, "object": change.document})
        self.wfile.flush()

    def _chunk(self, event: dict[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def _reset(self, request: ApiRequest) -> None:
        """End the connection with a TCP reset."""
        self._note(request, 0)
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _note(self, request: ApiRequest, code: int) -> None:
        self.server.faults.saw(
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

    def _refuse(self, error: StatusError) -> None:
        self._send(error.code, error.document(), error.headers)

    def _send(self, code: int, document: Any, headers: dict[str, str] | None = None) -> None:
        self._send_text(code, json.dumps(document), {"Content-Type": "application/json", **(headers or {})})

    def _send_text(self, code: int, text: str, headers: dict[str, str] | None = None) -> None:
        self._send_bytes(code, text.encode(), headers)

    def _send_bytes(self, code: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """The requests are noted elsewhere."""


def _done(store: Store, request: ApiRequest, versions_back: int) -> tuple[int, Any]:
    """Do what is asked: HTTP status and document."""
    kind, namespace, name = request.kind, request.namespace, request.name
    if request.body is not None and kind == INFERENCE_SERVICE and request.strict:
        check_fields(request.body, patch=request.verb == "patch")
    match request.verb:
        case "get":
            return 200, store.get(kind, namespace, name, versions_back)
        case "list":
            found = store.every(kind, namespace, versions_back)
            meta = {"resourceVersion": str(store.version)}
            items = [document for document in found if selected(document, request.query)]
            return 200, {"apiVersion": kind.api_version, "kind": f"{kind.kind}List", "metadata": meta, "items": items}
        case "create":
            return 201, store.create(kind, _placed(request), request.dry_run)
        case "update":
            return 200, store.update(kind, _placed(request), request.dry_run)
        case "patch":
            if request.content_type != "application/merge-patch+json":
                problem = f"the body of the request was in an unknown format - {request.content_type}"
                raise StatusError(415, "UnsupportedMediaType", problem)
            return 200, store.patch(kind, namespace, name, request.body, request.dry_run)
        case _:
            _check_preconditions(store, request)
            return 200, store.delete(kind, namespace, name, request.dry_run)


def _placed(request: ApiRequest) -> dict[str, Any]:
    """The body, with the namespace and name of the path."""
    meta = dict(request.body.get("metadata", {}))
    if request.kind.namespaced:
        meta["namespace"] = request.namespace
    if request.name:
        meta["name"] = request.name
    return {**request.body, "metadata": meta}


def _check_preconditions(store: Store, request: ApiRequest) -> None:
    meta = store.get(request.kind, request.namespace, request.name)["metadata"]
    for field, value in ((request.body or {}).get("preconditions") or {}).items():
        if meta.get(field) != value:
            raise StatusError(
                409,
                "Conflict",
                f"Precondition failed: {field} in precondition: {value}, in object meta: {meta.get(field)}",
            )


def _followed(change: Change, request: ApiRequest) -> bool:
    return change.key[0] == request.kind and request.namespace in {"", change.key[1]}
