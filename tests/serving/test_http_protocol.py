"""Connections of HTTP are limited in bytes, in time, and in what waits on them: a server with little patience."""

import contextlib
import gc
import http.client
import re
import socket
import time
from collections.abc import Iterator

import pytest

from kubeline_serving.exchange import Exchange
from kubeline_serving.http.application import Application
from kubeline_serving.http.predictions import headers_of
from kubeline_serving.http.protocol import HttpProtocol
from kubeline_serving.options import read_options
from kubeline_serving.worker import Worker
from tests.support.launching import serve_here
from tests.support.packages import write_tiny_package
from tests.support.waiting import wait_for

HEAD = b"GET / HTTP/1.1\r\nHost: test\r\n"


class Impatient(HttpProtocol):
    head_bytes = 2_000
    head_seconds = 1.0
    most_headers = 20
    most_waiting = 5
    write_seconds = 0.5


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    package = write_tiny_package(tmp_path_factory.mktemp("impatient") / "package")
    options = ["--max_body_bytes", "200000", "--max_buffered_bytes", "1000000", "--max_connections", "20"]
    return Worker(
        read_options(["--model_dir", str(package.path), "--enable_grpc", "false", "--timeout_ms", "2000", *options])
    ).application


@pytest.fixture(scope="module")
def port(application: Application) -> Iterator[int]:
    with serve_here(application, Impatient) as port:
        yield port


def answer(port: int, *parts: bytes, pause: float = 0.0) -> str:
    """All that comes back until the server closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        while data := connection.recv(65_536):
            received += data
    return received.decode()


def test_a_head_without_end_is_refused_when_it_is_too_large(port: int) -> None:
    came = answer(port, HEAD, *[b"X: %s\r\n" % (b"x" * 500)] * 5, pause=0.01)
    assert came.startswith("HTTP/1.1 431 ")
    assert came.endswith('{"error":"the headers have more than 2,000 bytes; send fewer"}')


def test_an_answer_of_413_reaches_a_client_that_is_still_sending(port: int) -> None:
    """Closed at once, the connection is reset, and what was answered is lost."""
    for _ in range(5):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        client.request("POST", "/v2/models/tiny/infer", b"x" * 16_000_000)
        assert client.getresponse().status == 413
        client.close()


def test_a_head_that_does_not_end_is_refused_in_time(port: int) -> None:
    assert answer(port, HEAD).startswith("HTTP/1.1 408 ")


def test_a_head_that_does_not_end_is_refused_in_time_after_an_answer_too(port: int) -> None:
    came = answer(port, HEAD + b"\r\n", HEAD, pause=0.05)
    assert came.startswith("HTTP/1.1 200 ")
    assert "HTTP/1.1 408 " in came


def test_a_connection_on_which_nothing_comes_is_closed(port: int) -> None:
    assert answer(port) == ""


def test_a_connection_stays_open_between_requests(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for _ in range(2):
            connection.sendall(HEAD + b"\r\n")
            assert connection.recv(1_000).endswith(b'{"status":"alive"}')
            time.sleep(1.5)  # longer than a head may take


def test_a_head_in_pieces_is_answered(port: int) -> None:
    whole = HEAD + b"Connection: close\r\n\r\n"
    assert answer(port, whole[:3], whole[3:20], whole[20:], pause=0.05).endswith('{"status":"alive"}')


def test_what_is_not_http_is_reported_so_in_json(port: int) -> None:
    assert answer(port, b"\0\0\0").endswith('\r\n\r\n{"error":"what was sent is not an HTTP/1.1 request"}')


BODY = b'{"instances": [[1.5, "AA", true, "2013-01-01T06:00:00"]]}'


def prediction(request_id: str, *more: str) -> bytes:
    head = "\r\n".join([f"Content-Length: {len(BODY)}", f"X-Request-Id: {request_id}", *more])
    return f"POST /v1/models/model:predict HTTP/1.1\r\nHost: test\r\n{head}\r\n\r\n".encode() + BODY


def test_predictions_and_pages_in_one_pipeline_are_answered_in_order(port: int) -> None:
    page = b"GET /v2/health/live HTTP/1.1\r\nHost: test\r\nX-Request-Id: page\r\n\r\n"
    pipeline = prediction("first") + prediction("second") + page + prediction("last", "Connection: close")
    came = answer(port, pipeline)
    assert re.findall(r"x-request-id: (\w+)", came) == ["first", "second", "page", "last"]
    assert came.count("HTTP/1.1 200 OK") == 4


def test_a_prediction_in_pieces_is_answered(port: int) -> None:
    whole = prediction("pieces", "Connection: close")
    came = answer(port, whole[:30], whole[30:-20], whole[-20:-3], whole[-3:], pause=0.02)
    assert came.startswith("HTTP/1.1 200 OK")
    assert "connection: close" in came


def test_a_client_that_leaves_before_its_answer_harms_nobody(port: int) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(prediction("gone"))
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(prediction("gone")[:-5])
    assert answer(port, prediction("here", "Connection: close")).startswith("HTTP/1.1 200 OK")


def test_a_request_is_freed_when_it_is_answered(port: int) -> None:
    """Without the garbage collector: a request that refers to itself would wait for it, with all its arrays."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(150):
            assert answer(port, prediction("freed", "Connection: close")).startswith("HTTP/1.1 200 OK")
        waiting = sum(isinstance(thing, Exchange) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert waiting < 100  # the metrics keep the latest ones, to count them together


def chunked(*parts: bytes) -> bytes:
    """The beginning of a request whose body comes in chunks."""
    return b"POST /v1/models/model:predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
        parts
    )


