"""The public surface: what docs/python-api.md lists is there, is documented, and is all that the examples use."""

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
PUBLIC = re.findall(r"^\| `(kubeline[\w.]*)` \|", PAGE, re.MULTILINE)
STATED = [name for name in PUBLIC if name != "kubeline.components"]


def taken_from_kubeline(file: Path) -> list[tuple[str, str]]:
    """The package and the name of everything that a file imports from the library."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    found = [(name, "") for name in plain if name.partition(".")[0] == "kubeline"]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "kubeline":
            found += [(str(node.module), alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("package", STATED)
def test_a_public_package_has_and_documents_every_name_that_it_states(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        assert value.__doc__ or not isinstance(value, type | FunctionType), name


def test_the_reference_has_every_name_that_a_public_package_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    entries = list(importlib.import_module("reference").names())
    found = {(entry["package"], entry["name"]) for entry in entries}
    stated = {(package, name) for package in STATED for name in importlib.import_module(package).__all__}
    assert stated - found == set()
    assert [entry["name"] for entry in entries if not entry["doc"] and entry["kind"] != "property"] == []
    assert ("kubeline.registry", "ModelVersion.uri") in found


def test_names_of_the_page_are_stated_by_their_package() -> None:
    for package, text in re.findall(r"^\| `(kubeline[\w.]*)` \| (.*) \|$", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", text):
            assert name in importlib.import_module(package).__all__, f"{package}.{name}"


def test_a_name_that_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"module 'kubeline\.rollout' has no attribute 'RollOut'"):
        _ = importlib.import_module("kubeline.rollout").RollOut


def test_every_component_is_a_name_of_the_package_of_components() -> None:
    package = importlib.import_module("kubeline.components")
    folders = {file.parent.name for file in (ROOT / "components").glob("*/component.yaml")}
    assert {*package.__all__} == {*dir(package)} == folders
    assert all(getattr(package, name).name == name.replace("_", "-") for name in folders)


def test_the_examples_use_the_public_surface_alone() -> None:
    taken = [(file.name, *each) for file in (ROOT / "examples").rglob("*.py") for each in taken_from_kubeline(file)]
    assert len(taken) > 15
    for file, package, name in taken:
        assert package in PUBLIC, f"{file} imports {package}"
        assert name in importlib.import_module(package).__all__, f"{file} imports {package}.{name}"


def test_kubeline_loads_no_library_before_a_name_is_asked_for() -> None:
    """``import kubeline`` brings modules of its own alone; an error brings no library of tables."""
    code = (
        "import json, sys; before = set(sys.modules); import kubeline; found = [sorted(set(sys.modules) - before)]\n"
        "kubeline.UserError; found.append(sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    alone, after = json.loads(done.stdout)
    assert {name.partition(".")[0] for name in alone} - sys.stdlib_module_names == {"kubeline"}
    assert {name for name in alone if name.startswith("kubeline.")} == {"kubeline.lazy"}
    assert not {"numpy", "pandas", "pyarrow", "kfp", "pydantic"} & set(after)
