"""What a window showed, as numbers: for the UI of Kubeflow Pipelines, for MLflow and for Prometheus."""

import logging
import re
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

from kubeline.addresses import redact
from kubeline.drift.alarm.rule import interval
from kubeline.drift.result import DriftResult, Performance
from kubeline.errors import UserError
from kubeline.http.exchange import ExchangeError, Peer

JOB = "kubeline_monitoring"
COLUMNS = 50  # with a series each, those of the greatest effect
_SECONDS = 10.0
_MOST_BYTES = 64 * 2**20  # of what a gateway holds
log = logging.getLogger(__name__)


def figures(outcome: DriftResult) -> dict[str, float | None]:
    """By name; None for what is not known."""
    performance, estimate = outcome.performance, outcome.estimate
    judged = [column for column in outcome.columns if column.verdict != "not_judged"]
    return {
        "drifted": float(outcome.drifted),
        "rows": outcome.current_rows,
        "columns_drifted": sum(column.verdict == "drift" for column in judged),
        "columns_judged": len(judged),
        "max_effect": max((column.effect for column in judged), default=None),
        "max_prediction_effect": max((column.effect for column in outcome.predictions), default=None),
        "label_effect": max((column.effect for column in outcome.labels), default=None),
        "classifier_auc": outcome.together.auc if outcome.together else None,
        "findings": len(outcome.findings),
        performance.metric if performance else "performance": performance.value if performance else None,
        f"estimated_{estimate.metric}" if estimate else "estimate": estimate.value if estimate else None,
        "calibration_error": performance.calibration if performance else None,
        "estimated_calibration_error": estimate.calibration if estimate else None,
    }


def bounds_of(outcome: DriftResult) -> tuple[datetime, datetime] | None:
    """Of the window; None where one is open, so that it has no place in time."""
    try:
        return interval(outcome.window)
    except UserError:
        return None


def push(gateway: str, outcome: DriftResult, model: str, version: str) -> None:
    """Leave the figures of the latest window of a model in a Pushgateway, from which Prometheus scrapes them.

    An earlier window, of a run that is made up for, leaves those of a later one. A gateway that cannot be reached ends
    no check: the alert for figures that did not come fires.

    Args:
        gateway: Its address, such as ``http://pushgateway:9091``.
        outcome: Of the check.
        model: The model's name.
        version: As the model server names it.

    Raises:
        UserError: when `gateway` is no address.
    """
    try:
        peer = Peer(gateway)
    except ValueError as error:
        raise UserError(f"pushgateway {redact(str(error))}; give one such as http://pushgateway:9091") from error
    bounds = bounds_of(outcome)
    if bounds is None:
        log.warning("the window has no bounds in time, so its figures are not pushed; load it with at and length")
        return
    path = f"/metrics/job/{JOB}/model/{quote(model, safe='')}"
    try:
        there = peer.exchange("GET", "/metrics", seconds=_SECONDS, most_bytes=_MOST_BYTES).body.decode()
        if _latest(there, model) > bounds[1].timestamp():
            log.info("the gateway holds a later window of %s, whose figures stay", model)
            return
        body = exposition(outcome, bounds, version).encode()
        answer = peer.exchange("PUT", path, body=body, seconds=_SECONDS, most_bytes=2**20)
        if answer.status >= 300:
            said = answer.body.decode(errors="replace").strip()[:200]
            log.warning("the Pushgateway at %s answers %s: %s", peer.where, answer.status, said)
    except (ExchangeError, UnicodeDecodeError) as error:
        log.warning("the figures could not be pushed to the Pushgateway at %s: %s", peer.where, error)
    finally:
        peer.close()


def exposition(outcome: DriftResult, bounds: tuple[datetime, datetime], version: str) -> str:
    """The figures in the text format of Prometheus."""
    lines = []
    for name, about, samples in _families(outcome, bounds):
        lines += [f"# HELP {JOB}_{name} {about}", f"# TYPE {JOB}_{name} gauge"]
        for labels, value in samples:
            named = ",".join(f'{key}="{_escaped(text)}"' for key, text in {"version": version, **labels}.items())
            lines.append(f"{JOB}_{name}{{{named}}} {value!r}")
    return "\n".join([*lines, ""])


Point = tuple[dict[str, str], float]


def _families(outcome: DriftResult, bounds: tuple[datetime, datetime]) -> Iterator[tuple[str, str, list[Point]]]:
    since, until = bounds
    yield "window_end_seconds", "When the window ended, as a Unix time.", [({}, until.timestamp())]
    yield "window_seconds", "How long the window is.", [({}, (until - since).total_seconds())]
    yield "rows", "Rows of the window.", [({}, float(outcome.current_rows))]
    verdicts = [({"verdict": one}, float(outcome.verdict == one)) for one in ("stable", "drift", "insufficient_data")]
    yield "verdict", "1 for the verdict of the drift check.", verdicts
    effects = [*outcome.predictions, *outcome.labels, *outcome.columns[:COLUMNS]]
    yield (
        "effect",
        "Population stability index of a column, a prediction or the labels, without its bias.",
        [({"column": one.name}, one.effect) for one in effects],
    )
    if outcome.together:
        yield (
            "classifier_auc",
            "How well a classifier distinguishes the window from the training.",
            [({}, outcome.together.auc)],
        )
    yield (
        "findings",
        "New and vanished categories, and changes of missing values.",
        [({}, float(len(outcome.findings)))],
    )
    known = [(kind, one) for kind, one in (("measured", outcome.performance), ("estimated", outcome.estimate)) if one]
    if known:
        yield "performance", "The model's metric on the window.", [(_of(kind, one), one.value) for kind, one in known]
        calibrated = [(_of(kind, one), one.calibration) for kind, one in known]
        yield (
            "calibration_error",
            "The mean gap between predicted probability and what came true.",
            [(labels, value) for labels, value in calibrated if value is not None],
        )
        yield (
            "performance_worse",
            "1 when its whole interval is worse than in validation.",
            [(_of(kind, one), float(one.worse)) for kind, one in known],
        )


def _of(kind: str, one: Performance) -> dict[str, str]:
    return {"kind": kind, "metric": one.metric}


def _latest(page: str, model: str) -> float:
    """The end of the window of this model that a gateway holds; minus infinity for none."""
    name = re.escape(f'model="{_escaped(model)}"')
    found = re.findall(rf"^{JOB}_window_end_seconds\{{[^\n]*\b{name}[^\n]*\}} (\S+)$", page, re.MULTILINE)
    return max((float(value) for value in found), default=float("-inf"))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
