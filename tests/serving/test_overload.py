"""Limits of the real server: too much at once, too large, too slow."""

import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.serving.launching import Launched, launch
from tests.serving.packages import write_tiny_package

RECORD = {"amount": 1.5, "carrier": "AA", "rush": True, "departure": "2013-01-01T06:00:00"}
PATH = "/v1/models/tiny:predict"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("limits")
    limits = ("--max_body_bytes", "1000000", "--max_rows", "1500", "--timeout_ms", "1000", "--max_queue_ms", "5")
    with launch(write_tiny_package(folder / "package"), folder, *limits) as launched:
        yield launched


def ask(port: int, rows: int) -> tuple[int, dict[str, str], dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", PATH, json.dumps({"instances": [RECORD] * rows}))
    response = connection.getresponse()
    answer = response.status, {name.lower(): value for name, value in response.getheaders()}, json.load(response)
    connection.close()
    return answer


def test_too_many_rows_are_refused_by_number(server: Launched) -> None:
    status, _, body = ask(server.http_port, 1501)
    assert (status, body) == (
        413,
        {"error": "the request has 1,501 rows, but the server takes at most 1,500; split it"},
    )
    assert ask(server.http_port, 1500)[0] == 200


def test_too_large_a_body_is_refused_before_it_is_read(server: Launched) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000001\r\n\r\n".encode())
        answer = client.makefile("rb").read()  # until the server closes
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"more than 1,000,000 bytes" in answer


def test_too_large_a_body_of_chunks_is_refused_while_it_is_read(server: Launched) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(16):
            client.sendall(chunk)
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_arrive_in_time_is_refused(server: Launched) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as client:
        client.sendall(f'POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"inst'.encode())
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive within 1 s" in answer


@pytest.mark.slow
def test_overload_is_answered_by_200_and_503_and_nothing_else(server: Launched) -> None:
    """Forty clients at once, each with half a slice of work: more than 5 ms in the queue."""
    answers: list[tuple[int, dict[str, str]]] = []

    def client() -> None:
        for _ in range(15):
            status, headers, _ = ask(server.http_port, 600)
            answers.append((status, headers))

    threads = [threading.Thread(target=client) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = Counter(status for status, _ in answers)
    assert set(counts) == {200, 503}, counts
    assert all(headers["retry-after"] == "1" for status, headers in answers if status == 503)
    assert ask(server.http_port, 1)[0] == 200  # and it goes on
