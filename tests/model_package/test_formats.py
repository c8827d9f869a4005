"""A package says its format, and what is said of others."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from tests.support.packages import write_tiny_package
from tests.support.server_process import serve


def test_a_written_package_says_its_format(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    assert json.loads((package.path / "manifest.json").read_text())["format"] == 3


@pytest.mark.parametrize("number", [0, 1, 2, 4, -1, "3", 3.0, True, None, [3]])
def test_a_package_of_another_format_is_refused_by_its_number_before_anything_else_is_believed(
    number: Any, tmp_path: Path
) -> None:
    folder = write_tiny_package(tmp_path / "package").path
    say_format(folder, number)
    with pytest.raises(UserError) as error:
        ModelPackage.open(folder)
    assert f"has format {number}, but this version of Kubeline reads format 3; use the" in str(error.value)


def test_a_server_refuses_another_format_in_a_sentence(tmp_path: Path) -> None:
    folder = write_tiny_package(tmp_path / "package").path
    say_format(folder, 1)
    ended = serve(folder)
    assert ended.returncode == 2
    (sentence,) = ended.stderr.strip().splitlines()
    assert "has format 1, but this version of Kubeline reads format 3" in sentence


def say_format(folder: Path, number: Any) -> None:
    """Let a manifest name a format, and a field that nobody knows."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": number, "of the future": 1}))
