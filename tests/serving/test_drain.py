"""The end of a server: SIGTERM drains it, workers that die are replaced, and nothing outlives its parent."""

import http.client
import json
import os
import re
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.support.launching import Launched, launch
from tests.support.packages import write_tiny_package
from tests.support.waiting import wait_for

BODY = json.dumps({"instances": [[1.5, "AA", True, "2013-01-01T06:00:00"]]})


def ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, str | None, bytes]:
    """Status, header Connection and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.getheader("connection"), response.read()
    finally:
        connection.close()


def predict(port: int) -> tuple[int, str | None, bytes]:
    return ask(port, "POST", "/v1/models/tiny:predict", BODY)


def workers(launched: Launched) -> set[int]:
    """Process ids of the workers."""
    pid = launched.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return {int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def answered(launched: Launched) -> float:
    """v1 requests answered, by the metrics."""
    page = ask(launched.http_port, "GET", "/metrics")[2].decode()
    (count,) = re.findall(r'kubeline_requests_total\{code="200",[^}]*protocol="v1"[^}]*\} (\S+)', page)
    return float(count)


def test_a_server_that_drains_is_not_ready_and_still_answers(tmp_path: Path) -> None:
    with launch(write_tiny_package(tmp_path / "package"), tmp_path, "--drain_seconds", "600") as launched:
        assert ask(launched.http_port, "GET", "/v2/health/ready")[0] == 200
        launched.process.send_signal(signal.SIGTERM)
        wait_for(lambda: ask(launched.http_port, "GET", "/v2/health/ready")[0] == 503)
        assert ask(launched.http_port, "GET", "/v2/health/live")[0] == 200
        assert predict(launched.http_port)[:2] == (200, "close")
        launched.process.send_signal(signal.SIGTERM)  # a second one ends it at once
        assert launched.process.wait(240) == 0


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_no_request_is_lost_when_a_server_is_reported_to_stop_under_load(tmp_path: Path, count: int) -> None:
    """Clients keep their connections until the server closes them, as a load balancer does.

    On a busy machine each of them gets its turn within the time of draining.
    """
    outcomes: list[tuple[int, str | None]] = []

    def client(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        reported = None
        while reported is None:
            connection.request("POST", "/v1/models/tiny:predict", BODY)
            response = connection.getresponse()
            response.read()
            reported = response.getheader("connection")
            outcomes.append((response.status, reported))

    patient = ("--max_queue_ms", "20000")  # for a busy machine: to refuse is overload, not draining
    options = ("--drain_seconds", "3", "--workers", str(count), *patient)
    with launch(write_tiny_package(tmp_path / "package"), tmp_path, *options) as launched:
        threads = [threading.Thread(target=client, args=(launched.http_port,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(outcomes) > 60)
        launched.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(240)
        assert launched.process.wait(240) == 0
    found = Counter(outcomes)
    assert found.keys() == {(200, None), (200, "close")}, found
    assert found[200, "close"] == 6


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_what_it_counted_stays(tmp_path: Path) -> None:
    with launch(write_tiny_package(tmp_path / "package"), tmp_path, "--workers", "2") as launched:
        for _ in range(40):
            assert predict(launched.http_port)[0] == 200
        wait_for(lambda: answered(launched) == 40)  # a request is counted after its answer is sent
        before = workers(launched)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len(workers(launched) - {victim}) == 2)
        assert answered(launched) == 40
        assert predict(launched.http_port)[0] == 200


@pytest.mark.slow
def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    with launch(write_tiny_package(tmp_path / "package"), tmp_path, "--workers", "2") as launched:
        started = workers(launched)
        assert len(started) == 2
        launched.process.kill()
        launched.process.wait()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))


def test_model_control_refuses_several_workers(tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [
        sys.executable,
        "-m",
        "kubeline_serving",
        "--model_control",
        "--workers",
        "2",
        "--model_dir",
        str(tmp_path),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 2
    assert "--model_control works with one worker" in ended.stderr
