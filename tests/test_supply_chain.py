"""What runs in CI is what was reviewed: actions are named by commit, and write nothing but the site and releases."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from components.images import Image
from kubeline import __version__

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
# The workflows with jobs that may write, what these may, and after which pushes. None may write to the sources.
READ, SIGN, PUSH = {"contents": "read"}, {"id-token": "write"}, {"packages": "write"}
WRITING: dict[str, tuple[dict[str, dict[str, str]], dict[str, list[str]]]] = {
    "docs.yml": ({"publish": {"contents": "write"}}, {"branches": ["main"]}),
    "release.yml": (
        {"images": READ | PUSH, "publish": READ | SIGN | PUSH, "wheel": READ | SIGN},
        {"tags": ["v*"]},
    ),
}
COMMIT = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def steps(file: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [step for job in document["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(file: Path) -> None:
    used = [step["uses"] for step in steps(file) if "uses" in step]
    assert used
    assert [one for one in used if not COMMIT.fullmatch(one)] == []
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert [line for line in lines if not re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_may_only_read_but_for_those_that_publish_the_site_or_a_release(file: Path) -> None:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert document["permissions"] == {"contents": "read"}
    writing = {name: job["permissions"] for name, job in document["jobs"].items() if "permissions" in job}
    assert writing == WRITING.get(file.name, ({}, {}))[0]
    if writing:
        assert document[True] == {"push": WRITING[file.name][1]}  # `on` is a truth to YAML 1.1


def test_a_release_builds_every_image_for_two_architectures_and_signs_each() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["images"]["strategy"]["matrix"] == {"image": [*get_args(Image)], "architecture": ["amd64", "arm64"]}
    assert jobs["publish"]["strategy"]["matrix"] == {"image": [*get_args(Image)]}
    assert (jobs["publish"]["needs"], jobs["wheel"]["needs"]) == ("images", "publish")
    script = (ROOT / ".ci" / "release").read_text(encoding="utf-8")
    assert "--sbom=true --provenance=mode=max" in script
    assert 'cosign sign --yes --recursive "$image@$digest"' in script  # what is signed is the digest, not the name


@pytest.mark.parametrize("tag", ["", "main", "v0.0.0", f"{__version__}", f"v{__version__}.1"])
def test_a_release_of_another_version_than_the_compiled_yaml_names_is_refused(tag: str) -> None:
    done = subprocess.run(
        ["bash", ".ci/release", "wheel"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "GITHUB_REF_NAME": tag},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert (
        done.stderr
        == f"the tag is '{tag}', but src/kubeline/__init__.py has version {__version__}; tag v{__version__}\n"
    )


def test_the_documentation_is_built_in_ci() -> None:
    assert "\nmake docs\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_locked_packages_are_audited_in_ci() -> None:
    assert "make audit" in {step.get("run", "") for file in WORKFLOWS for step in steps(file)}
