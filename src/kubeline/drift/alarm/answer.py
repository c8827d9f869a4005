"""Whether an alarm waits for an answer: the implementation of the component `take_alarm`."""

import json
import logging
from dataclasses import dataclass, field

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.drift.alarm.history import History
from kubeline.drift.alarm.rule import AlarmRecord, WindowRecord, day
from kubeline.errors import listed
from kubeline.printable import rounded
from kubeline.registry.interface import CHAMPION, check_name
from kubeline.registry.opening import open_registry
from kubeline.retries import repeated

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """What is to be answered: `at` is the end of the window that raised the alarm, empty when nothing is to be done."""

    at: str
    reasons: list[str]
    windows: list[WindowRecord] = field(default_factory=list)


@step
@repeated
def run(decision: Artifact, *, history: str, name: str, run_name: str, tracking_uri: str = "") -> str:
    """Take the last alarm; the arguments are those of the component ``take_alarm``.

    Raises:
        UserError: when the name is none.
        PlatformError: when the history or the registry cannot be used.
    """
    check_name(name)
    champion = open_registry(tracking_uri).find(name, alias=CHAMPION)
    digest = champion.tags.get("package_digest", "") if champion else ""
    taken = take(History(history), name, digest, run_name)
    verdict = "due" if taken.at else "quiet"
    log.info("%s: %s", verdict, "; ".join(taken.reasons))
    windows = [one.model_dump(mode="json") for one in taken.windows]
    document = {"version": 1, "verdict": verdict, "reasons": taken.reasons, "at": taken.at, "windows": windows}
    with publish(decision.path) as path:
        path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    describe(decision, {"verdict": verdict})
    return taken.at


def take(history: History, name: str, champion: str, run_name: str) -> Taken:
    """Take the last alarm, unless there is none, it is about another model, or another run has taken it.

    Args:
        history: What ``alarm`` keeps.
        name: Of the model.
        champion: The digest of its champion's package; empty when there is none.
        run_name: Who takes it.
    """
    alarms = history.alarms()
    if not alarms:
        seen = len(history.windows())
        return Taken("", [f"none of the {seen:,} windows of history '{history.shown}' has raised an alarm"])
    last = alarms[-1]
    alarm = f"the alarm of the window to {day(last.until)}"
    if champion and champion[:12] not in last.reference:
        return Taken("", [f"{alarm} is about {last.reference}, and the champion of {name} is {champion[:12]} now"])
    taker = history.answer(len(alarms) - 1, run_name)
    if taker != run_name:
        return Taken("", [f"{alarm} is answered by the run {taker}"])
    windows = [one for one in history.windows() if _led_to(last, one)]
    return Taken(last.until.isoformat(), [f"{alarm}: {_shown(one)}" for one in windows[-1:]] or [alarm], windows)


def _led_to(alarm: AlarmRecord, window: WindowRecord) -> bool:
    return window.reference == alarm.reference and window.until <= alarm.until and bool(window.signals)


def _shown(window: WindowRecord) -> str:
    figures = [f"{name} {rounded(value)}" for name, value in window.figures.items()]
    return f"{listed(window.signals)} ({', '.join(figures)})" if figures else listed(window.signals)
