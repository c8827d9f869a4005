"""`kubeline submit`, `runs`, `logs` and `schedule` against a server of Vertex AI's published services."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeline.cli import main
from kubeline.platform.compiled import Compiled
from kubeline.platform.vertex.jobs import JobRequest, described, steps_of
from tests.support.commands import Ran
from tests.support.json_servers import Fault
from tests.support.vertex_server import VertexServer

NIGHTLY: dict[str, Any] = {"pipeline": "plain.yaml", "cron": "30 3 * * *", "parameters": {"text": "hello"}}


@pytest.fixture
def there(vertex: VertexServer, tmp_path: Path) -> list[str]:
    """The options that lead to the server."""
    token = tmp_path / "token"
    token.write_text("good-token\n", encoding="utf-8")
    where = ["--project", "team", "--location", "europe-west4", "--endpoint", vertex.url]
    return [*where, "--logging-endpoint", vertex.url, "--token-file", str(token), "--patience", "5"]


@pytest.fixture
def submit(there: list[str], plain: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`submit(*options)`: returns the exit code, what was printed, and the error."""

    def run(*options: str) -> tuple[int, str, str]:
        code = main(["submit", str(plain), "--to", "vertex", "--poll", "0.01", *there, *options])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_job_has_all_that_it_was_given_and_is_followed_to_its_success(
    vertex: VertexServer, submit: Callable[..., Ran], plain: Path
) -> None:
    network, key = "projects/1/global/networks/vpc", "projects/team/locations/europe-west4/keyRings/r/cryptoKeys/k"
    account = "runner@team.iam.gserviceaccount.com"
    options = ("--network", network, "--kms-key", key, "--service-account", account, "--label", "team=flights")
    code, printed, _ = submit("--set", "text=hello", "--name", "first", "--pipeline-root", "gs://other/root", *options)
    assert code == 0
    assert "✓ hello" in printed
    assert (
        "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/first?project=team" in printed
    )
    job = vertex.jobs["first"]
    assert job["runtimeConfig"] == {"gcsOutputDirectory": "gs://other/root", "parameterValues": {"text": "hello"}}
    assert (job["network"], job["serviceAccount"], job["displayName"]) == (network, account, "first")
    assert job["encryptionSpec"] == {"kmsKeyName": key}
    assert job["labels"] == {"team": "flights", "kubeline-version": Compiled.read(plain).version}


def test_steps_stand_in_the_order_in_which_they_were_made() -> None:
    made = {"notify": "2026-11-28T11:12:09.5Z", "load": "2026-11-28T11:10:01Z", "later": ""}
    details = [{"taskName": name, **({"createTime": time} if time else {})} for name, time in made.items()]
    steps = steps_of({"jobDetail": {"taskDetails": [{**one, "taskId": one["taskName"]} for one in details]}})
    assert [step.name for step in steps] == ["load", "notify", "later"]


def test_a_job_is_what_googles_own_class_makes_of_the_pipeline(plain: Path) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform, aiplatform_v1

    theirs = aiplatform.PipelineJob(
        display_name="plain",
        template_path=str(plain),
        parameter_values={"text": "hello"},
        project="team",
        location="europe-west4",
        credentials=AnonymousCredentials(),
        enable_caching=False,
    )
    job = described(Compiled.read(plain, caching=False), JobRequest({"text": "hello"}), "plain")
    ours = aiplatform_v1.types.PipelineJob.from_json(json.dumps(job))
    assert ours.runtime_config == theirs.runtime_config
    made = json.loads(type(ours).to_json(ours))["pipelineSpec"]
    wanted = json.loads(type(ours).to_json(type(ours)(pipeline_spec=theirs.pipeline_spec)))["pipelineSpec"]
    for document in (made, wanted):  # {} and {"enableCache": false} are the same
        document["root"]["dag"]["tasks"]["hello"]["cachingOptions"].pop("enableCache", None)
    assert made == wanted


