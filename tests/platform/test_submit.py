"""`kubeline submit`, `runs` and `logs` against a server that answers as Kubeflow Pipelines was recorded to answer."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml

from kubeline.cli import main
from kubeline.errors import PlatformError
from kubeline.platform.compiled import Compiled
from kubeline.platform.kfp.connection import KfpAccess, KfpConnection
from kubeline.platform.kfp.nodes import RunStep, steps
from kubeline.platform.step_logs import failure_sentence
from tests.support.commands import Ran
from tests.support.http_servers import serving
from tests.support.json_servers import Fault
from tests.support.kfp_server import KfpServer, recorded


def test_a_run_is_uploaded_started_and_followed_to_its_success(
    kfp: KfpServer, submit: Callable[..., Ran], plain: Path
) -> None:
    kfp.play = "skipped-branch"
    code, printed, _ = submit("--set", "text=hello", "--name", "first", "--experiment", "mine")
    assert code == 0
    assert "succeeded" in printed
    assert "✓ env-3" in printed
    ((pipeline, versions),) = kfp.versions.items()
    (version,) = versions.values()
    assert kfp.pipelines[pipeline]["name"] == "plain"
    assert version["name"] == Compiled.read(plain).version
    (run,) = kfp.runs.values()
    assert run["display_name"] == "first"
    assert run["runtime_config"] == {"parameters": {"text": "hello"}}
    assert run["pipeline_version_reference"] == {
        "pipeline_id": pipeline,
        "pipeline_version_id": version["pipeline_version_id"],
    }
    assert kfp.experiments[run["experiment_id"]]["display_name"] == "mine"
    assert f"page    {kfp.url}/#/runs/details/{run['run_id']}" in printed


@pytest.mark.parametrize(
    ("play", "sentence"),
    [
        ("f-failed", "failed fails: the one sentence: the table has no rows"),
        ("failure-load", "failed load: there is nothing at 's3://data/nothing-here/'; check the address"),
    ],
)
def test_a_failed_step_is_reported_with_its_one_sentence_from_its_log(
    kfp: KfpServer, submit: Callable[..., Ran], play: str, sentence: str
) -> None:
    kfp.play = play
    code, printed, _ = submit()
    assert code == 1
    assert sentence in printed
    assert f"✗ {sentence.split()[1].rstrip(':')}" in printed


def test_a_cancelled_run_which_the_api_ends_as_failed_is_reported_as_cancelled(
    kfp: KfpServer, submit: Callable[..., Ran]
) -> None:
    kfp.play = "e-terminate"
    code, printed, _ = submit()
    assert code == 1
    assert "cancelled it was cancelled" in printed


def test_a_success_whose_task_details_are_frozen_is_a_success(kfp: KfpServer, submit: Callable[..., Ran]) -> None:
    kfp.play = "eight"
    code, printed, _ = submit()
    assert code == 0
    assert "succeeded" in printed


def test_a_failure_whose_task_details_are_frozen_is_found_by_the_logs(
    kfp: KfpServer, submit: Callable[..., Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a failed run above 1 MiB: the failed step and what holds it stay RUNNING for ever."""
    kfp.play = "f-failed"
    assert submit()[0] == 1  # makes the run
    (run,) = kfp.runs.values()
    frozen = [
        {**one, "state": "RUNNING"} if one.get("state") == "FAILED" else one
        for one in run["run_details"]["task_details"]
    ]
    gone = {"executor", "executor(0)"}
    run["run_details"] = {"task_details": [one for one in frozen if one["display_name"] not in gone]}
    assert main(["runs", run["run_id"]]) == 1
    assert "failed fails: the one sentence: the table has no rows" in capsys.readouterr().out


