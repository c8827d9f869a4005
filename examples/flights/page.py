"""The page of a rollout with what its users saw: who answered how many of them, how fast, and how right."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from examples.flights.canary import Moment
from examples.flights.traffic import ROWS, Answer
from kubeline import version_of
from kubeline.local import RunResult
from kubeline.reports import CHAMPION, INK, MODEL, figure, style, table
from kubeline.rollout import RolloutStatus, page_of

_BIN_SECONDS = 0.5
_AROUND_SECONDS = 1.5  # before and after the rollout


def write_page(
    root: Path,
    title: str,
    record: RolloutStatus,
    moments: Sequence[Moment],
    answers: Sequence[Answer],
    names: Mapping[str, str],
) -> Path:
    """Write the page of a rollout into a new folder, and list it with the runs.

    Args:
        root: folder of the runs.
        title: word for the candidate.
        record: of the rollout.
        moments: the shares over time.
        answers: everything that was asked; what came long before or after is left out.
        names: of the models by version.

    Returns:
        The page.
    """
    begun, ended = record.timeline[0].time - _AROUND_SECONDS, record.timeline[-1].time + _AROUND_SECONDS
    seen = [answer for answer in answers if begun <= answer.time <= ended]
    folder = root / f"canary-{time.strftime('%Y%m%d-%H%M%S')}-{title}"
    folder.mkdir(parents=True)
    page = page_of(record, [_chart(record, moments, seen, begun), _table(seen, names)])
    page.write(folder / "index.html")
    RunResult(
        "rollout",
        succeeded=True,
        reason=summary(record),
        verdict=_outcome(record),
        sentence=f"the {title} model: {record.reason}",
        model=record.name,
        serves=f"the {title} model ({record.candidate.digest[:12]})" if record.outcome == "promoted" else "",
        started=record.timeline[0].time,
        seconds=record.timeline[-1].time - record.timeline[0].time,
    ).write(folder)
    return folder / "index.html"


def summary(record: RolloutStatus) -> str:
    """How it ended, in a sentence."""
    return f"{_outcome(record)}: {record.reason.partition('. ')[0]}"


def _outcome(record: RolloutStatus) -> str:
    return (record.outcome or "in progress").replace("_", " ")


def _table(answers: Sequence[Answer], names: Mapping[str, str]) -> Markup:
    versions = dict.fromkeys(answer.version for answer in answers if answer.version)
    rows = [
        [names.get(version, ""), version, *_facts([a for a in answers if a.version == version])] for version in versions
    ]
    failed = sum(bool(answer.failure) for answer in answers)
    note = (
        f"{len(answers):,} requests of {ROWS} flights each were sent meanwhile; {failed} of them failed. "
        "AUC: how well the answers distinguish the flights that were late in the end from the others; a coin has 0.5."
    )
    return table(["model", "version", "requests", "median ms", "95 % below ms", "AUC"], rows, note)


def _facts(answers: Sequence[Answer]) -> list[Any]:
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 (after the start of what is served)

    milliseconds = [answer.seconds * 1000 for answer in answers]
    late = [value for answer in answers for value in answer.late]
    probability = [value for answer in answers for value in answer.probability]
    auc = float(roc_auc_score(late, probability)) if len(set(late)) == 2 else ""
    median, most = np.percentile(milliseconds, [50, 95])
    return [len(answers), float(median), float(most), auc]


def _chart(record: RolloutStatus, moments: Sequence[Moment], answers: Sequence[Answer], begun: float) -> Markup:
    """Above: the candidate's share, as users saw it, as planned and as the routes had it. Below: latency of both."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (after the start of what is served)

    candidate = version_of(record.candidate.digest)
    last = max(answer.time for answer in answers) - begun
    edges = np.arange(0, last + _BIN_SECONDS, _BIN_SECONDS)
    sides = [[a for a in answers if a.version and (a.version == candidate) is new] for new in (True, False)]
    counts = [np.histogram([a.time - begun for a in side], bins=edges)[0] for side in sides]
    total = np.maximum(counts[0] + counts[1], 1)
    share = 100 * counts[0] / total
    with style():
        drawing = Figure(figsize=(8, 5))
        room = {"left": 0, "right": 1, "bottom": 0, "top": 1, "hspace": 0.3, "height_ratios": [3, 2]}
        above, below = drawing.subplots(2, 1, sharex=True, gridspec_kw=room)
        width = {"width": _BIN_SECONDS, "align": "edge", "linewidth": 0}
        above.bar(edges[:-1], share, color=MODEL, alpha=0.75, label="answered by the candidate", **width)
        above.bar(
            edges[:-1],
            100 - share,
            bottom=share,
            color=CHAMPION,
            alpha=0.45,
            label="answered by the stable model",
            **width,
        )
        times = [moment.time - begun for moment in moments]
        above.step(
            times, [moment.planned for moment in moments], where="post", color=INK, linestyle="--", label="planned"
        )
        above.step(times, [moment.observed for moment in moments], where="post", color=INK, linewidth=1, label="routed")
        above.set(ylabel="share of the answers, %", ylim=(0, 100), xlim=(0, last))
        above.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
        for side, colour in zip(reversed(sides), (CHAMPION, MODEL), strict=True):
            size, alpha = (5, 0.8) if colour == MODEL else (2.5, 0.4)
            times, milliseconds = [a.time - begun for a in side], [a.seconds * 1000 for a in side]
            below.plot(times, milliseconds, ".", markersize=size, alpha=alpha, color=colour)
        below.set(xlabel="seconds", ylabel="milliseconds a request", yscale="log")
        below.yaxis.set_major_formatter("{x:g}")
    return figure(drawing, "What the users saw: who answered them in each half second, and how long each request took.")
