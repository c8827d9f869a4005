"""The alarm: k of the last n windows, a cool-down, and a history that two runs may share."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from components.alarm.component import alarm
from kubeline.drift.alarm.history import History
from kubeline.drift.alarm.rule import AlarmDecision, AlarmRecord, Policy, WindowRecord, decide, interval
from kubeline.drift.alarm.step import settle
from kubeline.errors import PlatformError, UserError
from tests.support.artifacts import make_artifact
from tests.support.file_servers import S3, serving_files

POLICY = Policy(2, 3, "7d", ("drift", "performance")).check()
START = datetime(2013, 10, 1, tzinfo=UTC)


def window(day: int, *signals: str, reference: str = "a", verdict: str = "stable") -> WindowRecord:
    """The window of one day."""
    until = START + timedelta(days=day)
    return WindowRecord(
        since=until - timedelta(days=1), until=until, reference=reference, verdict=verdict, signals=[*signals]
    )


def run(folder: Path | str, *windows: WindowRecord, policy: Policy = POLICY) -> list[str]:
    """The verdict of each window, one run after the other."""
    return [settle(History(str(folder)), one, policy).verdict for one in windows]


def test_one_wrong_window_is_watched_and_the_second_of_three_raises_the_alarm(tmp_path: Path) -> None:
    windows = [window(1), window(2, "drift"), window(3), window(4, "drift"), window(5, "drift")]
    assert run(tmp_path, *windows) == ["quiet", "watch", "quiet", "alarm", "cooling_down"]


def test_wrong_windows_before_a_good_one_are_no_alarm(tmp_path: Path) -> None:
    assert run(tmp_path, window(1, "drift"), window(2, "performance"), window(3)) == ["watch", "alarm", "quiet"]


def test_after_the_cool_down_the_alarm_is_raised_again(tmp_path: Path) -> None:
    verdicts = run(tmp_path, *[window(day, "drift") for day in range(1, 12)])
    assert verdicts == ["watch", "alarm", *["cooling_down"] * 6, "alarm", "cooling_down", "cooling_down"]


def test_windows_against_another_model_do_not_count(tmp_path: Path) -> None:
    assert run(tmp_path, window(1, "drift"), window(2, "drift", reference="b")) == ["watch", "watch"]


def test_a_retrained_model_is_left_alone_during_the_cool_down(tmp_path: Path) -> None:
    retrained = [window(day, "drift", reference="b") for day in (3, 4, 9)]
    assert run(tmp_path, window(1, "drift"), window(2, "drift")) == ["watch", "alarm"]
    assert run(tmp_path, *retrained) == ["watch", "cooling_down", "watch"]


def test_windows_further_back_than_were_asked_for_do_not_count_where_some_never_ran(tmp_path: Path) -> None:
    assert run(tmp_path, window(1, "drift"), window(4, "drift")) == ["watch", "watch"]


def test_signals_that_are_not_asked_for_do_not_count(tmp_path: Path) -> None:
    only = Policy(1, 1, "7d", ("performance",)).check()
    assert run(tmp_path, window(1, "drift"), window(2, "performance"), policy=only) == ["quiet", "alarm"]


def test_too_few_rows_are_no_all_clear(tmp_path: Path) -> None:
    assert run(tmp_path, window(1, verdict="insufficient_data")) == ["unknown"]


def test_the_same_window_twice_changes_nothing(tmp_path: Path) -> None:
    windows = [window(1, "drift"), window(2, "drift"), window(3, "drift")]
    first = run(tmp_path, *windows)
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert [run(tmp_path, one)[0] for one in windows] == first
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == files
    assert sorted(files) == [
        "alarm-000000.json",
        *(name for name in sorted(files) if name.startswith("window-2013100")),
    ]


def test_a_backfill_of_an_earlier_window_raises_no_alarm(tmp_path: Path) -> None:
    assert run(tmp_path, window(2, "drift"), window(3), window(1, "drift")) == ["watch", "quiet", "watch"]


def test_of_runs_that_meet_one_raises_the_alarm(tmp_path: Path) -> None:
    for attempt in range(10):
        folder, together = tmp_path / str(attempt), Barrier(6)
        run(folder, window(1, "drift"), window(2, "drift"), policy=Policy(3, 3, "7d", ("drift",)))

        def late(number: int, folder: Path = folder, together: Barrier = together) -> AlarmDecision:
            one = window(3, "drift")  # of the same day, each over a length of its own
            one = one.model_copy(update={"until": one.until + timedelta(minutes=number), "reference": "a"})
            together.wait()
            return settle(History(str(folder)), one, POLICY)

        with ThreadPoolExecutor(6) as pool:
            verdicts = [decision.verdict for decision in pool.map(late, range(6))]
        assert verdicts.count("alarm") == 1, verdicts
        assert len(History(str(folder)).alarms()) == 1


def test_an_object_store_keeps_the_history_and_gives_a_number_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_files(S3, {}) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        history = History("s3://bucket/history")
        assert run("s3://bucket/history", window(1, "drift"), window(2, "drift")) == ["watch", "alarm"]
        assert history.windows() == [window(1, "drift"), window(2, "drift")]
        assert history.alarms() == [AlarmRecord(until=window(2).until, reference="a")]
        assert not history.raise_alarm(AlarmRecord(until=window(3).until, reference="a"), 0)
        assert history.raise_alarm(AlarmRecord(until=window(3).until, reference="a"), 1)


def test_a_decision_is_a_function_of_the_records() -> None:
    windows = [window(1, "drift"), window(2, "drift")]
    assert decide(windows[1], windows, [], POLICY) == decide(windows[1], windows[::-1], [], POLICY)


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (Policy(4, 3, "7d", ("drift",)), "needed is 4 of 3"),
        (Policy(1, 3, "a week", ("drift",)), "cool_down is 'a week'; expected a length of time"),
        (Policy(1, 3, "7d", ("rain",)), "signals holds 'rain'"),
        (Policy(1, 3, "7d", ()), "signals is empty"),
    ],
)
def test_a_policy_that_is_none_is_reported(policy: Policy, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        policy.check()


def test_a_window_without_bounds_is_refused() -> None:
    with pytest.raises(UserError, match="the window has no bounds in time"):
        interval("../2013-10-01T00:00:00+00:00")
    with pytest.raises(UserError, match="`at` and `length`"):
        interval("")


def test_a_history_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match=r"^history '.*file/below' cannot be read or written"):
        run(tmp_path / "file" / "below", window(1))
    with pytest.raises(UserError, match="history 'nowhere://x' cannot be used"):
        History("nowhere://x")
    (tmp_path / "window-broken.json").write_text('{"until": 1}')
    with pytest.raises(UserError, match=r"^'window-broken\.json' of history '.*' is no record of this version"):
        History(str(tmp_path)).windows()


def checked(**fields: Any) -> dict[str, Any]:
    """A result of the drift check."""
    rule = {"min_effect": 0.1, "max_p": 0.01, "min_rows": 200, "min_columns": 1}
    nothing: dict[str, Any] = {"reasons": [], "columns": [], "predictions": [], "excluded": [], "not_in_reference": []}
    texts = {"reference": "model a", "performance_note": "", "evidently_note": "", "performance": None}
    return {"verdict": "drift", "drifted": True, "rule": rule, "reference_rows": 9, "current_rows": 9} | {
        **nothing,
        **texts,
        **fields,
    }


def test_the_component_reports_its_verdict_with_the_windows_it_read(tmp_path: Path) -> None:
    verdicts = []
    for day in (1, 2):
        result, decision = make_artifact(tmp_path, name=f"result{day}"), make_artifact(tmp_path, name=f"decision{day}")
        reported = f"2013-10-0{day}T00:00:00+00:00/2013-10-0{day + 1}T00:00:00+00:00"
        Path(result.path).write_text(json.dumps(checked(window=reported)))
        verdicts.append(alarm.python_func(result, decision, history=str(tmp_path / "history"), options={"needed": 2.0}))
    assert verdicts == ["watch", "alarm"]
    document = json.loads(Path(decision.path).read_text())
    assert decision.metadata["verdict"] == document["verdict"] == "alarm"
    assert document["reasons"] == [
        "the latest window is wrong: drift",
        "2 of the last 2 windows were wrong; 2 of 3 are an alarm",
    ]
    assert [one["until"] for one in document["windows"]] == ["2013-10-03T00:00:00Z", "2013-10-02T00:00:00Z"]
