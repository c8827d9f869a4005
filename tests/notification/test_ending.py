"""How a run ended is what the platform says, not what the exit handler is given: on recorded answers of a real KFP."""

import gzip
import json
import logging
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from kfp.dsl import PipelineTaskFinalStatus

from kubeline.decision import described
from kubeline.errors import KubelineError, PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.notification import notify
from kubeline.notification.asking import by_api, by_workflow, decisions_in, ending
from kubeline.notification.ending import Ending, Said, of_run, of_workflow, state_of
from kubeline.notification.notify import compose, mood
from tests.support.misbehaving_servers import dripping, lying

RECORDED = Path(__file__).parents[1] / "recordings" / "kfp"
HANDLER = "exit-handler-1"
# What was recorded: the state that the exit handler was given, and how the run really ended.
TRUTH = {
    "training-2": ("COMPLETE", "SUCCEEDED"),
    "eight": ("RUNNING", "SUCCEEDED"),  # a training with the verdict hold
    "skipped-branch": ("COMPLETE", "SUCCEEDED"),
    "c-retry-delete": ("COMPLETE", "SUCCEEDED"),
    "e-terminate": ("RUNNING", "CANCELLED"),
    "rolling": ("RUNNING", "CANCELLED"),
    "failure-load": ("FAILED", "FAILED"),
    "f-failed": ("FAILED", "FAILED"),
}


def recorded(name: str) -> Any:
    return json.loads(gzip.decompress((RECORDED / f"{name}.json.gz").read_bytes()))


def pods(name: str) -> list[dict[str, Any]]:
    found = recorded(f"pods-{name}")
    return found if isinstance(found, list) else found["items"]


class Platform(ThreadingHTTPServer):
    """The API servers of Kubernetes and of KFP on one port, with the recorded answers of one run."""

    def __init__(self, workflow: Any, pods: list[Any], run: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        name = workflow["metadata"]["name"]
        self.answers = {
            f"/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows/{name}": workflow,
            "/api/v1/namespaces/kubeflow/pods": {"items": pods},
            f"/apis/v2beta1/runs/{run['run_id']}": run,
        }
        self.selectors: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def kubeconfig(self, folder: Path) -> str:
        cluster = {"clusters": [{"name": "c", "cluster": {"server": self.url}}], "users": [{"name": "u", "user": {}}]}
        context = {"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}
        (folder / "kubeconfig").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **cluster, **context}))
        return str(folder / "kubeconfig")


