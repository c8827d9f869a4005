"""Answers to HTTP requests, and why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from kubeline.errors import KubelineError
from kubeline_serving.errors import Overloaded, RequestRefused, WrongMethod, sentence

JSON = b"application/json"
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}

Pairs = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def as_http(self, request_id: str, close: bool, more: Pairs = (), head_only: bool = False) -> bytes:
        """The whole response, HTTP/1.1, with `more` headers in front; `close` ends the connection."""
        headers = (
            *more,
            (b"content-type", self.content_type),
            (b"content-length", b"%d" % len(self.body)),
            (b"x-request-id", request_id.encode()),
            *self.headers,
        )
        parts = [_STATUS_LINES[self.status]]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (b"connection: close\r\n\r\n" if close else b"\r\n", b"" if head_only else self.body)
        return b"".join(parts)


def refusal(error: KubelineError) -> Response:
    """The answer to a refused request."""
    if not isinstance(error, RequestRefused):
        return Response(error_body(sentence(error)), 400)
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, Overloaded):
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allowed.encode()))
    return Response(error_body(sentence(error)), error.status, JSON, tuple(headers))


def json_response(value: Any) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(value))


def error_body(words: str) -> bytes:
    """What every refusal has as its body."""
    return orjson.dumps({"error": words.encode("utf-8", "replace").decode()})
