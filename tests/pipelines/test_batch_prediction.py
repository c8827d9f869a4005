"""The compiled pipeline `batch_prediction`, run as a user runs it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubeline.cli import main as kubeline


@pytest.mark.slow
def test_a_csv_file_is_predicted_by_two_steps_side_by_side(
    flights: pd.DataFrame, package: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flights.drop(columns=["late"]).head(300).to_csv(tmp_path / "today.csv", index=False)
    values = {
        "data": str(tmp_path / "today.csv"),
        "model": package.path,
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
    assert found["output.prediction"].isin(["True", "False"]).all()
    assert "rows 300" in capsys.readouterr().out