class _Handler(BaseHTTPRequestHandler):
    server: Platform

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        self.server.selectors += parse_qs(asked.query).get("labelSelector", [])
        answer = self.server.answers.get(asked.path)
        name = asked.path.rpartition("/")[2]
        missing = {"kind": "Status", "reason": "NotFound", "code": 404, "details": {"name": name, "kind": "workflows"}}
        body = json.dumps(missing if answer is None else answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    name = request.param
    said = pods(name) if (RECORDED / f"pods-{name}.json.gz").exists() else []
    with Platform(recorded(f"workflow-{name}"), said, recorded(f"run-{name}")) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(platform: Platform, folder: Path) -> Ending:
    cluster = Cluster.connect(platform.kubeconfig(folder), 5.0, ())
    workflow = next(iter(platform.answers.values()))["metadata"]["name"]
    return by_workflow(cluster, "kubeflow", workflow, HANDLER, patience=0)


@pytest.mark.parametrize("name", TRUTH)
def test_the_recorded_exit_handlers_were_reported_these_states(name: str) -> None:
    assert recorded("final-status")[name]["state"] == TRUTH[name][0]


@pytest.mark.parametrize(
    ("word", "state"), [("COMPLETE", "SUCCEEDED"), ("CANCELED", "CANCELLED"), ("RUNNING", "UNKNOWN"), (None, "UNKNOWN")]
)
def test_kfps_words_for_a_state_are_known_and_running_says_nothing(word: str | None, state: str) -> None:
    assert state_of(word) == state


@pytest.mark.parametrize(("platform", "name"), [(name, name) for name in TRUTH], indirect=["platform"])
def test_the_workflow_shows_how_each_recorded_run_ended(platform: Platform, name: str, tmp_path: Path) -> None:
    assert asked(platform, tmp_path).state == TRUTH[name][1]


# Task details of a compressed workflow are frozen: the API server knows the end of a run only when the run has ended.
@pytest.mark.parametrize(("platform", "name"), [(name, name) for name in TRUTH], indirect=["platform"])
def test_the_api_server_shows_how_each_recorded_run_ended(platform: Platform, name: str) -> None:
    run = recorded(f"run-{name}")["run_id"]
    assert by_api(platform.url, run, HANDLER).state == TRUTH[name][1]


@pytest.mark.parametrize("name", ["eight", "training-2"])
def test_frozen_task_details_of_a_run_that_goes_on_are_not_taken_for_its_end(name: str) -> None:
    run = {**recorded(f"run-{name}"), "state": "RUNNING"}  # as it is while the exit handler runs
    assert of_run(run, HANDLER).state == "UNKNOWN"


def test_a_run_that_is_being_cancelled_is_cancelled() -> None:
    lines = gzip.decompress((RECORDED / "exchanges-cancelled.jsonl.gz").read_bytes()).splitlines()
    (answer,) = [line for line in map(json.loads, lines) if line["note"] == "get run, CANCELING"]
    assert of_run(answer["response"]["json"], HANDLER).state == "CANCELLED"


@pytest.mark.parametrize("platform", ["f-failed"], indirect=True)
def test_the_failing_step_and_its_sentence_are_reported(platform: Platform, tmp_path: Path) -> None:
    assert asked(platform, tmp_path).failures == (Said("fails", "the one sentence: the table has no rows"),)
    assert platform.selectors == ["workflows.argoproj.io/workflow=f-failed-wgmzh"]


@pytest.mark.parametrize("platform", ["failure-load"], indirect=True)
def test_the_failing_step_is_reported_where_it_left_no_words(platform: Platform, tmp_path: Path) -> None:
    assert [said.task for said in asked(platform, tmp_path).failures] == ["load"]
    found = by_api(platform.url, recorded("run-failure-load")["run_id"], HANDLER)
    assert [said.task for said in found.failures] == ["load"]


def test_a_pod_that_was_deleted_and_run_again_is_no_failure() -> None:
    assert of_workflow(recorded("workflow-c-retry-delete"), [], HANDLER).failures == ()


def test_what_steps_left_as_their_last_words_is_what_was_decided() -> None:
    said = pods("f-failed")
    workflow = recorded("workflow-f-failed")
    name = "f-failed-wgmzh(0).root(0).exit-handler-1(0).evaluate(0).executor(0)"
    (failed,) = [pod for pod in said if "fails(0).executor(0)" in json.dumps(pod["metadata"]["annotations"])]
    pod = json.loads(json.dumps(failed))
    pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"] = name
    pod["status"]["phase"] = "Succeeded"
    (main,) = [each for each in pod["status"]["containerStatuses"] if each["name"] == "main"]
    main["state"]["terminated"] |= {"exitCode": 0, "message": "hold (roc_auc 0.61 is below 0.7)"}
    found = of_workflow(workflow, [*said, pod], HANDLER)
    assert found.decisions == (Said("evaluate", "hold (roc_auc 0.61 is below 0.7)"),)


@pytest.mark.parametrize("platform", ["eight"], indirect=True)
def test_a_workflow_that_is_gone_is_an_error_and_no_ending(platform: Platform, tmp_path: Path) -> None:
    cluster = Cluster.connect(platform.kubeconfig(tmp_path), 5.0, ())
    with pytest.raises(KubelineError, match="there is no workflow 'gone' in namespace 'kubeflow'"):
        by_workflow(cluster, "kubeflow", "gone", HANDLER, patience=0)


def final_status(state: str) -> PipelineTaskFinalStatus:
    return PipelineTaskFinalStatus(state, "training-5vphp", HANDLER, None, None)


def test_an_ending_that_nobody_knows_is_reported_as_not_known() -> None:
    status = final_status("RUNNING")
    found = ending(status)
    headline, body = compose(status, found, title="Flights")
    assert headline == "Flights ended, how is not known"
    assert "The platform's state is RUNNING, which does not say how the run ended" in body
    assert mood(found) == "info"


def test_the_message_says_what_was_decided_and_a_held_model_is_no_plain_success() -> None:
    decisions = (
        Said("evaluate", "promote (roc_auc 0.71 is at least 0.6)"),
        Said("rollout", "rolled_back (4 % failed)"),
    )
    found = Ending("SUCCEEDED", decisions=decisions)
    headline, body = compose(final_status("COMPLETE"), found, title="Flights")
    assert headline == "Flights: rolled back (rollout)"
    assert "Decided: evaluate: promote (roc_auc 0.71 is at least 0.6)" in body
    assert "Decided: rollout: rolled_back (4 % failed)" in body
    assert mood(found) == "warning"
    assert mood(Ending("SUCCEEDED", decisions=decisions[:1])) == "success"


@pytest.mark.parametrize(
    ("decisions", "headline", "feeling"),
    [
        (["drift-check: drift", "alarm: watch"], "watch (alarm)", "warning"),
        (["drift-check: drift", "alarm: alarm"], "alarm", "warning"),
        (["drift-check: stable", "alarm: quiet"], "succeeded (alarm: quiet)", "success"),
        (["take-alarm: quiet"], "succeeded (take-alarm: quiet)", "success"),
        (["take-alarm: due", "evaluate: hold"], "hold (evaluate)", "warning"),
        (["take-alarm: due", "evaluate: promote", "rollout: promoted"], "succeeded (rollout: promoted)", "success"),
        (["take-alarm: due", "evaluate: promote", "rollout: rolled_back"], "rolled back (rollout)", "warning"),
    ],
)
def test_at_every_branch_of_the_loop_the_message_begins_with_its_verdict(
    decisions: list[str], headline: str, feeling: str
) -> None:
    reported = [Said(*one.split(": ")) for one in decisions]
    found = Ending("SUCCEEDED", decisions=tuple(replace(said, text=f"{said.text} (AUC 0.65)") for said in reported))
    first, body = compose(final_status("COMPLETE"), found, title="flights", link="https://kf.example/run")
    assert first.removeprefix("flights").lstrip(": ") == headline
    assert mood(found) == feeling
    assert all(f"Decided: {said.task}: {said.text} (AUC 0.65)" in body for said in reported)
    assert body.endswith("More: https://kf.example/run")


def test_the_folder_of_a_run_shows_what_was_decided(tmp_path: Path) -> None:
    for task, metadata in {"load": {"rows": 3}, "evaluate_42": {"verdict": "hold"}}.items():
        place = tmp_path / task
        place.mkdir()
        artifact = {"name": "blessing", "uri": str(place / "blessing"), "metadata": metadata}
        (place / "blessing").write_text(json.dumps({"reasons": ["too slow"]}))
        (place / "executor_output.json").write_text(json.dumps({"artifacts": {"blessing": {"artifacts": [artifact]}}}))
    assert decisions_in(tmp_path) == (Said("evaluate", "hold (too slow)"),)


@pytest.mark.parametrize(("platform", "name"), [(name, name) for name in TRUTH], indirect=["platform"])
@pytest.mark.parametrize("only_on", ["always", "failure"])
def test_every_recorded_run_is_reported_by_its_true_end_whatever_the_handler_was_reported(
    platform: Platform,
    name: str,
    only_on: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = next(path for path in platform.answers if path.startswith("/apis/v2beta1")).rpartition("/")[2]
    output = {"outputs": {"outputFile": f"/minio/mlpipeline/v2/artifacts/p/{run}/notify/output_metadata.json"}}
    monkeypatch.setattr(sys, "argv", ["executor_main", "--executor_input", json.dumps(output)])
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", platform.url)
    caplog.set_level(logging.INFO)
    reported, truth = TRUTH[name]
    words = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELLED": "was cancelled"}[truth]
    notify.run(final_status(reported), title="Nightly", only_on=only_on)
    silent = truth == "SUCCEEDED" and only_on == "failure"
    assert (f"nothing to send: Nightly {words}" in caplog.text) == silent
    assert (f"Nightly {words}\n" in caplog.text) != silent


@pytest.mark.parametrize(("name", "step"), [("e-terminate", "trap"), ("rolling", "rollout")])
def test_a_step_that_was_stopped_by_the_cancellation_is_no_failed_one(name: str, step: str) -> None:
    found = of_workflow(recorded(f"workflow-{name}"), [], HANDLER)
    headline, body = compose(final_status("RUNNING"), found, title="Nightly")
    assert headline == "Nightly was cancelled"
    assert f"Stopped: {step}" in body
    assert "Failed" not in body


def test_a_template_of_the_operator_makes_the_address_of_the_runs_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = "3bf46c3c-4a0c-4a34-8d9e-0f8a1c7b1c11"
    output = {"outputs": {"outputFile": f"/minio/mlpipeline/v2/artifacts/p/{run}/notify/output_metadata.json"}}
    monkeypatch.setattr(sys, "argv", ["executor_main", "--executor_input", json.dumps(output)])
    monkeypatch.setenv("KUBELINE_RUN_PAGE", "https://kf.example/pipeline/#/runs/details/{run}")
    caplog.set_level(logging.INFO)
    notify.run(final_status("COMPLETE"), title="Nightly")
    assert f"More: https://kf.example/pipeline/#/runs/details/{run}" in caplog.text


def test_a_registered_version_is_reported_with_the_registrys_page_about_it() -> None:
    metadata = {"uri": "models:/flights/3", "page": "https://mlflow.example/#/models/flights/versions/3"}
    said = described(metadata, "nowhere")
    assert said == "models:/flights/3 (https://mlflow.example/#/models/flights/versions/3)"
    _, body = compose(final_status("COMPLETE"), Ending("SUCCEEDED", decisions=(Said("register", said),)))
    assert f"Decided: register: {said}" in body


def test_an_api_server_that_drips_is_ended_with_the_time_of_the_request() -> None:
    with (
        lying(dripping(b"HTTP/1.1 200 OK\r\n\r\n{")) as url,
        pytest.raises(PlatformError, match="no whole answer within"),
    ):
        by_api(url, "run", HANDLER, seconds=0.3)
