"""What a report says of fairness: each requirement in a sentence, then every group with its rates."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from kubeline.evaluation.bootstrap import Interval
from kubeline.evaluation.fairness.checks import Fairness, FairnessGroup
from kubeline.evaluation.fairness.rates import RATES
from kubeline.reports import figure, table, text
from kubeline.reports.plots import MODEL, axes, plain, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWN = 20  # groups of a figure, and of a table
_FIGURES = 6  # of a page
_NOTE = (
    "An interval of one group is of it alone. The interval of the greatest distance holds for all pairs of groups "
    "(Tukey and Kramer) and for all requirements together (Bonferroni), so that a model which treats all alike is "
    "rarely held by the number of looks."
)


def blocks(found: Sequence[Fairness]) -> list[Markup]:
    """The section; empty where nothing was asked."""
    if not found:
        return []
    made = [Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(one.sentence) for one in found))]
    for place, (title, named, rates) in enumerate(_by_column(found)):
        if place < _FIGURES and len(named) > 1:
            drawn = [_figure(rate, named) for rate in rates]
            made.append(figure(drawn, f"Groups by {title}, the largest first, each with its interval."))
        made.append(_table(title, named))
    return [*made, text(_NOTE)]


def _by_column(found: Sequence[Fairness]) -> list[tuple[str, list[FairnessGroup], list[str]]]:
    """What is asked of the same groups, once: the column, its groups, and the rates that are compared."""
    parts: dict[tuple[str, str, tuple[str, ...]], tuple[list[FairnessGroup], list[str]]] = {}
    for one in found:
        key = (one.asked.column, one.asked.asked.label or "", tuple(one.asked.asked.groups))
        _, rates = parts.setdefault(key, (one.groups, []))
        rates += [rate for rate in one.asked.rates if rate not in rates]
    return [
        (f"'{column}'" + (f", of '{label}'" if label else ""), groups, rates)
        for (column, label, _), (groups, rates) in parts.items()
        if groups
    ]


def _figure(rate: str, groups: Sequence[FairnessGroup]) -> "Figure":
    drawn = [one for one in groups if rate in one.rates][:_DRAWN]
    with style():
        made, ax = axes(3.8, 0.9 + 0.24 * len(drawn))
        for place, one in enumerate(drawn):
            interval = one.rates[rate]
            if interval.lower is not None and interval.upper is not None:
                ax.plot([interval.lower, interval.upper], [place, place], color=MODEL, linewidth=1.4)
            ax.plot(interval.value, place, "o", color=MODEL, markersize=4)
        ax.set_yticks(range(len(drawn)), [plain(f"{one.value}  ({one.rows:,})") for one in drawn])
        ax.set_ylim(len(drawn) - 0.5, -0.5)
        ax.set(xlabel=RATES[rate].label)
    return made


def _table(title: str, groups: Sequence[FairnessGroup]) -> Markup:
    names = [name for name in RATES if any(name in one.rates for one in groups)]
    rows: list[list[Any]] = [
        [one.value, one.rows, *(_shown(one.rates.get(name)) for name in names)] for one in groups[:_DRAWN]
    ]
    more = (
        f"The largest {_DRAWN} of {len(groups)} groups by {title}." if len(groups) > _DRAWN else f"Groups by {title}."
    )
    return table(["Group", "Rows", *(RATES[name].label for name in names)], rows, note=more)


def _shown(interval: Interval | None) -> str:
    return "no such row" if interval is None else str(interval).replace(" ", "\u00a0")
