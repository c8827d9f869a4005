"""The step that tells people how a pipeline ended. It never fails: a message lost must not cost a model."""

import logging
from typing import Protocol

from kubeline.artifacts import step
from kubeline.notification.channels import URLS, URLS_FILE, Delivery, Mood, addresses, send

logger = logging.getLogger(__name__)

_MOODS: dict[str, Mood] = {"SUCCEEDED": "success", "FAILED": "failure", "CANCELLED": "warning"}
_WORDS = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELLED": "was cancelled"}


class FinalStatus(Protocol):
    """How a pipeline ended; `kfp.dsl.PipelineTaskFinalStatus` satisfies it."""

    state: str
    pipeline_job_resource_name: str
    pipeline_task_name: str
    error_code: int | None
    error_message: str | None


@step
def run(status: FinalStatus, *, title: str = "", message: str = "", link: str = "", only_on: str = "always") -> None:
    """Send the final status to every configured channel; log what did not arrive, and end well in every case."""
    try:
        headline, body = compose(status, title=title, message=message, link=link)
        if only_on not in {"always", "failure"}:
            logger.warning("only_on '%s' is neither 'always' nor 'failure'; 'always' is taken", only_on)
        if only_on == "failure" and status.state == "SUCCEEDED":
            logger.info("nothing to tell: %s, and only_on is 'failure'", headline)
            return
        urls = addresses()
        if not urls:
            logger.info("no channel is configured (set %s or %s); the message is:", URLS, URLS_FILE)
            logger.info("%s\n%s", headline, body)
            return
        _log(send(urls, headline, body, _MOODS.get(status.state, "info")))
    except Exception as error:  # see the module's first line; the text of the error could hold an address
        logger.error("the notification failed (%s)", type(error).__name__)  # noqa: TRY400


def compose(status: FinalStatus, *, title: str = "", message: str = "", link: str = "") -> tuple[str, str]:
    """The headline and the plain text of the message.

    Args:
        status: how the pipeline ended.
        title: what the headline names; empty for the name of the pipeline job.
        message: text of the caller, put first.
        link: address of a page about this run.
    """
    job = status.pipeline_job_resource_name or ""
    name = title or job.rpartition("/")[2] or "pipeline"
    headline = f"{name} {_WORDS.get(status.state, f'ended as {status.state}')}"
    lines = [message] if message else []
    if status.error_message or status.error_code:
        code = f" (code {status.error_code})" if status.error_code else ""
        lines.append(f"Error{code}: {status.error_message or 'no message'}")
    if job and job != name:
        lines.append(f"Job: {job}")
    if status.pipeline_task_name:
        lines.append(f"Task: {status.pipeline_task_name}")
    if link:
        lines.append(f"More: {link}")
    return headline, "\n".join(lines) or headline


def _log(deliveries: list[Delivery]) -> None:
    for each in deliveries:
        if each.problem:
            logger.warning("%s did not get the message: %s", each.channel, each.problem)
        else:
            logger.info("%s got the message", each.channel)
