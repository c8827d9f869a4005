"""`kubeline schedule` against a server that answers as Kubeflow Pipelines was recorded to answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeline.cli import main
from tests.support.commands import Ran
from tests.support.json_servers import Fault
from tests.support.kfp_server import KfpServer

NIGHTLY: dict[str, Any] = {
    "pipeline": "plain.yaml",
    "cron": "30 3 * * *",
    "parameters": {"text": "at ${scheduled_time}"},
}


@pytest.fixture
def schedule(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`schedule(action, **schedules)`: write the file, act, and return the exit code, what was printed, the error."""
    (tmp_path / "plain.yaml").write_text(plain.read_text(encoding="utf-8"), encoding="utf-8")

    def act(action: str, *options: str, **schedules: Any) -> tuple[int, str, str]:
        file = tmp_path / "schedules.yaml"
        file.write_text(yaml.safe_dump({"owner": "flights", "schedules": schedules}), encoding="utf-8")
        code = main(["schedule", action, str(file), *options])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return act


def stored(kfp: KfpServer) -> dict[str, Any]:
    """The recurring runs by name, without identifiers."""
    return {one["display_name"]: one for one in kfp.recurring.values()}


def test_a_schedule_is_made_as_the_file_says(kfp: KfpServer, schedule: Callable[..., Ran]) -> None:
    wanted = {**NIGHTLY, "catch_up": False, "concurrency": 2, "experiment": "watch", "service_account": "runner"}
    assert schedule("apply", nightly=wanted) == (0, "+ nightly: created\n", "")
    made = stored(kfp)["nightly"]
    assert made["trigger"] == {
        "cron_schedule": {"cron": "0 30 3 * * *"}
    }  # of five fields the first would be the second
    assert made["runtime_config"] == {"parameters": {"text": "at [[ScheduledTime.2006-01-02T15:04:05Z]]"}}
    assert (made["no_catchup"], made["max_concurrency"], made["mode"]) == (True, "2", "ENABLE")
    assert made["service_account"] == "runner"
    ((pipeline, versions),) = kfp.versions.items()
    assert made["pipeline_version_reference"] == {"pipeline_id": pipeline, "pipeline_version_id": next(iter(versions))}
    assert [one["display_name"] for one in kfp.experiments.values()] == ["watch"]


def test_applied_twice_nothing_changes_and_nothing_is_written(kfp: KfpServer, schedule: Callable[..., Ran]) -> None:
    every = {"pipeline": "plain.yaml", "every": "6h", "catch_up": True, "paused": True, "version": "latest"}
    bounds = {"start": "2026-12-01T00:00:00Z", "end": "2027-12-01T00:00:00Z"}
    timed = {**NIGHTLY, **{key: yaml.safe_load(value) for key, value in bounds.items()}}
    assert schedule("apply", nightly=timed, often=every)[0] == 0
    written = len(kfp.writes())
    code, printed, _ = schedule("apply", nightly=timed, often=every)
    assert (code, printed) == (0, "  nightly: unchanged\n  often: unchanged\n")
    assert len(kfp.writes()) == written
    assert schedule("diff", nightly=timed, often=every)[0] == 0
    often = stored(kfp)["often"]
    assert "pipeline_version_id" not in often["pipeline_version_reference"]  # follows the latest
    assert (often["trigger"], often["mode"]) == ({"periodic_schedule": {"interval_second": "21600"}}, "DISABLE")


def test_diff_prints_what_apply_would_do_and_writes_nothing(kfp: KfpServer, schedule: Callable[..., Ran]) -> None:
    assert schedule("diff", nightly=NIGHTLY) == (1, "+ nightly: create\n", "")
    assert kfp.writes() == []
    schedule("apply", nightly=NIGHTLY, weekly=NIGHTLY)
    written = len(kfp.writes())
    code, printed, _ = schedule("diff", nightly={**NIGHTLY, "concurrency": 3})
    assert code == 1
    assert printed == "~ nightly: update\n    concurrency: 1 -> 3\n- weekly: delete\n"
    assert len(kfp.writes()) == written


def test_a_change_takes_the_place_of_the_old_one_which_is_gone_before_the_new_one_runs(
    kfp: KfpServer, schedule: Callable[..., Ran]
) -> None:
    schedule("apply", nightly=NIGHTLY)
    (old,) = kfp.recurring
    before = len(kfp.writes())
    assert schedule("apply", nightly={**NIGHTLY, "cron": "0 5 * * *"})[0] == 0
    ((new, made),) = kfp.recurring.items()
    assert made["mode"] == "ENABLE"
    place = "/apis/v2beta1/recurringruns"
    assert kfp.writes()[before:] == [("POST", place), ("DELETE", f"{place}/{old}"), ("POST", f"{place}/{new}:enable")]


