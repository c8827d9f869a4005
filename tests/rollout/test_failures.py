"""Every failure that a rollout must survive, in both modes, against the embedded KServe over HTTP."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kubeline.deployment.inference_service import HIDDEN, HIDDEN_BY
from kubeline.errors import PlatformError
from kubeline.kubernetes.errors import ConflictError
from kubeline.rollout.operations import request, roll_back
from kubeline.rollout.status import Lease, RolloutStatus, State
from kubeline.rollout.store import StatusStore
from tests.rollout.house import FAIL, NAMESPACE, PASS, QUICK, Ahead, House
from tests.rollout.statuses import Killed, shares, states
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


def test_first_deployment_is_tested_and_then_exposed(house: House) -> None:
    package = house.package("first")
    record = house.roll_out(package, bootstrap="hidden")
    assert record.outcome == "promoted"
    assert states(record) == ["initializing", "bootstrapping", "smoke_testing", "exposing", "verifying", "completed"]
    assert house.serving() == package.digest
    assert not HIDDEN.keys() & house.service()["metadata"].get("labels", {}).keys()


def test_first_deployment_that_fails_its_smoke_test_stays_hidden(house: House) -> None:
    record = house.roll_out(house.package("wrong", wrong_by=0.3), bootstrap="hidden")
    assert record.outcome == "held"
    assert "golden rows are answered otherwise" in record.reason
    labels = house.service()["metadata"]["labels"]
    assert HIDDEN.keys() & labels.keys() == {HIDDEN_BY[house.kserve.mode]}
    assert labels[HIDDEN_BY[house.kserve.mode]] == "cluster-local"
    assert house.roll_out(house.package("better"), bootstrap="hidden").outcome == "promoted"


def test_good_to_good_goes_step_by_step(house: House) -> None:
    house.stable()
    record = house.roll_out(house.package("good"))
    assert record.outcome == "promoted"
    assert shares(record) == [0, 10, 50, 100]
    assert list(house.share().values()) == [100]
    assert house.serving() == house.package("good").digest
    assert "canary" not in house.service()["spec"]
    assert "canaryTrafficPercent" not in house.service()["spec"]["predictor"]
    assert house.roll_out(house.package("good")).outcome == "promoted"  # the same rollout again does nothing
    assert house.roll_out(house.package("good"), steps=[30]).outcome == "unchanged"  # nor another one of it


def test_good_to_bad_is_rolled_back(house: House) -> None:
    stable = house.stable()
    record = house.roll_out(house.package("bad"), FAIL)
    assert record.outcome == "rolled_back"
    assert "5 % of the requests failed" in record.reason
    assert shares(record) == [0, 10, 0]
    assert house.serving() == stable.digest
    assert list(house.share().values()) == [100]


def test_a_wrong_answer_in_the_smoke_test_never_gets_traffic(house: House) -> None:
    stable = house.stable()
    record = house.roll_out(house.package("wrong", wrong_by=0.3))
    assert record.outcome == "rolled_back"
    assert shares(record) == [0]
    assert house.serving() == stable.digest


def test_bad_to_bad_and_bad_to_good(house: House) -> None:
    stable = house.stable()
    assert house.roll_out(house.package("bad"), FAIL).outcome == "rolled_back"
    assert house.roll_out(house.package("worse"), FAIL).outcome == "rolled_back"
    assert house.serving() == stable.digest
    record = house.roll_out(house.package("good"))
    assert record.outcome == "promoted"
    assert shares(record) == [0, 10, 50, 100]


def test_no_metrics_is_never_a_pass(house: House) -> None:
    stable = house.stable()
    record = house.roll_out(house.package("unseen"), {"outcome": "error", "sentence": "Prometheus does not answer"})
    assert record.outcome == "rolled_back"
    assert "no metrics" in record.reason
    assert house.serving() == stable.digest


def test_too_few_requests_hold_the_rollout_where_it_is(house: House) -> None:
    house.stable()
    record = house.roll_out(house.package("quiet"), {"outcome": "too_few_requests", "sentence": "3 requests of 100"})
    assert record.outcome == "held"
    assert sorted(house.share().values()) == [10, 90]
    assert request(house.cluster, NAMESPACE, house.name, "abort").startswith("rolled_back")
    assert list(house.share().values()) == [100]


@pytest.mark.parametrize("fault", ["never-ready", "bad-image", "quota"])
def test_never_ready_bad_image_and_quota_are_rolled_back(fault: Any, house: House) -> None:
    stable = house.stable()
    house.kserve.faults.pods(fault, component="-00002" if house.kserve.mode == "knative" else f"{house.name}-v")
    record = house.roll_out(house.package("stuck"), ready_seconds=0.5)
    assert record.outcome == "rolled_back"
    assert "did not become ready" in record.reason
    assert shares(record) == [0]
    house.kserve.faults.clear()
    assert house.serving() == stable.digest
    assert list(house.share().values()) == [100]


def test_concurrent_deploy_refuses(house: House) -> None:
    house.stable()
    seen: list[PlatformError] = []

    def intrude(record: RolloutStatus) -> None:
        if record.state == State.BAKING and not seen:
            with pytest.raises(PlatformError) as caught:
                house.roll_out(house.package("other"))
            seen.append(caught.value)

    assert house.roll_out(house.package("good"), on_change=intrude).outcome == "promoted"
    assert "is in state baking, driven by" in str(seen[0])


def test_an_abandoned_rollout_is_taken_over_after_its_deadline(house: House) -> None:
    house.stable()

    def die(record: RolloutStatus) -> None:
        if record.state == State.BAKING:
            raise Killed

    with pytest.raises(Killed):
        house.roll_out(house.package("dead"), on_change=die)
    record = house.roll_out(house.package("next"), clock=Ahead(QUICK["lease_seconds"] + 1))
    assert record.outcome == "promoted"
    assert house.serving() == house.package("next").digest


class Back(Ahead):
    """A clock behind that of the process before: the API server's was set back. Waiting takes no time."""

    def sleep(self, seconds: float) -> None:
        super().sleep(0.0)
        self.seconds += seconds


