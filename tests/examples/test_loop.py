"""The closed loop against the embedded KServe, as the demo runs it: nobody is left without an answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from embedded_kserve import Mode
from examples.flights.loop import closed
from examples.flights.prepare import flights as all_flights
from kubeline.cli import main as kubeline
from kubeline.drift.performance import ROWS
from kubeline.registry import open_registry

LOOP = Path(__file__).parents[2] / "examples" / "flights"


def told(run: Path, step: str, name: str) -> dict[str, Any]:
    """A document that a step of a run has written."""
    (file,) = run.glob(f"*/{step}/{name}")
    document: dict[str, Any] = json.loads(file.read_text())
    return document


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["knative", "standard"])
def test_drift_of_a_served_model_is_found_and_answered_once_by_one_that_takes_over_its_users(
    mode: Mode, tmp_path: Path, warm_process: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode == "standard":  # what the two modes have in common is seen in steps that begin as those of users
        for name, value in warm_process.items():
            monkeypatch.setenv(name, value)
    table = all_flights().sample(24_000, random_state=0).sort_values("departure")
    months = [table[table["month"] == month] for month in range(1, 13)]
    runs = tmp_path / "runs"
    settings = ["gate.margin=0.2", "candidates=[{estimator: linear, params: {}}]"]  # so few flights tell little
    assert closed(Console(), runs, months, mode, asked=1_000, settings=settings) == 0

    checks = sorted(runs.glob("monitoring-*"))
    assert [told(run, "alarm", "decision")["verdict"] for run in checks][:2] == ["watch", "alarm"]
    for run in checks:
        found = told(run, "drift-check", "result")
        assert found["estimate"]["rows"] == found["current_rows"] >= 1_000
        assert found["performance"]["rows"] == min(found["current_rows"], ROWS)  # users ask for as long as a step takes
        assert "the same 'day' belong together" in found["performance"]["assumed"]
    (first,), (answer,) = runs.glob("training-*"), runs.glob("retraining-*")
    assert told(answer, "take-alarm", "decision")["at"] == "2013-12-01T00:00:00+00:00"
    assert told(answer, "evaluate", "blessing")["verdict"] == "promote"
    decisions = [told(run, "rollout", "decision") for run in (first, answer)]
    assert [(one["outcome"], one["mode"]) for one in decisions] == [("promoted", mode)] * 2
    (loaded,) = answer.glob("*/load/executor_output.json")
    (data,) = json.loads(loaded.read_text())["artifacts"]["dataset"]["artifacts"]
    assert data["metadata"]["rows"] == (table["departure"] < "2013-12-01").sum()
    page = next(runs.glob("loop-*/index.html")).read_text()
    assert "1970" not in (runs / "index.html").read_text()  # each run has its time
    assert ", 0 failed" in page
    assert "<script" not in page

    tracking = f"tracking_uri=sqlite:///{runs.absolute() / 'loop.db'}"
    champion = open_registry(tracking.partition("=")[2]).find("flights", alias="champion")
    assert champion is not None
    assert champion.version == "2"
    again = ["--params", str(LOOP / "loop-training.yaml"), "--set", tracking, "--set", f"data={runs / 'loop' / 'data'}"]
    again += ["--set", f"history={runs / 'loop' / 'history'}", "--output", str(runs)]
    assert kubeline(["run", "retraining", *again]) == 0
    (second,) = set(runs.glob("retraining-*")) - {answer}
    assert told(second, "take-alarm", "decision")["verdict"] == "quiet"
    assert not [*second.glob("*/load/*")]
