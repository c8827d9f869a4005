"""The server under attack: it stays within the memory of its pod, answers others, and gives memory back."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import grpc
import pytest
import yaml

from benchmarks.serving.attacks import GRPC, HTTP, Attack, Target
from benchmarks.serving.grpc_frames import ask_all
from tests.serving.grpc.house import raw
from tests.support.launching import Launched, launch
from tests.support.packages import write_tiny_package
from tests.support.waiting import wait_for

RUNTIME = Path(__file__).parents[2] / "manifests" / "runtime" / "serving-runtime.yaml"
BODY = json.dumps({"instances": [[1.5, "AA", True, None]]}).encode()
ROWS = b'{"instances":[' + b",".join([b'[1.5,"AA",true,null]'] * 5_000) + b"]}"
LARGE = b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(ROWS) + ROWS
KEPT = 200 * 2**20  # bytes above what it took before, that the server may keep of a burst


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("attacks")
    with launch(write_tiny_package(folder / "package"), folder) as launched:
        yield launched


@pytest.fixture(scope="module")
def before(server: Launched) -> int:
    """Bytes of memory of the server before any attack."""
    return memory(server, "VmRSS")


def limit() -> int:
    """The memory limit of the pod as the manifest has it, in bytes."""
    (container,) = yaml.safe_load(RUNTIME.read_text())["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "1Gi"
    return 2**30


def memory(server: Launched, field: str) -> int:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def assert_answers(server: Launched) -> None:
    """A health check is answered, and so is an honest request over each protocol, at the latest when it tries again."""
    url = f"http://127.0.0.1:{server.http_port}"
    with urlopen(f"{url}/v2/health/live", timeout=60) as response:  # noqa: S310 - our own server
        assert response.status == 200
    wait_for(lambda: status_of(Request(f"{url}/v1/models/tiny:predict", BODY)) == 200)  # noqa: S310
    wait_for(lambda: ask_all(server.grpc_port, [raw().SerializeToString()]) == [grpc.StatusCode.OK])


def status_of(request: Request) -> int:
    try:
        with urlopen(request, timeout=60) as response:  # noqa: S310 - our own server
            return int(response.status)
    except HTTPError as error:
        return error.code


@pytest.mark.parametrize("attack", [*HTTP, *GRPC], ids=lambda attack: attack.__name__)
def test_under_attack_the_server_stays_within_its_pod_answers_others_and_gives_the_memory_back(
    server: Launched, before: int, attack: Attack
) -> None:
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # the peak begins anew
    with ExitStack() as stack:
        came = attack(Target(server.http_port, server.grpc_port, "tiny", LARGE, raw(20_000).SerializeToString()), stack)
        assert_answers(server)
    assert 200 not in came
    assert memory(server, "VmHWM") < limit() * 0.75
    assert server.process.poll() is None
    wait_for(lambda: memory(server, "VmRSS") < before + KEPT, lambda: memory(server, "VmRSS"))
