"""The server as Vertex AI starts it: variables say where the package is, at which port and by which routes to ask."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from kubeline.model_client.golden import GoldenRows
from kubeline.model_package import ModelPackage
from kubeline.ports import free_ports
from tests.support.packages import write_tiny_package
from tests.support.waiting import wait_for

COMMAND = [sys.executable, "-m", "kubeline_serving", "--enable_grpc", "false"]
ROUTES = {"AIP_PREDICT_ROUTE": "/v1/models/flights:predict", "AIP_HEALTH_ROUTE": "/v2/health/ready"}


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "package")


def variables(package: ModelPackage, folder: Path, **others: str) -> dict[str, str]:
    own = {"AIP_STORAGE_URI": package.path.absolute().as_uri(), "TMPDIR": str(folder), **ROUTES}
    return {**os.environ, **own, **others}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_package_is_fetched_and_served_at_the_port_and_by_the_routes_that_the_variables_say(
    package: ModelPackage, tmp_path: Path, workers: str
) -> None:
    (port,) = free_ports(1)
    digest = {"AIP_HTTP_PORT": str(port), "KUBELINE_PACKAGE_DIGEST": package.digest}
    with subprocess.Popen([*COMMAND, "--workers", workers], env=variables(package, tmp_path, **digest)) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: _status(url + ROUTES["AIP_HEALTH_ROUTE"]) == 200)
            body = {"instances": [GoldenRows.of(package).records[0]]}
            answer = urllib3.request("POST", url + ROUTES["AIP_PREDICT_ROUTE"], json=body)
            assert answer.status == 200
            assert len(answer.json()["predictions"]) == 1
        finally:
            process.terminate()
    assert len([*tmp_path.glob("kubeline-package-*")]) == 1  # the workers share it


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"AIP_PREDICT_ROUTE": "/predict"}, "upload the model with the predict route /v1/models/model:predict"),
        ({"AIP_HEALTH_ROUTE": "/health"}, "upload the model with the health route /v2/health/ready"),
        ({"AIP_STORAGE_URI": "file:///nothing/here"}, "the package at 'file:///nothing/here' cannot be read"),
        ({"KUBELINE_PACKAGE_DIGEST": "0" * 64}, "was blessed for this deployment"),
    ],
)
def test_what_does_not_fit_ends_the_server_in_a_sentence(
    package: ModelPackage, tmp_path: Path, wrong: dict[str, str], sentence: str
) -> None:
    (port,) = free_ports(1)
    given = variables(package, tmp_path, AIP_HTTP_PORT=str(port), **wrong)
    ended = subprocess.run(COMMAND, env=given, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode in {2, 3}
    assert sentence in ended.stderr


def _status(url: str) -> int:
    try:
        return urllib3.request("GET", url, retries=False).status
    except urllib3.exceptions.HTTPError:
        return 0
