"""The embedded API server for the client, and an embedded KServe in each mode for rollouts."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

import embedded_kserve
from embedded_kserve import LocalKServe
from tests.rollout.house import House
from tests.support.kubernetes_api import server

__all__ = ["server"]

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def _knative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKServe]:
    with embedded_kserve.start(tmp_path_factory.mktemp("knative"), "knative") as running:
        yield running


@pytest.fixture(scope="session")
def _standard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKServe]:
    with embedded_kserve.start(tmp_path_factory.mktemp("standard"), "standard") as running:
        yield running


@pytest.fixture(scope="session")
def _openshift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKServe]:
    with embedded_kserve.start(tmp_path_factory.mktemp("openshift"), "openshift") as running:
        yield running


@pytest.fixture(params=["knative", "standard"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """A service of its own, in each mode; nothing is deployed yet."""
    running: LocalKServe = request.getfixturevalue(f"_{request.param}")
    running.faults.clear()
    made = House(running, tmp_path, f"flights-{next(_NUMBERS)}")
    yield made
    running.faults.clear()
    made.close()
