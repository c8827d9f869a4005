"""A request of HTTP, from its head to its answer."""

import re
from typing import NamedTuple

from kubeline_serving.http.application import RequestTarget
from kubeline_serving.http.predictions import Headers
from kubeline_serving.http.responses import Response
from kubeline_serving.inference.engine import Work

# Headers that need the full parser, in lower case.
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d{1,9})\r\n")
_OWN_ID = b"\r\nx-request-id:"
_UNUSUAL = re.compile(rb"transfer-encoding|\r\n(?:connection|expect|upgrade|content-encoding)")


class Request:
    """A request from its head to its answer; `size` is what it holds of the budget."""

    __slots__ = (
        "answer",
        "body",
        "expects_continue",
        "headers",
        "is_head",
        "keep_alive",
        "parts",
        "read",
        "size",
        "target",
        "work",
    )

    def __init__(self, target: RequestTarget | None, headers: Headers, keep_alive: bool):
        self.target = target
        self.headers = headers
        self.keep_alive = keep_alive
        self.body: bytes | bytearray = b""
        self.read = 0  # bytes of the body, stored or discarded
        self.parts = 0  # in which these came
        self.size = 0
        self.is_head = False
        self.expects_continue = False  # Expect: 100-continue
        self.answer: Response | None = None  # when it is known before the request is worked on
        self.work: Work[Response] | None = None

    def add(self, data: bytes) -> None:
        """A further part of the body, which usually comes as one."""
        if not isinstance(self.body, bytearray):
            self.body = bytearray(self.body)
        self.body += data


class UsualRequest(NamedTuple):
    """A prediction request of the usual form: its path, and the header by which its client names it."""

    url: bytes
    headers: Headers


def usual_request(data: bytes) -> UsualRequest | None:
    """A request that came whole and alone in the form that nearly all predictions have; None when it may be another."""
    end = data.find(b"\r\n\r\n") + 2
    head = data[:end].lower()
    url = data[5 : data.find(b" ", 5)]
    length = _LENGTH.search(head)
    if (
        length is None
        or len(data) != end + 2 + int(length[1])
        or not data.startswith(b"POST %b HTTP/1.1\r\n" % url)
        or _UNUSUAL.search(head)
    ):
        return None
    start = head.find(_OWN_ID) + len(_OWN_ID)
    named = start >= len(_OWN_ID)
    return UsualRequest(url, {b"x-request-id": data[start : data.find(b"\r\n", start)].strip()} if named else {})
