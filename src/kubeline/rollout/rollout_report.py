"""The report of a rollout: what was decided and why, and which model had how much traffic when."""

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from kubeline.artifacts import Artifact
from kubeline.reports import Report, Tone, facts, table, text, verdict
from kubeline.reports.shares import figure_of_shares
from kubeline.rollout.status import Analysis, Outcome, RolloutStatus, ShadowResult, SmokeTestResult

_TONES: dict[Outcome | None, Tone] = {
    Outcome.PROMOTED: "good",
    Outcome.UNCHANGED: "good",
    Outcome.HELD: "warn",
    Outcome.ROLLED_BACK: "bad",
    Outcome.FAILED: "bad",
}


def write_report(report: Artifact, status: RolloutStatus) -> None:
    """Write the HTML page."""
    page_of(status).write(report.path)


def page_of(status: RolloutStatus, observed: Sequence[Markup] = ()) -> Report:
    """The page.

    Args:
        status: of the rollout.
        observed: what clients observed of it, where that was measured.
    """
    page = Report(
        f"Rollout of {status.name}", f"package {status.candidate.digest[:12]} to namespace {status.namespace}"
    )
    word = status.outcome.replace("_", " ") if status.outcome else "in progress"
    page.add("Decision", verdict(word, _TONES.get(status.outcome, "plain"), [status.reason] if status.reason else []))
    shares = [(event.time, event.share) for event in status.timeline if event.share is not None]
    if observed:
        page.add("What clients observed", *observed)
    elif len(shares) > 1:
        caption = "Observed share of the traffic: candidate below, stable model above."
        page.add("Traffic", figure_of_shares(shares, ("candidate", "stable"), caption))
    page.add("The rollout", facts(_facts(status)))
    if status.smoke:
        page.add("Smoke test of the candidate alone", facts(_result(status.smoke)))
    if status.shadow:
        found = (status.shadow.label_loss,) if status.shadow.label_loss else ()
        page.add("Answers to logged requests", facts(_result(status.shadow)), *_findings(found))
    for number, analysis in enumerate(status.analyses, 1):
        title = f"Analysis {number}, at {analysis.share} %: {analysis.outcome}"
        page.add(title, text(analysis.sentence), *_findings(analysis.findings), *_labels(analysis))
    page.add("What happened", _timeline(status))
    return page


def _facts(status: RolloutStatus) -> dict[str, Any]:
    return {
        "stable model before": status.stable_digest[:12] or "none",
        "candidate": status.candidate.digest[:12],
        "mode of KServe": status.mode or "not known",
        "strategy": status.spec.strategy,
        "steps, %": ", ".join(map(str, status.spec.steps)),
        "rollout": status.rollout_id,
    }


def _result(found: SmokeTestResult | ShadowResult) -> dict[str, Any]:
    left_out = {"passed", "undecided", "label_loss"}  # the outcome says them, and labels have a table of their own
    outcome = "inconclusive" if getattr(found, "undecided", False) else "pass" if found.passed else "fail"
    values = {key: value for key, value in asdict(found).items() if key not in left_out and value is not None}
    return {"outcome": outcome, **{key.replace("_", " "): value for key, value in values.items()}}


def _labels(analysis: Analysis) -> list[Any]:
    """What came of the requests, where the plan names outcomes: the verdict may be of something else."""
    said = [one["sentence"] for one in analysis.findings if one["name"] in {"label_loss", "business"}]
    labels = (analysis.evidence or {}).get("labels") or {}
    if labels.get("differing"):
        said.append(f"{labels['differing']:,} requests have labels that differ, and are left without.")
    return [text(sentence) for sentence in said if sentence not in analysis.sentence]


def _findings(findings: Sequence[dict[str, Any]]) -> list[Any]:
    if not findings:
        return []
    columns = ["check", "outcome", "candidate", "stable", "limit", "effect", "p"]
    keys = ("name", "outcome", "canary", "stable", "limit", "effect", "p_value")
    rows = [["" if f.get(key) is None else f[key] for key in keys] for f in findings]
    return [table(columns, rows)]


def _timeline(status: RolloutStatus) -> Any:
    rows = [
        [_clock(event.time), event.state.value, "" if event.share is None else f"{event.share} %", event.sentence]
        for event in status.timeline
    ]
    return table(["time (UTC)", "state", "observed share", "what happened"], rows)


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%d\u00a0%b\u00a0%H:%M:%S")
