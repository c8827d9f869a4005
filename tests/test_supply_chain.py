"""What runs in CI is what was looked at: actions are named by commit, and nothing is written by them but the site."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
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
def test_workflows_may_only_read_but_for_the_one_that_publishes_the_documentation_of_main(file: Path) -> None:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert document["permissions"] == {"contents": "read"}
    writing = {name: job["permissions"] for name, job in document["jobs"].items() if "permissions" in job}
    assert writing == ({"publish": {"contents": "write"}} if file.name == "docs.yml" else {})
    if writing:
        assert document[True] == {"push": {"branches": ["main"]}}  # `on` is a truth to YAML 1.1


def test_the_documentation_is_built_in_ci() -> None:
    assert "\nmake docs\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_locked_packages_are_audited_in_ci() -> None:
    assert "make audit" in {step.get("run", "") for file in WORKFLOWS for step in steps(file)}
