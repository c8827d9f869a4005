"""A run of the pipelines stays below the size at which Argo compresses its workflow."""

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeline.platform.lint.size import LIMIT, Workflow
from kubeline.training.candidates import MAX
from tests.support.longest_run import LONGEST

ROOT = Path(__file__).parents[2]
RESOURCES = {"cpu_request", "memory_request", "cpu_limit", "memory_limit"}  # which the compiler adds
RECORDINGS = ROOT / "tests" / "recordings" / "kfp"


def drivers(workflow: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The component of each step, and the hash under which the workflow has its specification."""
    for template in workflow["spec"]["templates"]:
        for task in template.get("dag", {}).get("tasks", []):
            if task["template"] == "system-container-driver":
                values = {one["name"]: one["value"] for one in task["arguments"]["parameters"]}
                found = re.search(r"components-(\w+)", values["component"])
                assert found
                yield json.loads(values["task"])["componentRef"]["name"], found[1]


def recorded(scenario: str) -> tuple[Workflow, int, int]:
    """A recorded workflow: for the arithmetic, and the sizes of its specification and of its nodes."""
    workflow = json.loads(gzip.decompress((RECORDINGS / f"workflow-{scenario}.json.gz").read_bytes()))
    given = {one["name"]: json.loads(one["value"]) for one in workflow["spec"]["arguments"]["parameters"]}
    components, executors, platform = {}, {}, {}
    for name, value in given.items():
        if name.startswith("kubernetes-comp-"):
            platform[name.replace("kubernetes-comp-", "exec-", 1)] = value
        elif name.startswith("components-comp-"):
            components[name.removeprefix("components-")] = value
    for name, driver in drivers(workflow):  # equal components are kept once, under the name of one of them
        component = {**given[f"components-{driver}"], "executorLabel": name.replace("comp-", "exec-", 1)}
        components[name] = component
        executors[component["executorLabel"]] = {"container": given[f"implementations-{driver}"]}
    document = {
        "root": given["components-root"],
        "components": components,
        "deploymentSpec": {"executors": executors},
        "pipelineInfo": {"name": "training"},
    }
    status = workflow["status"]
    nodes = status.get("nodes") or json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"])))
    skipped = frozenset(node["templateName"] for node in nodes.values() if node["type"] == "Skipped")
    (root,) = (node for node in nodes.values() if node["displayName"] == "root-driver")
    arguments = {one["name"]: one["value"] for one in root["inputs"]["parameters"]}["runtime-config"]
    made = Workflow(document, json.loads(arguments)["parameterValues"], platform, skipped, ownership=0)
    return made, _length(workflow["spec"]), _length(nodes)


def _length(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize("scenario", ["training-2", "stripped", "eight"])
def test_the_arithmetic_gives_what_was_recorded_or_a_little_more(scenario: str) -> None:
    workflow, specification, nodes = recorded(scenario)
    assert specification <= workflow.specification() <= 1.01 * specification
    assert nodes <= workflow.nodes() <= 1.02 * nodes


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("pipelines/*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_compiled_pipelines_have_no_docstrings_and_no_descriptions_in_their_components(file: Path) -> None:
    document = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    assert "'description'" not in str(document["components"])
    codes = [executor["container"]["command"][3] for executor in document["deploymentSpec"]["executors"].values()]
    assert codes
    assert [code for code in codes if '"""' in code or "'''" in code or "Args:" in code] == []
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert all(definition["description"] for definition in parameters.values())


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("pipelines/*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_a_component_in_a_pipeline_has_the_inputs_that_the_pipeline_gives_and_no_others(file: Path) -> None:
    document = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    for graph in [document["root"], *document["components"].values()]:
        for name, task in graph.get("dag", {}).get("tasks", {}).items():
            component = document["components"][task["componentRef"]["name"]]
            if "executorLabel" in component:
                inputs = set(component["inputDefinitions"].get("parameters", {}))
                given = {one for one in task["inputs"].get("parameters", {}) if not one.startswith("pipelinechannel--")}
                assert inputs == given - RESOURCES, name


def test_a_training_with_eight_candidates_and_a_rollout_stays_below_the_size_at_which_argo_compresses() -> None:
    """Whole, on its longest way: as compiled before, two candidates had 1.27 MB of nodes alone."""
    first, second = yaml.safe_load_all((ROOT / "pipelines/training/kubeflow.yaml").read_text(encoding="utf-8"))
    executors = second["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert MAX == 8
    assert Workflow(first, LONGEST, executors).size() < LIMIT


def test_a_longer_interface_makes_the_workflow_bigger_than_eight_times_its_text() -> None:
    first, second = yaml.safe_load_all((ROOT / "pipelines/training/kubeflow.yaml").read_text(encoding="utf-8"))
    executors = second["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    before = Workflow(first, {"candidates": []}, executors).size()
    first["deploymentSpec"]["executors"]["exec-train"]["container"]["command"][3] += "x" * 1_000
    assert Workflow(first, {"candidates": []}, executors).size() - before > 8_000