def test_a_field_that_is_null_is_one_that_is_not_there(
    kfp: KfpServer, submit: Callable[..., Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    submit()
    (run,) = kfp.runs.values()
    run |= {"error": None, "run_details": None, "pipeline_spec": None}
    assert main(["runs", run["run_id"]]) == 1
    assert "failed it is not known which step failed; see the UI" in capsys.readouterr().out


def steps_recorded(scenario: str) -> list[RunStep]:
    """The steps of a run of a real back end."""
    run = recorded(f"run-{scenario}")
    return steps(run["run_details"]["task_details"], run["pipeline_spec"].get("pipeline_spec", run["pipeline_spec"]))


def test_steps_stand_behind_those_that_they_wait_for_and_the_exit_handler_is_last() -> None:
    names = [step.name for step in steps_recorded("eight")]
    trained = [f"train {number}" for number in range(8)]
    assert names[:12] == ["load", "validate", "split", *trained, "select"]
    assert names[-1] == "notify"
    assert names.index("infra-validate") < names.index("deploy") < names.index("rollout") < names.index("register-3")


def test_the_names_of_pods_are_those_that_were_recorded() -> None:
    for scenario in ("f-failed", "failure-load", "eight"):
        made = {pod for step in steps_recorded(scenario) for pod in step.pods()}
        wanted = {pod for pod in recorded(f"logs-{scenario}") if "driver" not in pod}
        assert wanted
        assert wanted <= made


def test_the_same_pipeline_is_uploaded_once_however_its_yaml_is_written(
    kfp: KfpServer, submit: Callable[..., Ran], plain: Path, tmp_path: Path
) -> None:
    submit("--no-wait")
    document = yaml.safe_load(plain.read_text(encoding="utf-8"))
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(document), encoding="utf-8")
    _, printed, _ = submit("--no-wait", pipeline=other)
    assert "uploaded" not in printed
    uploads = [path for _, path in kfp.writes() if path.endswith("upload_version")]
    assert len(uploads) == 1
    assert len(kfp.runs) == 2
    document["components"]["comp-hello"]["inputDefinitions"]["parameters"]["text"]["description"] = "changed"
    other.write_text(json.dumps(document), encoding="utf-8")
    assert "(uploaded)" in submit("--no-wait", pipeline=other)[1]
    assert len(kfp.pipelines) == 1


def test_caching_is_switched_for_every_task_and_makes_a_version_of_its_own(
    kfp: KfpServer, submit: Callable[..., Ran]
) -> None:
    submit("--no-wait")
    submit("--no-wait", "--no-cache")
    ((_, versions),) = kfp.versions.items()
    cached, uncached = [one["specification"][0]["root"]["dag"]["tasks"]["hello"] for one in versions.values()]
    assert cached["cachingOptions"] == {"enableCache": True}
    assert uncached["cachingOptions"] == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--set", "txet=1"), "'txet' is not a parameter of pipeline plain; did you mean 'text'?"),
        (("--set", "text"), "--set takes NAME=VALUE, but 'text' was given"),
    ],
)
def test_parameters_are_checked_as_for_a_local_run_before_anything_is_sent(
    kfp: KfpServer, submit: Callable[..., Ran], options: tuple[str, ...], sentence: str
) -> None:
    code, _, error = submit(*options)
    assert code == 2
    assert sentence in error
    assert kfp.seen == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("path", "status"),
    [("/pipelines$", 503), ("upload_version", 503), ("/experiments$", 503), ("/runs$", 503), ("/runs$", 0)],
)
def test_a_write_whose_answer_is_lost_is_looked_for_before_it_is_repeated(
    kfp: KfpServer, submit: Callable[..., Ran], path: str, status: int, after: bool
) -> None:
    kfp.faults = [Fault("POST", path, status, {"Retry-After": "0"} if status else {}, after)]
    kfp.faults[0].headers["Retry-After"] = "0.01"
    code, _, error = submit("--no-wait", "--experiment", "mine")
    assert (code, error) == (0, "")
    assert kfp.faults == []
    assert len(kfp.pipelines) == len(kfp.experiments) == len(kfp.runs) == 1
    assert [len(versions) for versions in kfp.versions.values()] == [1]


def test_a_server_that_is_busy_is_asked_again_when_it_says(kfp: KfpServer, submit: Callable[..., Ran]) -> None:
    kfp.faults = [
        Fault("GET", "/pipelines", 429, {"Retry-After": "0.01"}),
        Fault("GET", "/runs/", 503, {"Retry-After": "0.01"}),
        Fault("POST", "/runs", 429, {"Retry-After": "0.01"}),
    ]
    kfp.play = "skipped-branch"
    assert submit()[0] == 0
    assert kfp.faults == []


def test_a_server_that_asks_for_more_patience_than_there_is_ends_it_in_one_sentence(
    kfp: KfpServer, submit: Callable[..., Ran]
) -> None:
    kfp.faults = [Fault("GET", "/pipelines", 503, {"Retry-After": "60"})]
    code, _, error = submit("--patience", "2")
    assert code == 3
    assert error == f"kubeline: {kfp.url} is not available (503); try again later\n"


@pytest.mark.parametrize(
    ("resource", "sentence"),
    [("pipelines", "cannot GET pipelines"), ("runs", "cannot POST runs")],
)
def test_a_right_that_is_missing_is_reported(
    kfp: KfpServer, submit: Callable[..., Ran], resource: str, sentence: str
) -> None:
    kfp.forbidden = {resource}
    code, _, error = submit()
    assert code == 2
    assert sentence in error
    assert "(403)" in error


def test_several_users_need_a_namespace_and_every_list_is_of_it(kfp: KfpServer, submit: Callable[..., Ran]) -> None:
    kfp.multi_user = True
    code, _, error = submit("--no-wait")
    assert code == 2
    assert "give your profile's --namespace" in error
    assert submit("--no-wait", "--namespace", "team")[0] == 0
    lists = [path for method, path in kfp.seen if method == "GET" and re.search(r"/(pipelines|experiments)\?", path)]
    assert any("namespace=team" in path for path in lists)
    assert [one["namespace"] for one in [*kfp.pipelines.values(), *kfp.experiments.values()]] == ["team", "team"]