ENDLESS = {
    "many headers": (b"".join([HEAD, *(b"h%d: 1\r\n" % number for number in range(21))]), 431, "more than 20 headers"),
    "a header": (HEAD + b"X: " + b"x" * 3_000, 431, "the headers have more than 2,000 bytes"),
    "trailers": (chunked(b"1\r\n{\r\n0\r\n", *[b"X: 1\r\n"] * 600), 431, "the headers have more than 2,000 bytes"),
    "a trailer": (chunked(b"1\r\n{\r\n0\r\nX: ", b"x" * 3_000), 431, "the headers have more than 2,000 bytes"),
    "an extension": (chunked(b"1;name=", b"x" * 3_000), 431, "the headers have more than 2,000 bytes"),
    "tiny chunks": (chunked(*[b"1\r\n{\r\n"] * 5_000), 400, "the chunks are smaller than 64 bytes"),
    "a body": (chunked(*[b"3e8\r\n" + b"x" * 1_000 + b"\r\n"] * 300), 413, "more than 200,000 bytes"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_does_not_end_is_refused_in_a_sentence(port: int, what: str) -> None:
    sent, status, words = ENDLESS[what]
    pieces = [sent] if len(sent) > 10_000 else [sent[start : start + 800] for start in range(0, len(sent), 800)]
    came = answer(port, *pieces, pause=0.02)
    assert came.startswith(f"HTTP/1.1 {status} ")
    assert words in came


def test_more_requests_than_may_wait_on_a_connection_are_refused_after_those_in_front(port: int) -> None:
    came = answer(port, prediction("waits") * 50)
    assert came.count("HTTP/1.1 200 OK") in range(5, 8)  # one that is answered, those that wait behind it
    assert came.endswith(
        '{"error":"5 requests wait on this connection; wait for their answers, or use more connections"}'
    )
    assert came.count("HTTP/1.1 503 ") == 1


def test_pages_that_are_not_read_are_not_made_and_their_connection_ends(application: Application, port: int) -> None:
    page = b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while True:  # until it is closed
            connection.sendall(page * 4)
            time.sleep(0.001)
            assert application.state.budget.held < 300_000
    wait_for(lambda: application.state.budget.held == 0)


def test_the_oldest_unfinished_request_gives_way_when_others_need_its_room(application: Application, port: int) -> None:
    body = b"POST /v1/models/model:predict HTTP/1.1\r\nHost: test\r\nContent-Length: 199000\r\n\r\n" + b" " * 190_000
    connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(5)]
    try:
        for connection in connections:
            connection.sendall(body)
        wait_for(lambda: application.state.budget.held > 900_000)
        time.sleep(1.1)  # for which each keeps its room
        connections.append(socket.create_connection(("127.0.0.1", port), timeout=60))
        connections[5].sendall(body)
        came = connections[0].makefile("rb").read().decode()
        assert came.startswith("HTTP/1.1 503 ")
        assert "did not come while others needed its room" in came
        assert answer(port, prediction("honest", "Connection: close")).startswith("HTTP/1.1 200 OK")
    finally:
        for connection in connections:
            connection.close()
    wait_for(lambda: application.state.budget.held == 0)


def test_a_new_connection_takes_the_place_of_the_one_that_waits_the_longest(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(21)]
    try:
        assert idle[0].recv(10) == b""
        assert answer(port, prediction("new", "Connection: close")).startswith("HTTP/1.1 200 OK")
    finally:
        for connection in idle:
            connection.close()


def test_a_client_that_asks_before_it_sends_its_body_is_reported_to_go_on(port: int) -> None:
    whole = prediction("asks", "Expect: 100-continue", "Connection: close")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(whole[: -len(BODY)])
        assert connection.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200 OK")


def test_headers_of_one_name_are_one_list_and_others_stay(port: int) -> None:
    headers = headers_of([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    assert headers == {b"a": b"1,3", b"b": b"2"}
