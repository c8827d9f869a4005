"""One running cluster of each kind for all tests, and tiny packages to serve in them."""

from collections.abc import Iterator

import pytest

import embedded_kserve
from tests.embedded_kserve.packages import Packages
from tests.embedded_kserve.world import World
from tests.support.packages import write_tiny_package


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = tmp_path_factory.mktemp("packages")
    broken = write_tiny_package(folder / "broken").path
    (broken / "schema.json").write_text("{}")
    second = write_tiny_package(folder / "second", "multiclass")
    return Packages(write_tiny_package(folder / "first"), second, broken)


@pytest.fixture(scope="session")
def knative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with embedded_kserve.start(tmp_path_factory.mktemp("knative"), "knative") as cluster:
        yield World(cluster)


@pytest.fixture(scope="session")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with embedded_kserve.start(tmp_path_factory.mktemp("standard"), "standard") as cluster:
        yield World(cluster)


@pytest.fixture(scope="session")
def unsplit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Standard mode of KServe 0.20.0."""
    with embedded_kserve.start(tmp_path_factory.mktemp("unsplit"), "standard", splits=False) as cluster:
        yield World(cluster)


@pytest.fixture(scope="session")
def unhurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Standard mode, as slow as a real cluster."""
    with embedded_kserve.start(tmp_path_factory.mktemp("unhurried"), "standard", pace=1) as cluster:
        yield World(cluster)