@pytest.mark.parametrize("is_first", [True, False])
def test_a_lease_far_in_the_future_is_waited_for_as_long_as_a_lease_lasts(is_first: bool, house: House) -> None:
    if not is_first:
        house.stable()

    def die(record: RolloutStatus) -> None:
        if record.state in {State.BOOTSTRAPPING, State.AWAITING_READINESS}:
            raise Killed

    with pytest.raises(Killed):
        house.roll_out(house.package("dead"), on_change=die)
    clock = Back(-3600.0)
    record = house.roll_out(house.package("next"), clock=clock)
    assert record.outcome == "promoted"
    assert clock.seconds < -3600 + 2 * QUICK["lease_seconds"]


def test_a_lease_far_in_the_future_that_is_renewed_is_respected(house: House) -> None:
    house.stable()
    store = StatusStore(house.cluster, NAMESPACE, house.name)

    def renew(times: int) -> None:
        if times == 3 and (there := store.read()):
            lease = Lease(there.status.lease.holder, there.status.lease.expires + 40)
            store.write(replace(there.status, lease=lease), there.version)

    def die(record: RolloutStatus) -> None:
        if record.state == State.BAKING:
            raise Killed

    with pytest.raises(Killed):
        house.roll_out(house.package("living"), on_change=die)
    with pytest.raises(PlatformError, match="is in state baking, driven by"):
        house.roll_out(house.package("next"), clock=Back(-3600.0, renew))


def test_an_abort_does_not_wait_for_a_lease_far_in_the_future(house: House) -> None:
    stable = house.stable()
    store = StatusStore(house.cluster, NAMESPACE, house.name)

    def die(record: RolloutStatus) -> None:
        if record.state == State.BAKING:
            raise Killed

    with pytest.raises(Killed):
        house.roll_out(house.package("dead"), on_change=die, lease_seconds=1)
    there = store.read()
    assert there is not None
    store.write(replace(there.status, lease=Lease("a dead process", there.status.lease.expires + 3600)), there.version)
    assert request(house.cluster, NAMESPACE, house.name, "abort").startswith("rolled_back")
    assert house.serving() == stable.digest


