"""Why a candidate is not ready, by the events of its pods, ReplicaSets and revisions."""

from typing import Any

import pytest

from kubeline.kubernetes.resources import EVENT
from kubeline.rollout.routers import ClusterSnapshot
from kubeline.rollout.routers.diagnosis import problem
from tests.rollout.house import NAMESPACE, Ahead, House

WORKLOAD = "flights-v2-predictor"
POD = f"{WORKLOAD}-5d9c-abcde"


def pod(name: str = POD, ready: str = "False") -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def event(reason: str, message: str, name: str = POD, kind: str = "Pod", **more: Any) -> dict[str, Any]:
    about = {"kind": kind, "name": name}
    return {"type": "Warning", "reason": reason, "message": message, "involvedObject": about, **more}


def reported(*events: dict[str, Any], pods: tuple[dict[str, Any], ...] = (pod(),)) -> str:
    return problem(ClusterSnapshot({}, pods=list(pods), events=events), WORKLOAD)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("FailedScheduling", "0/3 nodes are available: 3 Insufficient memory."),
        ("FailedMount", 'MountVolume.SetUp failed for volume "model": secret "storage" not found'),
        ("Failed", 'Failed to pull image "registry/serving:9": not found'),
        ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
        ("OOMKilling", "Memory cgroup out of memory: Killed process 7 (python)"),
    ],
)
def test_a_warning_about_a_pod_that_is_not_ready_is_the_reason(reason: str, message: str) -> None:
    assert reported(event(reason, message)) == f"event of Pod {POD}: {reason}: {message}"


def test_a_quota_is_reported_by_the_replica_set_when_there_is_no_pod() -> None:
    name = f"{WORKLOAD}-5d9c"
    quota = event("FailedCreate", "Error creating: exceeded quota", name, "ReplicaSet", count=5)
    assert (
        reported(quota, pods=())
        == f"event of ReplicaSet {name}: FailedCreate (5 times): Error creating: exceeded quota"
    )


@pytest.mark.parametrize(
    "noise",
    [
        event("Unhealthy", "of the stable model", "flights-predictor-5d9c-abcde"),
        event("Unhealthy", "of another service", "flights-v2-predictors-5d9c-abcde"),
        event("FailedScheduling", "of a pod that has gone", f"{WORKLOAD}-5d9c-gone"),
        event("FailedGetResourceMetric", "of its autoscaler", WORKLOAD, "HorizontalPodAutoscaler"),
        {**event("Pulled", "is no warning"), "type": "Normal"},
    ],
    ids=lambda one: one["message"],
)
def test_what_is_not_of_the_candidate_or_no_longer_so_is_not_reported(noise: dict[str, Any]) -> None:
    assert reported(noise) == ""


def test_a_warning_of_a_pod_that_has_become_ready_is_not_reported() -> None:
    assert reported(event("Unhealthy", "Readiness probe failed"), pods=(pod(ready="True"),)) == ""


def test_of_a_reason_the_most_detailed_warning_is_reported_and_the_newest_reason_first() -> None:
    events = (
        event("Failed", "Failed to pull image: not found", lastTimestamp="2026-01-01T00:00:01Z"),
        event("Failed", "Error: ErrImagePull", lastTimestamp="2026-01-01T00:00:03Z", count=3),
        # as the newer API writes it, which leaves the older one's fields empty
        event("FailedScheduling", "no node", eventTime="2026-01-01T00:00:02.000000Z", series={"count": 4}),
    )
    assert reported(*events) == (
        f"event of Pod {POD}: Failed: Failed to pull image: not found; "
        f"event of Pod {POD}: FailedScheduling (4 times): no node"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "knative", "standard"),
    [
        ("never-ready", "Unhealthy: Readiness probe failed", "Unhealthy: Readiness probe failed"),
        ("bad-image", "Unable to fetch image", "Failed: Failed to pull image"),
        ("quota", "exceeded quota", "FailedCreate: Error creating: pods"),
    ],
)
def test_the_reason_of_a_rollback_names_the_event(fault: Any, knative: str, standard: str, house: House) -> None:
    house.stable()
    sentence = {"knative": knative, "standard": standard}[house.kserve.mode]
    house.kserve.faults.pods(fault, component="-00002" if house.kserve.mode == "knative" else f"{house.name}-v")

    def look(times: int) -> None:
        """The deadline passes as soon as the cluster reports what is wrong, and which revision is the candidate's."""
        del times
        known = fault == "quota" or bool(house.stored().status.candidate.revision)
        warnings = house.cluster.find(NAMESPACE, EVENT, fields="type=Warning")
        reported = [f"{one['reason']}: {one['message']}" for one in warnings] + [str(house.service()["status"])]
        clock.seconds = 10_000 if known and any(sentence in one for one in reported) else 0

    clock = Ahead(waited=look)
    record = house.roll_out(house.package("stuck"), clock=clock)
    assert record.outcome == "rolled_back"
    assert sentence in record.reason


@pytest.mark.slow
@pytest.mark.parametrize("house", ["standard"], indirect=True)
@pytest.mark.parametrize("fault", [{"action": "deny", "times": 0}, {"action": "status", "times": 0, "code": 500}])
def test_without_the_right_to_list_events_or_an_answer_the_rollout_only_explains_less(
    fault: dict[str, Any], house: House
) -> None:
    stable = house.stable()
    house.kserve.faults.pods("never-ready", component=f"{house.name}-v")
    house.kserve.faults.add(verb="list", resource="events", **fault)
    record = house.roll_out(house.package("stuck"), ready_seconds=0.5)
    assert (record.outcome, house.serving()) == ("rolled_back", stable.digest)
    assert "did not become ready" in record.reason
    assert "event of" not in record.reason