def test_what_is_no_kubeflow_is_reported_so(submit: Callable[..., Ran], capsys: pytest.CaptureFixture[str]) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, *_: object) -> None:
            pass

    with serving(Page) as url:
        code, _, error = submit("--host", url, "--patience", "1")
    assert code == 3
    assert "127.0.0.1" in error


def test_a_server_that_trickles_is_left_in_time() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        handle, _ = listener.accept()
        with handle:
            handle.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(200):
                time.sleep(0.1)
                try:
                    handle.sendall(b" ")
                except OSError:
                    return

    threading.Thread(target=trickle, daemon=True).start()
    connection = KfpConnection(KfpAccess(f"http://127.0.0.1:{listener.getsockname()[1]}", patience=0.5))
    with pytest.raises(PlatformError, match="no whole answer within"):
        _ = connection.namespace
    listener.close()


def test_without_an_address_it_is_asked_for(submit: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    code, _, error = submit()
    assert code == 2
    assert "Give --host URL, or set KF_PIPELINES_ENDPOINT" in error


def test_a_run_that_does_not_end_in_time_goes_on(kfp: KfpServer, submit: Callable[..., Ran]) -> None:
    code, _, error = submit("--timeout", "0")
    assert code == 3
    assert "goes on" in error
    assert len(kfp.runs) == 1


def test_runs_lists_the_newest_first_and_one_by_its_name_with_its_failure(
    kfp: KfpServer, submit: Callable[..., Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    submit("--name", "bad")
    kfp.play = "skipped-branch"
    submit("--name", "good")
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines[1:]] == [["good", "succeeded"], ["bad", "failed"]]
    main(["runs", "--failed", "--limit", "1"])
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]] == ["bad"]
    assert main(["runs", "bad"]) == 1
    assert "failed fails: the one sentence: the table has no rows" in capsys.readouterr().out
    assert main(["runs", "nothing"]) == 2
    assert "there is no run 'nothing'" in capsys.readouterr().err


def test_logs_prints_what_a_step_said(
    kfp: KfpServer, submit: Callable[..., Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    submit("--name", "bad")
    assert main(["logs", "bad", "fails"]) == 0
    assert "\nthe one sentence: the table has no rows\n" in capsys.readouterr().out
    assert main(["logs", "bad", "failz"]) == 2
    assert "run 'bad' has no step 'failz'; it has: fails, told" in capsys.readouterr().err
    kfp.logs_gone = True
    assert main(["logs", "bad", "fails"]) == 3
    assert "its pod is gone" in capsys.readouterr().err


def test_logs_waits_for_a_busy_server_and_says_when_it_stays_so(
    kfp: KfpServer, submit: Callable[..., Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    submit("--name", "bad")
    kfp.faults = [Fault("GET", "/log", 503, {"Retry-After": "0.01"}) for _ in range(4)]
    assert main(["logs", "bad", "fails"]) == 0
    assert "\nthe one sentence: the table has no rows\n" in capsys.readouterr().out
    assert kfp.faults == []
    kfp.faults = [Fault("GET", "/log", 503, {"Retry-After": "60"})]
    assert main(["logs", "bad", "fails", "--patience", "2"]) == 3
    assert capsys.readouterr().err == f"kubeline: {kfp.url} is not available (503); try again later\n"


def test_logs_prints_of_a_log_without_end_the_last_lines_and_of_binary_nothing_that_a_terminal_obeys(
    kfp: KfpServer, submit: Callable[..., Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    submit("--name", "bad")
    line = b"x" * (24 * 2**20)  # one line, longer than what is kept
    kfp.log = line + b"\n10 %\r90 %\r\n\x1b]0;owned\x07\x1b[2J\xff\x00\x9b31m\nlast"
    assert main(["logs", "bad", "fails"]) == 0
    printed = capsys.readouterr().out
    assert re.match(r"\[\d+ bytes before this are left out\]\nxxx", printed)
    assert 16 * 2**20 <= len(printed) < 17 * 2**20
    assert printed.endswith("\n10 %\n90 %\n\\x1b]0;owned\\x07\\x1b[2J\\xff\\x00\\x9b31m\nlast\n")


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            "UserError: no rows\nE1128 11:13:32.026270      15 launcher_v2.go:449] failed\nError: exit status 1\n",
            "no rows",
        ),
        ("Traceback (most recent call last):\n  File\nValueError: bad value\n", "ValueError: bad value"),
        (
            "F1128 11:13:32.341798      15 main.go:130] driver execution failed: no secret\n",
            "driver execution failed: no secret",
        ),
        ("", ""),
    ],
)
def test_the_last_words_of_a_log_are_the_steps_own(log: str, sentence: str) -> None:
    assert failure_sentence(log) == sentence
