"""Real server processes, one for each package, that live as long as the tests."""

from collections.abc import Iterator
from typing import Any

import pytest

from kubeline.model_package import ModelPackage
from tests.support.packages import write_tiny_package
from tests.support.served import Served, serve


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A binary model with one column of every kind."""
    folder = tmp_path_factory.mktemp("tiny")
    with serve(write_tiny_package(folder / "package"), folder) as served:
        yield served


@pytest.fixture(scope="session")
def tiny_regression(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same columns, answering numbers."""
    folder = tmp_path_factory.mktemp("tiny_regression")
    with serve(write_tiny_package(folder / "package", "regression"), folder) as served:
        yield served


@pytest.fixture(scope="session")
def flight_server(package: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The trained flights model."""
    with serve(ModelPackage.open(package.path), tmp_path_factory.mktemp("flights")) as served:
        yield served
