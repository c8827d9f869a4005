"""What every room's tests share: real artifacts, a sample of the real data, and a trained package."""

import gc
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from kfp import dsl

from examples.flights.prepare import flights as all_flights
from tests.support.artifacts import Maker, make_artifact, make_dataset

WARM = Path(__file__).parent / "support" / "warm"

# What a shell starts in the background ignores Ctrl-C, and would pass that on to the commands that tests send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Nothing that collecting the tests makes is garbage; to look through it again and again takes nearly half of the time.
gc.disable()


def pytest_collection_finish() -> None:
    """From now on garbage is looked for, and not in what is there for as long as the tests run."""
    gc.freeze()
    gc.enable()


# How long an example takes, and to draw one, says how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers take files with slow tests first, then long ones, so that none waits for the last of another.

    What is slow on an idle machine has longer than the rest before it is taken to hang.
    """
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))
    if not hasattr(config, "workerinput"):
        return
    tests = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))


@pytest.fixture
def artifact(tmp_path: Path) -> Maker:
    """`artifact(kind, name)`: an artifact with nothing written yet."""
    return lambda kind="Artifact", name="artifact": make_artifact(tmp_path, kind, name)


@pytest.fixture
def dataset(tmp_path: Path) -> Maker:
    """`dataset(frame, name)`: a dataset artifact that holds the frame."""
    return lambda frame, name="dataset": make_dataset(tmp_path, frame, name)


@pytest.fixture(scope="session")
def _flights() -> pd.DataFrame:
    return all_flights().sample(6_000, random_state=0).sort_index().reset_index(drop=True)


@pytest.fixture
def flights(_flights: pd.DataFrame) -> pd.DataFrame:
    """6,000 real flights in order of departure; the target is `late`."""
    return _flights.copy()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, _flights: pd.DataFrame) -> dsl.Model:
    """A model artifact with a real package: HistGradientBoosting on the first 4,000 of the sample flights."""
    from tests.support.training import trained

    folder = tmp_path_factory.mktemp("package")
    made = trained(folder, _flights.head(4_000), "late", exclude=["departure"], params={"max_iter": 20})
    model: dsl.Model = made["model"]
    return model


@pytest.fixture(scope="session")
def warm_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which steps become forks of a process that has loaded their libraries."""
    place = tmp_path_factory.mktemp("warm") / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen(64)
        command = [sys.executable, str(WARM / "process.py"), str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])
        path = os.pathsep.join(filter(None, (str(WARM), os.environ.get("PYTHONPATH"))))
        yield {"WARM_PYTHON": str(place), "PYTHONPATH": path}
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def warm_steps(warm_process: dict[str, str]) -> Iterator[None]:
    """The steps of this file's runs are such forks; those of other files are what users have."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in warm_process.items():
            patch.setenv(name, value)
        yield
