"""The alarm, from the result of a drift check to a decision: the implementation of the component `alarm`."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.drift.alarm.history import History
from kubeline.drift.alarm.rule import AlarmDecision, AlarmRecord, AlarmVerdict, Policy, WindowRecord, decide, interval
from kubeline.drift.result import DriftResult
from kubeline.retries import repeated

log = logging.getLogger(__name__)


@step
@repeated
def run(
    result: Artifact,
    decision: Artifact,
    *,
    history: str,
    needed: int = 2,
    of: int = 3,
    cool_down: str = "7d",
    signals: Sequence[str] = ("drift", "performance"),
) -> AlarmVerdict:
    """Keep what the window showed, and decide; the arguments are those of the component ``alarm``.

    Raises:
        UserError: when the policy is wrong, or the window has no bounds in time.
        PlatformError: when the history cannot be read or written.
    """
    policy = Policy(int(needed), int(of), cool_down, signals).check()
    checked = DriftResult.model_validate_json(Path(result.path).read_text(encoding="utf-8"))
    window = record_of(checked)
    decided = settle(History(history), window, policy)
    log.info("%s: %s", decided.verdict, "; ".join(decided.reasons))
    with publish(decision.path) as path:
        path.write_text(json.dumps(_document(decided, window), indent=2), encoding="utf-8")
    describe(decision, {"verdict": decided.verdict, "window": checked.window})
    return decided.verdict


def settle(history: History, window: WindowRecord, policy: Policy) -> AlarmDecision:
    """Keep the window, and decide until no other run has raised an alarm meanwhile."""
    history.keep(window)
    while True:
        alarms = history.alarms()
        decided = decide(window, history.windows(), alarms, policy)
        own = AlarmRecord(until=window.until, reference=window.reference)
        if decided.verdict != "alarm" or own in alarms or history.raise_alarm(own, len(alarms)):
            return decided


def record_of(checked: DriftResult) -> WindowRecord:
    """What the history keeps of a check."""
    since, until = interval(checked.window)
    figures = {"rows": float(checked.current_rows), "max_effect": max([0.0, *(one.effect for one in checked.columns)])}
    if checked.performance:
        figures[checked.performance.metric] = checked.performance.value
    if checked.estimate:
        figures[f"estimated_{checked.estimate.metric}"] = checked.estimate.value
    judged = checked.performance or checked.estimate  # measured performance comes before an estimate
    wrong = {"drift": checked.drifted, "performance": bool(judged and judged.worse)}
    return WindowRecord(
        since=since,
        until=until,
        reference=checked.reference,
        verdict=checked.verdict,
        signals=[name for name, is_wrong in wrong.items() if is_wrong],
        figures=figures,
    )


def _document(decided: AlarmDecision, window: WindowRecord) -> dict[str, Any]:
    windows = [one.model_dump(mode="json") for one in decided.windows]
    return {"version": 1, "verdict": decided.verdict, "reasons": decided.reasons, "at": window.until.isoformat()} | {
        "windows": windows
    }
