"""kill -9 in the middle: after every single write to the cluster, and so in every state, in both modes."""

import json
import multiprocessing
import os
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from kubeline.model_package import ModelPackage
from kubeline.rollout.client import Cluster
from kubeline.rollout.record import Record, State
from tests.rollout.house import FAIL, PASS, House

pytestmark = pytest.mark.slow

# Every state that a rollout with a stable model passes on its way to each of the two ends.
FORTH = [
    State.LOCKED, State.START, State.READY, State.SMOKE, State.SHIFT, State.BAKE, State.JUDGE, State.FILL,
    State.PROMOTE, State.VERIFY, State.DONE,
]  # fmt: skip
BACK = [*FORTH[:7], State.WITHDRAW, State.RESTORE, State.SETTLE, State.ROLLED_BACK]
FIRST = [State.LOCKED, State.BOOTSTRAP, State.SMOKE, State.EXPOSE, State.VERIFY, State.DONE]


class Deadly(Cluster):
    """Kills its own process right after a write took effect: one that changes the state, or the last one allowed."""

    allowed = 0
    state = ""

    def create(self, manifest: Any, *args: Any, dry_run: bool = False, **more: Any) -> Any:
        return self._die(super().create(manifest, *args, dry_run=dry_run, **more), manifest, dry_run)

    def patch(self, namespace: str, name: str, body: Any, *args: Any, dry_run: bool = False, **more: Any) -> Any:
        return self._die(super().patch(namespace, name, body, *args, dry_run=dry_run, **more), body, dry_run)

    def _die(self, done: Any, body: Any, dry_run: bool) -> Any:
        if dry_run:
            return done
        self.allowed -= 1
        state = json.loads(body["data"]["record"])["state"] if "data" in body else self.state
        self.state = self.state or state  # the first write takes the lock
        if not self.allowed or state != self.state:
            os.kill(os.getpid(), signal.SIGKILL)
        return done


def drive(house: House, package: ModelPackage, look: Mapping[str, Any], allowed: int) -> None:
    house.cluster = Deadly.connect(str(house.kserve.kubeconfig), 10)
    house.cluster.allowed = allowed
    house.roll_out(package, look)


def killed_until_the_end(house: House, package: ModelPackage, look: Mapping[str, Any]) -> tuple[list[State], list[int]]:
    """The states and the candidate's shares between kills, until the rollout has nothing left to write."""
    forks = multiprocessing.get_context("fork")
    seen: list[State] = []
    shares: list[int] = []
    for number in range(120):
        allowed = 2 + number % 3 if number else 1  # the lock, then what is meant, what is done, and that it was done
        child = forks.Process(target=drive, args=(house, package, look, allowed))
        child.start()
        child.join(60)
        kept = house.records.read()
        if kept is not None:
            seen.append(kept.record.state)
            if kept.record.stable is not None:
                shares.append(candidate_share(house, kept.record))
        if child.exitcode == 0:
            return seen, shares
        assert child.exitcode == -signal.SIGKILL
    raise AssertionError(f"no end after {seen}")


def candidate_share(house: House, record: Record) -> int:
    mine = record.candidate_revision or f"-{record.candidate_name}-"
    before = record.stable_revision
    found = house.share()
    assert sum(found.values()) == 100
    return sum(share for name, share in found.items() if mine in name and name != before)


def rises_by_the_plan(shares: list[int], steps: list[int]) -> bool:
    changes = [share for number, share in enumerate(shares) if number == 0 or shares[number - 1] != share]
    return changes == steps


def test_killed_after_every_write_it_is_promoted_all_the_same(house: House) -> None:
    house.stable()
    seen, shares = killed_until_the_end(house, house.package("good"), PASS)
    assert set(FORTH) <= set(seen)
    assert rises_by_the_plan(shares, [0, 10, 50, 100])
    assert house.kept().record.outcome == "promoted"
    assert house.serving() == house.package("good").digest
    assert list(house.share().values()) == [100]


def test_killed_after_every_write_it_is_rolled_back_all_the_same(house: House) -> None:
    stable = house.stable()
    seen, shares = killed_until_the_end(house, house.package("bad"), FAIL)
    assert set(BACK) <= set(seen)
    assert rises_by_the_plan(shares, [0, 10, 0])
    assert house.kept().record.outcome == "rolled_back"
    assert house.serving() == stable.digest
    assert list(house.share().values()) == [100]


def test_killed_after_every_write_the_first_model_is_deployed_all_the_same(house: House) -> None:
    seen, _ = killed_until_the_end(house, house.package("first"), PASS)
    assert set(FIRST) <= set(seen)
    assert house.kept().record.outcome == "promoted"
    assert house.serving() == house.package("first").digest
