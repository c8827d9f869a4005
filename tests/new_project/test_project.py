"""What `kubeline new project` writes is a repository that passes its own checks."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeline import __version__
from kubeline.cli import main
from kubeline.errors import UserError
from kubeline.new_project.project import write_project
from kubeline.platform.schedule.document import read

ROOT = Path(__file__).parents[2]
OWN = ROOT / ".github" / "workflows"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project, made by the command."""
    folder = tmp_path_factory.mktemp("clean") / "late-flights"
    assert main(["new", "project", "late-flights", "--folder", str(folder)]) == 0
    return folder


def in_it(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python there, with the project installed beside this checkout."""
    path = os.pathsep.join([str(project / "src"), str(ROOT / "src"), str(ROOT / "serving")])
    environment = {**os.environ, "PYTHONPATH": path, "RUFF_NO_CACHE": "true"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def workflows(project: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((project / ".github" / "workflows").glob("*.yml")):
        yield file.name, yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "check",
    [
        ["-m", "ruff", "check", "."],
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "pytest", "-q", "-p", "no:cacheprovider"],
    ],
    ids=lambda check: " ".join(check[1:3]),
)
def test_it_passes_its_own_checks(project: Path, check: list[str]) -> None:
    done = in_it(project, *check)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_linter_finds_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(project / "compiled"), "--target", "kubeflow", "--format", "json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["findings"] == []


def test_a_stale_compiled_pipeline_is_named(project: Path) -> None:
    file = project / "compiled" / "train.yaml"
    before = file.read_text(encoding="utf-8")
    file.write_text(before + "# changed\n", encoding="utf-8")
    done = in_it(project, "-m", "pipelines.compile", "--check")
    file.write_text(before, encoding="utf-8")
    assert (done.returncode, done.stderr) == (
        1,
        "compiled/train.yaml: not that of the sources; run make compile\n",
    )


def test_no_placeholder_is_left_and_everything_is_of_this_version(project: Path) -> None:
    for file in (file for file in project.rglob("*") if file.is_file() and "__pycache__" not in file.parts):
        assert not re.search("@[A-Z]+@", file.read_text(encoding="utf-8")), file
    assert f"=={__version__}" in (project / "pyproject.toml").read_text(encoding="utf-8")
    assert f"kubeline-python-steps:{__version__}" in (project / "Dockerfile").read_text(encoding="utf-8")


def test_its_workflows_use_the_actions_of_this_repository_and_may_do_no_more_than_they_need(project: Path) -> None:
    pinned = {found for file in OWN.glob("*.yml") for found in re.findall(r"uses: (\S+ # v\S+)", file.read_text())}
    for name, document in workflows(project):
        text = (project / ".github" / "workflows" / name).read_text(encoding="utf-8")
        used = re.findall(r"uses: (.+)", text)
        assert used
        assert {*used} <= pinned
        assert document["permissions"] == {"contents": "read"}
        granted = {key for job in document["jobs"].values() for key in job.get("permissions", {})}
        assert granted == ({"contents", "id-token", "packages"} if name == "images.yml" else set())


def test_production_is_reached_through_its_environment_alone(project: Path) -> None:
    for name, document in workflows(project):
        for job in document["jobs"].values():
            script = " ".join(step.get("run", "") for step in job["steps"])
            if "params/prod.yaml" in script or "schedule apply" in script:
                assert job["environment"] == "production", name
            assert "KUBELINE_KFP_TOKEN" not in job.get("env", {}) or "environment" in job
    jenkins = (project / "Jenkinsfile").read_text(encoding="utf-8")
    assert jenkins.index("input {") < jenkins.index("params/prod.yaml")


def test_the_tools_name_files_that_are_there(project: Path) -> None:
    dvc = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in dvc.values():
        assert [one for one in stage["deps"] if one != "data" and not (project / one).exists()] == []
    compose = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))
    mounted = [one for service in compose["services"].values() for one in service.get("volumes", []) if one[0] == "."]
    assert [one for one in mounted if "./model" not in one and not (project / one.split(":")[0]).exists()] == []
    for service in compose["services"].values():
        assert re.search(r":v?\d", service["image"])
    environments = {one: project / "params" / f"{one}.yaml" for one in ("dev", "staging", "prod")}
    assert all(file.is_file() for file in environments.values())


def test_its_schedules_are_those_of_pipelines_that_take_their_parameters(project: Path) -> None:
    schedules, files = read(project / "schedules.yaml")
    assert files.keys() == schedules.schedules.keys() == {"late-flights-drift", "late-flights-weekly"}
    assert files["late-flights-weekly"] == project / "compiled" / "train.yaml"


def test_argo_cd_leaves_alone_what_a_rollout_moves(project: Path) -> None:
    application = yaml.safe_load((project / "argocd" / "application.yaml").read_text(encoding="utf-8"))["spec"]
    assert "RespectIgnoreDifferences=true" in application["syncPolicy"]["syncOptions"]
    (ignored,) = application["ignoreDifferences"]
    assert (ignored["group"], ignored["kind"]) == ("serving.kserve.io", "InferenceService")
    moved = {"/spec/canary", "/spec/predictor/canaryTrafficPercent", "/spec/predictor/model", "/spec/predictor/name"}
    assert moved <= {*ignored["jsonPointers"]}


@pytest.mark.parametrize("name", ["", "Churn", "a--b", "1st", "../x", "kubeline", "json", "class", "x" * 41])
def test_a_name_that_no_project_can_have_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="name"):
        write_project(name, tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UserError, match="not empty; give a new folder by --folder"):
        write_project("churn", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
