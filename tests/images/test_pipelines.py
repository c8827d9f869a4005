"""The whole pipelines, as they are compiled, in what the images hold."""

import json
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

import embedded_kserve
from kubeline.registry import open_registry
from tests.images import pipeline
from tests.images.environments import Environment, another_user, places


@pytest.mark.slow
def test_training_with_a_rollout_monitoring_and_batch_prediction_run_in_the_images(
    images: dict[str, Environment], place: Path, flights: pd.DataFrame
) -> None:
    where = places(images, place / "places.json")
    root = place / "runs"
    tracking = f"sqlite:///{root / 'mlflow.db'}"
    with embedded_kserve.start(place / "kserve") as cluster:
        plan = {"bootstrap": "direct", "poll_seconds": 0.1, "verify_seconds": 0}
        on_cluster = {"cluster": str(cluster.kubeconfig), "gateway": cluster.gateway_url, "plan": plan}
        arguments = pipeline.training_arguments(flights, root, tracking_uri=tracking, **on_cluster)
        training = pipeline.run("training", arguments, where, root, another_user())
    (decision,) = place.rglob("rollout/decision")
    assert json.loads(decision.read_text())["outcome"] == "promoted"
    champion = open_registry(tracking).find("flights", alias="champion")
    assert champion is not None
    manifest = json.loads(next(root.rglob("model/manifest.json")).read_text())
    assert manifest["versions"]["kubeline"] == version("kubeline")

    window = {"data": arguments["data"], "reference": "models:/flights@champion", "tracking_uri": tracking}
    monitoring = pipeline.run("monitoring", window, where, root, another_user())
    assert len(list(place.rglob("drift-check/executor_output.json"))) == 1

    batch = {"data": arguments["data"], "model": window["reference"], "tracking_uri": tracking}
    prediction = pipeline.run(
        "batch_prediction", batch | {"destination": str(root / "out")}, where, root, another_user()
    )
    assert json.loads((root / "out" / "_predictions-1-of-1.json").read_text())["rows"] == len(flights)

    assert "training flights succeeded (rollout: promoted)" in training  # what notify says
    for step in (
        "evaluate: promote (",
        "infra-validate: promote (",
        "register: models:/flights/1",
        "rollout: promoted (",
    ):
        assert f"Decided: {step}" in training
    assert "Decided: drift-check: " in monitoring
    for log in (training, monitoring, prediction):
        assert "font cache" not in log
        assert "not a writable directory" not in log
        assert "Permission denied" not in log
