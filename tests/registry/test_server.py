"""The registry behind a real MLflow server, over HTTP: no lock there, and files that must be downloaded."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import mlflow
import pytest
import requests

from kubeline.errors import PlatformError
from kubeline.model_package import ModelPackage
from kubeline.registry import Submission, fetch, open_registry
from kubeline.registry.mlflow_registry import MLflowRegistry
from tests.registry.submissions import submission, versions
from tests.support.blessed_packages import blessed
from tests.support.http_servers import serving
from tests.support.packages import write_tiny_package


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    database = folder / "mlflow.db"
    database.write_bytes(empty_database.read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"host": "127.0.0.1", "port": port, "workers": 1, "backend-store-uri": f"sqlite:///{database}"}
    options |= {"artifacts-destination": folder / "artifacts"}
    command = [sys.executable, "-m", "mlflow", "server", *(f"--{key}={value}" for key, value in options.items())]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **quiet}, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(900):
        assert server.poll() is None
        try:
            requests.get(address, timeout=5)
        except requests.RequestException:  # or it is slow to answer
            time.sleep(0.1)
        else:
            return
    pytest.fail("the MLflow server did not start")


@pytest.mark.slow
def test_a_package_registered_on_a_server_is_downloaded_and_verified(mlflow_server: str, tmp_path: Path) -> None:
    given = blessed(tmp_path)
    registry = open_registry(mlflow_server)
    version = registry.promote(registry.register(submission(given)))
    assert registry.register(submission(given)) == version
    found = fetch("models:/flights@champion", mlflow_server)
    assert found is not None
    assert ModelPackage.open(found).digest == given.package.digest
    assert registry.page(version) == f"{mlflow_server}/#/models/flights/versions/1"
    assert "MLflow" in requests.get(mlflow_server, timeout=60).text  # what follows the # is the browser's
    for reference in ("models:/flights@nobody", "models:/nothing@champion", "models:/flights/99"):
        assert fetch(reference, mlflow_server) is None


@pytest.mark.slow
def test_mlflow_loads_the_champion_from_a_server(
    mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_tiny_package(tmp_path / "package")
    registry = open_registry(mlflow_server)
    registry.promote(registry.register(Submission("tiny", package.path, package.digest)))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    answers = mlflow.pyfunc.load_model("models:/tiny@champion").predict(package.golden()[package.signature.names])
    assert answers["prediction"].tolist() == package.golden()["expected.prediction"].tolist()


@pytest.mark.slow
def test_many_who_register_one_package_at_once_on_a_server_end_with_one_version(
    mlflow_server: str, tmp_path: Path
) -> None:
    given = blessed(tmp_path, seed=7)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: MLflowRegistry(mlflow_server).register(submission(given)), range(4)))
    assert len({version.version for version in made}) == 1
    same = [each for each in versions(mlflow_server) if each.tags["package_digest"] == given.package.digest]
    assert [each.version for each in same] == [made[0].version]


@contextmanager
def answering(code: int) -> Iterator[str]:
    """A server that answers everything with one code; yields its address."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(code)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Refusal) as address:
        yield address


def test_a_server_that_fails_is_not_said_to_be_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with answering(500) as address, pytest.raises(PlatformError) as caught:
        fetch("models:/flights@champion", address)
    assert str(caught.value) == (
        f"the MLflow registry at {address} was reached, but answers with HTTP 500; see its log, or try again later"
    )


@pytest.mark.parametrize("code", [401, 403])
def test_a_server_that_refuses_us_is_reported_with_what_to_set(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret-token")
    refused = pytest.raises(PlatformError, match="refuses this user: set MLFLOW_TRACKING_TOKEN")
    with answering(code) as address, refused as caught:
        fetch("models:/flights@champion", address)
    assert "s3cret-token" not in str(caught.value)
    assert "\n" not in str(caught.value)
