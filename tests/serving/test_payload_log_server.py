"""The payload log of real server processes, which are ended politely, killed, or cannot write."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import pyarrow.parquet as pq
import pytest

from kubeline.ports import free_ports
from tests.support.packages import write_tiny_package
from tests.support.waiting import wait_for

BODY = json.dumps({"instances": [{"amount": 1.5, "carrier": "AA", "rush": True, "departure": None}] * 3})


def command(folder: Path, port: int, *options: str) -> list[str]:
    given = ["--model_dir", str(folder), "--model_name", "tiny", "--http_port", str(port), "--enable_grpc", "false"]
    return [sys.executable, "-m", "kubeline_serving", *given, *options]


@dataclass
class Clients:
    """Four connections that ask one after the other; `answered` are the request ids that were answered with 200."""

    port: int
    answered: set[str] = field(default_factory=set)

    def ask(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for number in range(5_000):
            name = f"{client}-{number}"
            try:
                connection.request("POST", "/v1/models/tiny:predict", BODY, {"X-Request-Id": name})
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                return  # the server is gone
            if response.status == 200:
                self.answered.add(name)
            time.sleep(0.002)


@contextmanager
def asked(process: "subprocess.Popen[bytes]", port: int) -> Iterator[Clients]:
    """Clients that ask the server from when it is ready until the block and the server have ended."""
    clients = Clients(port)
    while True:
        assert process.poll() is None
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                break
        except OSError:
            time.sleep(0.05)
    threads = [threading.Thread(target=clients.ask, args=(client,)) for client in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        for thread in threads:
            thread.join()


def logged(folder: Path) -> dict[str, int]:
    """Rows of each request id; every part must be a whole Parquet file."""
    rows: dict[str, int] = {}
    for file in folder.glob("date=*/part-*.parquet"):
        for name in pq.read_table(file, partitioning=None)["request.id"].to_pylist():
            rows[name] = rows.get(name, 0) + 1
    return rows


def counted_rows(port: int) -> dict[str, float]:
    """The outcomes of rows that the server's metrics have counted so far."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        page = answer.read().decode()
    counts = re.findall(r'^kubeline_payload_rows_total\{.*outcome="(\w+)".*\} (\S+)$', page, re.MULTILINE)
    return {outcome: float(count) for outcome, count in counts if float(count)}


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_after_sigterm_under_load_no_answered_row_is_missing(tmp_path: Path, workers: str) -> None:
    write_tiny_package(tmp_path / "package")
    port, log = free_ports(1)[0], tmp_path / "log"
    options = ("--payload_log", str(log), "--payload_rows", "500", "--payload_seconds", "60", "--workers", workers)
    with subprocess.Popen(command(tmp_path / "package", port, *options)) as process:
        with asked(process, port) as clients:
            wait_for(lambda: len(clients.answered) > 500)
            process.terminate()
        assert process.wait(60) == 0
    rows = logged(log)
    assert clients.answered <= set(rows)
    assert set(rows.values()) == {3}
    assert not list(log.rglob(".*"))


@pytest.mark.slow
def test_under_load_what_was_answered_is_soon_in_the_log_and_stays_there_after_sigkill(tmp_path: Path) -> None:
    write_tiny_package(tmp_path / "package")
    port, log = free_ports(1)[0], tmp_path / "log"
    options = ("--payload_log", str(log), "--payload_seconds", "0.5")
    with subprocess.Popen(command(tmp_path / "package", port, *options)) as process:
        with asked(process, port) as clients:
            wait_for(lambda: len(clients.answered) > 500)
            answered = set(clients.answered)
            wait_for(lambda: answered <= set(logged(log)))
            process.kill()
        assert process.wait(60) == -signal.SIGKILL
    assert answered <= set(logged(log))


@pytest.mark.slow
def test_a_server_with_a_payload_log_loads_no_pandas_and_counts_its_rows(tmp_path: Path) -> None:
    write_tiny_package(tmp_path / "package")
    port = free_ports(1)[0]
    options = ("--payload_log", (tmp_path / "log").as_uri(), "--payload_rows", "3", "--payload_sample", "0.5")
    with subprocess.Popen(command(tmp_path / "package", port, *options)) as process:
        with asked(process, port) as clients:
            wait_for(lambda: {"written", "sampled_out"} <= set(counted_rows(port)))
            maps = Path(f"/proc/{process.pid}/maps").read_text()
            process.terminate()
        process.wait(60)
    assert "pyarrow" in maps
    assert "pandas" not in maps
    assert 0 < len(logged(tmp_path / "log")) < len(clients.answered)


@pytest.mark.parametrize(
    ("uri", "code", "sentence"),
    [
        ("nowhere://bucket", 2, "cannot be written to 'nowhere://bucket'"),
        ("/proc/log", 3, "cannot be written to '/proc"),
    ],
)
def test_a_server_whose_log_cannot_be_written_does_not_start(
    tmp_path: Path, uri: str, code: int, sentence: str
) -> None:
    write_tiny_package(tmp_path / "package")
    line = command(tmp_path / "package", free_ports(1)[0], "--payload_log", uri)
    ended = subprocess.run(line, capture_output=True, text=True, timeout=240, check=False, env={**os.environ})
    assert ended.returncode == code
    (reported,) = ended.stderr.strip().splitlines()
    assert reported.startswith("error: the payload log ")
    assert sentence in reported
