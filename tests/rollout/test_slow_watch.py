"""Slow watch: KServe sees every change late, and its status, routes and observedGeneration lag behind."""

import json
from collections.abc import Callable

import pytest

from embedded_kserve.faults import Faults
from kubeline.kubernetes.resources import HTTP_ROUTE
from kubeline.rollout.operations import request
from kubeline.rollout.status import RolloutStatus, State
from tests.rollout.house import FAIL, NAMESPACE, House
from tests.rollout.statuses import shares

pytestmark = pytest.mark.slow

_SECONDS = 0.25  # several times as long as a rollout waits between two looks


@pytest.fixture
def slow(house: House) -> Callable[[], None]:
    """Makes the watch slow from then on."""

    def start() -> None:
        faults: Faults = house.kserve.faults
        faults.add("slow", verb="watch", resource="inferenceservices", name=house.name, times=0, seconds=_SECONDS)

    return start


def version(house: House, name: str) -> str:
    """Of the model that answers at a name inside the cluster: a host of the gateway, or a Service."""
    if house.kserve.mode == "knative":
        return str(house.model(f"{name}.{NAMESPACE}.svc.cluster.local")["versions"][0])
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{name}:80/proxy/v2/models/{house.name}"
    return str(json.loads(house.api.ask("GET", path).body)["versions"][0])


def settled(house: House) -> bool:
    """Whether KServe has done all that the specification says."""
    status = house.service()["status"]
    if house.kserve.mode == "knative":
        component = status["components"]["predictor"]
        return component["latestCreatedRevision"] == component["latestRolledoutRevision"]
    return "canaryStatuses" not in status and list(house.share()) == [
        f"{house.name}-{house.service()['spec']['predictor'].get('name', '')}-predictor".replace("--", "-")
    ]


def reports_a_candidate(house: House) -> bool:
    """Whether the status of the service is one that speaks of a candidate."""
    status = house.service()["status"]
    if house.kserve.mode == "knative":
        return any(target.get("tag") == "latest" for target in status["components"]["predictor"]["traffic"])
    return "canaryStatuses" in status


def test_slow_watch_of_a_promotion(house: House, slow: Callable[[], None]) -> None:
    house.stable()
    slow()
    seen: list[tuple[int, int]] = []

    def look(record: RolloutStatus) -> None:
        if record.state == State.BAKING:
            seen.append((record.step.index, min(house.share().values())))

    record = house.roll_out(house.package("good"), on_change=look)
    assert record.outcome == "promoted"
    assert shares(record) == [0, 10, 50, 100]
    assert set(seen) == {(0, 10), (1, 50)}
    assert settled(house)


def test_slow_watch_of_a_rollback_and_of_what_follows_it(house: House, slow: Callable[[], None]) -> None:
    stable = house.stable()
    slow()
    assert shares(house.roll_out(house.package("bad"), FAIL)) == [0, 10, 0]
    assert settled(house)
    assert house.serving() == stable.digest
    tested: list[str] = []

    def look(record: RolloutStatus) -> None:
        if record.state == State.SMOKE_TESTING:
            knative = house.kserve.mode == "knative"
            name = f"latest-{house.name}" if knative else f"{house.name}-{record.candidate.name}"
            tested.append(version(house, f"{name}-predictor"))

    good = house.package("good")
    assert house.roll_out(good, on_change=look).outcome == "promoted"
    assert tested == [good.digest[:12]]


def test_slow_watch_of_an_abort_before_kserve_has_seen_the_candidate(house: House, slow: Callable[[], None]) -> None:
    stable = house.stable()
    slow()

    taken_out: list[bool] = []

    def abort(record: RolloutStatus) -> None:
        if record.state == State.AWAITING_READINESS and not record.candidate.revision:
            request(house.cluster, NAMESPACE, house.name, "abort")
        if record.state == State.RESTORING and not record.write.completed.startswith(State.RESTORING):
            taken_out.append(reports_a_candidate(house))

    record = house.roll_out(house.package("late"), on_change=abort)
    assert (record.outcome, record.reason) == ("rolled_back", "aborted by request")
    assert shares(record) == [0]
    assert taken_out
    assert all(taken_out)  # else KServe would see it appear after the rollout is over
    assert settled(house)
    assert house.serving() == stable.digest
    assert "canaryTrafficPercent" not in house.service()["spec"]["predictor"]


@pytest.mark.parametrize("house", ["standard"], indirect=True)
def test_an_abort_waits_for_a_kserve_that_never_sees_the_candidate_as_long_as_for_traffic(
    house: House,
) -> None:
    stable = house.stable()
    house.kserve.faults.add("slow", verb="watch", resource="inferenceservices", name=house.name, times=0, seconds=3600)

    def abort(record: RolloutStatus) -> None:
        if record.state == State.AWAITING_READINESS and not record.candidate.revision:
            request(house.cluster, NAMESPACE, house.name, "abort")

    record = house.roll_out(house.package("late"), on_change=abort, settle_seconds=0.5)
    assert (record.outcome, record.reason) == ("rolled_back", "aborted by request")
    assert not house.service()["spec"].get("canary")
    assert house.serving() == stable.digest


def test_slow_watch_of_first_models(house: House, slow: Callable[[], None]) -> None:
    slow()
    tested: list[str] = []

    def look(record: RolloutStatus) -> None:
        if record.state == State.SMOKE_TESTING:
            tested.append(version(house, f"{house.name}-predictor"))

    wrong, right = house.package("wrong", wrong_by=0.3), house.package("right")
    assert house.roll_out(wrong, bootstrap="hidden", on_change=look).outcome == "held"
    assert house.roll_out(right, bootstrap="hidden", on_change=look).outcome == "promoted"
    assert tested == [wrong.digest[:12], right.digest[:12]]
    if house.kserve.mode == "knative":
        assert house.service()["status"]["url"] == f"http://{house.name}-predictor.{NAMESPACE}.example.com"
    else:
        assert house.cluster.read(NAMESPACE, house.name, HTTP_ROUTE) is not None
