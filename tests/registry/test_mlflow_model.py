"""What is registered is one of MLflow's own models: MLflow loads and serves it, and it answers the golden rows."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc import scoring_server
from starlette.testclient import TestClient

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.registry import ModelVersion, Submission, fetch, open_registry
from tests.support.packages import Task, write_tiny_package


@pytest.fixture(autouse=True)
def _mlflow_knows_the_registry(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)


def registered(package: ModelPackage) -> ModelVersion:
    registry = open_registry()
    return registry.promote(registry.register(Submission("flights", package.path, package.digest)))


def folder_of(version: ModelVersion) -> Path:
    return Path(version.source.removeprefix("file://"))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_champion_that_mlflow_loads_answers_the_golden_rows_as_recorded(task: Task, tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package", task)
    registered(package)
    model = mlflow.pyfunc.load_model("models:/flights@champion")
    golden = package.golden()
    answers = model.predict(golden[package.signature.names])
    assert [f"expected.{name}" for name in answers] == [name for name in golden if name.startswith("expected.")]
    for name in answers:
        np.testing.assert_array_equal(answers[name], golden[f"expected.{name}"])


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_server_of_mlflow_answers_the_example_of_a_request_as_recorded(task: Task, tmp_path: Path) -> None:
    """The application that ``mlflow models serve`` starts; a missing boolean, text, number and time are in the rows."""
    package = write_tiny_package(tmp_path / "package", task)
    version = registered(package)
    request = json.loads((folder_of(version) / "serving_input_example.json").read_text())
    assert sum(value is None for row in request["dataframe_split"]["data"] for value in row) == 4
    client = TestClient(scoring_server.init(mlflow.pyfunc.load_model(version.uri)))
    answers = pd.DataFrame(client.post("/invocations", json=request).raise_for_status().json()["predictions"])
    golden = package.golden()
    for name in answers:
        np.testing.assert_array_equal(
            answers[name].astype(golden[f"expected.{name}"].dtype), golden[f"expected.{name}"]
        )


def test_what_the_model_answers_is_refused_by_no_type_of_mlflow(tmp_path: Path) -> None:
    """Whole numbers, booleans without a missing one, times with a zone, columns in another order and one more."""
    package = write_tiny_package(tmp_path / "package")
    registered(package)
    model = mlflow.pyfunc.load_model("models:/flights@champion")
    row: dict[str, Any] = {
        "more": [1],
        "departure": pd.to_datetime(["2013-01-01T07:00:00+01:00"]),
        "rush": [True],
        "carrier": ["AA"],
        "amount": pd.Series([2], dtype="int64"),
    }
    plain = {"amount": [2.0], "carrier": ["AA"], "rush": [1.0], "departure": pd.to_datetime(["2013-01-01T06:00:00"])}
    pd.testing.assert_frame_equal(model.predict(pd.DataFrame(row)), model.predict(pd.DataFrame(plain)))
    with pytest.raises(mlflow.MlflowException, match="amount"):
        model.predict(pd.DataFrame(row).drop(columns="amount"))


def test_the_package_is_the_same_to_the_byte_and_no_other_is_loaded_in_its_place(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    version = registered(package)
    found = fetch("models:/flights@champion")
    assert found == folder_of(version) / "package"
    assert ModelPackage.open(found).digest == package.digest
    assert mlflow.models.get_model_info(version.uri).metadata == {"package_digest": package.digest}
    other = write_tiny_package(tmp_path / "other", "multiclass")
    shutil.rmtree(found)
    shutil.copytree(other.path, found)
    with pytest.raises(UserError, match=f"is {other.digest[:12]}, but MLmodel says {package.digest[:12]}"):
        mlflow.pyfunc.load_model("models:/flights@champion")


def test_mlflow_shows_the_signature_the_example_and_what_it_needs(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    version = registered(package)
    model = mlflow.pyfunc.load_model(version.uri)
    assert model.metadata.signature.inputs.input_names() == ["amount", "carrier", "rush", "departure"]
    assert model.metadata.signature.outputs.input_names() == ["prediction", "probability.False", "probability.True"]
    assert model.input_example["carrier"].tolist() == ["AA", "UA", None, "never seen"]
    assert (folder_of(version) / "requirements.txt").read_text().startswith("kubeline==")
    graph = mlflow.onnx.load_model(version.uri).graph
    assert [each.name for each in graph.input] == package.signature.names


def test_registered_again_nothing_beside_the_package_changes(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    folder = folder_of(registered(package))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "MLmodel").unlink()
    registered(package)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
