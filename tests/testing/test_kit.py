"""The kit for tests of one's own components does what its page shows, by the tests on that page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from kfp import dsl

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.testing import (
    ComponentFailedError,
    embedded_kserve,
    interface_of,
    lint_findings,
    make_dataset,
    make_package,
    run_component,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"


@dsl.component(base_image="example.com/python:1", install_kfp_package=False)
def parted(table: dsl.Input[dsl.Dataset], head: dsl.Output[dsl.Dataset], words: dict = {}) -> list:  # type: ignore[type-arg] # noqa: B006
    """Write something beside a list, and fail without words."""
    from pathlib import Path

    if not words:
        raise KeyError("no words were given")
    Path(head.path).write_text(str(table.metadata["rows"]))
    return sorted(words)


def test_the_tests_on_the_page_pass(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [name for name, _ in blocks] == ["count_late.py", "test_count_late.py"]
    for name, text in blocks:
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        # without that of the cluster, which takes a minute on a busy machine, and has a room of tests of its own
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            "-k",
            "not service",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"\b3 passed", done.stdout), done.stdout + done.stderr


def test_a_component_of_others_has_its_outputs_or_its_failure(tmp_path: Path) -> None:
    table = make_dataset(tmp_path, pd.DataFrame({"x": [1, 2, 3]}))
    before = dict(os.environ)
    outputs = run_component(parted, tmp_path / "run", table=table, words={"b": 1, "a": 2})
    assert outputs["Output"] == ["a", "b"]
    assert Path(outputs["head"].path).read_text() == "3.0"  # KFP hands on numbers of metadata so
    with pytest.raises(ComponentFailedError, match=r"^KeyError: 'no words were given'$"):
        run_component(parted, tmp_path / "run", table=table)
    assert dict(os.environ) == before


def test_a_package_is_a_real_one(tmp_path: Path) -> None:
    rows = pd.DataFrame({"distance": range(-50, 50), "y": ["early"] * 50 + ["late"] * 50})
    package = ModelPackage.of(make_package(tmp_path, rows, "y"))
    assert package.predictor(1).predict(pd.DataFrame({"distance": [-40, 40]})).values.tolist() == ["early", "late"]


def test_an_interface_is_that_of_the_compiled_yaml() -> None:
    components = ROOT / "components"
    assert interface_of(components / "split" / "component.yaml")["outputs"]["train"] == "system.Dataset"
    assert interface_of(parted) == {
        "inputs": {"table": "system.Dataset", "words": "STRUCT"},
        "outputs": {"Output": "LIST", "head": "system.Dataset"},
        "required": ["table"],
    }


def test_a_component_that_installs_something_at_its_start_is_found() -> None:
    @dsl.component(base_image="example.com/python:latest", packages_to_install=["x==1"], install_kfp_package=False)
    def slow() -> None:
        """Start slowly."""

    found = " ".join(lint_findings(slow))
    assert "[runtime-install]" in found
    assert "[mutable-tag]" in found
    of_a_file = lint_findings(ROOT / "pipelines" / "training" / "kubeflow.yaml")
    assert of_a_file
    assert all(one.startswith("[retries]") for one in of_a_file)


def test_without_the_embedded_kserve_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_kserve", None)
    with pytest.raises(UserError, match="embedded_kserve is not installed"):
        embedded_kserve(tmp_path)
