"""Answers to HTTP requests, and why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from kubeline.errors import KubelineError
from serving.errors import Overloaded, RequestRefused, WrongMethod, sentence

JSON = b"application/json"
_LEFT_UNREAD = (408, 413, 415)  # what is left of a refused body would be read as a next request
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}

Pairs = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def all_headers(self, request_id: str, close: bool = False) -> list[tuple[bytes, bytes]]:
        """Every header of the response; `close` ends the connection."""
        headers = [
            (b"content-type", self.content_type),
            (b"content-length", b"%d" % len(self.body)),
            (b"x-request-id", request_id.encode()),
            *self.headers,
        ]
        if close or self.status in _LEFT_UNREAD:
            headers.append((b"connection", b"close"))
        return headers

    def as_http(self, request_id: str, close: bool, more: Pairs = ()) -> bytes:
        """The whole response, HTTP/1.1, with `more` headers in front."""
        parts = [_STATUS_LINES[self.status]]
        for name, value in (*more, *self.all_headers(request_id, close)):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", self.body)
        return b"".join(parts)


def refusal(error: KubelineError) -> Answer:
    """The answer to a refused request."""
    if not isinstance(error, RequestRefused):
        return Answer(error_body(sentence(error)), 400)
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, Overloaded):
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allowed.encode()))
    return Answer(error_body(sentence(error)), error.status, JSON, tuple(headers))


def json_answer(value: Any) -> Answer:
    """An answer in JSON."""
    return Answer(orjson.dumps(value))


def error_body(words: str) -> bytes:
    """What every refusal has as its body."""
    return orjson.dumps({"error": words.encode("utf-8", "replace").decode()})
