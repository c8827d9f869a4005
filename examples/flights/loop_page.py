"""The page of the closed loop: month by month what was seen, what was decided, and who answered the users."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from matplotlib.figure import Figure

from examples.flights.traffic import ROWS
from kubeline import version_of
from kubeline.local import RunResult
from kubeline.reports import CHAMPION, INK, MODEL, Report, figure, style, table, text, verdict
from kubeline.rollout import RolloutStatus

if TYPE_CHECKING:
    from examples.flights.loop import Month

_SHOWN = 4  # columns that drifted, of each month
_WIDTH = 0.12  # between the two figures of a month


def write_page(
    root: Path,
    months: "Sequence[Month]",
    names: Mapping[str, str],
    rollouts: Sequence[RolloutStatus],
    requests: tuple[int, int],
    started: float,
) -> Path:
    """Write the page into a new folder, and list it with the runs.

    Args:
        root: folder of the runs.
        months: in their order.
        names: of the models by version.
        rollouts: of the models that answered an alarm.
        requests: how many were sent, and how many failed.
        started: when the loop did, in Unix seconds.

    Returns:
        The page.
    """
    folder = root / f"loop-{time.strftime('%Y%m%d-%H%M%S')}"
    folder.mkdir(parents=True)
    promoted = [record for record in rollouts if record.outcome == "promoted"]
    sentence = _sentence(months, promoted)
    page = Report("The closed loop", "What the served model saw came back as a model that serves")
    sent, failed = requests
    users = f"{sent:,} requests of {ROWS} flights each, {failed} failed"
    page.add(
        "Result", verdict("closed" if promoted else "not closed", "good" if promoted else "warn", [sentence, users])
    )
    page.add("Month by month", _story(months, names), _performance(months), _traffic(months, names))
    for month in months:
        page.add(month.name, *_details(month))
    page.write(folder / "index.html")
    RunResult(
        "loop",
        succeeded=True,
        verdict="promoted" if promoted else "held",
        sentence=sentence,
        model="flights",
        serves=f"the retrained model ({promoted[-1].candidate.digest[:12]})" if promoted else "",
        started=started,
        seconds=time.time() - started,
    ).write(folder)
    return folder / "index.html"


def _sentence(months: "Sequence[Month]", promoted: Sequence[RolloutStatus]) -> str:
    alarmed = [month.name for month in months if month.alarm["verdict"] == "alarm"]
    if not alarmed:
        return "no alarm was raised"
    after = (
        f"and the model {version_of(promoted[-1].candidate.digest)} serves since"
        if promoted
        else "and no new model serves"
    )
    return f"the alarm was raised at the end of {alarmed[0]}, {after}"


def _story(months: "Sequence[Month]", names: Mapping[str, str]) -> Markup:
    rows = [
        [
            month.name,
            ", ".join(f"{names.get(version, version)}: {count:,}" for version, count in month.served.items()),
            month.check["verdict"],
            _figure(month.check["estimate"]),
            _figure(month.check["performance"]),
            month.alarm["verdict"].replace("_", " "),
            _answer(month),
        ]
        for month in months
    ]
    note = (
        "AUC with its 95 % interval. The estimate is made of the model's own calibrated probabilities, without labels; "
        "what is realised counts the labels that came at the end of the month, by whole days. The last column "
        "happened while users asked."
    )
    heads = [
        "month",
        "answered by",
        "columns",
        "estimated AUC",
        "realised AUC",
        "alarm",
        "the alarm before was answered",
    ]
    return table(heads, rows, note)


def _figure(found: Mapping[str, Any] | None) -> str:
    return "none" if found is None else f"{found['value']:.3f} [{found['lower']:.3f}, {found['upper']:.3f}]"


def _answer(month: "Month") -> str:
    steps = {"evaluate": "verdict", "rollout": "outcome"}
    said = [f"{step}: {month.answer[step].get(key, '')}" for step, key in steps.items() if step in month.answer]
    return ", ".join(said) or "-"


def _performance(months: "Sequence[Month]") -> Markup:
    with style():
        drawing = Figure(figsize=(6, 3))
        axes = drawing.add_axes((0, 0, 1, 1))
        sides = (("estimate", "estimated", -_WIDTH, CHAMPION), ("performance", "realised", _WIDTH, MODEL))
        for key, label, shift, colour in sides:
            known = [(place, month.check[key]) for place, month in enumerate(months) if month.check[key]]
            values = [found["value"] for _, found in known]
            ends = [[f["value"] - f["lower"] for _, f in known], [f["upper"] - f["value"] for _, f in known]]
            places = [place + shift for place, _ in known]
            axes.errorbar(places, values, ends, fmt="o", capsize=4, color=colour, label=label)
        before = [month.check["performance"]["validation"] for month in months if month.check["performance"]]
        for place, value in enumerate(before):
            axes.plot([place - 0.3, place + 0.3], [value, value], color=INK, linestyle="--", linewidth=1)
        axes.plot([], [], color=INK, linestyle="--", linewidth=1, label="in validation")
        axes.set(xticks=range(len(months)), xticklabels=[month.name for month in months], ylabel="ROC AUC")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure(
        drawing,
        "How well the model did that was the champion at the end of each month, by its estimate and by the labels.",
    )


def _traffic(months: "Sequence[Month]", names: Mapping[str, str]) -> Markup:
    versions = list(dict.fromkeys(version for month in months for version in month.served))
    with style():
        drawing = Figure(figsize=(6, 2.2))
        axes = drawing.add_axes((0, 0, 1, 1))
        bottom = [0.0] * len(months)
        for version, colour in zip(versions, (CHAMPION, MODEL, INK), strict=False):
            shares = [100 * month.served.get(version, 0) / max(sum(month.served.values()), 1) for month in months]
            axes.bar(
                range(len(months)), shares, bottom=bottom, color=colour, width=0.5, label=names.get(version, version)
            )
            bottom = [below + share for below, share in zip(bottom, shares, strict=True)]
        axes.set(xticks=range(len(months)), xticklabels=[month.name for month in months], ylabel="answers, %")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure(drawing, "Who answered the users of each month.")


def _details(month: "Month") -> list[Markup]:
    tone = {"quiet": "good", "alarm": "bad"}.get(month.alarm["verdict"], "warn")
    blocks = [verdict(month.alarm["verdict"].replace("_", " "), tone, month.alarm["reasons"])]  # type: ignore[arg-type]
    drifted = [one for one in month.check["columns"] if one["verdict"] == "drift"]
    rows = [[one["name"], one["effect"], one["adjusted_p"]] for one in drifted[:_SHOWN]]
    if rows:
        blocks.append(
            table(["drifted", "effect", "adjusted p"], rows, "Those that moved most, by PSI without its bias.")
        )
    for step in ("take-alarm", "evaluate", "rollout"):
        said = month.answer.get(step)
        if said:
            word = said.get("verdict") or said.get("outcome", "")
            why = said.get("reasons") or [said.get("reason", "")]
            blocks.append(text(f"{step}: {word} ({'; '.join(why)})"))
    return blocks
