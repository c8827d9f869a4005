"""What is committed is what is compiled, and what users may rely on in it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PIPELINES = sorted(path.parent.name for path in ROOT.glob("pipelines/*/pipeline.py"))
COMPONENTS = sorted(path.parent.name for path in ROOT.glob("components/*/component.py"))
COMPILED = [*ROOT.glob("components/*/component.yaml"), *ROOT.glob("pipelines/*/*.yaml")]
VERBS = {
    "deploy", "drift_check", "evaluate", "infra_validate", "load", "notify", "predict", "preflight", "promote_champion",
    "register", "rollout", "select", "split", "train", "validate",
}  # fmt: skip


def executors(file: Path) -> dict[str, dict[str, Any]]:
    document = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    return {name: spec["container"] for name, spec in document["deploymentSpec"]["executors"].items()}


def test_every_committed_file_equals_a_fresh_compile_byte_for_byte() -> None:
    done = subprocess.run(
        [sys.executable, "compile.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_component_of_the_design_is_there() -> None:
    assert set(COMPONENTS) >= VERBS


@pytest.mark.parametrize("name", PIPELINES)
def test_the_vertex_pipeline_is_one_document(name: str) -> None:
    text = (ROOT / "pipelines" / name / "vertex.yaml").read_text(encoding="utf-8")
    assert len(list(yaml.safe_load_all(text))) == 1


@pytest.mark.parametrize("name", PIPELINES)
def test_vertex_accepts_the_pipeline(name: str, tmp_path: Path) -> None:
    """The client library parses it and builds the job; nothing is sent."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.aiplatform import PipelineJob

    file = ROOT / "pipelines" / name / "vertex.yaml"
    required = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))["root"]["inputDefinitions"]["parameters"]
    values = {key: "x" for key, definition in required.items() if not definition.get("isOptional")}
    job = PipelineJob(
        display_name=name,
        template_path=str(file),
        pipeline_root="gs://bucket/root",
        parameter_values=values,
        project="project",
        location="europe-west4",
        credentials=AnonymousCredentials(),
    )
    assert job.pipeline_spec["pipelineInfo"]["name"] == name.replace("_", "-")


@pytest.mark.parametrize("name", PIPELINES)
def test_the_kubeflow_pipeline_takes_its_channels_from_an_optional_secret(name: str) -> None:
    platform = list(yaml.safe_load_all((ROOT / "pipelines" / name / "kubeflow.yaml").read_text(encoding="utf-8")))[1]
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    secrets = [secret for spec in executors.values() for secret in spec.get("secretAsEnv", [])]
    named = [(secret["secretName"], secret["optional"]) for secret in secrets if "secretName" in secret]
    assert set(named) == {("kubeline-notify", True)}


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_step_installs_anything(file: Path) -> None:
    for name, container in executors(file).items():
        words = " ".join([*container.get("command", []), *container.get("args", [])])
        assert "pip install" not in words, name
        assert "apt-get" not in words, name


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_image_is_pinned(file: Path) -> None:
    for container in executors(file).values():
        registry, _, version = container["image"].rpartition(":")
        assert registry.startswith("ghcr.io/kubeline/kubeline-python-")
        assert version[0].isdigit()


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_parameter_and_output_is_described(file: Path) -> None:
    document = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    for side in ("inputDefinitions", "outputDefinitions"):
        for kind in document["root"].get(side, {}).values():
            for name, definition in kind.items():
                assert definition.get("description") or definition.get("parameterType") == "TASK_FINAL_STATUS", name


@pytest.mark.parametrize("name", PIPELINES)
def test_every_task_has_a_display_name(name: str) -> None:
    document = next(yaml.safe_load_all((ROOT / "pipelines" / name / "kubeflow.yaml").read_text(encoding="utf-8")))
    tasks = {
        task: spec["taskInfo"]["name"]
        for component in [document["root"], *document["components"].values()]
        for task, spec in component.get("dag", {}).get("tasks", {}).items()
        if "dag" not in document["components"][spec["componentRef"]["name"]]
    }
    assert tasks
    assert all(shown != task for task, shown in tasks.items()), tasks


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_can_be_reused_by_its_name(name: str) -> None:
    from kubeline import components

    assert getattr(components, name).name == name.replace("_", "-")


def test_a_component_that_does_not_exist_is_an_attribute_error() -> None:
    from kubeline import components

    with pytest.raises(AttributeError, match="there is no component 'trian'; there are: "):
        _ = components.trian


def test_the_images_follow_the_registry_and_version_of_the_environment() -> None:
    code = "from components.images import image; print(image('steps'))"
    for version, expected in [
        ("1.2.3", "r.example/k/kubeline-python-steps:1.2.3"),
        ("sha256:abc", "r.example/k/kubeline-python-steps@sha256:abc"),
    ]:
        environment = {"KUBELINE_REGISTRY": "r.example/k", "KUBELINE_VERSION": version, "PATH": ""}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected


def test_a_default_of_several_lines_stays_within_the_comment_at_the_head() -> None:
    from kfp import dsl

    from kubeline.compiling import compiled_text

    @dsl.component(base_image="example.com/python:1", install_kfp_package=False)
    def step(text: str) -> str:
        return text

    @dsl.pipeline(name="lines")
    def lines(text: str = "one\ntwo: 2\n\n- three") -> None:
        step(text=text)

    document = yaml.safe_load(compiled_text(lines))
    assert document["root"]["inputDefinitions"]["parameters"]["text"]["defaultValue"] == "one\ntwo: 2\n\n- three"
