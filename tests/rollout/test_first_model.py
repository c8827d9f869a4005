"""The first model of a service: hidden until it has passed, at the real gateway, and what follows when it has not."""

import json
import time
from collections.abc import Iterator

import pytest

from kubeline.deployment.inference_service import HIDDEN, HIDDEN_BY
from kubeline.errors import PlatformError, UserError
from kubeline.kubernetes.resources import CONFIG_MAP, INGRESS
from kubeline.rollout.operations import request
from kubeline.rollout.routers import KnativeRouter
from kubeline.rollout.status import RolloutStatus, State
from tests.rollout.house import NAMESPACE, QUICK, Ahead, House
from tests.rollout.statuses import Killed, shares
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


def outside(house: House) -> str:
    """The host of the service for those outside the cluster."""
    between = "-predictor." if house.kserve.mode == "knative" else "-"
    return f"{house.name}{between}{NAMESPACE}.example.com"


def answered(house: House) -> bool:
    """Whether a request from outside is answered, as soon as the gateway follows the routes."""
    return wait_for(lambda: house.ask(outside(house)) == 200)


def never_route(house: House) -> None:
    """From now on KServe sees no change of the service, and so makes no route."""
    house.kserve.faults.add("slow", verb="watch", resource="inferenceservices", name=house.name, times=0, seconds=600)


def roll_out_unreached(house: House) -> RolloutStatus:
    """The first model is exposed, but no route follows until every deadline is over."""
    clock = Ahead()

    def listen(record: RolloutStatus) -> None:
        if record.state == State.EXPOSING:
            never_route(house)
        if record.state == State.VERIFYING:
            clock.seconds = 10_000

    return house.roll_out(house.package("first"), bootstrap="hidden", clock=clock, on_change=listen)


@pytest.fixture
def ingress_only(house: House) -> Iterator[House]:
    """KServe in Standard mode makes an Ingress, though the cluster knows HTTPRoutes."""
    where = ("kserve", "inferenceservice-config")
    before = house.cluster.read(*where, CONFIG_MAP)
    assert before is not None
    settings = json.dumps({**json.loads(before["data"]["ingress"]), "enableGatewayApi": False})
    house.cluster.patch(*where, {"data": {"ingress": settings}}, CONFIG_MAP)
    yield house
    house.cluster.patch(*where, {"data": before["data"]}, CONFIG_MAP)


def test_hidden_is_not_found_from_outside_and_answered_once_exposed(house: House) -> None:
    found: dict[State, int] = {}

    def knock(record: RolloutStatus) -> None:
        if record.state in {State.SMOKE_TESTING, State.EXPOSING}:
            found[record.state] = house.ask(outside(house))

    assert house.roll_out(house.package("first"), bootstrap="hidden", on_change=knock).outcome == "promoted"
    assert found == {State.SMOKE_TESTING: 404, State.EXPOSING: 404}
    assert answered(house)
    assert not HIDDEN.keys() & house.service()["metadata"]["labels"].keys()


@pytest.mark.parametrize("names_its_mode", [False, True])
def test_a_first_model_is_hidden_by_the_label_of_its_mode_and_exposed_without_a_second_revision(
    names_its_mode: bool, house: House
) -> None:
    mode = {"knative": "Knative", "standard": "Standard"}[house.kserve.mode]
    named = {"metadata": {"annotations": {"serving.kserve.io/deploymentMode": mode} if names_its_mode else {}}}
    hidden: list[set[str]] = []

    def look(status: RolloutStatus) -> None:
        if status.state == State.SMOKE_TESTING:
            hidden.append(HIDDEN.keys() & house.service()["metadata"]["labels"].keys())

    status = house.roll_out(house.package("first"), bootstrap="hidden", overrides=named, on_change=look)
    assert status.outcome == "promoted"
    assert hidden == [{HIDDEN_BY[house.kserve.mode]}]
    assert answered(house)
    assert not HIDDEN.keys() & house.service()["metadata"]["labels"].keys()
    if house.kserve.mode == "knative":
        assert KnativeRouter().newest_revision(house.service()) == f"{house.name}-predictor-00001"


def test_what_its_manifest_hides_stays_hidden(house: House) -> None:
    private = {"metadata": {"labels": HIDDEN}}
    assert house.roll_out(house.package("first"), bootstrap="hidden", overrides=private).outcome == "promoted"
    assert house.ask(outside(house)) == 404
    assert HIDDEN.items() <= house.service()["metadata"]["labels"].items()


def test_a_first_model_that_failed_is_tested_again_and_never_taken_for_served(house: House) -> None:
    wrong = house.package("wrong", wrong_by=0.3)
    assert house.roll_out(wrong, bootstrap="hidden").outcome == "held"
    assert house.roll_out(wrong, bootstrap="hidden", attempt=2).outcome == "held"
    assert house.ask(outside(house)) == 404


def test_the_model_after_a_hidden_one_is_exposed_whatever_its_plan_says(house: House) -> None:
    assert house.roll_out(house.package("wrong", wrong_by=0.3), bootstrap="hidden").outcome == "held"
    assert house.roll_out(house.package("better"), bootstrap="direct").outcome == "promoted"
    assert answered(house)


