"""The compiled pipeline `retraining`: it answers an alarm once, with a model that must beat the champion."""

from pathlib import Path

import yaml

from kubeline.platform.lint.size import LIMIT, Workflow
from kubeline.resources import pipeline_file
from kubeline.training.candidates import MAX

ROOT = Path(__file__).parents[2]


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
        "gate": {"thresholds": {"roc_auc": {"threshold": 0.6}}},
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
