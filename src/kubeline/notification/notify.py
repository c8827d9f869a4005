"""The step that notifies people of how a pipeline ended. It never fails: a lost message must not cost a model."""

import logging

from kubeline.addresses import redact
from kubeline.artifacts import step
from kubeline.decision import GOOD, deciding
from kubeline.notification.asking import FinalStatus, ending
from kubeline.notification.channels import URLS, URLS_FILE, Delivery, Mood, addresses, send
from kubeline.notification.ending import Ending, RunState, Said
from kubeline.notification.run_page import page_of_run
from kubeline.printable import printable

logger = logging.getLogger(__name__)

_MOODS: dict[RunState, Mood] = {"SUCCEEDED": "success", "FAILED": "failure", "CANCELLED": "warning", "UNKNOWN": "info"}
_WORDS: dict[RunState, str] = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "was cancelled",
    "UNKNOWN": "ended, how is not known",
}


@step
def run(status: FinalStatus, *, title: str = "", message: str = "", link: str = "", only_on: str = "always") -> None:
    """Send the final status to every configured channel; log what did not arrive, and end well in every case."""
    try:
        found = ending(status)
        headline, body = compose(status, found, title=title, message=message, link=link or page_of_run(status))
        if only_on not in {"always", "failure"}:
            logger.warning("only_on '%s' is neither 'always' nor 'failure'; 'always' is taken", only_on)
        if only_on == "failure" and found.state == "SUCCEEDED":
            logger.info("nothing to send: %s, and only_on is 'failure'", headline)
            return
        urls = addresses()
        if not urls:
            logger.info("no channel is configured (set %s or %s); the message is:", URLS, URLS_FILE)
            logger.info("%s\n%s", headline, body)
            return
        _log(send(urls, headline, body, mood(found)))
    except Exception as error:  # see the module's first line; the text of the error could hold an address
        logger.error("the notification failed (%s)", type(error).__name__)  # noqa: TRY400


def mood(found: Ending) -> Mood:
    """A success that someone should examine, because a model was held or the data drifted, is a warning."""
    good = all(_word(said) in GOOD or said.text.startswith("models:/") for said in found.decisions)
    return "warning" if found.state == "SUCCEEDED" and not good else _MOODS[found.state]


def compose(
    status: FinalStatus, found: Ending, *, title: str = "", message: str = "", link: str = ""
) -> tuple[str, str]:
    """The headline and the plain text of the message.

    Args:
        status: what KFP says of the end.
        found: how it ended, and what was decided.
        title: what the headline names; empty for the name of the pipeline job.
        message: text of the caller, put first.
        link: address of a page about this run.
    """
    job = status.pipeline_job_resource_name or ""
    name = title or job.rpartition("/")[2] or "pipeline"
    verdicts = [said for said in found.decisions if not said.text.startswith("models:/")]
    decision = deciding(verdicts, _word)
    headline = f"{name} {_WORDS[found.state]}"
    if decision and found.state == "SUCCEEDED" and _word(decision) not in GOOD:
        word = _word(decision).replace("_", " ")
        headline = f"{name}: {word}" + (f" ({decision.task})" if decision.task != word else "")
    elif decision:
        headline += f" ({decision.task}: {_word(decision)})"
    lines = [message] if message else []
    if found.state == "UNKNOWN":
        lines.append(f"The platform's state is {status.state or 'empty'}, which does not say how the run ended")
    if status.error_message or status.error_code:
        code = f" (code {status.error_code})" if status.error_code else ""
        lines.append(f"Error{code}: {status.error_message or 'no message'}")
    ended = "Stopped" if found.state == "CANCELLED" else "Failed"  # Argo says of both that they failed
    lines += [f"{ended}: {said if said.text else said.task}" for said in found.failures]
    lines += [f"Decided: {said}" for said in found.decisions]
    if job and job != name:
        lines.append(f"Job: {job}")
    if status.pipeline_task_name:
        lines.append(f"Task: {status.pipeline_task_name}")
    headline, lines = printable(redact(headline)), [printable(redact(line)) for line in lines]
    if link:
        lines.append(f"More: {link}")
    return headline, "\n".join(lines) or headline


def _word(said: Said) -> str:
    return said.text.partition(" (")[0]


def _log(deliveries: list[Delivery]) -> None:
    for each in deliveries:
        if each.problem:
            logger.warning("%s did not get the message: %s", each.channel, each.problem)
        else:
            logger.info("%s got the message", each.channel)
