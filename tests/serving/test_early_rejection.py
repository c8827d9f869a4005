"""A server whose queue is full refuses predictions before parsing them, with the same answer, and shows its pages."""

import math
import re
import socket
import time
from collections.abc import Iterator

import pytest

from kubeline_serving.http.protocol import HttpProtocol
from kubeline_serving.inference.wait_estimate import WaitEstimate
from kubeline_serving.options import read_options
from kubeline_serving.worker import Worker
from tests.support.launching import serve_here
from tests.support.packages import write_tiny_package

BODY = b'{"instances": [[1.5, "AA", true, "2013-01-01T06:00:00"]]}'
KEEP_ALIVE = 2  # seconds


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    package = write_tiny_package(tmp_path_factory.mktemp("full") / "package")
    worker = Worker(read_options(["--model_dir", str(package.path), "--enable_grpc", "false"]), Endless())
    with serve_here(worker.application, HttpProtocol, timeout_keep_alive=KEEP_ALIVE) as port:
        yield port


class Endless(WaitEstimate):
    """The estimate of a queue that nobody would wait in."""

    def seconds(self, waiting: int) -> float:
        """Longer than any limit."""
        return math.inf


def prediction(*headers: str, path: str = "/v1/models/model:predict") -> bytes:
    head = "".join(f"{header}\r\n" for header in ("Host: test", *headers))
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + BODY


LENGTH = f"Content-Length: {len(BODY)}"


class Client:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._received = self._socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._received.close()
        self._socket.close()

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self._socket.sendall(part)
            time.sleep(0.02 if len(parts) > 1 else 0.0)

    def answer(self) -> tuple[int, dict[str, str], str]:
        """The next one; status 0 when the server has hung up."""
        status = self._received.readline()
        if not status:
            return 0, {}, ""
        headers = {}
        while line := self._received.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return int(status.split()[1]), headers, self._received.read(int(headers["content-length"])).decode()


def test_each_request_of_a_connection_is_refused_under_its_own_id(port: int) -> None:
    with Client(port) as client:
        for number in range(3):
            client.send(prediction(LENGTH, f"X-REQUEST-id:  mine-{number} "))
            status, headers, body = client.answer()
            assert (status, headers["x-request-id"], headers["retry-after"]) == (503, f"mine-{number}", "1")
            assert body == '{"error":"the server is overloaded; try again later, or add replicas"}'


def test_a_request_without_an_id_is_given_one(port: int) -> None:
    with Client(port) as client:
        given = []
        for path in ("/v1/models/model:predict", "/v2/models/model/infer"):
            client.send(prediction(LENGTH, path=path))
            status, headers, _ = client.answer()
            assert status == 503
            given.append(headers["x-request-id"])
    assert all(re.fullmatch(r"[0-9a-f]{32}", own_id) for own_id in given)
    assert given[0] != given[1]


@pytest.mark.parametrize(
    ("parts", "statuses", "closed"),
    [
        pytest.param([prediction(LENGTH)[:40], prediction(LENGTH)[40:]], [503], False, id="in pieces"),
        pytest.param([prediction(LENGTH) * 3], [503, 503, 503], False, id="in a pipeline"),
        pytest.param([prediction(LENGTH, "Connection: close")], [503], True, id="the last one"),
        pytest.param([prediction(LENGTH, "Transfer-Encoding: chunked")], [400], True, id="of two lengths"),
        pytest.param([prediction("Content-Length: 4")], [503, 400], True, id="longer than it says"),
        pytest.param([prediction(LENGTH, path="/v1/models/other:predict")], [404], False, id="of another model"),
        pytest.param([prediction(LENGTH).replace(b"HTTP/1.1", b"HTTP/1.0")], [503], True, id="of HTTP/1.0"),
    ],
)
def test_an_unusual_request_is_answered_as_ever(
    port: int, parts: list[bytes], statuses: list[int], closed: bool
) -> None:
    with Client(port) as client:
        client.send(*parts)
        assert [client.answer()[0] for _ in statuses] == statuses
        if not closed:
            client.send(b"GET /v2/health/live HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.answer()[0] == (0 if closed else 200)


def test_pages_are_shown_between_refusals(port: int) -> None:
    with Client(port) as client:
        for path in ("/v2/health/live", "/v2/health/ready", "/openapi.json"):
            client.send(prediction(LENGTH))
            assert client.answer()[0] == 503
            client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\nX-Request-Id: page\r\n\r\n".encode())
            status, headers, _ = client.answer()
            assert (status, headers["x-request-id"]) == (200, "page")


def test_a_connection_in_use_stays_open_until_it_is_idle(port: int) -> None:
    with Client(port) as client:
        for _ in range(5):
            client.send(b"GET /v2/health/live HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.answer()[0] == 200
            time.sleep(0.3 * KEEP_ALIVE)
        assert client.answer() == (0, {}, "")


def test_a_connection_that_is_rejected_again_and_again_stays_open_until_it_is_idle(port: int) -> None:
    with Client(port) as client:
        for _ in range(4):
            client.send(prediction(LENGTH))
            assert client.answer()[0] == 503
            time.sleep(0.4 * KEEP_ALIVE)
        assert client.answer() == (0, {}, "")  # hung up, within the ten seconds that the client waits
