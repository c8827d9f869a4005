"""The steps of a run on its page: the graph of the pipeline as it ran, and when each of them ran."""

import datetime
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from kubeline.decision import tone
from kubeline.local.graph import Box, drawing
from kubeline.local.result import RUNNING, RunResult, TaskTime
from kubeline.local.tasks import Output
from kubeline.reports import text

_COLOURS = {"succeeded": "model", "failed": "bad", RUNNING: "neutral"}


def steps(
    result: RunResult, made: Sequence[Output], waits: Mapping[str, set[str]], logs: Mapping[str, Markup]
) -> list[Markup]:
    """The graph beside the times, for a run whose times are known.

    Args:
        result: of the run.
        made: its outputs.
        waits: the tasks of the pipeline, each with those that it waits for.
        logs: a link to the log of each step that printed something.
    """
    if not result.tasks and result.verdict != RUNNING:
        return [text("No step began.")]
    verdicts = {one.task: one.verdict for one in made if one.verdict}
    idle = "has not begun" if result.verdict == RUNNING else "did not run"
    boxes = {task: _boxes(task, result.tasks, verdicts) or [Box(task, idle)] for task in waits}
    times = Markup("").join(
        _bar(one, result, logs.get(one.task, one.task)) for one in sorted(result.tasks, key=lambda one: one.begun)
    )
    return [Markup('<div class="sides"><div>{}</div><div>{}</div></div>').format(drawing(waits, boxes), times)]


def _boxes(task: str, times: Sequence[TaskTime], verdicts: Mapping[str, str]) -> list[Box]:
    ran = [one for one in times if one.task == task or one.task.rpartition(" ")[0] == task]
    return [_box(one, verdicts.get(one.task, "")) for one in sorted(ran, key=lambda one: one.task)]


def _box(one: TaskTime, verdict: str) -> Box:
    if one.state == RUNNING:
        return Box(one.task, RUNNING, "plain")
    note = duration(one.seconds) + (f", {verdict.replace('_', ' ')}" if verdict else "")
    return Box(one.task, note, tone(verdict or one.state)) if one.state != "failed" else Box(one.task, "failed", "bad")


def _bar(one: TaskTime, result: RunResult, name: str) -> Markup:
    whole = max(result.seconds, 1e-9)
    begun = 100 * max(0.0, one.begun - result.started) / whole
    wide = max(0.5, 100 * one.seconds / whole)
    return Markup(
        '<div class="time"><span>{}</span><svg width="100%" height="12" aria-hidden="true">'
        '<rect width="100%" height="12" style="fill:var(--tint)"/>'
        '<rect x="{:.2f}%" width="{:.2f}%" height="12" style="fill:var(--{})"/></svg><span>{}</span></div>'
    ).format(
        name,
        min(begun, 99.5),
        min(wide, 100.0),
        _COLOURS[one.state],
        RUNNING if one.state == RUNNING else duration(one.seconds),
    )


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def clock(seconds: float) -> str:
    """Unix seconds as this machine's date and time."""
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
