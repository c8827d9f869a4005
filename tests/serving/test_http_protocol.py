"""The head of a request is limited in bytes and time: a uvicorn server with little patience."""

import gc
import re
import socket
import time
from collections.abc import Iterator

import pytest

from serving.exchange import Exchange
from serving.http_protocol import HttpProtocol
from serving.options import read_options
from serving.worker import Worker
from tests.serving.launching import serve_here
from tests.serving.packages import write_tiny_package

HEAD = b"GET / HTTP/1.1\r\nHost: test\r\n"


class Impatient(HttpProtocol):
    head_bytes = 2_000
    head_seconds = 0.3


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    package = write_tiny_package(tmp_path_factory.mktemp("impatient") / "package")
    application = Worker(read_options(["--model_dir", str(package.path), "--enable_grpc", "false"])).application
    with serve_here(application, Impatient) as port:
        yield port


def answer(port: int, *parts: bytes, pause: float = 0.0) -> str:
    """All that comes back until the server closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
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


def test_a_head_that_does_not_end_is_refused_in_time(port: int) -> None:
    assert answer(port, HEAD).startswith("HTTP/1.1 408 ")


def test_a_head_that_does_not_end_is_refused_in_time_after_an_answer_too(port: int) -> None:
    came = answer(port, HEAD + b"\r\n", HEAD, pause=0.05)
    assert came.startswith("HTTP/1.1 200 ")
    assert "HTTP/1.1 408 " in came


def test_a_connection_on_which_nothing_comes_is_closed(port: int) -> None:
    assert answer(port) == ""


def test_a_connection_stays_open_between_requests(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(2):
            connection.sendall(HEAD + b"\r\n")
            assert connection.recv(1_000).endswith(b'{"status":"alive"}')
            time.sleep(0.5)  # longer than a head may take


def test_a_head_in_pieces_is_answered(port: int) -> None:
    whole = HEAD + b"Connection: close\r\n\r\n"
    assert answer(port, whole[:3], whole[3:20], whole[20:], pause=0.05).endswith('{"status":"alive"}')


def test_what_is_not_http_is_told_so_in_json(port: int) -> None:
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
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(prediction("gone"))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
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
