"""`kubeline serve`: the real command, a real server, and the command line it prints."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kubeline.model_client.golden import GoldenRows
from kubeline.model_package import ModelPackage
from kubeline.registry import Submission, open_registry
from tests.support.packages import write_tiny_package
from tests.support.waiting import wait_for

COMMAND = [sys.executable, "-c", "from kubeline.cli import main; raise SystemExit(main())", "serve"]


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "package")


@pytest.fixture
def ports() -> list[int]:
    """Two ports that are free."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("", 0))
        second.bind(("", 0))
        return [first.getsockname()[1], second.getsockname()[1]]


@contextmanager
def serving(*options: str, ports: list[int]) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """The command and what it printed when it was ready; it ends with the block."""
    command = [*COMMAND, *options, "--port", str(ports[0]), "--grpc-port", str(ports[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process, [process.stdout.readline().strip() for _ in range(3)]
        finally:
            process.kill()


def refused(*options: str) -> tuple[int, str]:
    """Exit code and what was said."""
    ended = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=240, check=False)
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


def paste(line: str) -> dict[str, Any]:
    """What a shell makes of the line, asked: ``curl URL -H HEADER -d BODY``."""
    curl, url, header, named, data, body = shlex.split(line)
    assert (curl, header, data) == ("curl", "-H", "-d")
    request = urllib.request.Request(url, body.encode(), dict([named.split(": ")]))  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.loads(response.read())


def wait_until_gone(port: int) -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(lambda: not listens())


def test_the_line_it_prints_is_answered_with_the_recorded_prediction(package: ModelPackage, ports: list[int]) -> None:
    with serving(str(package.path), "--name", "tiny", ports=ports) as (_, printed):
        assert printed[0].startswith(f"serving tiny (package {package.digest[:12]}): http://127.0.0.1:{ports[0]}")
        assert paste(printed[2])["predictions"] == [GoldenRows.of(package).expected.values[0]]


def test_several_workers_share_the_ports(package: ModelPackage, ports: list[int]) -> None:
    with serving(str(package.path), "--workers", "2", ports=ports) as (process, printed):
        assert [paste(printed[2])["predictions"] for _ in range(10)] == [["True"]] * 10
        process.terminate()
        assert process.wait(timeout=240) == 0
        for port in ports:
            wait_until_gone(port)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order_with_its_log_written_and_takes_the_server_along(
    package: ModelPackage, ports: list[int], tmp_path: Path, kind: signal.Signals
) -> None:
    log = tmp_path / "log"
    with serving(str(package.path), "--payload-log", str(log), ports=ports) as (process, printed):
        paste(printed[2])
        process.send_signal(kind)
        assert process.wait(timeout=240) == 0
        for port in ports:
            wait_until_gone(port)
    assert [pq.read_metadata(file).num_rows for file in log.rglob("*.parquet")] == [1]


def test_a_killed_command_leaves_no_server_behind(package: ModelPackage, ports: list[int]) -> None:
    with serving(str(package.path), ports=ports) as (process, _):
        process.kill()
        for port in ports:
            wait_until_gone(port)


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_port_in_use_is_reported_with_the_option_to_change(package: ModelPackage, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, words = refused(str(package.path), option, str(port))
    assert code == 3
    assert words == f"kubeline: cannot listen on port {port}: Address already in use; choose another one by {option}\n"


def test_a_tampered_package_is_not_served(package: ModelPackage) -> None:
    (package.path / "reference.json").write_bytes(b"{ }")
    code, words = refused(str(package.path))
    assert code == 2
    assert words.startswith("kubeline: reference.json of the model package at ")


def test_a_name_that_no_url_takes_is_refused(package: ModelPackage) -> None:
    code, words = refused(str(package.path), "--name", "a/b")
    assert code == 2
    assert words.startswith("kubeline: 'a/b' cannot be the name of a served model")


@pytest.mark.slow
def test_a_registered_model_is_served_under_its_name(package: ModelPackage, ports: list[int], tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    registry = open_registry(uri)
    submission = Submission("late-flights", package.path, package.digest, {}, {}, {})
    registry.point("champion", registry.register(submission))
    options = ("models:/late-flights@champion", "--tracking-uri", uri)
    with serving(*options, ports=ports) as (_, printed):
        assert printed[0].startswith(f"serving late-flights (package {package.digest[:12]})")
        assert paste(printed[2])["predictions"] == ["True"]
    code, words = refused("models:/late-flights@challenger", "--tracking-uri", uri)
    assert code == 2
    assert f"the registry at {uri} has no 'models:/late-flights@challenger'; check the name" in words


def test_without_an_address_the_registry_of_the_runs_is_asked_and_reported(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = [*COMMAND, "models:/late-flights@champion"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    where = f"sqlite:///{tmp_path}/runs/mlflow.db (which is not there yet)"
    assert ended.stderr.startswith(f"kubeline: the registry at {where} has no 'models:/late-flights@champion'; check")
    assert ended.returncode == 2
