"""A gateway that is behind its routes, follows none, or routes no candidate; and what arrives at whom meanwhile."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kubeline.errors import PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import ConflictError
from kubeline.kubernetes.resources import INFERENCE_SERVICE, POD
from kubeline.rollout.actions import Go, Situation, Wait
from kubeline.rollout.results import answered
from kubeline.rollout.routers import Observed
from kubeline.rollout.spec import Plan
from kubeline.rollout.status import Event, Record, State
from tests.rollout.house import FAIL, NAMESPACE, House
from tests.rollout.test_failures import states

STANDARD = pytest.mark.parametrize("house", ["standard"], indirect=True)


@contextmanager
def users(house: House) -> Iterator[Counter[int]]:
    """Somebody asks at the gateway all the time; the status codes that they got."""
    codes: Counter[int] = Counter()
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.02):
            codes[house.ask()] += 1

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield codes
    finally:
        ended.set()
        asking.join()


def behind_from(state: State, house: House) -> Callable[[Record], None]:
    """The gateway is a second behind from this state on; until then the pods have come to rest."""

    def listen(record: Record) -> None:
        if record.state == State.BAKE:
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
    behind = behind_from(State.FILL, house)
    with users(house) as codes:
        record = house.roll_out(house.package("good"), steps=[50], drain_seconds=10, listen=behind)
    assert record.outcome == "promoted"
    assert set(codes) == {200}
    assert any("requests may still arrive" in event.sentence for event in record.timeline if event.state == State.FILL)


@pytest.mark.slow
@STANDARD
def test_no_request_is_lost_to_a_rollback_when_the_gateway_is_a_second_behind(house: House) -> None:
    stable = house.stable()
    behind = behind_from(State.WITHDRAW, house)
    with users(house) as codes:
        record = house.roll_out(house.package("bad"), FAIL, steps=[50], drain_seconds=10, listen=behind)
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
    assert "the gateway has not looked at the HTTPRoute" in record.reason
    assert "shift" not in states(record)


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

    def look(record: Record) -> None:
        if record.state == State.BAKE:
            raised.append({key: house.service()["spec"]["predictor"][key] for key in ("minReplicas", "maxReplicas")})

    for package, verdict, outcome in (("bad", FAIL, "rolled_back"), ("good", None, "promoted")):
        told = {"look": verdict} if verdict else {}
        assert house.roll_out(house.package(package), listen=look, overrides=few, **told).outcome == outcome
        predictor = house.service()["spec"]["predictor"]
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 1)
    assert {tuple(one.values()) for one in raised} == {(2, 2)}


class Overtaken(Cluster):
    """KServe writes its status between each read and the write that follows it, so many times."""

    left = 0

    def patch(self, namespace: str, name: str, body: Any, *kind: Any, dry_run: bool = False, **more: Any) -> Any:
        if kind in {(), (INFERENCE_SERVICE,)} and not dry_run and self.left:
            self.left -= 1
            raise ConflictError("the object has been modified")
        return super().patch(namespace, name, body, *kind, dry_run=dry_run, **more)


@pytest.mark.slow
@pytest.mark.parametrize("house", ["knative"], indirect=True)
def test_fourteen_status_writes_a_second_end_no_rollout(house: House) -> None:
    house.stable()
    cluster = Overtaken.connect(str(house.kserve.kubeconfig), 60)
    house.cluster = cluster

    def overtake(record: Record) -> None:
        del record
        cluster.left = 30

    assert house.roll_out(house.package("good"), listen=overtake).outcome == "promoted"


def filling(state: State = State.FILL, **changes: Any) -> Situation:
    record = Record(rollout_id="r", name="f", namespace="n", owner="me", deadline=0, mode="standard", state=state)
    shifted = Event(time=0, state=State.SHIFT, sentence="")
    changed = record.model_copy(update={"timeline": (shifted,), "entered": 1000.0, **changes})
    return Situation(changed, Plan.read({"drain_seconds": 10, "settle_seconds": 60}), {}, Observed(share=100), 1000.0)


def at(now: Situation, seconds: float, seen: dict[str, Any]) -> Situation:
    record = now.record.model_copy(update={"arrivals": seen})
    return Situation(record, now.plan, now.service, now.observed, seconds)


def test_the_first_look_at_what_arrives_only_takes_note() -> None:
    move = answered(filling(), "arrivals", {"candidate": 500, "stable": 900})
    assert isinstance(move, Go)
    assert move.state == State.FILL
    assert move.changes["arrivals"] == {"candidate": 500, "stable": 900, "first": 1000.0, "since": 1000.0}


def test_pods_go_after_twenty_requests_elsewhere_or_after_the_stated_wait() -> None:
    seen = {"candidate": 500, "stable": 900, "first": 1000.0, "since": 1000.0}
    few, many = {"candidate": 519, "stable": 900}, {"candidate": 520, "stable": 900}
    assert answered(at(filling(), 1001, seen), "arrivals", few) == Wait()
    assert isinstance(gone := answered(at(filling(), 1001, seen), "arrivals", many), Go)
    assert gone.state == State.PROMOTE
    assert isinstance(waited := answered(at(filling(), 1010, seen), "arrivals", few), Go)
    assert waited.state == State.PROMOTE


def test_a_request_that_still_arrives_begins_the_wait_anew_and_ends_it_when_it_never_stops() -> None:
    seen = {"candidate": 500, "stable": 900, "first": 1000.0, "since": 1000.0}
    late = {"candidate": 600, "stable": 901}
    assert isinstance(again := answered(at(filling(), 1009, seen), "arrivals", late), Go)
    assert (again.state, again.changes["arrivals"]["since"]) == (State.FILL, 1009)
    assert isinstance(over := answered(at(filling(), 1061, seen), "arrivals", late), Go)
    assert over.state == State.WITHDRAW
    assert "the stable model is still asked 60 s after its route said 0 %" in over.changes["reason"]
    back = {"candidate": 601, "stable": 900}
    assert isinstance(loud := answered(at(filling(State.WITHDRAW), 1061, seen), "arrivals", back), Go)
    assert loud.state == State.FAILED


def test_where_counters_cannot_be_read_the_stated_wait_counts() -> None:
    unknown = {"error": "no pod has an address"}
    first = answered(filling(), "arrivals", unknown)
    assert isinstance(first, Go)
    seen = first.changes["arrivals"]
    assert "its requests are not known (no pod has an address)" in first.sentence
    assert answered(at(filling(), 1009, seen), "arrivals", unknown) == Wait()
    assert isinstance(waited := answered(at(filling(), 1010, seen), "arrivals", unknown), Go)
    assert waited.state == State.PROMOTE
