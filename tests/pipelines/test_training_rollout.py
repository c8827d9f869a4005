"""The compiled pipeline `training` with a cluster: it ends with a rollout, and the champion is what serves."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

import embedded_kserve
from kubeline.cli import main as kubeline
from kubeline.kubernetes.cluster import Cluster
from kubeline.registry import open_registry
from kubeline.rollout.routers import predictor_digest

ROOT = Path(__file__).parents[2]
TARGETS = ["kubeflow", "vertex"]


def dags(target: str) -> dict[str, dict[str, Any]]:
    """Tasks by the name of the graph they are in."""
    text = (ROOT / "pipelines" / "training" / f"{target}.yaml").read_text(encoding="utf-8")
    document = next(yaml.safe_load_all(text))
    return {name: spec["dag"]["tasks"] for name, spec in document["components"].items() if "dag" in spec}


def holding(target: str, name: str) -> dict[str, Any]:
    """The tasks of the graph that has the task `name`."""
    (found,) = (tasks for tasks in dags(target).values() if name in tasks)
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_a_version_is_registered_without_becoming_the_champion_before_the_rollout(target: str) -> None:
    before = holding(target, "deploy")["register"]["inputs"]["parameters"]
    assert before["cluster"] == {"componentInputParameter": "pipelinechannel--cluster"}
    assert "cluster" not in holding(target, "deploy")["deploy"]["inputs"]["parameters"]


@pytest.mark.parametrize("target", TARGETS)
def test_on_a_cluster_the_champion_waits_for_the_outcome_of_the_rollout(target: str) -> None:
    tasks = holding(target, "rollout")
    champion = tasks["promote-champion"]
    assert not any(name.startswith("register") for name in tasks)
    assert champion["inputs"]["parameters"]["outcome"]["taskOutputParameter"]["producerTask"] == "rollout"
    assert "rollout" in champion["dependentTasks"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_rollout_is_repeated_after_a_failure_and_never_taken_from_the_cache(target: str) -> None:
    task = holding(target, "rollout")["rollout"]
    assert task["retryPolicy"]["maxRetryCount"] == 2
    assert not task["cachingOptions"].get("enableCache")


@pytest.mark.slow
@pytest.mark.usefixtures("warm_steps")
def test_the_model_that_the_pipeline_has_rolled_out_is_the_champion(flights: pd.DataFrame, tmp_path: Path) -> None:
    flights.to_parquet(tmp_path / "flights.parquet", index=False)
    tracking = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with embedded_kserve.start(tmp_path / "kserve") as cluster:
        values = {
            "data": str(tmp_path / "flights.parquet"),
            "target": "late",
            "name": "flights",
            "candidates": [{"estimator": "linear", "params": {}}],
            "time_column": "departure",
            "gate": {"thresholds": {"roc_auc": {"threshold": 0.1}}, "max_latency_ms": 60_000},  # on a busy machine too
            "tracking_uri": tracking,
            "cluster": str(cluster.kubeconfig),
            "gateway": cluster.gateway_url,
            "plan": {
                "bootstrap": "direct",
                "poll_seconds": 0.1,
                "verify_seconds": 0,
                "smoke": {"max_latency_ms": 60_000},
            },
        }
        (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
        line = ["run", "training", "--params", str(tmp_path / "values.yaml"), "--output", str(tmp_path / "runs")]
        assert kubeline(line) == 0
        service = Cluster.connect(str(cluster.kubeconfig)).read("default", "flights")
    (decision,) = tmp_path.rglob("rollout/decision")
    assert json.loads(decision.read_text())["outcome"] == "promoted"
    champion = open_registry(tracking).find("flights", alias="champion")
    assert service is not None
    assert champion is not None
    assert predictor_digest(service["spec"]["predictor"]) == champion.tags["package_digest"]
    assert champion.aliases == ("champion",)
    client = MlflowClient(tracking)
    candidate = client.get_run(champion.run_id)
    parent = client.get_run(candidate.data.tags["mlflow.parentRunId"])
    assert parent.info.run_name == candidate.data.tags["pipeline_run"] == champion.tags["pipeline_run"]
    assert len(client.search_runs([parent.info.experiment_id])) == 2
    assert {each.tags[0].value for each in candidate.inputs.dataset_inputs} == {"training", "evaluation"}
