"""Two runs beside each other: what differs is shown, whatever the names, and what is alike is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubeline.cli import main
from kubeline.local.result import DecidingFigure, RunResult

HOSTILE = "<script>alert(1)</script>"


def recorded(folder: Path, parameters: dict[str, Any], artifacts: dict[str, dict[str, Any]]) -> Path:
    """A run as `kubeline run` leaves it: what was given, how it ended, and what its tasks wrote of themselves."""
    folder.mkdir(parents=True)
    (folder / "arguments.json").write_text(json.dumps(parameters))
    estimate = DecidingFigure("roc_auc", 0.7, 0.6, 0.8)
    RunResult("training", True, verdict="promote", sentence="registered", estimate=estimate, started=1e9).write(folder)
    for place, metadata in artifacts.items():
        task, name = place.split(".")
        file = folder / "root" / task / "executor_output.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"artifacts": {name: {"artifacts": [{"uri": "x", "metadata": metadata}]}}}))
    (folder / "reports").mkdir()
    (folder / "reports" / "evaluate-report.html").write_text("a page")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    data = {"rows": 569.0, "fingerprint": "a" * 64}
    metrics = {"roc_auc": 0.7, "roc_auc_lower": 0.6, "roc_auc_upper": 0.8, "rows": 100}
    first = {"data": "my.csv", "seed": 0, "training": {"folds": 5, "task": "auto"}}
    second = {"data": "my.csv", "seed": 1, "training": {"folds": 3, "task": "auto"}, "name": HOSTILE}
    better = {**metrics, "roc_auc": 0.75, "brier": 0.1}
    folders = [
        recorded(tmp_path / "runs" / "one", first, {"load.dataset": data, "evaluate.metrics": metrics}),
        recorded(tmp_path / "runs" / "two", second, {"load.dataset": data, "evaluate.metrics": better}),
    ]
    return [str(folder) for folder in folders]


def test_what_differs_is_printed_and_nothing_else(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *runs]) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "A  one: promote roc_auc 0.7 [0.6, 0.8]",
        "B  two: promote roc_auc 0.7 [0.6, 0.8]",
        "   seed: 0 -> 1",
        "   training.folds: 5 -> 3",
        f"   name: – -> {HOSTILE}",
        "   evaluate: roc_auc: 0.7 [0.6, 0.8] -> 0.75 [0.6, 0.8]",
        "   evaluate: brier: – -> 0.1",
    ]
    assert main(["compare", runs[0], runs[0]]) == 0
    assert "   nothing differs\n" in capsys.readouterr().out


def test_the_page_shows_both_runs_and_runs_nothing(runs: list[str], tmp_path: Path) -> None:
    assert main(["compare", *runs]) == 0
    page = tmp_path / "runs" / "compared" / "one--two.html"
    text = page.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    for words in ("the same", "569", "+0.05", 'href="../one/reports/evaluate-report.html"', 'href="../two/index.html"'):
        assert words in text, words


def test_what_is_no_run_is_said_so(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", runs[0], str(tmp_path)]) == 2
    assert "is no run that has ended; give the folder of one" in capsys.readouterr().err