def test_a_failed_step_is_reported_with_its_one_sentence_from_cloud_logging(
    vertex: VertexServer, submit: Callable[..., Ran], there: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    vertex.fails = True
    code, printed, _ = submit("--name", "bad")
    assert code == 1
    assert "failed hello: there is nothing at 'gs://bucket/data/'; check the address" in printed
    assert main(["logs", "bad", "hello", "--to", "vertex", *there]) == 0
    assert capsys.readouterr().out == "".join(f"{line}\n" for line in vertex.log)
    assert main(["runs", "--to", "vertex", "--failed", *there]) == 0
    assert "bad" in capsys.readouterr().out
    assert main(["runs", "bad", "--to", "vertex", *there]) == 1
    vertex.log = []
    assert main(["runs", "bad", "--to", "vertex", *there]) == 1
    assert "failed hello: The replica workerpool0-0 exited" in capsys.readouterr().out


@pytest.mark.parametrize("after", [False, True])
def test_a_job_whose_answer_is_lost_is_not_started_twice(
    vertex: VertexServer, submit: Callable[..., Ran], after: bool
) -> None:
    vertex.faults = [Fault("POST", "pipelineJobs", 503, {"Retry-After": "0.01"}, after)]
    assert submit("--no-wait")[0] == 0
    assert len(vertex.jobs) == 1


def test_a_name_that_is_taken_is_reported(vertex: VertexServer, submit: Callable[..., Ran]) -> None:
    assert submit("--no-wait", "--name", "first")[0] == 0
    code, _, error = submit("--no-wait", "--name", "first")
    assert code == 2
    assert "already exists" in error


def test_a_service_that_is_busy_is_asked_again_when_it_says_and_given_up_in_time(
    vertex: VertexServer, submit: Callable[..., Ran]
) -> None:
    vertex.faults = [
        Fault("POST", "pipelineJobs", 429, {"Retry-After": "0.01"}),
        Fault("GET", "pipelineJobs/", 503, {"Retry-After": "0.01"}),
    ]
    assert submit()[0] == 0
    assert vertex.faults == []
    vertex.faults = [Fault("POST", "pipelineJobs", 503, {"Retry-After": "60"})]
    code, _, error = submit()
    assert code == 3
    assert "is not available (503); try again later" in error


def test_a_token_that_expired_is_read_anew_or_reported_and_a_right_that_is_missing_is_reported(
    vertex: VertexServer, submit: Callable[..., Ran], tmp_path: Path
) -> None:
    vertex.tokens = {"next-token"}
    code, _, error = submit("--no-wait")
    assert code == 2
    assert "does not know us (401)" in error
    assert "good-token" not in error
    (tmp_path / "token").write_text("next-token")
    assert submit("--no-wait")[0] == 0
    vertex.forbidden = True
    code, _, error = submit("--no-wait")
    assert code == 2
    assert "(403)" in error


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--set", "txet=1"), "did you mean 'text'?"),
        (("--project", ""), "give --project and --location"),
        (("--pipeline-root", "minio://x"), "give --pipeline-root gs://BUCKET/FOLDER"),
        (("--label", "Team=a"), "cannot stand in a label"),
        (("--label", "team"), "--label takes NAME=VALUE"),
        (("--name", "My Run"), "cannot be the name of a job"),
        (("--endpoint", "http://vertex.example.com"), "over https:// only"),
    ],
)
def test_what_is_wrong_is_reported_before_anything_is_sent(
    vertex: VertexServer, submit: Callable[..., Ran], options: tuple[str, ...], sentence: str
) -> None:
    words = " ".join(options).replace("Give", "give")
    code, _, error = submit(*options)
    assert code == 2, words
    assert sentence.lower() in error.lower()
    assert vertex.seen == []


