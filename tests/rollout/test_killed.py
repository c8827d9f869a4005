"""kill -9 in the middle: after every single write to the cluster, and so in every state, in both modes."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kubeline.deployment.inference_service import HIDDEN
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.resources import INFERENCE_SERVICE, Resource
from kubeline.rollout.operations import request, roll_back
from kubeline.rollout.routers import EXPOSED
from kubeline.rollout.status import RolloutStatus, State
from tests.rollout.house import FAIL, NAMESPACE, House, write_payload_log

pytestmark = pytest.mark.slow

EXPOSES = {"metadata": {"labels": EXPOSED}}
# The states on the way to each end; in Standard mode SCALE is on it, too, before a share is given.
TESTED = [State.INITIALIZING, State.DEPLOYING, State.AWAITING_READINESS, State.SMOKE_TESTING]
JUDGED = [*TESTED, State.SHIFTING, State.BAKING, State.ANALYZING]
FORTH = [State.CUTTING_OVER, State.PROMOTING, State.VERIFYING, State.COMPLETED]
BACK = [State.WITHDRAWING, State.RESTORING, State.SETTLING, State.ROLLED_BACK]
FIRST = [State.INITIALIZING, State.BOOTSTRAPPING, State.SMOKE_TESTING, State.EXPOSING, State.VERIFYING, State.COMPLETED]
PATHS = {
    "first deployment": FIRST,
    "promotion": [*JUDGED, *FORTH],
    "rollback": [*JUDGED, *BACK],
    "blue-green": [*TESTED, *FORTH],
    "shadow": [*TESTED, State.SHADOWING, *BACK],
    "comparison": [*JUDGED, State.HELD, *FORTH],
    "approved": [*JUDGED, State.AWAITING_APPROVAL, *FORTH],
    "not approved": [*JUDGED, State.AWAITING_APPROVAL, State.HELD, *BACK],
    "aborted": [*TESTED, State.SHIFTING, State.BAKING, *BACK],
    "old model back": [State.INITIALIZING, State.DEPLOYING, State.AWAITING_READINESS, State.SMOKE_TESTING, *FORTH],
    "promotion in place": [
        *JUDGED,
        State.CUTTING_OVER,
        State.REPLACING,
        State.PROMOTING,
        State.VERIFYING,
        State.COMPLETED,
    ],
    "failed rollback": [*JUDGED, State.WITHDRAWING, State.FAILED, State.RESTORING, State.SETTLING, State.ROLLED_BACK],
}


class Deadly(Cluster):
    """Kills its own process right after a write took effect: one that changes the state, or the last one allowed."""

    allowed = 0
    state = ""

    def create(self, manifest: Any, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False) -> Any:
        return self._die(super().create(manifest, resource, dry_run), manifest, dry_run)

    def patch(
        self, namespace: str, name: str, body: Any, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False
    ) -> Any:
        return self._die(super().patch(namespace, name, body, resource, dry_run), body, dry_run)

    def _die(self, done: Any, body: Any, dry_run: bool) -> Any:
        if dry_run:
            return done
        self.allowed -= 1
        state = json.loads(body["data"]["record"])["status"]["state"] if "data" in body else self.state
        self.state = self.state or state  # the first write takes the lock
        if not self.allowed or state != self.state:
            os.kill(os.getpid(), signal.SIGKILL)
        return done


@dataclass
class Killed:
    """Work that is killed after each of its writes and begun again, until it has nothing left to write.

    Attributes:
        house: where.
        work: what is begun again; it may read the record to find what an operator would do now.
        between: what happens in the cluster between two kills.
        seen: the states in which it was killed.
        shares: the candidate's per cent of the traffic, each time.
    """

    house: House
    work: Callable[[House], Any]
    between: Callable[[RolloutStatus], Any] = lambda record: None
    seen: list[State] = field(default_factory=list)
    shares: list[int] = field(default_factory=list)

    def until_the_end(self) -> RolloutStatus:
        forks = multiprocessing.get_context("fork")
        for number in range(150):
            allowed = 2 + number % 3 if number else 1  # the lock, then what is meant, what is done, and that it was
            child = forks.Process(target=self._once, args=(allowed,))
            child.start()
            child.join(120)
            kept = self.house.store.read()
            if kept is not None:
                self._look(kept.status)
            if child.exitcode == 0:
                return self.house.stored().status
            assert child.exitcode == -signal.SIGKILL
            if kept is not None:
                self.between(kept.status)
        raise AssertionError(f"no end after {self.seen}")

    def _once(self, allowed: int) -> None:
        cluster = Deadly.connect(str(self.house.kserve.kubeconfig), 60)
        cluster.allowed = allowed
        self.house.cluster = cluster
        self.work(self.house)

    def _look(self, record: RolloutStatus) -> None:
        self.seen.append(record.state)
        if record.stable is None:
            return
        found = self.house.share()
        assert sum(found.values()) == 100
        assert self.house.ask() == 200
        mine, before = record.candidate.revision or f"-{record.candidate.name}-", record.versions.before.revision
        share = sum(share for name, share in found.items() if mine in name and name != before)
        if self.shares[-1:] != [share]:
            self.shares.append(share)

    def assert_went(self, path: str, *shares: int) -> None:
        """It was killed in every state of this path, and the traffic rose and fell by exactly these steps."""
        assert states(path, self.house.kserve.mode) <= set(self.seen)
        assert self.shares == list(shares)


def states(path: str, mode: str) -> set[State]:
    """Those of a path; the pods of a share are asked for where they do not come by themselves."""
    found = set(PATHS[path])
    return found | {State.SCALING} if mode != "knative" and found & {State.SHIFTING, State.CUTTING_OVER} else found


def test_every_state_is_on_a_path_whose_process_is_killed() -> None:
    assert {state for path in PATHS for state in states(path, "standard")} == set(State)


def test_killed_after_every_write_it_is_promoted_all_the_same(house: House) -> None:
    house.stable()
    package = house.package("good")
    killed = Killed(house, lambda house: house.roll_out(package))
    assert killed.until_the_end().outcome == "promoted"
    killed.assert_went("promotion", 0, 10, 50, 100)
    assert house.serving() == package.digest
    assert list(house.share().values()) == [100]


@pytest.mark.parametrize("house", ["openshift"], indirect=True)
def test_killed_after_every_write_a_model_behind_a_route_is_promoted_in_place_all_the_same(house: House) -> None:
    assert house.roll_out(house.package("first"), overrides=EXPOSES).outcome == "promoted"
    package = house.package("good")
    killed = Killed(house, lambda house: house.roll_out(package, overrides=EXPOSES))
    assert killed.until_the_end().outcome == "promoted"
    killed.assert_went(
        "promotion in place", 0, 10, 50, 100, 0
    )  # its own pods go when the stable ones serve its package
    assert house.serving() == package.digest


def test_killed_after_every_write_it_is_rolled_back_all_the_same(house: House) -> None:
    stable, package = house.stable(), house.package("bad")
    killed = Killed(house, lambda house: house.roll_out(package, FAIL))
    assert killed.until_the_end().outcome == "rolled_back"
    killed.assert_went("rollback", 0, 10, 0)
    assert house.serving() == stable.digest
    assert list(house.share().values()) == [100]


def test_killed_after_every_write_the_first_model_is_deployed_all_the_same(house: House) -> None:
    package = house.package("first")
    killed = Killed(house, lambda house: house.roll_out(package, bootstrap="hidden"))
    assert killed.until_the_end().outcome == "promoted"
    killed.assert_went("first deployment")
    assert house.serving() == package.digest
    assert not HIDDEN.keys() & house.service()["metadata"]["labels"].keys()
    assert house.ask() == 200


def test_killed_after_every_write_a_blue_green_rollout_is_promoted_all_the_same(house: House) -> None:
    house.stable()
    package = house.package("green")
    killed = Killed(house, lambda house: house.roll_out(package, strategy="blue-green"))
    assert killed.until_the_end().outcome == "promoted"
    killed.assert_went("blue-green", 0, 100)
    assert house.serving() == package.digest


def test_killed_after_every_write_a_shadow_reports_all_the_same(house: House, tmp_path: Path) -> None:
    stable, package = house.stable(), house.package("shadow")
    shadow = {"payload_log": write_payload_log(stable, tmp_path / "log")}
    killed = Killed(house, lambda house: house.roll_out(package, strategy="shadow", shadow=shadow))
    record = killed.until_the_end()
    assert record.outcome == "reported"
    assert record.shadow is not None
    killed.assert_went("shadow", 0)
    assert house.serving() == stable.digest


def test_killed_after_every_write_a_comparison_reports_and_is_promoted_by_a_person(house: House) -> None:
    house.stable()
    package = house.package("b")
    plan: dict[str, Any] = {"strategy": "ab", "steps": [50]}
    compared = Killed(house, lambda house: house.roll_out(package, **plan))
    assert compared.until_the_end().outcome == "reported"
    assert sorted(house.share().values()) == [50, 50]

    def go_on(house: House) -> None:
        if house.stored().status.state == State.HELD:
            request(house.cluster, NAMESPACE, house.name, "promote")
        else:
            house.roll_out(package, **plan)

    promoted = Killed(house, go_on, seen=compared.seen, shares=compared.shares)
    assert promoted.until_the_end().outcome == "promoted"
    promoted.assert_went("comparison", 0, 50, 100)
    assert house.serving() == package.digest


def test_killed_after_every_write_what_a_person_approves_is_promoted_all_the_same(house: House) -> None:
    house.stable()
    package = house.package("approved")

    def approve(record: RolloutStatus) -> None:
        if record.state == State.AWAITING_APPROVAL:
            house.store.request("promote")

    killed = Killed(house, lambda house: house.roll_out(package, approval=True, steps=[10]), approve)
    assert killed.until_the_end().outcome == "promoted"
    killed.assert_went("approved", 0, 10, 100)
    assert house.serving() == package.digest


def test_killed_after_every_write_what_nobody_approves_is_held_until_a_person_aborts(house: House) -> None:
    stable, package = house.stable(), house.package("forgotten")

    def wait_then_abort(house: House) -> None:
        kept = house.store.read()
        if kept is not None and kept.status.state == State.HELD:
            request(house.cluster, NAMESPACE, house.name, "abort")
        else:
            house.roll_out(package, approval=True, approval_seconds=0, steps=[10])

    killed = Killed(house, wait_then_abort)
    assert killed.until_the_end().outcome == "rolled_back"
    killed.assert_went("not approved", 0, 10, 0)
    assert house.serving() == stable.digest


def test_killed_after_every_write_an_abort_in_the_middle_ends_all_the_same(house: House) -> None:
    stable, package = house.stable(), house.package("unwanted")

    def abort(record: RolloutStatus) -> None:
        if record.state == State.BAKING:
            house.store.request("abort")

    killed = Killed(house, lambda house: house.roll_out(package), abort)
    assert killed.until_the_end().outcome == "rolled_back"
    killed.assert_went("aborted", 0, 10, 0)
    assert house.serving() == stable.digest


def test_killed_after_every_write_a_promoted_model_is_rolled_back_all_the_same(house: House) -> None:
    first = house.stable()
    assert house.roll_out(house.package("regretted"), strategy="blue-green").outcome == "promoted"
    killed = Killed(house, lambda house: roll_back(house.cluster, NAMESPACE, house.name, first.digest))
    assert killed.until_the_end().outcome == "promoted"
    killed.assert_went("old model back", 0, 100)
    assert house.serving() == first.digest


def test_killed_after_every_write_a_rollback_that_fails_says_so_and_is_aborted_later(house: House) -> None:
    stable, package = house.stable(), house.package("stuck")

    def work(house: House) -> None:
        kept = house.store.read()
        if kept is not None and kept.status.state == State.FAILED:
            request(house.cluster, NAMESPACE, house.name, "abort")
        else:
            house.roll_out(package, FAIL)

    def break_or_mend(record: RolloutStatus) -> None:
        house.kserve.faults.clear()
        if record.state == State.WITHDRAWING and State.FAILED not in killed.seen:
            house.kserve.faults.add("status", verb="patch", resource="inferenceservices", times=0, code=403)

    killed = Killed(house, work, break_or_mend)
    assert killed.until_the_end().outcome == "rolled_back"
    killed.assert_went("failed rollback", 0, 10, 0)
    assert house.serving() == stable.digest
