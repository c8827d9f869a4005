"""From a served model by its payload log to a verdict on drift: the real server, the real components."""

import http.client
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.drift_check.component import drift_check
from components.load.component import load
from kubeline.data.dataset import read_frame
from kubeline.model_package import ModelPackage
from kubeline.ports import free_ports
from tests.support.artifacts import make_artifact

OUTPUTS = {"result": "Artifact", "metrics": "Metrics", "report": "HTML", "evidently_report": "HTML"}


def check(folder: Path, current: Any, model: Any) -> tuple[str, dict[str, Any]]:
    """The verdict and the whole result."""
    outputs = {name: make_artifact(folder, kind, name) for name, kind in OUTPUTS.items()}
    found = drift_check.python_func(current, **outputs, model=model, exclude=["month"], evidently=False, min_auc=1)
    return found.verdict, json.loads(Path(outputs["result"].path).read_text())


def serve_rows(package: ModelPackage, log: Path, frames: list[pd.DataFrame]) -> None:
    """Ask a real server for these rows, a hundred at a time, and end it."""
    (port,) = free_ports(1)
    options = ["--model_name", "flights", "--http_port", str(port), "--enable_grpc", "false", "--payload_log", str(log)]
    command = [sys.executable, "-m", "kubeline_serving", "--model_dir", str(package.path), *options]
    with subprocess.Popen(command) as server:
        while not listens(port):
            assert server.poll() is None
            time.sleep(0.05)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for frame in frames:
            body = json.dumps({"instances": json.loads(frame[package.signature.names].to_json(orient="records"))})
            connection.request("POST", "/v1/models/flights:predict", body)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()
        server.terminate()
        assert server.wait(240) == 0


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def window(folder: Path, log: Path, **parameters: Any) -> Any:
    current = make_artifact(folder, "Dataset", "window")
    load.python_func(source=str(log), dataset=current, **parameters)
    return current


@pytest.mark.slow
def test_served_rows_are_stable_when_like_the_training_and_drift_when_shifted(
    tmp_path: Path, flights: pd.DataFrame, package: Any
) -> None:
    opened = ModelPackage.open(package.path)
    like = flights.head(4_000).sample(1_500, random_state=0)
    shifted = like.assign(temp=like["temp"] + 25)
    verdicts = {}
    for name, frame in (("like", like), ("shifted", shifted)):
        serve_rows(opened, tmp_path / name, [frame.iloc[start : start + 100] for start in range(0, 1_500, 100)])
        current = window(tmp_path / f"{name} window", tmp_path / name, length="1h")
        verdicts[name], result = check(tmp_path / f"{name} check", current, package)
        assert result["current_rows"] == 1_500
        assert result["not_in_reference"] == []
        assert [each["name"] for each in result["predictions"]] == ["probability.True"]
    assert verdicts == {"like": "stable", "shifted": "drift"}


def test_predictions_are_those_that_were_logged_when_the_same_version_gave_them(
    tmp_path: Path, flights: pd.DataFrame, package: Any, dataset: Any
) -> None:
    opened = ModelPackage.open(package.path)
    frame = flights.head(4_000).sample(1_000, random_state=0)
    answers = opened.predictor().predict(frame)
    logged = frame.drop(columns=["late", "departure"]).assign(
        **{
            "request.id": "r",
            "model.version": opened.digest[:12],
            "output.prediction": answers.values,
            "output.probability.False": 1 - answers.probabilities[:, 1] / 3,
            "output.probability.True": answers.probabilities[:, 1] / 3,  # not what the model answers
        }
    )
    effects = {}
    for name, version in (("same", opened.digest[:12]), ("other", "0" * 12)):
        current = dataset(logged.assign(**{"model.version": version}), name)
        verdict, result = check(tmp_path / name, current, package)
        effects[name] = result["predictions"][0]["effect"]
        assert (verdict == "drift") == (name == "same")
        assert result["not_in_reference"] == []
    assert effects["other"] < 0.1 < effects["same"]


def test_rows_of_a_log_keep_their_types(tmp_path: Path, flights: pd.DataFrame, package: Any) -> None:
    opened = ModelPackage.open(package.path)
    frame = flights.head(20)
    serve_rows(opened, tmp_path / "log", [frame])
    found = read_frame(window(tmp_path / "window", tmp_path / "log").path)
    again = opened.predictor().predict(found)
    assert found["output.prediction"].tolist() == again.values.tolist()
    assert found["output.probability.True"].to_numpy() == pytest.approx(again.probabilities[:, 1], abs=1e-6)
    assert found["carrier"].tolist() == frame["carrier"].tolist()
