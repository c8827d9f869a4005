"""HTTP as clients that are slow, old, clever or hostile speak it: bytes on a socket."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

import pytest

from tests.support.served import Served

BODY = json.dumps({"instances": [[1.5, "AA", True, None]]}).encode()


@contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=60) as connection:
        yield connection


def head(served: Served, *headers: str, length: int | None = len(BODY)) -> bytes:
    """The head of a v1 request."""
    lines = [f"POST /v1/models/{served.name}:predict HTTP/1.1", "Host: test", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def answer_of(connection: socket.socket, method: str = "POST") -> tuple[int, Any]:
    """Status and parsed body of the next answer."""
    response = HTTPResponse(connection, method=method)
    response.begin()
    body = response.read()
    return response.status, json.loads(body) if body else None


def ended_or_refused(connection: socket.socket) -> str:
    """What came until the server closed the connection; empty when it closed it at once."""
    received = b""
    while part := connection.recv(65_536):
        received += part
    return received.decode()


def assert_lives_on(served: Served) -> None:
    assert served.post(f"/v1/models/{served.name}:predict", BODY)[0] == 200


def test_a_body_in_chunks_is_answered(tiny: Served) -> None:
    with connected(tiny) as connection:
        connection.sendall(head(tiny, "Transfer-Encoding: chunked", length=None))
        for start in range(0, len(BODY), 7):
            part = BODY[start : start + 7]
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        connection.sendall(b"0\r\n\r\n")
        assert answer_of(connection)[0] == 200


def test_a_body_that_trickles_in_is_answered_and_holds_nobody_up(tiny: Served) -> None:
    with connected(tiny) as connection:
        connection.sendall(head(tiny))
        for byte in BODY:
            connection.sendall(bytes([byte]))
            time.sleep(0.001)
            if byte == ord(","):
                assert_lives_on(tiny)
        assert answer_of(connection)[0] == 200


def test_requests_sent_before_the_first_answer_are_answered_in_their_order(tiny: Served) -> None:
    bodies = [json.dumps({"instances": [[1.5, "AA", True, None]] * rows}).encode() for rows in (1, 2, 3)]
    with connected(tiny) as connection:
        connection.sendall(b"".join(head(tiny, length=len(body)) + body for body in bodies))
        reader = connection.makefile("rb")
        rows = []
        for _ in bodies:
            length = 0
            while (line := reader.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            rows.append(len(json.loads(reader.read(length))["predictions"]))
    assert rows == [1, 2, 3]


def test_a_client_that_expects_100_continue_gets_it_before_it_sends_the_body(tiny: Served) -> None:
    with connected(tiny) as connection:
        connection.sendall(head(tiny, "Expect: 100-continue"))
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert answer_of(connection)[0] == 200


def test_a_length_of_thousands_of_zeros_is_the_number_that_it_says(tiny: Served) -> None:
    with connected(tiny) as connection:
        connection.sendall(head(tiny, f"Content-Length: {'0' * 5_000}{len(BODY)}", length=None) + BODY)
        assert answer_of(connection)[0] == 200
        connection.sendall(head(tiny, f"Content-Length: {'0' * 5_000}{10**10}", length=None))
        status, body = answer_of(connection)
    assert status == 413
    assert "more than 16,777,216 bytes" in body["error"]


def test_http_1_0_is_answered_and_the_connection_closed(tiny: Served) -> None:
    with connected(tiny) as connection:
        connection.sendall(head(tiny).replace(b"HTTP/1.1", b"HTTP/1.0") + BODY)
        assert '"predictions"' in ended_or_refused(connection)


def test_head_is_answered_without_a_body_and_the_connection_stays(tiny: Served) -> None:
    with connected(tiny) as connection:
        for _ in range(2):
            connection.sendall(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n")
            assert answer_of(connection, "HEAD") == (200, None)


@pytest.mark.parametrize(
    "sent",
    [
        b"\0" * 1_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of TLS
        b"GET\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:40]),
)
def test_what_is_not_http_is_refused_and_the_server_lives_on(tiny: Served, sent: bytes) -> None:
    with connected(tiny) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = ended_or_refused(connection)
    assert received == "" or received.startswith("HTTP/1.1 4"), received
    assert_lives_on(tiny)


def test_headers_without_end_are_refused(tiny: Served) -> None:
    with connected(tiny) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            for number in range(4_000):
                connection.sendall(b"X-Header-%d: %s\r\n" % (number, b"x" * 1_000))
            received = ended_or_refused(connection)
        except (BrokenPipeError, ConnectionResetError):
            received = ""
    assert received == "" or received.startswith("HTTP/1.1 4")
    assert_lives_on(tiny)


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(tiny: Served) -> None:
    for length in (0, 1, len(BODY) - 1):
        with connected(tiny) as connection:
            connection.sendall(head(tiny) + BODY[:length])
    assert_lives_on(tiny)


def test_a_client_that_leaves_before_its_answer_harms_nobody(tiny: Served) -> None:
    for _ in range(20):
        with connected(tiny) as connection:
            connection.sendall(head(tiny) + BODY)
    assert_lives_on(tiny)


def test_a_body_too_large_is_refused_before_it_is_sent(tiny: Served) -> None:
    with connected(tiny) as connection:
        connection.sendall(head(tiny, length=10**10))
        status, body = answer_of(connection)
    assert status == 413
    assert "more than 16,777,216 bytes" in body["error"]


def test_a_body_in_chunks_is_refused_as_soon_as_it_is_too_large(tiny: Served) -> None:
    chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    with connected(tiny) as connection:
        connection.sendall(head(tiny, "Transfer-Encoding: chunked", length=None))
        for _ in range(16):
            connection.sendall(chunk)
        connection.sendall(b"1\r\n \r\n")
        status, body = answer_of(connection)
    assert status == 413
    assert "more than 16,777,216 bytes" in body["error"]
    assert_lives_on(tiny)
