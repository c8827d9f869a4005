"""Limits of the real server: too much at once, too large, too slow."""

import asyncio
import http.client
import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.support.launching import Launched, launch
from tests.support.packages import write_tiny_package

RECORD = {"amount": 1.5, "carrier": "AA", "rush": True, "departure": "2013-01-01T06:00:00"}
PATH = "/v1/models/tiny:predict"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("limits")
    limits = ("--max_body_bytes", "1000000", "--max_rows", "1500", "--timeout_ms", "1000", "--max_queue_ms", "5")
    with launch(write_tiny_package(folder / "package"), folder, *limits) as launched:
        yield launched


def ask(port: int, rows: int) -> tuple[int, dict[str, str], dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        return send(connection, body_of(rows), "one")
    finally:
        connection.close()


def body_of(rows: int) -> bytes:
    return json.dumps({"instances": [RECORD] * rows}).encode()


def send(
    connection: http.client.HTTPConnection, body: bytes, request_id: str
) -> tuple[int, dict[str, str], dict[str, object]]:
    connection.request("POST", PATH, body, {"X-Request-Id": request_id})
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, json.load(response)


def test_too_many_rows_are_refused_by_number(server: Launched) -> None:
    status, _, body = ask(server.http_port, 1501)
    assert (status, body) == (
        413,
        {"error": "the request has 1,501 rows, but the server takes at most 1,500; split it"},
    )
    assert ask(server.http_port, 1500)[0] == 200


def test_too_large_a_body_is_refused_before_it_is_read(server: Launched) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000001\r\n\r\n".encode())
        answer = client.makefile("rb").read()  # until the server closes
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"more than 1,000,000 bytes" in answer


def test_too_large_a_body_of_chunks_is_refused_while_it_is_read(server: Launched) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(16):
            client.sendall(chunk)
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_is_still_sending_is_reported_that_it_is_too_much(server: Launched, chunked: bool) -> None:
    url = f"http://127.0.0.1:{server.http_port}{PATH}"
    for _ in range(10):
        body = iter([b" " * 1_000_000] * 20) if chunked else b" " * 20_000_000
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(url, body), timeout=60)
        assert refused.value.code == 413
        assert "more than 1,000,000 bytes" in json.load(refused.value)["error"]


def test_a_body_that_does_not_arrive_in_time_is_refused(server: Launched) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as client:
        client.sendall(f'POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"inst'.encode())
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive within 1 s" in answer


@pytest.mark.slow
def test_overload_is_answered_by_200_and_503_and_nothing_else(server: Launched) -> None:
    """Sixty connections that ask at once for more than a millisecond of work each; none may stay 5 ms in the queue."""
    answers = asyncio.run(crowd(server.http_port, body_of(1000)))
    counts = Counter(answer.status for answer in answers)
    assert set(counts) == {200, 503}, counts
    assert all(answer.asked_as == answer.answered_as for answer in answers)
    refused = {(answer.retry_after, answer.body) for answer in answers if answer.status == 503}
    assert refused == {("1", b'{"error":"the server is overloaded; try again later, or add replicas"}')}
    assert ask(server.http_port, 1)[0] == 200  # and it goes on
    with urlopen(f"http://127.0.0.1:{server.http_port}/metrics", timeout=60) as response:
        page = response.read().decode()
    (counted,) = re.findall(r'kubeline_requests_total\{code="503",[^}]*protocol="v1"[^}]*\} (\S+)', page)
    assert float(counted) == counts[503]


@dataclass(frozen=True)
class Answer:
    status: int
    asked_as: str
    answered_as: str
    retry_after: str
    body: bytes


async def crowd(port: int, body: bytes, connections: int = 60, turns: int = 20) -> list[Answer]:
    """Every connection asks so many times, and is never opened anew."""

    async def client(number: int) -> list[Answer]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answers = [await turn(reader, writer, f"{number}-{place}") for place in range(turns)]
        writer.close()
        return answers

    async def turn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> Answer:
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nX-Request-Id: {name}\r\n\r\n"
        writer.write(head.encode() + body)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
        content = await reader.readexactly(int(headers["content-length"]))
        return Answer(int(status.split()[1]), name, headers["x-request-id"], headers.get("retry-after", ""), content)

    clients = await asyncio.gather(*(client(number) for number in range(connections)))
    return [answer for answers in clients for answer in answers]
