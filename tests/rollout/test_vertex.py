"""Rollouts on endpoints of Vertex AI: the same states and judge, with real model servers behind a loopback endpoint."""

import datetime
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.deploy.component import deploy
from components.rollout.component import rollout
from kubeline.cli import main as kubeline
from kubeline.errors import PlatformError
from kubeline.preflight import parameters, services
from kubeline.rollout.operations import describe, request, roll_back
from kubeline.rollout.status import RolloutStatus, State
from kubeline.serving_platform.endpoint_view import CANDIDATE
from tests.rollout.house import PASS
from tests.rollout.vertex_house import PLACE, PLAN, VertexHouse, bucket, vertex_house
from tests.support.artifacts import make_artifact
from tests.support.blessed_packages import blessing
from tests.support.json_servers import Fault

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with bucket() as address:
        yield address


@pytest.fixture
def house(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexHouse]:
    with vertex_house(tmp_path, store, monkeypatch) as made:
        yield made


def test_the_components_bring_a_first_model_to_an_endpoint_when_it_has_answered_its_golden_rows(
    house: VertexHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = house.package("first")
    model = make_artifact(tmp_path, "Model", "model")
    model.uri = str(package.path)
    model.metadata.update(package.metadata())
    blessings = [blessing(tmp_path, package, check) for check in ("evaluation", "infra_validation")]
    manifest, decision = (make_artifact(tmp_path, "Artifact", name) for name in ("manifest", "decision"))
    where = {"name": house.name, "storage_uri": house.uri(package), "labels": {"team": "flights"}}
    assert services.check_cluster(house.cluster, parameters.check_service(house.name, house.cluster, {}), PLAN) is None
    deploy.python_func(model, *blessings, manifest, **where, for_cluster=house.cluster)
    assert (manifest.metadata["change"], manifest.metadata["namespace"]) == ("rendered", PLACE)
    assert house.server.endpoints == {}
    report = make_artifact(tmp_path, "HTML", "report")
    assert rollout.python_func(model, manifest, decision, report, house.cluster, PLAN) == "promoted"
    found = json.loads(Path(decision.path).read_text(encoding="utf-8"))
    assert (found["mode"], found["smoke"]["passed"]) == ("vertex", True)
    assert "promoted" in Path(report.path).read_text(encoding="utf-8")
    assert house.server.shares[0] == {}  # until the golden rows were answered
    assert [*house.split().values()] == [100]
    assert house.endpoint["labels"]["team"] == "flights"
    assert house.ask() == 200
    assert house.server.machines.keys() == {(house.name, *house.split())}
    assert kubeline(["rollout", "status", house.name, "--kubeconfig", house.cluster]) == 0
    assert f"{PLACE}/{house.name}: completed" in capsys.readouterr().out


def test_a_good_candidate_gets_each_share_by_the_metrics_and_then_everything(house: VertexHouse) -> None:
    stable = house.stable()
    before, *_ = house.split()
    candidate = house.package("candidate")
    house.server.shares.clear()
    with house.users() as codes:
        done = house.roll_out(candidate, steps=[30, 60])
    assert (done.outcome, done.stable_digest) == ("promoted", stable.digest), done.reason
    after, *_ = house.split()
    assert house.server.shares == [
        {before: 100},
        {before: 70, after: 30},
        {before: 40, after: 60},
        {after: 100},
    ]
    assert set(codes) == {200}
    assert [one.outcome for one in done.analyses if one.outcome == "pass"] == ["pass", "pass"]
    evidence = done.analyses[-1].evidence or {}
    assert evidence["canary"]["requests"] >= 20
    assert sum(evidence["stable"]["latency"]["counts"]) >= 20
    assert [one["id"] for one in house.endpoint["deployedModels"]] == [after]
    assert house.roll_out(candidate, steps=[30, 60]).outcome == "promoted"


def test_a_candidate_that_answers_otherwise_than_it_was_recorded_never_gets_traffic(house: VertexHouse) -> None:
    house.stable()
    before = house.split()
    done = house.roll_out(house.package("wrong", wrong_by=0.2))
    assert done.outcome == "rolled_back"
    assert "golden rows are answered otherwise" in done.reason
    assert house.split() == before
    assert {key: name for name, key in house.server.machines} == {next(iter(before)): house.name}


def test_a_candidate_whose_requests_fail_loses_its_traffic(house: VertexHouse) -> None:
    house.stable()
    before = house.split()

    def fail(status: RolloutStatus) -> None:
        if status.state is State.BAKING:
            key = next(key for name, key in house.server.machines if name == house.name and key not in before)
            house.server.machines[house.name, key].process.kill()

    with house.users() as codes:
        done = house.roll_out(house.package("candidate"), fail, steps=[50])
    assert done.outcome == "rolled_back"
    assert done.reason.startswith("failed:")
    assert house.split() == before
    assert codes[503] > 0
    assert [one["id"] for one in house.endpoint["deployedModels"]] == [*before]


def test_a_traffic_split_that_someone_else_changes_holds_the_rollout_and_an_abort_restores_it(
    house: VertexHouse,
) -> None:
    stable = house.stable()
    (before,) = house.split()

    def meddle(status: RolloutStatus) -> None:
        if status.state is State.BAKING and status.step.observed_since:
            key = next(key for key in house.split() if key != before)
            path = f"projects/team/locations/europe-west4/endpoints/{house.name}?updateMask=trafficSplit"
            house.platform.api.write("PATCH", path, {"trafficSplit": {before: 20, key: 80}})

    done = house.roll_out(house.package("candidate"), meddle, PASS)
    assert (done.outcome, done.reason) == (
        "held",
        "the specification was edited from outside in the middle of the rollout",
    )
    assert house.split()[before] == 20
    assert request(house.platform, PLACE, house.name, "abort").startswith("rolled_back")
    assert house.split() == {before: 100}
    lines = [*describe(house.platform, PLACE, house.name, datetime.datetime.now(datetime.UTC))]
    assert any(f"now its specification is of {stable.digest[:12]}" in line for line in lines)


def test_a_token_that_ends_and_answers_that_are_lost_change_nothing(house: VertexHouse) -> None:
    house.stable()
    lost = [
        Fault("PATCH", f"endpoints/{house.name}$", 503, after=True),
        Fault("PATCH", f"endpoints/{house.name}$", 429),
        Fault("POST", ":deployModel$", 503, after=True),
        Fault("GET", f"endpoints/{house.name}$", 0),
    ]
    house.server.faults = lost

    def end_tokens(status: RolloutStatus) -> None:
        del status
        house.server.tokens = {"none"}

    done = house.roll_out(house.package("candidate"), end_tokens, PASS)
    assert done.outcome == "promoted", done.reason
    assert house.server.faults == []
    assert house.server.given > 5
    assert [one["id"] for one in house.endpoint["deployedModels"]] == [*house.split()]


def test_a_model_that_cannot_be_deployed_is_withdrawn_and_the_reason_said(house: VertexHouse) -> None:
    house.stable()
    before = house.split()
    house.server.broken = True
    done = house.roll_out(house.package("candidate"), ready_seconds=6)
    assert done.outcome == "rolled_back"
    assert done.reason.endswith("Vertex AI could not deploy the model: Model server exited unexpectedly.")
    assert house.split() == before


def test_a_model_of_another_tool_is_the_stable_one_and_a_promoted_one_is_brought_back(house: VertexHouse) -> None:
    first = house.stable()
    before = house.split()
    house.endpoint["labels"] = {"team": "flights"}  # as another tool deploys it
    second = house.package("second")
    assert house.roll_out(second, look=PASS).stable_digest == first.digest
    assert house.split() != before
    assert house.endpoint["labels"].keys() == {"team", "kubeline-stable"}
    assert roll_back(house.platform, PLACE, house.name, "").endswith(f"serves {first.digest[:12]} again")
    (now,) = house.split()
    assert house.server.machines.keys() == {(house.name, now)}


def test_rights_that_are_missing_are_all_named_before_anything_is_made(house: VertexHouse) -> None:
    house.server.lacking = {"aiplatform.endpoints.deploy", "monitoring.timeSeries.list"}
    with pytest.raises(PlatformError, match=r"lack aiplatform\.endpoints\.deploy, monitoring\.timeSeries\.list in"):
        house.roll_out(house.package("first"))
    assert house.server.endpoints == {}


def test_deploy_gives_a_model_everything_and_takes_the_one_before_away(house: VertexHouse) -> None:
    assert house.platform.apply(house.manifest(house.package("first"))).change == "created"
    (before,) = house.split()
    second = house.manifest(house.package("second"))
    assert house.platform.apply(second).change == "updated"
    (after,) = house.split()
    assert after != before
    assert house.platform.apply(second).change == "unchanged"
    assert house.server.machines.keys() == {(house.name, after)}


@pytest.mark.parametrize("unseen", [False, True], ids=["as it comes", "ended between two reads"])
def test_an_abort_while_the_candidate_is_being_deployed_leaves_no_machine_behind(
    house: VertexHouse, unseen: bool
) -> None:
    house.stable()
    (before,) = house.split()

    listed: Counter[str] = Counter()

    def is_listed(endpoint: str, asked: str) -> bool:
        """By the rollout's next look after its write: it has read the endpoint, which had no second model then."""
        listed[endpoint] += asked == f"endpoints/{endpoint}/operations" and CANDIDATE not in house.endpoint["labels"]
        return listed[endpoint] > 1

    if unseen:
        house.server.may_end = is_listed

    def abort(status: RolloutStatus) -> None:
        if status.state is State.AWAITING_READINESS and status.entered == status.timeline[-1].time:
            request(house.connect(), PLACE, house.name, "abort")

    done = house.roll_out(house.package("candidate"), abort)
    assert (done.outcome, done.reason) == ("rolled_back", "aborted by request")
    assert house.split() == {before: 100}
    assert house.server.machines.keys() == {(house.name, before)}
