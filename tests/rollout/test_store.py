"""The stored status fits into a ConfigMap, and one of another version is not continued."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubeline.errors import PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.resources import CONFIG_MAP
from kubeline.rollout.status import Analysis, AnalysisOutcome, DeployedModel, Lease, RolloutStatus, Versions
from kubeline.rollout.store import FORMAT, StatusStore, config_map_name, dump, load, truncated
from tests.support.kubernetes_api import ApiServer

LIMIT = 2**20  # bytes of an object


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


@pytest.mark.parametrize("number", [FORMAT + 1, FORMAT - 1, 0])
def test_a_status_of_an_unknown_format_is_refused_in_a_sentence(number: int, server: ApiServer, tmp_path: Path) -> None:
    newer = {**json.loads(dump(status())), "format": number, "status": {"of": "another shape"}}
    with pytest.raises(PlatformError, match=rf"recorded in format {number}, but this Kubeline reads {FORMAT}"):
        stored_as(newer, server, tmp_path).read()


@pytest.mark.parametrize("document", [{}, {"format": "two"}, {"format": FORMAT}, {"format": None}])
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
