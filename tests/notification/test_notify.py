"""`notify`: what people read, where the message goes, and that it never fails a pipeline or shows a secret."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from kfp import dsl, local

from components.images import image
from components.notify.component import notify
from kubeline.notification.channels import URLS, URLS_FILE, addresses, send
from kubeline.notification.ending import Ending, Said
from kubeline.notification.notify import compose
from tests.support.misbehaving_servers import Talk, dripping, gushing, lying
from tests.support.webhook import SECRET, Webhook, listening


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening() as server:
        yield server


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv(URLS, raising=False)
    monkeypatch.delenv(URLS_FILE, raising=False)
    return monkeypatch


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def status(state: str = "SUCCEEDED", error: str | None = None) -> dsl.PipelineTaskFinalStatus:
    return dsl.PipelineTaskFinalStatus(
        state=state,
        pipeline_job_resource_name="projects/p/locations/l/pipelineJobs/training-42",
        pipeline_task_name="exit-handler-1",
        error_code=13 if error else None,
        error_message=error,
    )


def dead_url() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"json://127.0.0.1:{unused.getsockname()[1]}/{SECRET}"


def test_a_failure_reaches_the_webhook_with_its_error_and_link(
    webhook: Webhook, channels: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    channels.setenv(URLS, webhook.url)
    notify.python_func(
        status("FAILED", "train: UserError: unknown target"), title="Flights", link="https://kfp.example/runs/42"
    )
    (message,) = webhook.messages
    assert message["title"] == "Flights failed"
    assert message["type"] == "failure"
    assert "Error (code 13): train: UserError: unknown target" in message["message"]
    assert "More: https://kfp.example/runs/42" in message["message"]
    assert "channel 1 (JSON) got the message" in log.text
    assert SECRET not in log.text


def test_a_step_with_the_name_of_its_verdict_is_named_once() -> None:
    headline, _ = compose(status(), Ending("SUCCEEDED", decisions=(Said("alarm", "alarm (drift in 2 of 3 windows)"),)))
    assert headline == "training-42: alarm"


def test_the_job_gives_the_headline_its_name_when_no_title_is_given() -> None:
    headline, body = compose(status(), Ending("SUCCEEDED"), message="AUC 0.79")
    assert headline == "training-42 succeeded"
    assert body.splitlines() == [
        "AUC 0.79",
        "Job: projects/p/locations/l/pipelineJobs/training-42",
        "Task: exit-handler-1",
    ]


def test_on_vertex_the_message_links_to_the_consoles_page_of_the_run(
    webhook: Webhook, channels: pytest.MonkeyPatch
) -> None:
    channels.setenv(URLS, webhook.url)
    notify.python_func(status())
    page = "https://console.cloud.google.com/vertex-ai/locations/l/pipelines/runs/training-42?project=p"
    assert f"More: {page}" in webhook.messages[0]["message"]


@pytest.mark.parametrize(("state", "mood"), [("SUCCEEDED", "success"), ("CANCELLED", "warning"), ("UNHEARD", "info")])
def test_each_state_has_its_mood(state: str, mood: str, webhook: Webhook, channels: pytest.MonkeyPatch) -> None:
    channels.setenv(URLS, webhook.url)
    notify.python_func(status(state))
    assert [message["type"] for message in webhook.messages] == [mood]


def test_only_on_failure_is_silent_about_success(webhook: Webhook, channels: pytest.MonkeyPatch) -> None:
    channels.setenv(URLS, webhook.url)
    notify.python_func(status("SUCCEEDED"), only_on="failure")
    assert webhook.messages == []
    notify.python_func(status("FAILED", "x"), only_on="failure")
    assert len(webhook.messages) == 1


def test_an_unknown_only_on_notifies_always_rather_than_failing(
    webhook: Webhook, channels: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    channels.setenv(URLS, webhook.url)
    notify.python_func(status(), only_on="sometimes")
    assert len(webhook.messages) == 1
    assert "only_on 'sometimes' is neither 'always' nor 'failure'" in log.text


def test_without_a_channel_the_message_goes_to_the_log(
    channels: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    notify.python_func(status("FAILED", "disk full"), title="Nightly")
    assert f"set {URLS} or {URLS_FILE}" in log.text
    assert "Nightly failed" in log.text
    assert "disk full" in log.text


def test_a_dead_server_and_a_bad_url_do_not_keep_others_from_the_message_nor_show_their_secrets(
    webhook: Webhook, channels: pytest.MonkeyPatch, log: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    channels.setenv(URLS, f"{dead_url()},nosuch://{SECRET}/x {SECRET}\nslack://{SECRET} , {webhook.url}")
    notify.python_func(status())
    assert len(webhook.messages) == 1
    lines = [record.getMessage() for record in log.records]
    assert any(line.startswith("channel 1 (JSON) did not get the message: A Connection error") for line in lines)
    assert sum("its URL is not one that Apprise knows" in line for line in lines) == 3
    assert "channel 5 (JSON) got the message" in lines
    printed = capfd.readouterr()
    assert SECRET not in log.text + printed.out + printed.err


def test_a_server_that_refuses_is_logged_with_its_answer(
    webhook: Webhook, channels: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    webhook.answer = 403
    channels.setenv(URLS, webhook.url)
    notify.python_func(status())
    assert "did not get the message" in log.text
    assert "error=403" in log.text
    assert SECRET not in log.text


def test_a_mounted_file_adds_channels_and_may_hold_comments(tmp_path: Path, webhook: Webhook) -> None:
    file = tmp_path / "urls"
    file.write_text(f"# the team's hook\n{webhook.url}\n\n  # off: slack://x\njson://b.example,json://c.example\n")
    found = addresses({URLS: f"json://a.example/x,y {webhook.url}", URLS_FILE: str(file)})
    assert found == ["json://a.example/x,y", webhook.url, "json://b.example", "json://c.example"]


def test_the_reason_of_a_failure_is_reported_without_the_pieces_of_the_address(
    channels: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    channels.setenv(URLS, f"json://{SECRET}:99999/")  # Apprise names the host in its warning
    notify.python_func(status())
    assert "did not get the message: A Connection error occurred sending JSON notification to ***" in log.text
    assert SECRET.lower() not in log.text.lower()


def test_a_missing_file_is_logged_and_the_step_ends_well(
    tmp_path: Path, channels: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    channels.setenv(URLS_FILE, str(tmp_path / "nothing"))
    notify.python_func(status())
    assert f"cannot read the file that {URLS_FILE} names (FileNotFoundError)" in log.text


def test_a_status_with_nothing_in_it_does_not_fail_the_step(webhook: Webhook, channels: pytest.MonkeyPatch) -> None:
    channels.setenv(URLS, webhook.url)
    notify.python_func(dsl.PipelineTaskFinalStatus(None, None, None, None, None))
    notify.python_func(None)  # what not even the contract of KFP allows
    assert [message["title"] for message in webhook.messages] == ["pipeline ended, how is not known"]


def test_the_libraries_log_as_before_once_the_message_is_sent(webhook: Webhook) -> None:
    before = {
        name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in ("apprise", "urllib3")
    }
    assert [each.problem for each in send([webhook.url], "t", "b", "info")] == [""]
    assert before == {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in before}


@pytest.mark.parametrize(
    ("talk", "problem"),
    [
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n"), "no whole answer within 2 s"),
        (dripping(b"HTTP/1.1 200 OK\r\nX: "), "no whole answer within 2 s"),
        (gushing(b"HTTP/1.1 200 OK\r\n\r\n"), "Connection"),
    ],
    ids=["a drip", "a drip of headers", "without an end"],
)
def test_an_answer_of_a_channel_that_does_not_end_is_ended(talk: Talk, problem: str, webhook: Webhook) -> None:
    with lying(talk) as url:
        found = send([url.replace("http://", "json://"), webhook.url], "t", "b", "info", seconds=2.0)
    assert problem in found[0].problem
    assert found[1].problem == ""


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def _fail() -> None:
    raise SystemExit(1)


@dsl.pipeline
def _failing_pipeline() -> None:
    exit_task = notify(title="Nightly")
    with dsl.ExitHandler(exit_task):
        _fail()


def test_the_exit_handler_of_a_failing_pipeline_reports_the_failure(
    tmp_path: Path, webhook: Webhook, channels: pytest.MonkeyPatch
) -> None:
    channels.setenv(URLS, webhook.url)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path), raise_on_error=False)
    _failing_pipeline()
    assert [(message["title"], message["type"]) for message in webhook.messages] == [("Nightly failed", "failure")]


def test_a_message_repeats_no_credentials_of_addresses_but_its_link_stays_whole() -> None:
    ended = Ending("FAILED", failures=(Said("load", "'s3://AKIA:se/cret@bucket' and https://h/x?sig=abc failed"),))
    link = "https://kfp.example/#/runs/details/1?tab=log"
    reported = "\n".join(compose(status(), ended, title="monitoring https://me:pw@h/model?sig=abc", link=link))
    assert "'s3://bucket' and https://h/x failed" in reported
    assert f"More: {link}" in reported
    assert [word for word in ("AKIA", "cret", "pw@", "sig=") if word in reported] == []
