"""The compiled pipeline `batch_prediction`, run as a user runs it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubeline.cli import main as kubeline
from kubeline.model_package import ModelPackage


@pytest.mark.slow
@pytest.mark.usefixtures("warm_steps")
def test_a_csv_file_is_predicted_by_two_steps_side_by_side_with_a_feature_of_another(
    flights: pd.DataFrame, package: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    today, route = flights.drop(columns=["late"]).head(300), ["origin", "dest"]
    today.drop(columns=["distance"]).to_csv(tmp_path / "today.csv", index=False)
    routes = flights[[*route, "distance"]].drop_duplicates(route).assign(since=pd.Timestamp("2012-12-01 06:00"))
    routes.to_csv(tmp_path / "routes.csv", index=False)
    features = [{"source": str(tmp_path / "routes.csv"), "keys": route, "time": "since"}]
    values = {
        "data": str(tmp_path / "today.csv"),
        "model": package.path,
        "source": json.dumps({"time": "departure", "features": features}),
        "destination": str(tmp_path / "out"),
        "keep": '["departure"]',
        "shards": '["1/2", "2/2"]',
    }
    pairs = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    assert kubeline(["run", "batch_prediction", *pairs, "--output", str(tmp_path / "runs")]) == 0
    reported = [
        json.loads((tmp_path / "out" / f"_predictions-{n}-of-2.json").read_text(encoding="utf-8")) for n in (1, 2)
    ]
    assert [one["rows"] for one in reported] == [300, 0]
    found = pd.read_parquet(tmp_path / "out")
    assert found["departure"].tolist() == flights["departure"].head(300).tolist()
    predicted = ModelPackage.of(package).predictor().predict(today)
    assert found["output.prediction"].tolist() == predicted.values.tolist()
    assert "rows 300" in capsys.readouterr().out
