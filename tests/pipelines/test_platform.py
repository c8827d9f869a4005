"""What the compiled pipelines ask of Kubernetes and of Vertex AI: credentials, CPU and memory."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PIPELINES = sorted(path.parent.name for path in ROOT.glob("pipelines/*/pipeline.py"))
# Of each component that reads or writes the world, what it needs credentials for.
WORLD = {
    "preflight": {"AWS", "MLFLOW"},
    "load": {"AWS", "KAFKA", "MYSQL", "PG"},
    "validate": {"AWS", "KUBELINE"},
    "train": {"KUBELINE"},
    "evaluate": {"AWS", "MLFLOW", "WANDB"},
    "infra_validate": {"KUBELINE"},
    "register": {"AWS", "KUBELINE", "MLFLOW"},
    "deploy": {"KUBELINE"},
    "promote_champion": {"MLFLOW"},
    "rollout": {"AWS", "KUBELINE"},
    "drift_check": {"AWS", "MLFLOW", "WANDB"},
    "alarm": {"AWS"},
    "take_alarm": {"AWS", "MLFLOW"},
    "predict": {"AWS", "KUBELINE", "MLFLOW"},
}
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?")


def documents(name: str, target: str = "kubeflow") -> list[dict[str, Any]]:
    text = (ROOT / "pipelines" / name / f"{target}.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def component(executor: str) -> str:
    return re.sub(r"-\d+$", "", executor.removeprefix("exec-")).replace("-", "_")


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_that_reads_or_writes_the_world_takes_its_credentials_from_a_secret(name: str) -> None:
    first, second = documents(name)
    configured = second["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for executor in first["deploymentSpec"]["executors"]:
        secrets = [
            one
            for one in configured.get(executor, {}).get("secretAsEnv", [])
            if one["secretNameParameter"] == {"componentInputParameter": "pipelinechannel--secret"}
        ]
        variables = [pair["envVar"] for one in secrets for pair in one["keyToEnv"]]
        kinds = ("AWS", "KAFKA", "KUBELINE", "MLFLOW", "MYSQL", "PG", "WANDB")
        found = {next(kind for kind in kinds if variable.startswith(kind)) for variable in variables}
        expected = WORLD.get(component(executor), set())
        if executor == "exec-load" and name not in (
            "training",
            "retraining",
        ):  # it asks the registry's model for the types
            expected = expected | {"MLFLOW"}
        if executor == "exec-preflight" and name != "batch_prediction":  # which files no runs
            expected = expected | {"WANDB"}
        assert found == expected, executor
        assert all(one["optional"] for one in secrets)
        assert all(pair["envVar"] == pair["secretKey"] for one in secrets for pair in one["keyToEnv"])


@pytest.mark.parametrize("name", PIPELINES)
def test_the_key_that_signs_is_given_to_the_step_that_makes_a_model_and_to_no_other(name: str) -> None:
    configured = documents(name)[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    keys = {
        (component(executor), pair["envVar"])
        for executor, section in configured.items()
        for secret in section.get("secretAsEnv", [])
        for pair in secret["keyToEnv"]
        if re.match("KUBELINE_(SIGN|PUBLIC|TRUSTED)", pair["envVar"])
    }
    trusted = [f"KUBELINE_{one}" for one in ("PUBLIC_KEY", "TRUSTED_ROOT", "SIGNER", "SIGNER_ISSUER")]
    readers = ("infra_validate", "register", "deploy", "rollout")
    trained = {("train", "KUBELINE_SIGNING_KEY"), ("train", "KUBELINE_SIGNING_CERTIFICATE")}
    trained |= {(step, variable) for step in readers for variable in trusted}
    wanted = {"monitoring": set(), "batch_prediction": {("predict", variable) for variable in trusted}}
    assert keys == wanted.get(name, trained)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_secret_has_a_real_name_by_default_since_an_empty_one_fails(name: str) -> None:
    parameters = documents(name)[0]["root"]["inputDefinitions"]["parameters"]
    assert parameters["secret"]["defaultValue"] == "kubeline-s3"


@pytest.mark.parametrize("name", PIPELINES)
def test_requests_and_limits_are_parameters_whose_defaults_fit_a_small_node(name: str) -> None:
    document = documents(name)[0]
    parameters = document["root"]["inputDefinitions"]["parameters"]
    asked = {one: parameters[one]["defaultValue"] for one in ("cpu_request", "memory_request")}
    assert asked == {"cpu_request": "500m", "memory_request": "1Gi"}
    assert all(QUANTITY.fullmatch(parameters[one]["defaultValue"]) for one in ("cpu_limit", "memory_limit"))
    executors = document["deploymentSpec"]["executors"]
    resources = {component(one): spec["container"].get("resources") for one, spec in executors.items()}
    for step in {"load", "train"} & set(resources):
        assert resources[step] == {
            "resourceCpuRequest": "{{$.inputs.parameters['pipelinechannel--cpu_request']}}",
            "resourceCpuLimit": "{{$.inputs.parameters['pipelinechannel--cpu_limit']}}",
            "resourceMemoryRequest": "{{$.inputs.parameters['pipelinechannel--memory_request']}}",
            "resourceMemoryLimit": "{{$.inputs.parameters['pipelinechannel--memory_limit']}}",
        }


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
def test_every_graph_declares_and_is_given_what_is_in_it(name: str, target: str) -> None:
    document = documents(name, target)[0]
    graphs = {"root": document["root"], **document["components"]}
    for where, graph in graphs.items():
        declared = set(graph.get("inputDefinitions", {}).get("parameters", {}))
        for task, spec in graph.get("dag", {}).get("tasks", {}).items():
            given = spec.get("inputs", {}).get("parameters", {})
            taken = {one["componentInputParameter"] for one in given.values() if "componentInputParameter" in one}
            assert taken <= declared, (where, task)
            inside = graphs[spec["componentRef"]["name"]].get("inputDefinitions", {}).get("parameters", {})
            item = spec.get("parameterIterator", {}).get("itemInput")  # which a loop gives each of its iterations
            needed = {one for one, definition in inside.items() if not definition.get("isOptional")}
            assert needed - {item} <= set(given), task


@pytest.mark.parametrize("name", PIPELINES)
def test_on_vertex_there_are_no_parameters_of_kubernetes(name: str) -> None:
    (document,) = documents(name, "vertex")
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert set(documents(name)[0]["root"]["inputDefinitions"]["parameters"]) - set(parameters) == {
        "secret", "cpu_request", "memory_request", "cpu_limit", "memory_limit",
    }  # fmt: skip


@pytest.mark.parametrize(("profile", "memory"), [("small", "8G"), ("large", "64G")])
def test_on_vertex_a_profile_gives_cpu_and_memory_when_compiling(profile: str, memory: str) -> None:
    code = (
        "from kfp import dsl; from pipelines.platform import compiling_for; "
        "from pipelines.training.pipeline import training\n"
        "with compiling_for('vertex'): made = dsl.pipeline(name='training')(training)\n"
        "executors = made.pipeline_spec.deployment_spec['executors']\n"
        "print(executors['exec-train']['container']['resources']['resourceMemoryLimit'])"
    )
    environment = {**os.environ, "KUBELINE_PROFILE": profile}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == memory
