"""Follow a run to its end, whatever runs it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kubeline.errors import PlatformError

StepState = Literal["waiting", "running", "succeeded", "failed", "skipped", "unknown"]

# What a word of either platform for the state of a task means; any other: it waits.
STATES: Mapping[str, StepState] = {
    "PENDING": "running",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "failed",
    "CANCELLED": "failed",
    "SKIPPED": "skipped",
    "NOT_TRIGGERED": "skipped",
}
_GRACE = 600.0  # seconds that the platform may be away meanwhile


@dataclass
class Ended:
    """How a run ended.

    Attributes:
        state: ``SUCCEEDED``, ``FAILED`` or ``CANCELLED``.
        step: the first that failed; empty when none did, or it is not known which.
        sentence: why.
    """

    state: str
    step: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class RunSnapshot:
    """What is seen of a run: its steps (name, path and state), and how it ended, once it has."""

    steps: Sequence[Any]
    ended: Ended | None = None


def moment(time: str | None) -> datetime | None:
    """A time that a platform says; None where there is none, for which Kubeflow has 1970."""
    found = datetime.fromisoformat(time) if time else None
    return found if found and found.year > 1970 else None


def follow(
    read: Callable[[], RunSnapshot], on_step: Callable[[Any], None], seconds: float, poll: float, again: str
) -> Ended:
    """Wait for the end of a run, and report each step that starts or ends.

    Args:
        read: what is to be seen of the run now.
        on_step: is called with each change.
        seconds: to wait at most.
        poll: seconds between two queries.
        again: the command that shows it later, for messages.

    Raises:
        UserError: when the run is gone.
        PlatformError: when it has not ended in time, or the platform was away too long. The run goes on.
    """
    until = time.monotonic() + seconds
    away_until = time.monotonic() + _GRACE
    seen: dict[str, str] = {}
    while True:
        try:
            found = read()
        except PlatformError:
            if time.monotonic() > min(until, away_until):
                raise
        else:
            away_until = time.monotonic() + _GRACE
            for step in found.steps:
                if step.state in {"running", "succeeded", "failed"} and seen.get(step.path) != step.state:
                    seen[step.path] = step.state
                    on_step(step)
            if found.ended:
                return found.ended
        if time.monotonic() + poll > until:
            raise PlatformError(f"the run has not ended within {seconds:g} s, and goes on; {again} shows its state")
        time.sleep(poll)
