"""The pages of a run and of all runs say how each ended, of what model, by what figure, and how long it took."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubeline.cli import main
from kubeline.decision import deciding
from kubeline.errors import UserError
from kubeline.local.graph import Box, dependencies, drawing
from kubeline.local.overview import LATEST, write_overview
from kubeline.local.result import DecidingFigure, RunResult, concluded
from kubeline.local.runner import Run
from kubeline.local.steps import duration
from kubeline.local.summary import outputs, write_page
from kubeline.local.tasks import Output
from kubeline.model_package.blessing import Blessing, require
from kubeline.resources import pipeline_file
from kubeline.yaml_files import first_document
from tests.support.artifacts import make_artifact
from tests.support.hostile_names import NAMES, alive


def _output(folder: Path, task: str, metadata: dict[str, Any], document: dict[str, Any] | None = None) -> Output:
    path = folder / task
    path.write_text(json.dumps(document or {}), encoding="utf-8")
    return Output(task, task, "blessing", path, metadata, "Artifact")


@pytest.mark.parametrize(
    ("decisions", "word", "tone"),
    [
        ([{"verdict": "promote"}, {"outcome": "promoted"}], "promoted", "good"),
        ([{"verdict": "hold"}], "held", "warn"),
        ([{"verdict": "promote"}, {"outcome": "rolled_back"}], "rolled back", "bad"),
        ([{"verdict": "drift"}], "drifted", "bad"),
        ([{"verdict": "inconclusive"}], "inconclusive", "warn"),
        ([{"verdict": "stable"}], "stable", "good"),
        ([{"verdict": "hold"}, {"verdict": "promote"}], "held", "warn"),
        ([], "succeeded", "good"),
    ],
)
def test_a_run_is_called_by_its_verdict(tmp_path: Path, decisions: list[dict[str, Any]], word: str, tone: str) -> None:
    made = [_output(tmp_path, f"t{n}", one, {"reasons": ["why"]}) for n, one in enumerate(decisions)]
    result = concluded(RunResult("training", succeeded=True), made, {})
    assert (result.word, result.tone) == (word, tone)
    assert not decisions or "why" in result.sentence


def test_a_failed_run_begins_with_its_sentence(tmp_path: Path) -> None:
    made = [_output(tmp_path, "evaluate", {"verdict": "promote"})]
    result = concluded(RunResult("training", succeeded=False, reason="load: no such file"), made, {})
    assert (result.word, result.tone, result.sentence) == ("failed", "bad", "load: no such file")


def test_a_run_whose_model_was_held_is_called_so_although_the_step_behind_the_check_refused_it(tmp_path: Path) -> None:
    made = [
        _output(tmp_path, "evaluate", {"verdict": "promote"}),
        _output(tmp_path, "infra-validate", {"verdict": "hold"}, {"reasons": ["it answers too late"]}),
    ]
    blessing, reasons = make_artifact(tmp_path, "Artifact", "blessing"), ["it answers too late"]
    Blessing(check="infra_validation", verdict="hold", package_digest="0" * 64, reasons=reasons).write(blessing)
    with pytest.raises(UserError) as refused:
        require(blessing, "infra_validation", "0" * 64)
    result = concluded(RunResult("training", succeeded=False, reason=f"register: {refused.value}"), made, {})
    assert (result.word, result.tone, result.sentence) == ("held", "warn", "infra-validate: it answers too late")
    other = concluded(RunResult("training", succeeded=False, reason="register: no registry answers"), made, {})
    assert (other.word, other.tone) == ("failed", "bad")


def test_a_result_names_the_model_the_deciding_figure_with_its_interval_and_what_serves(tmp_path: Path) -> None:
    evidence = {"metric": "roc_auc", "metrics": {"roc_auc": {"value": 0.7, "lower": 0.6, "upper": 0.8}}}
    made = [
        _output(tmp_path, "evaluate", {"verdict": "promote", "check": "evaluation"}, {"evidence": evidence}),
        _output(tmp_path, "register", {"uri": "models:/flights/3"}),
        _output(tmp_path, "rollout", {"outcome": "promoted"}, {"reason": "it serves"}),
    ]
    result = concluded(RunResult("training", succeeded=True, started=1.0, seconds=2.0), made, {"name": "flights"})
    assert (result.model, result.serves, str(result.estimate)) == (
        "flights",
        "models:/flights/3",
        "roc_auc 0.7 [0.6, 0.8]",
    )
    result.write(tmp_path)
    assert RunResult.read(tmp_path / "result.json") == result
    assert (tmp_path / "result.json").stat().st_mode & 0o777 == 0o600


def test_a_result_of_an_earlier_version_is_still_shown(tmp_path: Path) -> None:
    folder = tmp_path / "training-1"
    folder.mkdir()
    (folder / "result.json").write_text('{"pipeline": "training", "succeeded": false, "reason": "load: gone"}')
    page = write_overview(tmp_path).read_text(encoding="utf-8")
    assert "failed</strong>" in page
    assert "load: gone" in page


def test_thousands_of_runs_are_grouped_and_stay_below_a_megabyte(tmp_path: Path) -> None:
    for number in range(2_500):
        folder = tmp_path / f"training-{number}"
        folder.mkdir()
        model = f"model-{number % 2}"
        estimate = DecidingFigure("roc_auc", 0.6 + number % 7 / 100, 0.55, 0.7)
        serves = f"models:/{model}/1" if number < 2 else ""
        RunResult(
            "training", succeeded=True, verdict="held", sentence="x" * 400, model=model, serves=serves,
            estimate=estimate, started=1e9 + number, seconds=75.0,
        ).write(folder)  # fmt: skip
    page = write_overview(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 100_000
    assert text.count("held</strong>") == 2 * LATEST
    assert "roc_auc 0.6" in text
    assert "[0.55, 0.7]" in text
    assert "1\u00a0min\u00a015\u00a0s" in text
    assert "<polyline" in text
    assert "models:/model-1/1 was brought to serving last" in text
    history = sorted((tmp_path / "history").glob("*.html"))
    assert len(history) == 6
    assert max(file.stat().st_size for file in history) < 1_000_000
    assert sum(file.read_text(encoding="utf-8").count("held</strong>") for file in history) == 2_500
    assert 'href="history/training-of-model-0-1.html"' in text
    stamps = {file: file.stat().st_mtime_ns for file in history}
    RunResult("training", succeeded=True, model="model-1", started=2e9).write(tmp_path / "training-1")
    write_overview(tmp_path)  # of the other model nothing is new, so its pages are not written again
    again = {file for file in history if file.stat().st_mtime_ns != stamps[file]}
    assert again == {file for file in history if "model-1" in file.name}


def test_groups_whose_names_differ_in_odd_characters_alone_have_pages_of_their_own(tmp_path: Path) -> None:
    models = ["a/b", "a?b", "x" * 200, "x" * 201]
    for number in range(len(models) * (LATEST + 1)):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        RunResult("training", succeeded=True, model=models[number % len(models)], started=1e9).write(folder)
    page = write_overview(tmp_path).read_text(encoding="utf-8")
    pages = sorted(file.name for file in (tmp_path / "history").glob("*.html"))
    assert len(pages) == len(models)
    assert all(f'href="history/{name}"' in page for name in pages)


def test_names_and_sentences_on_the_page_of_all_runs_are_words(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        RunResult(name, succeeded=True, verdict=name, sentence=name, model=name, serves=name).write(folder)
    page = write_overview(tmp_path).read_text(encoding="utf-8")
    assert alive(page) == []
    assert not set(page) & {"\x1b", "\u202e"}


def test_a_graph_takes_tasks_out_of_their_groups_and_keeps_what_they_wait_for(toy: Path) -> None:
    waits = dependencies(first_document(pipeline_file("training"), "pipeline file"))
    assert waits["evaluate"] == {"train"}
    assert waits["infra-validate"] == {"evaluate"}
    assert "deploy" in waits["rollout"]
    assert dependencies(first_document(toy, "pipeline file")) == {
        "make": set(),
        "judge": {"make"},
        "celebrate": {"judge"},
        "tell": {"celebrate"},
    }


def test_boxes_of_a_loop_stand_side_by_side_and_words_are_escaped() -> None:
    drawn = drawing({"a": set(), "b": {"a"}}, {"a": [Box("a 0", tone="good"), Box("a 1")], "b": [Box(NAMES[0])]})
    assert drawn.count("<rect") == 3
    assert drawn.count("<path") == 2
    assert alive(drawn) == []


def test_the_decision_that_shows_how_a_run_ended_is_the_last_doubtful_one() -> None:
    assert deciding(["promote", "hold", "promote"], str) == "hold"
    assert deciding(["promote", "promoted"], str) == "promoted"
    assert deciding([], str) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (7_500, "2 h 5 min")]
)
def test_durations_are_in_the_readers_form(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_run_whose_steps_never_began_has_a_page(toy: Path, tmp_path: Path) -> None:
    run = Run("toy", tmp_path, succeeded=False, reason="the pipeline cannot be read")
    (tmp_path / "arguments.json").write_text('{"limit": 7}', encoding="utf-8")
    run.result(0.5).write(tmp_path)
    page = write_page(run, outputs(run, toy), toy).read_text(encoding="utf-8")
    assert page.index("the pipeline cannot be read") < page.index("No step began.")


def test_the_terminal_lists_what_the_page_of_all_runs_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimate = DecidingFigure("roc_auc", 0.7, 0.6, 0.8)
    for number, (verdict, sentence, serves) in enumerate(
        [("promoted", "it serves", "models:/flights/3"), ("failed", "load: no such file \x1b[31m [bold]", "")]
    ):
        folder = tmp_path / f"training-{number}"
        folder.mkdir()
        RunResult(
            "training", succeeded=verdict != "failed", verdict=verdict, sentence=sentence, model="flights",
            serves=serves, estimate=estimate if serves else None, started=1e9 + number, seconds=75.0,
        ).write(folder)  # fmt: skip
    listing = ["runs", "--to", "here", "--output", str(tmp_path)]
    assert main(listing) == 0
    printed = capsys.readouterr().out
    for words in (
        "training of flights, 2 runs",
        "models:/flights/3 was brought to serving last",
        "1 min 15 s",
        "promoted",
        "roc_auc 0.7 [0.6, 0.8]",
        "it serves",
        "load: no such file \\x1b[31m [bold]",
    ):
        assert words in printed, words
    assert main([*listing, "--failed", "--limit", "1"]) == 0
    assert "promoted" not in capsys.readouterr().out
    assert main([*listing, "training-0"]) == 0
    assert "promoted roc_auc 0.7 [0.6, 0.8]; it serves" in capsys.readouterr().out
    assert main([*listing, "training-1"]) == 1
    assert main([*listing, "training-2"]) == 2
    assert "there is no run 'training-2'" in capsys.readouterr().err
    assert main(["runs", "--to", "here", "--output", str(tmp_path / "none")]) == 2
