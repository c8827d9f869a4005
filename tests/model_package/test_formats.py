"""A package says its format; who reads which, and what is said of the others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.deploy.component import deploy
from components.infra_validate.component import infra_validate
from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from tests.support.artifacts import make_artifact
from tests.support.blessed_packages import blessed
from tests.support.handmade_packages import make_format_1
from tests.support.packages import ROWS, write_tiny_package
from tests.support.server_process import serve

UNSERVED = r"has format 1, but servers of this version read format 2, which has serving\.onnx; train the model again"


def test_a_written_package_says_its_format(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    assert json.loads((package.path / "manifest.json").read_text())["format"] == 2


@pytest.mark.parametrize("number", [0, 3, -1, "2", 2.0, True, None, [2]])
def test_a_package_of_another_format_is_refused_by_its_number_before_anything_else_is_believed(
    number: Any, tmp_path: Path
) -> None:
    folder = write_tiny_package(tmp_path / "package").path
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": number, "of the future": 1}))
    with pytest.raises(UserError) as error:
        ModelPackage.open(folder)
    assert f"has format {number}, but this version of Kubeline reads the formats 1, 2; use the" in str(error.value)


def test_a_file_of_the_second_format_in_a_package_of_the_first_is_a_stranger(tmp_path: Path) -> None:
    folder = write_tiny_package(tmp_path / "package").path
    serving = (folder / "serving.onnx").read_bytes()
    make_format_1(folder)
    (folder / "serving.onnx").write_bytes(serving)
    with pytest.raises(UserError, match=r"holds serving\.onnx, which its manifest does not name"):
        ModelPackage.open(folder)


def test_the_first_format_answers_by_its_portable_form(tmp_path: Path) -> None:
    folder = write_tiny_package(tmp_path / "package").path
    expected = ModelPackage.open(folder).predictor().predict(ROWS)
    make_format_1(folder)
    found = ModelPackage.open(folder).predictor().predict(ROWS)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_a_server_refuses_the_first_format_in_a_sentence(tmp_path: Path) -> None:
    folder = write_tiny_package(tmp_path / "package").path
    make_format_1(folder)
    ended = serve(folder)
    assert ended.returncode == 2
    (sentence,) = ended.stderr.strip().splitlines()
    assert "has format 1, but servers of this version read format 2" in sentence


def test_no_server_is_started_for_the_first_format_and_no_manifest_rendered(tmp_path: Path) -> None:
    given = blessed(tmp_path)
    make_format_1(Path(given.model.path))
    given.model.metadata["package_digest"] = ModelPackage.open(given.model.path).digest
    with pytest.raises(UserError, match=UNSERVED):
        infra_validate.python_func(
            model=given.model,
            blessing=make_artifact(tmp_path, "Artifact", "blessing"),
            metrics=make_artifact(tmp_path, "Metrics", "metrics"),
            report=make_artifact(tmp_path, "HTML", "report"),
        )
    with pytest.raises(UserError, match=UNSERVED):
        deploy.python_func(
            model=given.model,
            evaluation=given.evaluation,
            infra_validation=given.infra_validation,
            manifest=make_artifact(tmp_path, "Artifact", "manifest"),
            name="flights",
        )
