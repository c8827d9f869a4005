"""A pipeline run in Weights & Biases, by its own client: a group, with a run for each candidate, trial and window."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.model_package.blessing import Blessing, Verdict
from kubeline.preflight.services import check_tracker
from kubeline.registry import open_registry
from kubeline.registry.opening import open_tracker
from kubeline.registry.tracking import track
from kubeline.registry.wandb_runs import WandbRuns
from tests.registry.records import TEST, record
from tests.support.blessed_packages import Blessed, blessed
from tests.support.json_servers import Fault, served
from tests.support.wandb_server import KEY, WandbServer

URI = "wandb://team/flights?registry=sqlite:////data/mlflow.db"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """The server; the client may have sent nothing that it does not know."""
    made = WandbServer("team", "flights")
    with served(made) as url:
        made.url = url
        monkeypatch.setenv("WANDB_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield made
    assert made.refused == []


def file(given: Blessed) -> None:
    evaluation = Blessing.read(given.evaluation.path)
    track("training-42", "models:/flights@champion", URI, given.package, record(given), evaluation, TEST)


def configured(server: WandbServer, name: str) -> dict[str, Any]:
    (run,) = (run for run in server.runs.values() if run.settings["displayName"] == name)
    return {key: value["value"] for key, value in run.config.items() if key != "_wandb"}


@pytest.mark.parametrize("verdict", ["promote", "hold"])
def test_candidates_and_trials_are_runs_of_the_group_of_the_pipeline_run_also_of_a_model_that_is_held(
    verdict: Verdict, tmp_path: Path, server: WandbServer
) -> None:
    given = blessed(tmp_path, verdict=verdict)
    file(given)
    runs = {run.settings["displayName"]: run for run in server.runs.values()}
    chosen, other = "candidate 2: hist_gradient_boosting", "candidate 1: linear"
    trials = ["trial 1", "trial 2", "trial 3"]
    assert {name: run.settings["jobType"] for name, run in runs.items()} == {
        chosen: "candidate",
        other: "candidate",
        **dict.fromkeys(trials, "trial"),
    }
    assert {run.settings["groupName"] for run in runs.values()} == {"training-42"}
    assert {name: run.settings["tags"] for name, run in runs.items() if "candidate" in name} == {
        chosen: ["chosen", verdict],
        other: None,
    }
    assert [[line["score"] for line in runs[trial].history] for trial in trials] == [[0.7], [0.78], []]
    for name in ("validation/auc", "score", "parity/max_difference"):  # to be compared side by side
        assert {name} <= runs[chosen].summary.keys() & runs[other].summary.keys()
    figures = {key: runs[chosen].summary[f"evaluation/metrics/auc/{key}"] for key in ("lower", "value", "upper")}
    assert figures == {"lower": 0.77, "value": 0.78, "upper": 0.79}
    settings = configured(server, "trial 2")
    assert (settings["max_iter"], settings["estimator"]) == (300, "hist_gradient_boosting")
    assert settings["part_of"] == f"training-42/{chosen}"
    assert configured(server, chosen)["package_digest"] == given.package.digest
    assert configured(server, chosen)["inputs"] == {
        "training": {"fingerprint": "f" * 64, "source": "s3://bucket/flights/2013", "rows": 900},
        "evaluation": {"fingerprint": "e" * 64, "source": "postgresql://db/flights", "rows": 100},
    }


def test_nothing_of_this_machine_and_no_password_is_sent(tmp_path: Path, server: WandbServer) -> None:
    file(blessed(tmp_path))
    sent = b"\n".join(server.sent).decode(errors="replace")
    assert "candidate 1: linear" in sent
    assert {(run.settings["program"], run.settings["host"]) for run in server.runs.values()} == {("kubeline", None)}
    for word in ("s3cret", KEY, str(Path.cwd()), str(Path.home()) + "/", sys.argv[0]):
        assert word not in sent


def test_a_pipeline_run_that_is_filed_again_logs_nothing_twice(tmp_path: Path, server: WandbServer) -> None:
    given = blessed(tmp_path)
    file(given)
    before = {name: list(run.history) for name, run in server.runs.items()}
    file(given)
    assert {name: run.history for name, run in server.runs.items()} == before
    assert {tuple(run.ends) for run in server.runs.values()} == {(0, 0)}


def test_each_window_is_a_run_of_the_group_of_its_package(server: WandbServer) -> None:
    tracker = open_tracker(URI)
    for day in (2, 1, 1):
        tracker.observe("flights", "d" * 64, datetime(2026, 3, day, tzinfo=UTC), {"drifted": 0.25, "auc": 0.7})
    runs = {run.settings["displayName"]: run for run in server.runs.values()}
    assert sorted(runs) == ["monitoring-dddddddd 2026-03-01T00:00", "monitoring-dddddddd 2026-03-02T00:00"]
    assert {run.settings["groupName"] for run in runs.values()} == {"monitoring-dddddddd"}
    assert [[line["auc"] for line in run.history] for run in runs.values()] == [[0.7], [0.7]]
    assert configured(server, "monitoring-dddddddd 2026-03-01T00:00")["monitored_package"] == "d" * 64


WRONG: dict[str, tuple[dict[str, str], str, type[KubelineError], str]] = {
    "a wrong key": ({"WANDB_API_KEY": "f" * 40}, URI, UserError, r"does not know us \(401\); check WANDB_API_KEY"),
    "no key": ({"WANDB_API_KEY": ""}, URI, UserError, "WANDB_API_KEY is not set"),
    "nobody there": (
        {"WANDB_BASE_URL": "http://127.0.0.1:9"},
        URI,
        PlatformError,
        "Weights & Biases at 127.0.0.1:9 gives no answer",
    ),
    "an unknown project": ({}, "wandb://team/fligths", UserError, "there is no project wandb://team/fligths at 127"),
    "a key on an open road": (
        {"WANDB_BASE_URL": "http://wandb.example"},
        URI,
        UserError,
        "a token goes over https:// only",
    ),
    "no project": ({}, "wandb://team", UserError, "'wandb://team' is no project of Weights & Biases; write wandb://E"),
    "nothing is to be sent": ({"WANDB_MODE": "disabled"}, URI, UserError, "WANDB_MODE is 'disabled', but tracking_uri"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_work_is_one_sentence_at_the_start_and_nothing_is_filed(
    case: str, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, uri, kind, sentence = WRONG[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(kind, match=sentence) as error:
        WandbRuns(uri, patience=1).observe("flights", "d" * 64, datetime.now(UTC), {"auc": 0.7})
    assert "\n" not in str(error.value)
    assert server.runs == {}


def test_a_champion_is_looked_up_in_the_registry_that_the_address_names_and_nowhere_without_one(
    tmp_path: Path,
) -> None:
    given = "wandb://team/flights?registry=vertex://team/europe-west4?store=gs://bucket/models&image=eu/serving:1"
    assert open_registry(given).place == "vertex://team/europe-west4"
    with pytest.raises(UserError, match=r"no registry with a champion: .* wandb://team/flights\?registry=https"):
        open_registry("wandb://team/flights")


def test_a_run_whose_figures_do_not_arrive_is_an_error_although_the_client_ends_well(server: WandbServer) -> None:
    server.faults = [Fault("POST", "^/files/", 403)] * 3
    tracker = WandbRuns(URI, patience=0.5)
    with pytest.raises(PlatformError, match="did not take the figures of 'monitoring-dddddddd 2026-03-01T00:00'"):
        tracker.observe("flights", "d" * 64, datetime(2026, 3, 1, tzinfo=UTC), {"auc": 0.7})


def test_an_image_without_the_client_says_which_extra_it_needs(
    server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(PlatformError, match=r"the package wandb is missing; use an image with kubeline\[wandb\]"):
        check_tracker(URI)
