"""An alarm is answered once: of runs that meet by one of them, and never by a model that is not its own."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

from components.take_alarm.component import take_alarm
from kubeline.drift.alarm.answer import Taken, take
from kubeline.drift.alarm.history import History
from kubeline.drift.alarm.rule import Policy, WindowRecord
from kubeline.drift.alarm.step import settle
from kubeline.registry import open_registry
from kubeline.registry.interface import CHAMPION, Submission
from tests.support.artifacts import make_artifact
from tests.support.blessed_packages import blessed

POLICY = Policy(1, 1, "1d", ("drift", "performance")).check()
CHAMPION_DIGEST = "abcdef012345" + "0" * 52
NOVEMBER = datetime(2013, 11, 1, tzinfo=UTC)


def alarmed(folder: Path | str, months: int = 1, digest: str = CHAMPION_DIGEST) -> History:
    """A history in which each of so many windows has raised an alarm about a model."""
    history = History(str(folder))
    for month in range(months):
        until = NOVEMBER + timedelta(days=30 * month)
        window = WindowRecord(
            since=until - timedelta(days=30),
            until=until,
            reference=f"the training data of model {digest[:12]} (linear)",
            verdict="drift",
            signals=["performance"],
            figures={"rows": 28_889, "roc_auc": 0.6512},
        )
        assert settle(history, window, POLICY).verdict == "alarm"
    return history


def test_an_alarm_is_due_as_of_the_window_that_raised_it_with_what_that_showed(tmp_path: Path) -> None:
    taken = take(alarmed(tmp_path), "flights", CHAMPION_DIGEST, "run-1")
    assert taken.at == "2013-11-01T00:00:00+00:00"
    assert taken.reasons == ["the alarm of the window to 2013-11-01T00:00Z: performance (rows 28,889, roc_auc 0.6512)"]
    assert [window.until for window in taken.windows] == [NOVEMBER]


def test_without_an_alarm_nothing_is_due_and_how_many_windows_were_seen_is_reported(tmp_path: Path) -> None:
    taken = take(History(str(tmp_path)), "flights", CHAMPION_DIGEST, "run-1")
    assert taken == Taken("", [f"none of the 0 windows of history '{tmp_path}' has raised an alarm"])


def test_an_alarm_is_answered_once_and_a_step_that_is_run_again_takes_it_again(tmp_path: Path) -> None:
    history = alarmed(tmp_path)
    first = take(history, "flights", CHAMPION_DIGEST, "run-1")
    assert take(history, "flights", CHAMPION_DIGEST, "run-1") == first
    second = take(history, "flights", CHAMPION_DIGEST, "run-2")
    assert second.at == ""
    assert second.reasons == ["the alarm of the window to 2013-11-01T00:00Z is answered by the run run-1"]


def test_the_alarm_of_a_retraining_that_failed_is_answered_again_when_its_answer_is_deleted(tmp_path: Path) -> None:
    history = alarmed(tmp_path)
    first = take(history, "flights", CHAMPION_DIGEST, "a run that failed")
    assert take(history, "flights", CHAMPION_DIGEST, "run-2").at == ""
    (answer,) = tmp_path.glob("answer-*.json")
    answer.unlink()
    assert take(history, "flights", CHAMPION_DIGEST, "run-2").at == first.at


def test_of_runs_that_meet_one_takes_the_alarm(tmp_path: Path) -> None:
    for attempt in range(10):
        history, together = alarmed(tmp_path / str(attempt)), Barrier(6)

        def one(number: int, history: History = history, together: Barrier = together) -> Taken:
            together.wait()
            return take(history, "flights", CHAMPION_DIGEST, f"run-{number}")

        with ThreadPoolExecutor(6) as pool:
            found = [*pool.map(one, range(6))]
        assert sum(bool(taken.at) for taken in found) == 1, found


def test_the_next_alarm_is_due_whatever_became_of_the_one_before(tmp_path: Path) -> None:
    history = alarmed(tmp_path)
    take(history, "flights", CHAMPION_DIGEST, "a run that failed")
    alarmed(tmp_path, months=2)
    assert take(history, "flights", CHAMPION_DIGEST, "run-2").at == "2013-12-01T00:00:00+00:00"


def test_an_alarm_about_a_champion_that_was_rolled_back_or_replaced_meanwhile_is_not_answered(tmp_path: Path) -> None:
    history = alarmed(tmp_path)
    taken = take(history, "flights", "9" * 64, "run-1")
    assert taken.at == ""
    assert taken.reasons[0].endswith(
        "is about the training data of model abcdef012345 (linear), and the champion of flights is 999999999999 now"
    )
    assert take(history, "flights", CHAMPION_DIGEST, "run-2").at  # champion again: it waits for an answer still


def test_the_component_asks_the_registry_for_the_champion(tmp_path: Path) -> None:
    tracking = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry, package = open_registry(tracking), blessed(tmp_path).package
    champion = Submission("flights", package.path, package.digest, tags={"package_digest": package.digest})
    registry.promote(registry.register(champion))
    assert registry.find("flights", alias=CHAMPION)
    alarmed(tmp_path / "history", digest="7" * 64)
    decision = make_artifact(tmp_path, name="decision")
    given = {"decision": decision, "name": "flights", "tracking_uri": tracking, "run": "run-1"}
    assert take_alarm.python_func(history=str(tmp_path / "history"), **given) == ""
    assert decision.metadata["verdict"] == json.loads(Path(decision.path).read_text())["verdict"] == "quiet"
    alarmed(tmp_path / "ours", digest=package.digest)
    assert take_alarm.python_func(history=str(tmp_path / "ours"), **given) == "2013-11-01T00:00:00+00:00"
    assert decision.metadata["verdict"] == "due"
