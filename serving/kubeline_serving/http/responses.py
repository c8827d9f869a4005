"""Answers to HTTP requests, and why there is none."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson

from kubeline.errors import KubelineError
from kubeline_serving.errors import Overloaded, RequestRefused, WrongMethod, sentence

JSON = b"application/json"
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}

Pairs = Sequence[tuple[bytes, bytes]]


class Response(NamedTuple):
    """What is sent back."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def as_http(self, request_id: str, close: bool, more: Pairs = (), head_only: bool = False) -> bytes:
        """The whole response, HTTP/1.1, with `more` headers in front; `close` ends the connection."""
        body = self.body
        return b"%b%bcontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b%b\r\n%b" % (
            _STATUS_LINES[self.status],
            _lines(more),
            self.content_type,
            len(body),
            request_id.encode(),
            _lines(self.headers) if self.headers else b"",
            b"connection: close\r\n" if close else b"",
            b"" if head_only else body,
        )


def _lines(headers: Pairs) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


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
