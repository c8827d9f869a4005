"""Servers of a JSON interface on loopback that check who asks, and can fail as a test wants."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.http_servers import serving

Json = dict[str, Any]


class AnswerError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fault:
    """What goes wrong with the next request that matches.

    Attributes:
        method: of the request.
        path: a pattern that its path has.
        status: of the answer; 0: the connection is closed without one.
        headers: of the answer.
        after: the request takes effect all the same.
        body: of the answer.
    """

    method: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    body: str = '{"code": 14, "message": "upstream", "details": []}'


class JsonServer:
    """What all of them have; one overrides `handle`."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()  # empty: no token is asked for
        self.shown: set[str] = set()  # tokens
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self._lock = threading.Lock()

    def handle(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        raise NotImplementedError

    def error(self, status: int, message: str) -> Json:
        """The body of an answer that is no success."""
        return {"code": str(status), "message": message}

    def writes(self) -> list[tuple[str, str]]:
        return [(method, urlsplit(path).path) for method, path in self.seen if method != "GET"]

    def admits(self, path: str, token: str) -> bool:
        """Whether who shows this token may ask."""
        return not self.tokens or token in self.tokens

    def let_in(self, path: str, token: str) -> None:
        """Refuse who may not ask."""
        self.shown.add(token)
        if not self.admits(path, token):
            raise AnswerError(401, "the token is not valid")

    def answer(self, method: str, target: str, token: str, body: bytes) -> tuple[int, dict[str, str], Json]:
        parts = urlsplit(target)
        with self._lock:
            self.seen.append((method, target))
            matching = (one for one in self.faults if one.method == method and re.search(one.path, parts.path))
            fault = next(matching, None)
            if fault:
                self.faults.remove(fault)
                if not fault.after:
                    return fault.status, fault.headers, self.error(fault.status, "upstream")
            try:
                self.let_in(parts.path, token)
                found = self.handle(method, parts.path, dict(parse_qsl(parts.query)), _parsed(body))
            except AnswerError as error:
                if error.status == 400:
                    self.refused.append(str(error))
                return error.status, {}, self.error(error.status, str(error))
            if fault:
                return fault.status, fault.headers, self.error(fault.status, "upstream")
            return 200, {}, found


def _parsed(body: bytes) -> Json:
    """JSON, or a form."""
    found: Json = json.loads(body or b"{}") if body[:1] in {b"", b"{"} else dict(parse_qsl(body.decode()))
    return found


def handler_of(server: JsonServer) -> type[BaseHTTPRequestHandler]:
    """What answers its requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = str(self.headers.get("Authorization", "")).removeprefix("Bearer ")
            status, headers, document = server.answer(self.command, self.path, token, body)
            answer = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def served(server: JsonServer) -> Iterator[str]:
    """Serve until the end of the block; yields the URL."""
    with serving(handler_of(server)) as url:
        yield url
