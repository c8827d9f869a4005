"""The compiled pipeline `retraining`: it answers an alarm once, with a model that must beat the champion."""

from pathlib import Path

import pytest
import yaml

from kubeline.errors import UserError
from kubeline.local.parameters import assigned, check
from kubeline.platform.lint.size import LIMIT, Workflow
from kubeline.resources import pipeline_file
from tests.support.longest_run import LONGEST

ROOT = Path(__file__).parents[2]


def test_a_retraining_with_eight_candidates_and_a_rollout_stays_below_the_size_at_which_argo_compresses() -> None:
    first, second = yaml.safe_load_all((ROOT / "pipelines/retraining/kubeflow.yaml").read_text(encoding="utf-8"))
    executors = second["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    arguments = {**LONGEST, "history": "s3://bucket/history/flights"}
    assert Workflow(first, arguments, executors).size() < LIMIT


@pytest.mark.parametrize("name", ["training", "retraining"])
def test_the_gate_reaches_the_model_server_the_registry_and_the_champion(name: str) -> None:
    """So that max_latency_ms and promote can be said in it, for which `retraining` has no parameters of their own."""
    document = next(yaml.safe_load_all(pipeline_file(name, "kubeflow").read_text()))
    given = {
        task: one["inputs"]["parameters"]["gate"]["componentInputParameter"].removeprefix("pipelinechannel--")
        for graph in document["components"].values()
        for task, one in graph.get("dag", {}).get("tasks", {}).items()
        if task in {"infra-validate", "register", "promote-champion"}
    }
    assert given == dict.fromkeys(("infra-validate", "register", "promote-champion"), "gate")


@pytest.mark.parametrize("name", ["training", "retraining"])
def test_the_command_line_takes_these_fields_too(name: str) -> None:
    file = pipeline_file(name, "kubeflow")
    needed = {"data": "d", "target": "t", "name": "n"} | ({"history": "h"} if name == "retraining" else {})
    given = assigned(file, needed, ["gate.max_latency_ms=20", "gate.promote=false"])
    assert check(file, given)["gate"] == {"max_latency_ms": 20, "promote": False}
    with pytest.raises(UserError, match="field 'promote' of 'gate' is 1, but true or false is expected"):
        check(file, assigned(file, needed, ["gate.promote=1"]))


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
