"""The report of a rollout, for people: what was decided and why, and who had how much traffic when."""

import datetime
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from kubeline.artifacts import Artifact
from kubeline.reports import Report, Tone, facts, figure, table, text, verdict
from kubeline.rollout.status import Record

_TONES: dict[str, Tone] = {
    "promoted": "good",
    "unchanged": "good",
    "reported": "plain",
    "held": "warn",
    "rolled_back": "bad",
    "failed": "bad",
}
_WORDS = {"rolled_back": "rolled back", "": "going on"}


def write_report(report: Artifact, record: Record) -> None:
    """Write the HTML page."""
    page_of(record).write(report.path)


def page_of(record: Record, seen: Sequence[Markup] = ()) -> Report:
    """The page.

    Args:
        record: of the rollout.
        seen: what clients saw of it, where somebody has counted that.
    """
    page = Report(f"Rollout of {record.name}", f"package {record.digest[:12]} to namespace {record.namespace}")
    word = _WORDS.get(record.outcome, record.outcome)
    page.add("Decision", verdict(word, _TONES.get(record.outcome, "plain"), [record.reason] if record.reason else []))
    shares = [(event.time, event.share) for event in record.timeline if event.share is not None]
    if seen:
        page.add("What clients saw", *seen)
    elif len(shares) > 1:
        page.add("Traffic", _traffic(shares))
    page.add("The rollout", facts(_facts(record)))
    if record.smoke:
        page.add("Smoke test of the candidate alone", facts(_told(record.smoke)))
    if record.shadow:
        page.add("Answers to logged requests", facts(_told(record.shadow)))
    for number, look in enumerate(record.looks, 1):
        page.add(
            f"Look {number}, at {look['share']} %: {look['outcome']}", text(str(look["sentence"])), *_findings(look)
        )
    page.add("What happened", _timeline(record))
    return page


def _facts(record: Record) -> dict[str, Any]:
    return {
        "stable model before": record.stable_digest[:12] or "none",
        "candidate": record.digest[:12],
        "mode of KServe": record.mode or "not known",
        "strategy": record.plan.get("strategy", ""),
        "steps, %": ", ".join(str(step) for step in record.plan.get("steps", [])),
        "rollout": record.rollout_id,
    }


def _told(found: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", " "): value for key, value in found.items() if isinstance(value, (str, int, float))}


def _findings(look: dict[str, Any]) -> list[Any]:
    if not look.get("findings"):
        return []
    columns = ["check", "outcome", "candidate", "stable", "limit", "effect", "p"]
    keys = ("name", "outcome", "canary", "stable", "limit", "effect", "p_value")
    rows = [["" if f.get(key) is None else f[key] for key in keys] for f in look["findings"]]
    return [table(columns, rows)]


def _timeline(record: Record) -> Any:
    rows = [
        [_clock(event.time), event.state.value, "" if event.share is None else f"{event.share} %", event.sentence]
        for event in record.timeline
    ]
    return table(["time (UTC)", "state", "observed share", "what happened"], rows)


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%d\u00a0%b\u00a0%H:%M:%S")


def _traffic(shares: list[tuple[float, int]]) -> Any:
    from kubeline.reports.plots import CHAMPION, MODEL, axes, style

    begun = shares[0][0]
    times = [time - begun for time, _ in shares]
    values = [share for _, share in shares]
    with style():
        drawing, axis = axes(width=6.5, height=2.4)
        axis.stackplot(
            times, values, [100 - value for value in values], labels=["candidate", "stable"], colors=[MODEL, CHAMPION],
            alpha=0.85, step="post",
        )  # fmt: skip
        axis.set(xlabel="seconds since the beginning", ylabel="traffic, %", ylim=(0, 100))
        axis.set_xlim(0, max(times[-1], 1e-9))
        axis.legend(loc="upper left")
    return figure(drawing, "Observed share of the traffic: candidate below, stable model above.")
