"""Every component has what the Kubeflow project's catalog asks for, and can be written as it has it."""

import importlib.util
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from components import catalog
from kubeline.resources import names
from kubeline.testing import interface_of

ROOT = Path(__file__).parents[1]
# As its validate_metadata wants them: these fields first and in this order, then others that it knows.
REQUIRED = ["name", "stability", "dependencies", "lastVerified"]
OTHERS = {"tags", "ci", "links"}
VERSION = re.compile(r"(==|>=|<=|~=)?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def test_every_component_has_an_entry() -> None:
    assert [*catalog.ENTRIES] == names("components")


@pytest.mark.parametrize("name", catalog.ENTRIES)
def test_the_metadata_of_a_component_is_what_the_catalog_validates(name: str) -> None:
    document = yaml.safe_load(catalog.metadata(name, "https://example.com/kubeline"))
    assert [field for field in document if field not in OTHERS] == REQUIRED
    assert {*document} <= {*REQUIRED, *OTHERS}
    assert (document["name"], document["stability"]) == (name, "alpha")
    dependencies = document["dependencies"]
    assert {*dependencies} <= {"kubeflow", "external_services"}
    assert [one["name"] for one in dependencies["kubeflow"]] == ["Pipelines"]
    for one in (one for kind in dependencies.values() for one in kind):
        assert VERSION.fullmatch(one["version"])
    assert isinstance(document["lastVerified"], datetime)
    assert document["lastVerified"].astimezone(UTC).isoformat() == "2026-11-29T00:00:00+00:00"
    assert all(isinstance(tag, str) for tag in document["tags"])
    assert document["ci"] == {"skip_dependency_probe": False}
    owners = (ROOT / "components" / name / "OWNERS").read_text(encoding="utf-8")
    assert yaml.safe_load(owners) == {"approvers": ["kubeline-maintainers"]}


def test_a_component_as_the_catalog_has_it_stands_alone_and_is_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "components.catalog", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"wrote {tmp_path}/components/training/train" in done.stdout
    folders = sorted(file.parent for file in tmp_path.rglob("metadata.yaml"))
    assert len(folders) == len(catalog.ENTRIES)
    for folder in folders:
        source = (folder / "component.py").read_text(encoding="utf-8")
        assert "components.images" not in source
        module = importlib.util.spec_from_file_location(f"catalog_{folder.name}", folder / "component.py")
        assert module is not None
        assert module.loader is not None
        loaded = importlib.util.module_from_spec(module)
        module.loader.exec_module(loaded)
        ours = interface_of(ROOT / "components" / folder.name / "component.yaml")
        assert interface_of(getattr(loaded, folder.name)) == ours
