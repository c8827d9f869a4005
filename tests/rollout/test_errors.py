"""Whatever goes wrong while users are on the candidate: what the plan says of errors follows, in each state."""

from collections.abc import Callable
from typing import Any

import pytest

from kubeline.errors import PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.rollout.operations import request
from kubeline.rollout.status import RolloutStatus, State
from tests.rollout.house import FAIL, NAMESPACE, House

pytestmark = pytest.mark.slow

BESIDE = [
    State.AWAITING_READINESS,
    State.SMOKE_TESTING,
    State.SCALING,
    State.SHIFTING,
    State.BAKING,
    State.ANALYZING,
    State.CUTTING_OVER,
]
AFTER = [State.PROMOTING, State.VERIFYING]


class Lying(Cluster):
    """Lets no boundary check what it read: a web page instead of an InferenceService, from when a test says so."""

    lies = False

    def read(self, namespace: str, name: str, *kind: Any) -> Any:
        found = super().read(namespace, name, *kind)
        return "<html>" if self.lies and not kind else found


def lying(house: House) -> Lying:
    made = Lying.connect(str(house.kserve.kubeconfig), 60)
    house.cluster = made
    return made


def lie_in(state: State, cluster: Lying, for_ever: bool = False) -> Callable[[RolloutStatus], None]:
    """From this state on reads lie, until the rollout is on its way back."""

    def listen(record: RolloutStatus) -> None:
        if record.state == state and not getattr(listen, "begun", False):
            cluster.lies = listen.begun = True  # type: ignore[attr-defined]
        elif cluster.lies and record.state != state and not for_ever:
            cluster.lies = False

    return listen


@pytest.mark.parametrize("house", ["standard"], indirect=True)  # which has all of the states
@pytest.mark.parametrize("state", BESIDE)
def test_an_exception_that_nobody_expects_brings_the_stable_model_back(state: State, house: House) -> None:
    stable, cluster = house.stable(), lying(house)
    record = house.roll_out(house.package("good"), on_change=lie_in(state, cluster), outage_seconds=0.05)
    assert (record.outcome, house.serving()) == ("rolled_back", stable.digest)
    assert record.reason.startswith("unexpectedly, TypeError: ")
    assert list(house.share().values()) == [100]


@pytest.mark.parametrize("state", [State.AWAITING_READINESS, State.ANALYZING])
def test_an_exception_that_nobody_expects_holds_where_the_plan_says_so(state: State, house: House) -> None:
    house.stable()
    cluster = lying(house)
    record = house.roll_out(
        house.package("good"), on_change=lie_in(state, cluster), outage_seconds=0.05, on_error="hold"
    )
    assert (record.outcome, record.resume) == ("held", state)
    assert "unexpectedly" in record.reason
    assert request(house.cluster, NAMESPACE, house.name, "abort").startswith("rolled_back")


@pytest.mark.parametrize("house", ["knative"], indirect=True)
@pytest.mark.parametrize("state", AFTER)
def test_after_the_promotion_there_is_no_way_back_and_an_exception_holds(state: State, house: House) -> None:
    house.stable()
    cluster = lying(house)
    record = house.roll_out(house.package("good"), on_change=lie_in(state, cluster), outage_seconds=0.05)
    assert (record.outcome, record.resume) == ("held", state)
    assert house.roll_out(house.package("good")).outcome == "promoted"


@pytest.mark.parametrize("state", [State.WITHDRAWING, State.RESTORING, State.SETTLING])
def test_an_exception_in_a_rollback_is_the_loudest_error_and_is_reported(state: State, house: House) -> None:
    stable, cluster = house.stable(), lying(house)
    reported: list[RolloutStatus] = []
    listen = lie_in(state, cluster, for_ever=True)

    def both(record: RolloutStatus) -> None:
        reported.append(record)
        listen(record)

    with pytest.raises(PlatformError, match=r"THE ROLLBACK OF default/flights-\d+ FAILED .*unexpectedly"):
        house.roll_out(house.package("bad"), FAIL, on_change=both, outage_seconds=0.05)
    assert (reported[-1].state, reported[-1].resume) == (State.FAILED, state)
    cluster.lies = False
    assert request(house.cluster, NAMESPACE, house.name, "abort").startswith("rolled_back")
    assert house.serving() == stable.digest


@pytest.mark.parametrize("house", ["knative"], indirect=True)
def test_what_passes_in_time_leaves_no_trace(house: House) -> None:
    house.stable()

    def refuse(record: RolloutStatus) -> None:
        if record.state == State.BAKING and not record.step.observed_since:
            house.kserve.faults.add("status", verb="get", resource="inferenceservices", times=3, code=403)

    record = house.roll_out(house.package("good"), on_change=refuse, outage_seconds=60)
    assert record.outcome == "promoted"
    assert house.kserve.faults.pending() == []


@pytest.mark.parametrize("house", ["knative"], indirect=True)
def test_a_right_that_was_taken_away_for_good_brings_the_stable_model_back(house: House) -> None:
    stable = house.stable()

    def refuse(record: RolloutStatus) -> None:
        if record.state == State.ANALYZING:
            house.kserve.faults.add("status", verb="get", resource="inferenceservices", times=0, code=401)
        elif record.state == State.WITHDRAWING:
            house.kserve.faults.clear()

    record = house.roll_out(house.package("good"), on_change=refuse, outage_seconds=0.05)
    assert (record.outcome, house.serving()) == ("rolled_back", stable.digest)
    assert "does not accept these credentials" in record.reason


def test_answers_that_break_the_judge_are_what_the_plan_says_of_errors(house: House) -> None:
    stable = house.stable()
    nonsense = {"outcome": "pass"}  # no sentence
    record = house.roll_out(house.package("good"), nonsense, outage_seconds=0.05)
    assert (record.outcome, house.serving()) == ("rolled_back", stable.digest)
    assert "unexpectedly, TypeError: " in record.reason
    assert "'sentence'" in record.reason


@pytest.mark.parametrize("house", ["knative"], indirect=True)
def test_nothing_is_rolled_back_before_anything_was_changed(house: House) -> None:
    house.stable()
    cluster = lying(house)
    with pytest.raises(PlatformError, match="unexpectedly"):
        house.roll_out(
            house.package("good"), on_change=lie_in(State.DEPLOYING, cluster, for_ever=True), outage_seconds=0.05
        )
    cluster.lies = False
    assert house.roll_out(house.package("good")).outcome == "promoted"
