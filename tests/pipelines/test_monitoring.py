"""The compiled pipeline `monitoring`, as its platforms run it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from kubeline.local import runner
from kubeline.local.parameters import check
from kubeline.resources import Platform, pipeline_file


def monitored(folder: Path, target: Platform, **parameters: Any) -> dict[str, Any]:
    """The result of the drift check, and the metadata of the window as `window`."""
    file = pipeline_file("monitoring", target)
    found = runner.run(file, "monitoring", check(file, parameters), folder / "runs", lambda _: None)
    assert found.succeeded, found.reason
    (loaded,) = found.folder.glob("**/load/executor_output.json")
    (artifact,) = json.loads(loaded.read_text())["artifacts"]["dataset"]["artifacts"]
    (result,) = found.folder.glob("**/drift-check/result")
    decided = [*found.folder.glob("**/alarm/decision")]
    (alarm,) = [json.loads(each.read_text()) for each in decided] or [None]
    return json.loads(result.read_text()) | {"window": artifact["metadata"], "alarm": alarm}


def test_on_vertex_the_window_ends_when_the_schedule_had_the_run_due(
    tmp_path: Path, flights: pd.DataFrame, package: Any
) -> None:
    """Here that is when the run is made."""
    now = datetime.now(UTC)
    ages = [timedelta(minutes=30) if number < 500 else timedelta(days=3) for number in range(1_000)]
    pd.DataFrame(flights.head(1_000)).assign(**{"request.time": [now - age for age in ages]}).to_parquet(
        tmp_path / "log.parquet", index=False
    )
    data = str(tmp_path / "log.parquet")
    alarm = {"drift": {"evidently": False}, "history": str(tmp_path / "history"), "alarm": {"needed": 1}}
    result = monitored(tmp_path, "vertex", data=data, reference=package.path, length="24h", **alarm)
    assert result["window"]["rows"] == result["current_rows"] == 500
    since, until = (datetime.fromisoformat(moment) for moment in result["window"]["window"].split("/"))
    assert until - since == timedelta(days=1)
    assert now - timedelta(seconds=1) <= until <= datetime.now(UTC)
    assert result["verdict"] == "drift"  # of half a thousand flights of the first days of the year
    assert result["alarm"]["verdict"] == "alarm"
    assert result["alarm"]["at"] == until.isoformat()