def test_409_reads_again_and_retries(house: House) -> None:
    house.stable()
    for skip in (0, 1, 2):
        house.kserve.faults.add("status", verb="patch", skip=skip, code=409, reason="Conflict")
    assert house.roll_out(house.package("good")).outcome == "promoted"
    assert house.kserve.faults.pending() == []


def test_429_and_5xx_back_off_and_honour_retry_after(house: House) -> None:
    house.stable()
    busy = {"code": 429, "reason": "TooManyRequests", "retry_after": 1}
    house.kserve.faults.add("status", verb="patch", resource="inferenceservices", skip=1, **busy)  # past the preflight
    house.kserve.faults.add("status", verb="patch", skip=4, code=500)
    house.kserve.faults.add("status", verb="get", skip=3, code=503)
    house.kserve.faults.forget_requests()
    assert house.roll_out(house.package("good")).outcome == "promoted"
    assert house.kserve.faults.pending() == []
    asked = house.kserve.faults.requests()
    refused = next(number for number, one in enumerate(asked) if one["code"] == 429)
    assert asked[refused + 1]["time"] - asked[refused]["time"] >= 1  # as the header said


def break_the_write_of(share: int, when: Any, house: House) -> Callable[[RolloutStatus], None]:
    """The answer to the write that gives this share is lost: the one that follows when its intent is recorded."""

    def listen(record: RolloutStatus) -> None:
        intents = [one for one in record.timeline if one.sentence == f"the candidate is given {share} %"]
        if intents == [record.timeline[-1]]:  # and not when it is repeated
            house.kserve.faults.add(when, verb="patch", resource="inferenceservices", name=house.name)

    return listen


@pytest.mark.parametrize("when", ["reset-before", "reset-after"])
def test_an_ambiguous_write_is_read_before_it_is_repeated(when: Any, house: House) -> None:
    house.stable()
    for number in range(5):  # where KServe writes its status just before, the write is refused and its answer not lost
        house.kserve.faults.forget_requests()
        listen = break_the_write_of(10, when, house)
        assert house.roll_out(house.package(f"good {number}"), on_change=listen).outcome == "promoted"
        assert house.kserve.faults.pending() == []
        asked = [r for r in house.kserve.faults.requests() if r["resource"] == "inferenceservices"]
        if lost := [number for number, one in enumerate(asked) if one["code"] == 0]:
            break
    assert len(lost) == 1
    assert asked[lost[0] + 1]["verb"] == "get"
    same = [r for r in asked if r["verb"] == "patch" and r["body"].get("spec") == asked[lost[0]]["body"]["spec"]]
    real = [r for r in same if "dryRun" not in r["query"] and r["code"] != 409]
    assert len(real) == (2 if when == "reset-before" else 1)


def test_stale_reads_change_nothing(house: House) -> None:
    house.stable()
    for skip in (4, 7, 10, 13):
        house.kserve.faults.add("stale", verb="get", resource="inferenceservices", skip=skip)
    house.kserve.faults.forget_requests()
    assert house.roll_out(house.package("good")).outcome == "promoted"
    assert house.kserve.faults.pending() == []
    assert written(house) == [0, 10, 50, 100, None]


def written(house: House) -> list[int | None]:
    """The candidate's per cent of each change of the service; None where nothing is split any more."""
    found: list[int | None] = []
    for asked in house.kserve.faults.requests():
        body = asked["body"] or {}
        refused = asked["code"] == 409  # a write on a stale read changes nothing
        if asked["verb"] != "patch" or "dryRun" in asked["query"] or "spec" not in body or refused:
            continue
        canaries = body["spec"].get("canary") or []
        part = canaries[0] if canaries else body["spec"].get("predictor", {})
        found.append(part.get("trafficPercent" if canaries else "canaryTrafficPercent"))
    return found


