"""A proxy between a rollout and its API server that falsifies what it reads."""

import http.client
import json
import socket
import struct
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from embedded_kserve.kubernetes.api_server import ApiServer
from tests.support.misbehaving_servers import Talk, answer, saying

NAMESPACE, NAME = "default", "flights"


def reset(connection: socket.socket) -> None:
    """No answer at all."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def status(code: int, reason: str, **headers: str) -> Talk:
    """A refusal of Kubernetes."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": "so", "code": code}
    given = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return answer(json.dumps(body).encode(), f"{code} {reason}", given.encode())


def reported(document: Any) -> Talk:
    """200, with a document."""
    return answer(json.dumps(document).encode())


LIES: dict[str, Talk] = {
    "a web page": answer(b"<html>Please sign in</html>"),
    "nothing": answer(b""),
    "a list": reported([]),
    "null": reported(None),
    "no metadata": reported({"kind": "InferenceService"}),
    "of another": reported({"metadata": {"name": "others", "namespace": NAMESPACE, "resourceVersion": "1"}}),
    "misshapen": reported(
        {"metadata": {"name": NAME, "resourceVersion": "1"}, "spec": [], "status": "<html>", "data": 7}
    ),
    "JSON without a bottom": answer(b"[" * 100_000),
    "truncated": answer(b'{"metadata": {', length=10**6),
    "no connection": reset,
    "no HTTP": saying(b"\x00\xff\r\n\r\n"),
    "401": status(401, "Unauthorized"),
    "403": status(403, "Forbidden"),
    "404": status(404, "NotFound"),
    "404 of a proxy": answer(b"no such page", "404 Not Found"),
    "422": status(422, "Invalid"),
    "413": answer(b"", "413 Payload Too Large"),
    "429 with a wait that is no number": status(429, "TooManyRequests", Retry_After="nan"),
    "500": status(500, "InternalError"),
    "503 of a proxy": answer(b"<html>", "503 Service Unavailable"),
    "a redirect": answer(b"", "302 Found", b"Location: http://127.0.0.1:1/\r\n"),
    "418": status(418, "Teapot"),
}


class Liar(ThreadingHTTPServer):
    """Passes requests on to an API server, unless it lies.

    Attributes:
        lie: what it answers; None passes everything on.
        about: which paths it lies about.
        method: of the requests that it lies to; empty for all.
        lies: how many answers it has falsified.
    """

    daemon_threads = True

    def __init__(self, server: ApiServer, before: Callable[[], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = ("127.0.0.1", server.server_port)
        self.before = before
        self.lie: Talk | None = None
        self.about = ""
        self.method = ""
        self.lies = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Liar
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        lie = self.server.lie
        if lie is not None and self.server.about in self.path and self.server.method in {"", self.command}:
            self.server.lies += 1
            self.close_connection = True
            lie(self.connection)
            return
        self.server.before()
        connection = http.client.HTTPConnection(*self.server.behind, timeout=60)
        connection.request(self.command, self.path, body or None, dict(self.headers))
        found = connection.getresponse()
        text = found.read()
        connection.close()
        self.send_response(found.status, found.reason)
        for name in ("Content-Type", "Retry-After"):
            if given := found.headers.get(name):
                self.send_header(name, given)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass
