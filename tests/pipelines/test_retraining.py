"""The compiled pipeline `retraining`: it answers an alarm once, with a model that must beat the champion."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from kubeline.drift.alarm.history import History
from kubeline.drift.alarm.rule import AlarmRecord
from kubeline.local import runner
from kubeline.local.parameters import check
from kubeline.platform.lint.size import LIMIT, Workflow
from kubeline.registry import open_registry
from kubeline.registry.interface import Submission
from kubeline.resources import pipeline_file
from kubeline.training.candidates import MAX

ROOT = Path(__file__).parents[2]
END = datetime(2013, 11, 1, tzinfo=UTC)


def run(folder: Path, pipeline: str, **parameters: Any) -> Path:
    """The folder of a run that ended well."""
    file = pipeline_file(pipeline, "kubeflow")
    found = runner.run(file, pipeline, check(file, parameters), folder / "runs", lambda _: None)
    assert found.succeeded, found.reason
    return found.folder


def reported(folder: Path, task: str, name: str) -> dict[str, Any]:
    """A document that a task of a run has written."""
    (file,) = folder.glob(f"**/{task}/{name}")
    document: dict[str, Any] = json.loads(file.read_text())
    return document


@pytest.mark.slow
def test_an_alarm_is_answered_by_a_model_of_the_rows_before_its_window_ended_and_then_there_is_nothing_to_do(
    flights: pd.DataFrame, package: Any, tmp_path: Path
) -> None:
    """The champion has learned from the first 4,000 flights."""
    flights.to_parquet(tmp_path / "flights.parquet", index=False)
    values: dict[str, Any] = {
        "data": str(tmp_path / "flights.parquet"),
        "source": {"time": "departure"},
        "target": "late",
        "name": "flights",
        "candidates": [{"estimator": "linear", "params": {}}],
        "exclude": ["departure"],
        "gate": {"min_rows": 50},
        "tracking_uri": f"sqlite:///{tmp_path / 'mlflow.db'}",
    }
    registry, digest = open_registry(values["tracking_uri"]), package.metadata["package_digest"]
    champion = Submission("flights", Path(package.path), digest, tags={"package_digest": digest})
    registry.promote(registry.register(champion))
    alarm = AlarmRecord(until=END, reference=f"the training data of model {digest[:12]} (linear)")
    assert History(str(tmp_path / "history")).raise_alarm(alarm, 0)

    values["history"] = str(tmp_path / "history")
    answered = run(tmp_path, "retraining", **values)
    (loaded,) = answered.glob("**/load/executor_output.json")
    (data,) = json.loads(loaded.read_text())["artifacts"]["dataset"]["artifacts"]
    assert data["metadata"]["window"] == "../2013-11-01T00:00:00+00:00"
    assert data["metadata"]["rows"] == (flights["departure"] < "2013-11-01").sum()
    evidence = reported(answered, "evaluate", "blessing")
    assert evidence["verdict"] in ("promote", "hold", "inconclusive")
    new = registry.find("flights", alias="champion")
    assert new is not None
    assert (new.version == "2") == (evidence["verdict"] == "promote")
    assert reported(answered, "take-alarm", "decision")["verdict"] == "due"

    again = run(tmp_path, "retraining", **values)
    assert reported(again, "take-alarm", "decision")["verdict"] == "quiet"
    assert not [*again.glob("**/load/*")]
    after = registry.find("flights", alias="champion")
    assert after is not None
    assert after.version == new.version


def test_a_retraining_with_eight_candidates_and_a_rollout_stays_below_the_size_at_which_argo_compresses() -> None:
    first, second = yaml.safe_load_all((ROOT / "pipelines/retraining/kubeflow.yaml").read_text(encoding="utf-8"))
    executors = second["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    candidate = {"estimator": "hist_gradient_boosting", "params": {"learning_rate": 0.1, "max_iter": 300, "l2": 0.001}}
    arguments = {
        "data": "s3://bucket/flights/2013/",
        "target": "late",
        "name": "flights",
        "history": "s3://bucket/history/flights",
        "candidates": [candidate] * MAX,
        "slices": ["origin", "carrier"],
        "thresholds": {"roc_auc": {"threshold": 0.6}},
        "tracking_uri": "http://mlflow.mlflow:5000",
        "cluster": "in-cluster",
        "plan": {"steps": [5, 25, 50, 100], "bake_seconds": 600, "rules": {"max_error_rate": 0.01}},
    }
    assert Workflow(first, arguments, executors).size() < LIMIT


def test_it_takes_the_parameters_of_the_pipeline_training_with_the_same_defaults() -> None:
    parameters = [
        next(yaml.safe_load_all(pipeline_file(name, "kubeflow").read_text()))["root"]["inputDefinitions"]["parameters"]
        for name in ("training", "retraining")
    ]
    assert set(parameters[1]) - set(parameters[0]) == {"history", "length"}
    assert set(parameters[0]) - set(parameters[1]) == {"max_latency_ms", "promote"}
    both = set(parameters[0]) & set(parameters[1])
    defaults = [{name: one[name].get("defaultValue") for name in both} for one in parameters]
    assert defaults[0] == defaults[1]
