"""Pipelines of the pages run in seconds: their steps are forks of one process that has loaded the libraries."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.docker_engine import docker_engine
from tests.support.pages import ROOT
from tests.support.shells import clean_environment

WARM = ROOT / "tests" / "support" / "warm"


@pytest.fixture(scope="session")
def warm_steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The steps of all runs of this session are processes that begin with their libraries loaded."""
    place = tmp_path_factory.mktemp("warm") / "socket"
    with socket.socket(socket.AF_UNIX) as listener, pytest.MonkeyPatch.context() as patch:
        listener.bind(str(place))
        listener.listen(64)
        command = [sys.executable, str(WARM / "process.py"), str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])
        patch.setenv("WARM_PYTHON", str(place))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(WARM), os.environ.get("PYTHONPATH")))))
        yield
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def docker(warm_steps: None) -> Iterator[str]:
    """The address of a Docker engine that has the images; its containers are processes of this machine."""
    warm = {name: os.environ[name] for name in ("WARM_PYTHON", "PYTHONPATH")}
    with docker_engine(clean_environment()["PATH"], **warm) as engine:
        compiled = (ROOT / "pipelines" / "training" / "kubeflow.yaml").read_text(encoding="utf-8")
        engine.images.update(re.findall(r"image: (\S+)", compiled))
        yield engine.address
    assert len(engine.containers) > 10
