"""The channels of Apprise, and their addresses, which are secrets: no address ever reaches a log."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from kubeline.http.bounded import bounded_requests
from kubeline.mounted import mounted_text

logger = logging.getLogger(__name__)

URLS = "KUBELINE_NOTIFY_URLS"
URLS_FILE = "KUBELINE_NOTIFY_URLS_FILE"

_SECONDS = 30.0
_MAX_BYTES = 2**20  # of a channel's answer

Mood = Literal["success", "failure", "warning", "info"]


@dataclass(frozen=True)
class Delivery:
    """What became of a message on one channel: `channel` is fit for a log, `problem` is empty when it arrived."""

    channel: str
    problem: str = ""


def addresses(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The Apprise URLs of ``KUBELINE_NOTIFY_URLS`` and of the file that ``KUBELINE_NOTIFY_URLS_FILE`` names.

    They are separated by white space, or by a comma in front of the next URL; lines of the file that begin with
    ``#`` are comments.
    """
    text = environment.get(URLS, "")
    if file := environment.get(URLS_FILE, ""):
        try:
            lines = mounted_text(file).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            logger.warning("cannot read the file that %s names (%s)", URLS_FILE, type(error).__name__)
        else:
            text = "\n".join([text, *(line for line in lines if not line.lstrip().startswith("#"))])
    found = (part.strip(",") for part in re.split(r"\s+|,(?=[A-Za-z0-9]+://)", text))
    return list(dict.fromkeys(part for part in found if part))  # one message for a channel given twice


def send(urls: list[str], title: str, body: str, mood: Mood, seconds: float = _SECONDS) -> list[Delivery]:
    """Send a plain-text message to every channel, one after the other; a dead one costs some seconds.

    Each is tried on its own, whatever happens to the others, for so many seconds to the last byte of its answer.
    """
    with _silent_libraries():
        return [_send_one(number, url, title, body, mood, seconds) for number, url in enumerate(urls, start=1)]


def _send_one(number: int, url: str, title: str, body: str, mood: Mood, seconds: float) -> Delivery:
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

    reasons: list[str] = []
    sender = Apprise(
        asset=AppriseAsset(app_id="Kubeline", app_desc="Kubeline"),
        log_callback=lambda entry, _: reasons.append(entry.message),
        log_level=logging.WARNING,
    )
    channel = f"channel {number}"
    try:
        if not sender.add(url):
            return Delivery(channel, "its URL is not one that Apprise knows")
        channel = f"{channel} ({sender[0].service_name})"
        with bounded_requests(seconds, _MAX_BYTES):
            if sender.notify(body=body, title=title, notify_type=NotifyType(mood), body_format=NotifyFormat.TEXT):
                return Delivery(channel)
    except Exception as error:  # the plugins of a hundred services, none of which may fail a pipeline
        reasons.append(f"{type(error).__name__}: {error}")
    return Delivery(channel, _masked(" ".join(reasons), url) or "the service did not take the message")


def _masked(text: str, url: str) -> str:
    """The text with every piece of the URL in it replaced, however it is quoted or cased, longest first."""
    rest = url.partition("://")[2]
    pieces = {url, rest, *re.split(r"[/:@?&=#]+", rest)}
    pieces |= {unquote(piece) for piece in pieces}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) > 2:
            text = re.sub(re.escape(piece), "***", text, flags=re.IGNORECASE)
    return text


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Keep Apprise and urllib3 from logging addresses, whatever level the process logs at."""
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3", "requests")]
    before = [(each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING)
        each.propagate = False  # Apprise's own capture still hears it
    handler = logging.NullHandler()  # without any handler, Python's last resort would print
    for each in loggers:
        each.addHandler(handler)
    try:
        yield
    finally:
        for each, (level, propagate) in zip(loggers, before, strict=True):
            each.removeHandler(handler)
            each.setLevel(level)
            each.propagate = propagate
