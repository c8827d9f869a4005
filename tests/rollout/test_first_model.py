"""The first model of a service: hidden until it has passed, at the real gateway, and what follows when it has not."""

import time

import pytest

from kubeline.errors import PlatformError, UserError
from kubeline.rollout.inference_service import HIDDEN
from kubeline.rollout.operations import request
from kubeline.rollout.record import Record, State
from tests.rollout.house import NAMESPACE, House

pytestmark = pytest.mark.slow


def outside(house: House) -> str:
    """The host of the service for those outside the cluster."""
    between = "." if house.kserve.mode == "knative" else "-"
    return f"{house.name}{between}{NAMESPACE}.example.com"


def answered(house: House) -> bool:
    """Whether a request from outside is answered, as soon as the gateway follows the routes."""
    until = time.monotonic() + 10
    while (code := house.ask(outside(house))) != 200 and time.monotonic() < until:
        time.sleep(0.02)
    return code == 200


def test_hidden_is_not_found_from_outside_and_answered_once_exposed(house: House) -> None:
    found: dict[State, int] = {}

    def knock(record: Record) -> None:
        if record.state in {State.SMOKE, State.EXPOSE}:
            found[record.state] = house.ask(outside(house))

    assert house.roll_out(house.package("first"), bootstrap="hidden", listen=knock).outcome == "promoted"
    assert found == {State.SMOKE: 404, State.EXPOSE: 404}
    assert answered(house)
    assert not HIDDEN.keys() & house.service()["metadata"]["labels"].keys()


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
    def abort(record: Record) -> None:
        if record.state == State.SMOKE:
            request(house.cluster, NAMESPACE, house.name, "abort")

    record = house.roll_out(house.package("first"), bootstrap="hidden", listen=abort)
    assert (record.outcome, record.reason) == ("held", "aborted by request")
    assert house.ask(outside(house)) == 404


def test_a_service_that_kserve_has_not_seen_yet_is_left_alone(house: House) -> None:
    house.kserve.faults.add("slow", verb="watch", resource="inferenceservices", name=house.name, times=0, seconds=60)
    house.cluster.apply(house.manifest(house.package("deployed")))
    with pytest.raises(PlatformError, match="KServe has not looked at"):
        house.roll_out(house.package("next"))
    assert house.records.read() is None


def test_beside_a_model_that_was_never_ready_nothing_is_split(house: House) -> None:
    """Knative gives the first revision that is ready everything; in Standard mode there is no route yet."""
    house.kserve.faults.pods("never-ready", f"{house.name}-predictor")
    house.cluster.apply(house.manifest(house.package("deployed")))
    until = time.monotonic() + 10
    while not house.service().get("status") and time.monotonic() < until:
        time.sleep(0.02)
    with pytest.raises(UserError, match=r"traffic cannot be split .*(never been ready|no HTTPRoute)"):
        house.roll_out(house.package("next"))