def test_an_apply_that_was_interrupted_is_finished_by_the_next(kfp: KfpServer, schedule: Callable[..., Ran]) -> None:
    schedule("apply", nightly=NIGHTLY)
    changed = {**NIGHTLY, "concurrency": 4}
    kfp.faults = [Fault("DELETE", "recurringruns", 503, {"Retry-After": "60"})]
    assert schedule("apply", "--patience", "1", nightly=changed)[0] == 3
    assert sorted(one["mode"] for one in kfp.recurring.values()) == ["DISABLE", "ENABLE"]
    assert schedule("apply", nightly=changed)[0] == 0
    (only,) = kfp.recurring.values()
    assert (only["max_concurrency"], only["mode"]) == ("4", "ENABLE")
    assert schedule("diff", nightly=changed)[0] == 0


def test_pausing_and_resuming_keeps_the_schedule(kfp: KfpServer, schedule: Callable[..., Ran]) -> None:
    schedule("apply", nightly=NIGHTLY)
    (identifier,) = kfp.recurring
    assert schedule("apply", nightly={**NIGHTLY, "paused": True})[1] == "~ nightly: paused\n"
    assert kfp.recurring[identifier]["mode"] == "DISABLE"
    assert schedule("apply", nightly=NIGHTLY)[1] == "~ nightly: resumed\n"
    assert kfp.recurring[identifier]["mode"] == "ENABLE"


def test_what_the_file_does_not_have_goes_and_what_others_made_stays(
    kfp: KfpServer, schedule: Callable[..., Ran]
) -> None:
    schedule("apply", nightly=NIGHTLY, weekly=NIGHTLY)
    for one in kfp.recurring.values():
        if one["display_name"] == "weekly":
            one["description"] = "by hand"
    code, printed, _ = schedule("apply", weekly=NIGHTLY)
    assert code == 0
    assert "'weekly' is also the name of a schedule of others, which is left alone" in printed
    assert "- nightly: deleted" in printed
    assert sorted(one["description"] for one in kfp.recurring.values()) == ["by hand", "kubeline schedule of flights"]


def test_another_version_of_the_pipeline_is_uploaded_and_pinned(
    kfp: KfpServer, schedule: Callable[..., Ran], tmp_path: Path
) -> None:
    schedule("apply", nightly=NIGHTLY)
    pipeline = tmp_path / "plain.yaml"
    pipeline.write_text(pipeline.read_text(encoding="utf-8").replace("python:1.2.0", "python:1.3.0"), encoding="utf-8")
    code, printed, _ = schedule("diff", nightly=NIGHTLY)
    assert code == 1
    assert "(not uploaded yet)" in printed
    assert schedule("apply", nightly=NIGHTLY)[0] == 0
    ((_, versions),) = kfp.versions.items()
    assert stored(kfp)["nightly"]["pipeline_version_reference"]["pipeline_version_id"] == list(versions)[1]
    assert len(kfp.recurring) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_schedule_whose_answer_is_lost_is_not_made_twice(
    kfp: KfpServer, schedule: Callable[..., Ran], after: bool
) -> None:
    kfp.faults = [Fault("POST", "recurringruns$", 503, {"Retry-After": "0.01"}, after)]
    assert schedule("apply", nightly=NIGHTLY)[0] == 0
    assert len(kfp.recurring) == 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"cron": "every day"}, "cron is 'every day'; expected five fields"),
        ({"cron": "0 0 3 * * *"}, "expected five fields"),
        ({"cron": ""}, "give one of cron and every"),
        ({"every": "1h"}, "give one of cron and every"),
        ({"cron": "", "every": "1 hour"}, "expected a whole number of s, m, h or d"),
        ({"concurency": 2}, "concurency"),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"parameters": {"txet": "a"}}, "did you mean 'text'?"),
        ({"parameters": {"text": 5}}, "a text (put it in quotes) is expected"),
        ({"pipeline": "gone.yaml"}, "there is no pipeline file"),
    ],
)
def test_a_file_that_is_wrong_is_reported_before_anything_is_sent(
    kfp: KfpServer, schedule: Callable[..., Ran], wrong: dict[str, Any], sentence: str
) -> None:
    code, _, error = schedule("apply", nightly={**NIGHTLY, **wrong})
    assert code == 2
    assert sentence in error
    assert "nightly" in error
    assert kfp.seen == []


def test_several_users_have_schedules_of_their_own_namespace(kfp: KfpServer, schedule: Callable[..., Ran]) -> None:
    kfp.multi_user = True
    assert schedule("apply", nightly=NIGHTLY)[0] == 2
    assert schedule("apply", "--namespace", "team", nightly=NIGHTLY)[0] == 0
    assert schedule("diff", "--namespace", "team", nightly=NIGHTLY)[0] == 0
    lists = [path for method, path in kfp.seen if method == "GET" and "/recurringruns?" in path]
    assert lists
    assert all("namespace=team" in path for path in lists)