def test_an_abort_before_the_first_model_is_exposed_leaves_it_hidden(house: House) -> None:
    def abort(record: RolloutStatus) -> None:
        if record.state == State.SMOKE_TESTING:
            request(house.cluster, NAMESPACE, house.name, "abort")

    record = house.roll_out(house.package("first"), bootstrap="hidden", on_change=abort)
    assert (record.outcome, record.reason) == ("held", "aborted by request")
    assert house.ask(outside(house)) == 404


def test_a_service_that_kserve_has_not_seen_yet_is_left_alone(house: House) -> None:
    house.kserve.faults.add("slow", verb="watch", resource="inferenceservices", name=house.name, times=0, seconds=60)
    house.cluster.apply(house.manifest(house.package("deployed")))
    with pytest.raises(PlatformError, match="KServe has not reconciled"):
        house.roll_out(house.package("next"))
    assert house.store.read() is None


def test_beside_a_model_that_was_never_ready_nothing_is_split(house: House) -> None:
    """Knative gives the first revision that is ready everything; in Standard mode there is no route yet."""
    house.kserve.faults.pods("never-ready", f"{house.name}-predictor")
    house.cluster.apply(house.manifest(house.package("deployed")))
    wait_for(lambda: house.service().get("status"))
    with pytest.raises(UserError, match=r"traffic cannot be split .*(never been ready|no HTTPRoute)"):
        house.roll_out(house.package("next"))


def test_a_first_model_that_is_never_seen_reached_is_held_and_not_said_promoted(house: House) -> None:
    record = roll_out_unreached(house)
    assert (record.outcome, record.resume, record.history) == ("held", State.VERIFYING, ())
    assert "the first model passed and is no longer hidden, but " in record.reason
    named = "its address" if house.kserve.mode == "knative" else f"there is no HTTPRoute {house.name}"
    assert named in record.reason
    assert house.ask(outside(house)) == 404
    with pytest.raises(UserError, match=r"is held \(the first model passed .*; run its rollout again"):
        request(house.cluster, NAMESPACE, house.name, "promote")
    house.kserve.faults.clear()
    assert house.roll_out(house.package("first"), bootstrap="hidden").outcome == "promoted"
    assert answered(house)


def test_a_killed_rollout_waits_on_until_the_first_model_is_seen_reached(house: House) -> None:
    def die(record: RolloutStatus) -> None:
        if record.state == State.EXPOSING:
            never_route(house)
        if record.state == State.VERIFYING:
            raise Killed

    with pytest.raises(Killed):
        house.roll_out(house.package("first"), bootstrap="hidden", on_change=die)
    late = Ahead(QUICK["settle_seconds"] + 1, lambda times: house.kserve.faults.clear() if times == 3 else None)
    assert house.roll_out(house.package("first"), bootstrap="hidden", clock=late).outcome == "promoted"
    assert late.times >= 3
    assert answered(house)


def test_a_first_model_that_passed_is_stable_to_the_next_one_even_if_it_was_not_seen_reached(house: House) -> None:
    """On Knative also where KServe makes another revision of it, here of a label, when the next rollout has begun."""
    assert roll_out_unreached(house).outcome == "held"

    def go_on(record: RolloutStatus) -> None:
        if record.state == State.DEPLOYING and not record.write.completed:
            house.kserve.faults.clear()
            assert answered(house)
            house.cluster.patch(NAMESPACE, house.name, {"metadata": {"labels": {"team": "tables"}}})
            end = time.monotonic() + 60
            while KnativeRouter().newest_revision(house.service()) == record.versions.replaced_revision:
                assert time.monotonic() < end
                time.sleep(0.02)

    if house.kserve.mode == "standard":  # nothing is split without a route
        house.kserve.faults.clear()
        assert answered(house)
    record = house.roll_out(
        house.package("next"), bootstrap="hidden", on_change=go_on if house.kserve.mode == "knative" else lambda _: None
    )
    assert record.outcome == "promoted", record.reason
    assert record.stable_digest == house.package("first").digest
    assert shares(record) == [0, 10, 50, 100]


@pytest.mark.parametrize("house", ["standard"], indirect=True)
def test_where_kserve_makes_an_ingress_the_first_model_is_promoted_as_soon_as_that_is_there(
    ingress_only: House,
) -> None:
    assert ingress_only.roll_out(ingress_only.package("first"), bootstrap="hidden").outcome == "promoted"
    assert ingress_only.cluster.read(NAMESPACE, ingress_only.name, INGRESS) is not None
    assert answered(ingress_only)


@pytest.mark.parametrize("house", ["standard"], indirect=True)
def test_without_the_right_to_see_ingresses_none_is_believed(ingress_only: House) -> None:
    def end_once_answered(times: int) -> None:
        if ingress_only.ask(outside(ingress_only)) == 200:
            clock.seconds = 10_000

    clock = Ahead(waited=end_once_answered)
    ingress_only.kserve.faults.add("deny", verb="get", resource="ingresses")
    record = ingress_only.roll_out(ingress_only.package("first"), bootstrap="hidden", clock=clock)
    assert (record.outcome, record.resume) == ("held", State.VERIFYING)
    assert "there is no HTTPRoute" in record.reason
