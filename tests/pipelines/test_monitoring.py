"""The compiled pipeline `monitoring`, as its platforms run it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from components.drift_check.component import drift_check
from kubeline.local import runner
from kubeline.local.parameters import check
from kubeline.resources import Platform, pipeline_file
from tests.support.artifacts import make_artifact, make_dataset


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


def checked(folder: Path, model: Any, rows: pd.DataFrame, end: datetime, history: str) -> None:
    """A check of the 24 hours before `end`, which leaves their profile in the history."""
    window = make_dataset(folder, rows, "before")
    window.metadata["window"] = f"{(end - timedelta(days=1)).isoformat()}/{end.isoformat()}"
    kinds = {"result": "Artifact", "metrics": "Metrics", "report": "HTML", "evidently_report": "HTML"}
    outputs = {name: make_artifact(folder, kind, name) for name, kind in kinds.items()}
    drift_check.python_func(window, **outputs, model=model, history=history, evidently=False)


def test_on_vertex_the_window_ends_when_the_schedule_had_the_run_due_and_is_compared_with_a_season_before(
    tmp_path: Path, flights: pd.DataFrame, package: Any
) -> None:
    """That is when the run is made. Only the distance of the flights is not as it was three days before."""
    now = datetime.now(UTC)
    ages = [timedelta(minutes=30) if number % 2 else timedelta(days=3) for number in range(1_000)]
    log = pd.DataFrame(flights.head(1_000)).assign(**{"request.time": [now - age for age in ages]})
    history = str(tmp_path / "history")
    checked(tmp_path, package, log[::2], now - timedelta(days=3) + timedelta(minutes=1), history)
    log.loc[log.index[1::2], "distance"] += 1_000
    log.to_parquet(tmp_path / "log.parquet", index=False)

    drift = {"drift": {"evidently": False, "references": ["3d"]}, "history": history, "alarm": {"needed": 1}}
    data = str(tmp_path / "log.parquet")
    result = monitored(tmp_path, "vertex", data=data, reference=package.path, length="24h", **drift)
    assert result["window"]["rows"] == result["current_rows"] == 500
    since, until = (datetime.fromisoformat(moment) for moment in result["window"]["window"].split("/"))
    assert until - since == timedelta(days=1)
    assert now - timedelta(seconds=1) <= until <= datetime.now(UTC)
    verdicts = {column["name"]: column["verdict"] for column in result["columns"]}
    assert result["verdict"] == "drift"
    assert [name for name, verdict in verdicts.items() if verdict == "drift"] == ["distance"]
    assert verdicts["month"] == verdicts["temp"] == "expected"
    assert result["further"][0]["reference"].startswith("the window 3d earlier")
    assert result["alarm"]["verdict"] == "alarm"
    assert result["alarm"]["at"] == until.isoformat()
