"""The embedded KServe leaves nothing behind, however it ends."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import embedded_kserve
from kubeline.errors import PlatformError
from tests.embedded_kserve.packages import Packages
from tests.embedded_kserve.world import SERVICES, Api, inference_service
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

OWNER = """
import sys, time
import embedded_kserve
with embedded_kserve.start(sys.argv[1], "knative") as cluster:
    print(cluster.kubeconfig, flush=True)
    time.sleep(600)
"""


def processes_of(folder: Path) -> set[str]:
    """Programs that were started with a file of this folder, or hold one open, as a model server its log."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode()
            held = [str(link.readlink()) for link in (process / "fd").iterdir()]
            if str(folder) in words or any(file.startswith(f"{folder}/") for file in held):
                found.add(process.name)
    return found


def wait_until_gone(folder: Path) -> None:
    wait_for(lambda: not processes_of(folder), lambda: processes_of(folder))


def wait_until_serving(api: Api, name: str) -> None:
    wait_for(lambda: "url" in api.get(f"{SERVICES}/{name}")[1].get("status", {}))


def test_a_killed_parent_takes_everything_along(tmp_path: Path, packages: Packages) -> None:
    package = tmp_path / "package"
    package.symlink_to(packages.first.path)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "cluster")], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        kubeconfig = Path(owner.stdout.readline().strip())
        api = Api.of(kubeconfig)
        assert api.post(SERVICES, inference_service("orphan", package.as_uri()))[0] == 201
        wait_until_serving(api, "orphan")
        assert len(processes_of(tmp_path)) >= 5  # owner, cluster, Envoy and its keeper, model server
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        wait_until_gone(tmp_path)


def test_when_it_is_killed_itself_its_envoy_and_servers_end(tmp_path: Path, packages: Packages) -> None:
    package = tmp_path / "package"
    package.symlink_to(packages.first.path)
    with embedded_kserve.start(tmp_path / "cluster", "knative") as cluster:
        api = Api.of(cluster.kubeconfig)
        assert api.post(SERVICES, inference_service("brief", package.as_uri()))[0] == 201
        wait_until_serving(api, "brief")
        os.kill(cluster.pid, signal.SIGKILL)
        wait_until_gone(tmp_path)


def test_the_end_of_the_block_ends_everything(tmp_path: Path, packages: Packages) -> None:
    package = tmp_path / "package"
    package.symlink_to(packages.first.path)
    with embedded_kserve.start(tmp_path / "cluster", "standard") as cluster:
        api = Api.of(cluster.kubeconfig)
        assert api.post(SERVICES, inference_service("brief", package.as_uri()))[0] == 201
        assert processes_of(tmp_path)
    wait_until_gone(tmp_path)
    assert (tmp_path / "cluster" / "logs" / "envoy.log").exists()


def test_a_folder_that_cannot_be_written_is_reported_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "envoy").write_text("a file where a folder is to be")
    with pytest.raises(PlatformError, match="did not start"), embedded_kserve.start(tmp_path, "knative"):
        pass
