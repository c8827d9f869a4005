"""A gateway that is behind its routes, follows none, or routes no candidate; and what arrives at whom meanwhile."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from kubeline.errors import PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import ConflictError
from kubeline.kubernetes.resources import INFERENCE_SERVICE, POD, Resource
from kubeline.rollout.actions import Context, Transition, Wait
from kubeline.rollout.results import after_request_counts
from kubeline.rollout.routers import Observation
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import (
    DeploymentMode,
    DrainStatus,
    Lease,
    RequestCounts,
    RolloutStatus,
    State,
    StepStatus,
    TimelineEvent,
)
from tests.rollout.house import FAIL, NAMESPACE, House, users
from tests.rollout.statuses import states

STANDARD = pytest.mark.parametrize("house", ["standard"], indirect=True)


def behind_from(state: State, house: House) -> Callable[[RolloutStatus], None]:
    """The gateway is a second behind from this state on; until then the pods have come to rest."""

    def listen(record: RolloutStatus) -> None:
        if record.state == State.BAKING:
            until = time.monotonic() + 60
            while len(house.cluster.find(NAMESPACE, POD, f"app=isvc.{house.name}-predictor")) > 1:
                assert time.monotonic() < until
                time.sleep(0.05)
        if record.state == state:
            house.kserve.faults.gateway(seconds=1.0)

    return listen


@pytest.mark.slow
@STANDARD
def test_no_request_is_lost_to_a_promotion_when_the_gateway_is_a_second_behind(house: House) -> None:
    house.stable()
    behind = behind_from(State.CUTTING_OVER, house)
    with users(house) as codes:
        record = house.roll_out(house.package("good"), steps=[50], drain_seconds=10, on_change=behind)
    assert record.outcome == "promoted"
    assert set(codes) == {200}
    assert any(
        "requests may still arrive" in event.sentence for event in record.timeline if event.state == State.CUTTING_OVER
    )


@pytest.mark.slow
@STANDARD
def test_no_request_is_lost_to_a_rollback_when_the_gateway_is_a_second_behind(house: House) -> None:
    stable = house.stable()
    behind = behind_from(State.WITHDRAWING, house)
    with users(house) as codes:
        record = house.roll_out(house.package("bad"), FAIL, steps=[50], drain_seconds=10, on_change=behind)
    assert (record.outcome, house.serving()) == ("rolled_back", stable.digest)
    assert set(codes) == {200}


@pytest.mark.slow
@STANDARD
def test_a_gateway_that_follows_no_route_is_the_reason_before_anybody_has_a_share(house: House) -> None:
    stable = house.stable()
    house.kserve.faults.gateway()
    record = house.roll_out(house.package("unseen"), ready_seconds=3)
    assert (record.outcome, house.serving()) == ("rolled_back", stable.digest)
    assert "is ready, but no route leads to it" in record.reason
    assert "the gateway has not reconciled the HTTPRoute" in record.reason
    assert "shifting" not in states(record)


@pytest.mark.slow
@STANDARD
def test_the_right_to_ask_a_candidate_from_outside_is_asked_for_before_anything_is_changed(house: House) -> None:
    house.stable()
    before = house.service()["spec"]
    house.kserve.faults.add("deny", verb="create", resource="services/proxy")
    with pytest.raises(PlatformError, match=r"may not create services/proxy .* or run the step inside the cluster"):
        house.roll_out(house.package("good"))
    assert house.service()["spec"] == before
    assert house.roll_out(house.package("good"), smoke={"rows": 0}).outcome == "promoted"  # who asks nothing needs none


@pytest.mark.slow
@STANDARD
def test_the_stable_predictor_has_its_own_replicas_again_after_each_end(house: House) -> None:
    few = {"spec": {"predictor": {"minReplicas": 1, "maxReplicas": 1}}}
    assert house.roll_out(house.package("stable"), strategy="blue-green", overrides=few).outcome == "promoted"
    raised = []

    def look(record: RolloutStatus) -> None:
        if record.state == State.BAKING:
            raised.append({key: house.service()["spec"]["predictor"][key] for key in ("minReplicas", "maxReplicas")})

    for package, verdict, outcome in (("bad", FAIL, "rolled_back"), ("good", None, "promoted")):
        reported: dict[str, Any] = {"look": verdict} if verdict else {}
        assert house.roll_out(house.package(package), on_change=look, overrides=few, **reported).outcome == outcome
        predictor = house.service()["spec"]["predictor"]
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 1)
    assert {tuple(one.values()) for one in raised} == {(2, 2)}


class Overtaken(Cluster):
    """KServe writes its status between each read and the write that follows it, so many times."""

    left = 0

    def patch(
        self, namespace: str, name: str, body: Any, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False
    ) -> Any:
        if resource == INFERENCE_SERVICE and not dry_run and self.left:
            self.left -= 1
            raise ConflictError("the object has been modified")
        return super().patch(namespace, name, body, resource, dry_run)


@pytest.mark.slow
@pytest.mark.parametrize("house", ["knative"], indirect=True)
def test_fourteen_status_writes_a_second_end_no_rollout(house: House) -> None:
    house.stable()
    cluster = Overtaken.connect(str(house.kserve.kubeconfig), 60)
    house.cluster = cluster

    def overtake(record: RolloutStatus) -> None:
        del record
        cluster.left = 30

    assert house.roll_out(house.package("good"), on_change=overtake).outcome == "promoted"


COUNTED = RequestCounts(500, 900)


def cutting_over(state: State = State.CUTTING_OVER, drain: DrainStatus | None = None, time: float = 1000.0) -> Context:
    """1,000 s after the epoch the candidate has 100 % (or 0 %, when it is withdrawn); later, what is drained."""
    status = RolloutStatus(
        rollout_id="r",
        name="f",
        namespace="n",
        lease=Lease("me", 0),
        mode=DeploymentMode.STANDARD,
        state=state,
        entered=1000.0,
        step=StepStatus(drain=drain),
        timeline=(TimelineEvent(0, State.SHIFTING, ""),),
    )
    spec = RolloutSpec.read({"drain_seconds": 10, "settle_seconds": 60})
    return Context(status, spec, {}, Observation(share=100), time)


def drained(time: float, counts: RequestCounts, seen: RequestCounts = COUNTED) -> Transition | Wait:
    return after_request_counts(cutting_over(drain=DrainStatus(seen, 1000.0, 1000.0), time=time), counts)


def test_the_first_count_of_what_arrives_is_only_recorded() -> None:
    action = after_request_counts(cutting_over(), COUNTED)
    assert isinstance(action, Transition)
    assert action.status.state == State.CUTTING_OVER
    assert action.status.step.drain == DrainStatus(COUNTED, 1000.0, 1000.0)


def test_pods_go_after_twenty_requests_elsewhere_or_after_the_stated_wait() -> None:
    few, many = RequestCounts(519, 900), RequestCounts(520, 900)
    assert drained(1001, few) == Wait()
    assert isinstance(gone := drained(1001, many), Transition)
    assert gone.status.state == State.PROMOTING
    assert isinstance(waited := drained(1010, few), Transition)
    assert waited.status.state == State.PROMOTING


def test_a_request_that_still_arrives_begins_the_wait_anew_and_ends_it_when_it_never_stops() -> None:
    late = RequestCounts(600, 901)
    assert isinstance(again := drained(1009, late), Transition)
    assert again.status.state == State.CUTTING_OVER
    assert again.status.step.drain == DrainStatus(late, 1000.0, 1009)
    assert isinstance(over := drained(1061, late), Transition)
    assert over.status.state == State.WITHDRAWING
    assert "the stable model still gets requests 60 s after its route said 0 %" in over.status.reason
    back = cutting_over(State.WITHDRAWING, DrainStatus(COUNTED, 1000.0, 1000.0), 1061)
    assert isinstance(failed := after_request_counts(back, RequestCounts(601, 900)), Transition)
    assert failed.status.state == State.FAILED


def test_where_counters_cannot_be_read_the_stated_wait_counts() -> None:
    unknown = RequestCounts(error="no pod has an address")
    first = after_request_counts(cutting_over(), unknown)
    assert isinstance(first, Transition)
    assert "its requests are not known (no pod has an address)" in first.sentence
    assert drained(1009, unknown, unknown) == Wait()
    assert isinstance(waited := drained(1010, unknown, unknown), Transition)
    assert waited.status.state == State.PROMOTING
