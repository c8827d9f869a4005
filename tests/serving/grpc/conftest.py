"""What the tests of the gRPC service share: an event loop and a package."""

import asyncio
from collections.abc import Iterator

import pytest

from kubeline.model_package import ModelPackage
from tests.support.packages import write_tiny_package


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.Runner]:
    """One for all: gRPC's events of a loop that is closed would reach the next one."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_tiny_package(tmp_path_factory.mktemp("grpc") / "package")
