"""The API server that every test of the client asks."""

from collections.abc import Iterator

import pytest

from tests.rollout.api_server import ApiServer


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running
