"""On Vertex AI: kill -9 after each write, and what else may happen in the middle of a rollout there."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kubeline.model_package import ModelPackage
from kubeline.rollout.status import RolloutStatus
from kubeline.serving_platform.store_documents import StoreDocuments
from kubeline.serving_platform.vertex import VertexEndpoints
from kubeline.serving_platform.vertex_api import VertexApi
from tests.rollout.house import FAIL, PASS
from tests.rollout.vertex_house import VertexHouse, bucket, vertex_house

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with bucket() as address:
        yield address


@pytest.fixture
def house(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexHouse]:
    with vertex_house(tmp_path, store, monkeypatch) as made:
        yield made


class Counted:
    """How many writes are left until the process kills itself."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed

    def done(self) -> None:
        self.allowed -= 1
        if not self.allowed:
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyDocuments(StoreDocuments):
    left: Counted

    def write(self, name: str, document: Any, generation: str = "") -> str:
        done = super().write(name, document, generation)
        self.left.done()
        return done


class DeadlyApi(VertexApi):
    left: Counted

    def write(self, method: str, path: str, body: Any) -> Any:
        done = super().write(method, path, body)
        self.left.done()
        return done

    @property
    def documents(self) -> StoreDocuments:
        made = DeadlyDocuments(self.address.store, self.storage)
        made.left = self.left
        return made


def killed_again_and_again(house: VertexHouse, package: ModelPackage, look: Mapping[str, Any]) -> RolloutStatus:
    """The rollout, whose process is killed after each of its writes and begun again until it comes to an end."""
    forks = multiprocessing.get_context("fork")

    def once(allowed: int) -> None:
        api = DeadlyApi(house.platform.address, 30)
        api.left = Counted(allowed)
        house.platform = VertexEndpoints(api, waits=(0.05, 0.1, 0.2), poll_seconds=0.1)
        house.roll_out(package, look=look)

    for number in range(100):
        child = forks.Process(target=once, args=(1 + number % 4,))
        child.start()
        child.join(100)
        if child.exitcode == 0:
            return house.stored()
        assert child.exitcode == -signal.SIGKILL
    raise AssertionError(f"no end: {house.stored()}")


@pytest.mark.parametrize(("look", "outcome"), [(PASS, "promoted"), (FAIL, "rolled_back")])
def test_a_process_that_is_killed_after_each_write_goes_on_at_the_same_point(
    house: VertexHouse, look: Mapping[str, Any], outcome: str
) -> None:
    house.stable()
    (before,) = house.split()
    house.server.shares.clear()
    done = killed_again_and_again(house, house.package("candidate"), look)
    assert done.outcome == outcome, done.reason
    (after,) = house.split()
    (new,) = {key for split in house.server.shares for key in split} - {before}
    shares = [split.get(new, 0) for split in house.server.shares]
    assert shares == ([0, 10, 50, 100] if outcome == "promoted" else [0, 10, 0])
    assert after == (new if outcome == "promoted" else before)
    assert [one["id"] for one in house.endpoint["deployedModels"]] == [after]
    assert len(house.server.versions[house.name]) == 2