def test_forbidden_is_reported_before_anything_is_changed(house: House) -> None:
    stable = house.stable()
    before = house.service()
    house.kserve.faults.add("deny", verb="patch", resource="configmaps")
    with pytest.raises(PlatformError, match=r"may not patch configmaps in namespace 'default'; apply the Role"):
        house.roll_out(house.package("good"))
    house.kserve.faults.clear()
    assert house.service()["spec"] == before["spec"]
    assert house.serving() == stable.digest


def test_rollback_of_an_already_promoted_model(house: House) -> None:
    first = house.stable()
    assert house.roll_out(house.package("second")).outcome == "promoted"
    assert roll_back(house.cluster, NAMESPACE, house.name, "").startswith("promoted")
    assert house.serving() == first.digest
    assert list(house.share().values()) == [100]


def test_rollback_of_a_model_that_deploy_brought(house: House) -> None:
    first = house.package("deployed")
    house.cluster.apply(house.manifest(first))
    wait_ready(house)
    assert house.roll_out(house.package("second")).outcome == "promoted"
    assert roll_back(house.cluster, NAMESPACE, house.name, first.digest[:8]).startswith("promoted")
    assert house.serving() == first.digest


def wait_ready(house: House) -> None:
    def is_ready() -> bool:
        conditions = house.service().get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    wait_for(is_ready)


def test_a_rollback_that_itself_fails_is_the_loudest_error(house: House) -> None:
    stable = house.stable()

    def break_writes(record: RolloutStatus) -> None:
        if record.state == State.WITHDRAWING:
            house.kserve.faults.add("status", verb="patch", resource="inferenceservices", times=0, code=403)

    with pytest.raises(PlatformError, match=r"THE ROLLBACK OF default/flights-\d+ FAILED and the candidate"):
        house.roll_out(house.package("bad"), FAIL, on_change=break_writes)
    assert house.stored().status.state == State.FAILED
    house.kserve.faults.clear()
    assert request(house.cluster, NAMESPACE, house.name, "abort").startswith("rolled_back")
    assert house.serving() == stable.digest
    assert list(house.share().values()) == [100]


def test_an_edit_from_outside_in_the_middle_is_noticed(house: House) -> None:
    house.stable()

    def edit(record: RolloutStatus) -> None:
        if record.state == State.BAKING and record.step.index == 1:
            house.cluster.patch(NAMESPACE, house.name, {"spec": {"predictor": {"timeout": 77}}})

    record = house.roll_out(house.package("good"), on_change=edit)
    assert record.outcome == "held"
    assert "edited from outside" in record.reason
    assert sorted(house.share().values()) == [50, 50]
    with pytest.raises(PlatformError, match="is held"):
        house.roll_out(house.package("other"))
    assert request(house.cluster, NAMESPACE, house.name, "abort").startswith("rolled_back")


def test_a_person_approves(house: House) -> None:
    house.stable()

    def approve(record: RolloutStatus) -> None:
        if record.state == State.AWAITING_APPROVAL:
            assert "asked" in request(house.cluster, NAMESPACE, house.name, "promote")

    record = house.roll_out(house.package("good"), on_change=approve, approval=True)
    assert record.outcome == "promoted"
    assert "awaiting_approval" in states(record)


def test_nobody_approves_and_the_rollout_is_held_until_somebody_does(house: House) -> None:
    house.stable()
    record = house.roll_out(house.package("good"), approval=True, approval_seconds=0)
    assert record.outcome == "held"
    assert request(house.cluster, NAMESPACE, house.name, "promote").startswith("promoted")
    assert house.serving() == house.package("good").digest


def test_an_ab_test_ends_with_a_report_and_no_promotion(house: House) -> None:
    house.stable()
    record = house.roll_out(house.package("b"), PASS, strategy="ab", steps=[50])
    assert record.outcome == "reported"
    assert sorted(house.share().values()) == [50, 50]
    assert request(house.cluster, NAMESPACE, house.name, "promote").startswith("promoted")


def test_the_record_is_fenced(house: House) -> None:
    house.stable()
    kept = house.stored()
    changed = kept.status.with_event(time.time(), "somebody else was here")
    house.store.write(changed, kept.version)
    with pytest.raises(ConflictError):
        house.store.write(kept.status, kept.version)
