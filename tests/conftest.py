"""What every room's tests share: real artifacts, a sample of the real data, and a trained package."""

import signal
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from kfp import dsl

from examples.flights.prepare import flights as all_flights
from tests.support.artifacts import Maker, make_artifact, make_dataset

# What a shell starts in the background ignores Ctrl-C, and would pass that on to the commands that tests send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
