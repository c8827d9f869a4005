"""The record fits into a ConfigMap, and an older process leaves a newer one's alone."""

import json
from pathlib import Path

import pytest

from kubeline.errors import PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.resources import CONFIG_MAP
from kubeline.rollout.status import FORMAT, Record
from kubeline.rollout.store import Records, fitted, record_name
from tests.rollout.api_server import ApiServer

LIMIT = 2**20  # bytes of an object


def record(**changes: object) -> Record:
    return Record(rollout_id="r", name="flights", namespace="default", owner="me", deadline=0.0).model_copy(
        update=changes
    )


def test_three_hundred_long_events_and_the_looks_of_five_thousand_classes_fit() -> None:
    predictions = {f"class {number}": number for number in range(5_000)}
    look = {"step": 0, "outcome": "inconclusive", "sentence": "not sure", "evidence": predictions, "findings": []}
    large = record(looks=tuple({**look, "step": step} for step in range(24)))
    for _ in range(400):
        large = large.told(0.0, "x" * 3_000)
    assert len(large.model_dump_json()) > LIMIT
    small = fitted(large)
    assert len(small.model_dump_json()) < LIMIT
    assert [one["step"] for one in small.looks] == list(range(24))
    assert "evidence" in small.looks[-1]
    assert "evidence" not in small.looks[0]
    assert fitted(record()) == record()


def test_what_cannot_fit_is_told_and_not_sent() -> None:
    with pytest.raises(PlatformError, match="a ConfigMap holds 900,000"):
        fitted(record(candidate={"model": {"env": ["x" * LIMIT]}}))


def test_a_record_of_a_newer_kubeline_is_left_alone(server: ApiServer, tmp_path: Path) -> None:
    cluster = Cluster.connect(server.kubeconfig(tmp_path), timeout_seconds=2, waits=())
    records = Records(cluster, "default", "flights")
    kept = records.write(record(), "")
    newer = {**json.loads(kept.record.model_dump_json()), "format": FORMAT + 1, "new": "field"}
    text = {"data": {"record": json.dumps(newer)}}
    cluster.patch("default", record_name("flights"), text, CONFIG_MAP)
    with pytest.raises(PlatformError, match="begun by a newer Kubeline"):
        records.read()
