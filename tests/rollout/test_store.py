"""The stored status fits into a ConfigMap, and a release continues what an older one has begun, and no newer one's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubeline.errors import PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.resources import CONFIG_MAP
from kubeline.rollout.spec import ADDED, RolloutSpec
from kubeline.rollout.start import identity
from kubeline.rollout.status import Analysis, AnalysisOutcome, DeployedModel, Lease, RolloutStatus, State, Versions
from kubeline.rollout.store import FORMAT, StatusStore, config_map_name, dump, load, truncated
from tests.rollout.lying_world import PLAN, Moment, world
from tests.support.kubernetes_api import ApiServer

LIMIT = 2**20  # bytes of an object
RECORDS = Path(__file__).parent / "records"
KNATIVE: dict[str, Any] = json.loads((RECORDS / "format-1-knative.json").read_text())
STANDARD: dict[str, Any] = json.loads((RECORDS / "format-1-standard.json").read_text())


def status(**changes: Any) -> RolloutStatus:
    return replace(
        RolloutStatus(rollout_id="r", name="flights", namespace="default", lease=Lease("me", 0.0)), **changes
    )


def stored_as(document: dict[str, Any], server: ApiServer, folder: Path) -> StatusStore:
    """A store whose ConfigMap holds this document."""
    cluster = Cluster.connect(server.kubeconfig(folder), timeout_seconds=2, waits=())
    store = StatusStore(cluster, "default", "flights")
    store.write(status(), "")
    text = {"data": {"record": json.dumps(document)}}
    cluster.patch("default", config_map_name("flights"), text, CONFIG_MAP)
    return store


def test_words_of_others_that_no_utf_8_has_are_recorded_all_the_same() -> None:
    reason = "the candidate answers '\ud800'"
    text = dump(status(reason=reason))
    assert text.encode().isascii()
    assert load(json.loads(text)).reason == reason


def test_three_hundred_long_events_and_the_analyses_of_five_thousand_classes_fit() -> None:
    predictions = {f"class {number}": number for number in range(5_000)}
    finding = ({"name": "prediction_drift"},)
    one = Analysis(0, 5, AnalysisOutcome.INCONCLUSIVE, "not sure", findings=finding, evidence=predictions)
    large = status(analyses=tuple(replace(one, step=step) for step in range(24)))
    for _ in range(400):
        large = large.with_event(0.0, "x" * 3_000)
    assert len(large.timeline) == 300
    assert {len(event.sentence) for event in large.timeline} == {1_000}
    assert len(dump(large)) > LIMIT
    small = truncated(large)
    assert len(dump(small)) < LIMIT
    assert [analysis.step for analysis in small.analyses] == list(range(24))
    assert small.analyses[-1].evidence is not None
    assert (small.analyses[0].evidence, small.analyses[0].findings) == (None, finding)
    assert truncated(status()) == status()


def test_what_cannot_fit_is_refused_and_not_sent() -> None:
    large = Versions(DeployedModel({"model": {"env": ["x" * LIMIT]}}))
    with pytest.raises(PlatformError, match="a ConfigMap holds 900,000"):
        truncated(status(versions=large))


@pytest.mark.parametrize("number", [FORMAT + 1, 0, 17])
def test_a_status_of_an_unknown_format_is_refused_in_a_sentence(number: int, server: ApiServer, tmp_path: Path) -> None:
    newer = {**json.loads(dump(status())), "format": number, "status": {"of": "another shape"}}
    with pytest.raises(PlatformError, match=rf"recorded in format {number}, but this Kubeline reads 1 and {FORMAT}"):
        stored_as(newer, server, tmp_path).read()


@pytest.mark.parametrize("document", [{}, {"format": "two"}, {"format": FORMAT}, {"format": 1}, {"format": None}])
def test_what_is_no_status_is_refused_in_a_sentence(
    document: dict[str, Any], server: ApiServer, tmp_path: Path
) -> None:
    with pytest.raises(PlatformError, match="holds no status of a rollout; delete it when no rollout is in progress"):
        stored_as(document, server, tmp_path).read()


def test_a_status_that_was_copied_from_another_service_is_refused(server: ApiServer, tmp_path: Path) -> None:
    document = json.loads(dump(status(namespace="production")))
    with pytest.raises(PlatformError, match="rollout of production/flights: it was copied from there; delete it"):
        stored_as(document, server, tmp_path).read()


def test_a_record_without_a_bottom_is_no_status(server: ApiServer, tmp_path: Path) -> None:
    store = stored_as({}, server, tmp_path)
    cluster = Cluster.connect(server.kubeconfig(tmp_path), timeout_seconds=2, waits=())
    cluster.patch("default", config_map_name("flights"), {"data": {"record": "[" * 100_000}}, CONFIG_MAP)
    with pytest.raises(PlatformError, match="holds no status of a rollout"):
        store.read()


def test_a_release_that_reads_format_1_only_finds_what_it_needs_to_refuse_format_2() -> None:
    document = json.loads(dump(status()))
    assert {"rollout_id", "name", "namespace", "owner", "deadline"} < document.keys()
    assert document["format"] > 1
    assert not document.keys() & (KNATIVE["bake"]["record"].keys() - {"format", "rollout_id", "name", "namespace"}) - {
        "owner",
        "deadline",
    }


@pytest.mark.parametrize("state", STANDARD)
def test_everything_in_a_record_of_format_1_is_in_the_status(state: str) -> None:
    old, new = STANDARD[state], load(STANDARD[state])
    assert (new.rollout_id, new.lease) == (old["rollout_id"], Lease(old["owner"], old["deadline"]))
    assert new.candidate.predictor == old["candidate"]
    assert (new.candidate.name, new.candidate.revision) == (old["candidate_name"], old["candidate_revision"])
    assert new.stable is not None
    assert (new.stable.predictor, new.stable.revision) == (old["stable"], old["stable_revision"])
    assert (new.versions.stable_pods, new.step.index) == (old["busy"], old["step"])
    assert (new.write.generation, new.write.spec) == (old["written"]["generation"], old["written"]["spec"])
    assert bool(new.write.completed) == bool(old["wrote"])
    assert [(event.time, event.sentence) for event in new.timeline] == [
        (event["time"], event["sentence"]) for event in old["timeline"]
    ]
    assert (new.step.drain is None) == (old["arrivals"] is None)
    assert new.step.metrics == old["snapshot"]
    assert [one.sentence for one in new.analyses] == [look["sentence"] for look in old["looks"]]
    assert [past.digest for past in new.history] == [past["digest"] for past in old["history"]]
    assert load(json.loads(dump(new))) == new


def test_rollouts_that_the_release_before_began_are_continued_from_each_state_to_their_end(tmp_path: Path) -> None:
    """Promoted from each state, as that release would have; rolled back where it was on its way back."""
    with world(tmp_path) as made:
        for name, moment in KNATIVE.items():
            if name == "held":
                continue
            old = load(moment["record"])
            stored = made.restore(Moment(old, moment["service"], moment["templates"]), moment["record"])
            assert stored == made.store.read()
            record = made.drive(stored, approval_seconds=0)
            back = {State.WITHDRAWING, State.RESTORING, State.SETTLING}
            expected = "held" if name == "approval" else "rolled_back" if old.state in back else "promoted"
            assert (name, record.outcome) == (name, expected)


def test_the_same_model_and_plan_are_the_rollout_that_the_release_before_began(tmp_path: Path) -> None:
    moment = KNATIVE["bake"]
    with world(tmp_path) as made:
        made.restore(Moment(load(moment["record"]), moment["service"], moment["templates"]), moment["record"])
        manifest = made.manifest(moment["record"]["digest"][0])
        assert identity(manifest, RolloutSpec.read(PLAN)) == moment["record"]["rollout_id"]
        continued = made.begin(moment["record"]["digest"][0]).status
        assert (continued.rollout_id, continued.state) == (moment["record"]["rollout_id"], State.BAKING)
        assert made.drive(made.stored()).outcome == "promoted"


def test_a_field_that_the_spec_did_not_always_have_is_listed_as_one() -> None:
    """Else rollouts in progress would not be recognized after an upgrade."""
    before = KNATIVE["bake"]["record"]["plan"]
    now = RolloutSpec().model_dump(mode="json")
    assert now.keys() - before.keys() == {"rollback", "outcomes"}
    added = {
        (part, field)
        for part in now
        if isinstance(before.get(part), dict)
        for field in now[part].keys() - before[part].keys()
    }
    assert added == set(ADDED)


def test_a_rollback_that_the_release_before_began_is_one() -> None:
    old = dict(KNATIVE["bake"]["record"])
    assert not load(old).spec.rollback
    plan = RolloutSpec.for_rollback(7, RolloutSpec()).model_dump(mode="json", exclude={"rollback"})
    assert load({**old, "plan": plan}).spec.rollback