@pytest.fixture
def schedule(there: list[str], plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`schedule(action, **schedules)`: write the file, act, and return the exit code, what was printed, the error."""
    (tmp_path / "plain.yaml").write_text(plain.read_text(encoding="utf-8"), encoding="utf-8")

    def act(action: str, **schedules: Any) -> tuple[int, str, str]:
        file = tmp_path / "schedules.yaml"
        document = {"owner": "flights", "platform": "vertex", "schedules": schedules}
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        code = main(["schedule", action, str(file), *there])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return act


def test_a_schedule_applied_twice_changes_nothing(vertex: VertexServer, schedule: Callable[..., Ran]) -> None:
    wanted = {**NIGHTLY, "concurrency": 2, "end": yaml.safe_load("2027-12-01T00:00:00Z"), "catch_up": True}
    assert schedule("diff", nightly=wanted)[0] == 1
    assert vertex.writes() == []
    assert schedule("apply", nightly=wanted) == (0, "+ nightly: created\n", "")
    (made,) = vertex.schedules.values()
    assert (made["cron"], made["maxConcurrentRunCount"], made["catchUp"]) == ("30 3 * * *", "2", True)
    job = made["createPipelineJobRequest"]["pipelineJob"]
    assert job["runtimeConfig"] == {"gcsOutputDirectory": "gs://bucket/root", "parameterValues": {"text": "hello"}}
    assert job["labels"]["kubeline-schedule"] == "flights"
    assert schedule("apply", nightly=wanted) == (0, "  nightly: unchanged\n", "")
    assert schedule("diff", nightly=wanted)[0] == 0
    assert len(vertex.writes()) == 1


def test_a_schedule_is_changed_in_place_paused_resumed_and_deleted(
    vertex: VertexServer, schedule: Callable[..., Ran]
) -> None:
    schedule("apply", nightly=NIGHTLY)
    code, printed, _ = schedule("diff", nightly={**NIGHTLY, "cron": "0 5 * * *"})
    assert (code, printed) == (1, "~ nightly: update\n    cron: '30 3 * * *' -> '0 5 * * *'\n")
    assert schedule("apply", nightly={**NIGHTLY, "cron": "0 5 * * *"})[0] == 0
    assert [one["cron"] for one in vertex.schedules.values()] == ["0 5 * * *"]
    changed = {**NIGHTLY, "cron": "0 5 * * *"}
    assert schedule("apply", nightly={**changed, "paused": True})[1] == "~ nightly: paused\n"
    assert schedule("apply", nightly=changed)[1] == "~ nightly: resumed\n"
    assert schedule("apply")[1] == "- nightly: deleted\n"
    assert vertex.schedules == {}
    assert [method for method, _ in vertex.writes()] == ["POST", "PATCH", "POST", "POST", "DELETE"]


def test_a_new_schedule_can_begin_paused_and_those_of_others_are_left_alone(
    vertex: VertexServer, schedule: Callable[..., Ran]
) -> None:
    schedule("apply", nightly=NIGHTLY)
    (mine,) = vertex.schedules.values()
    mine["createPipelineJobRequest"]["pipelineJob"]["labels"]["kubeline-schedule"] = "others"
    code, printed, _ = schedule("apply", nightly={**NIGHTLY, "paused": True})
    assert code == 0
    assert "left alone" in printed
    assert [one["state"] for one in vertex.schedules.values()] == ["ACTIVE", "PAUSED"]


@pytest.mark.parametrize("after", [False, True])
def test_a_schedule_whose_answer_is_lost_is_not_made_twice(
    vertex: VertexServer, schedule: Callable[..., Ran], after: bool
) -> None:
    vertex.faults = [Fault("POST", "schedules$", 503, {"Retry-After": "0.01"}, after)]
    assert schedule("apply", nightly=NIGHTLY)[0] == 0
    assert len(vertex.schedules) == 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"cron": "", "every": "6h"}, "Vertex has no `every`"),
        ({"version": "latest"}, "Vertex has no latest version"),
        ({"parameters": {"text": "${scheduled_time}"}}, "Vertex has no ${scheduled_time}"),
    ],
)
def test_what_vertex_does_not_have_is_refused(
    vertex: VertexServer, schedule: Callable[..., Ran], wrong: dict[str, Any], sentence: str
) -> None:
    code, _, error = schedule("apply", nightly={**NIGHTLY, **wrong})
    assert code == 2
    assert sentence in error
    assert vertex.writes() == []
