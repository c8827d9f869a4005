"""The figures of the evaluation report."""

from typing import TYPE_CHECKING

import numpy as np

from kubeline.errors import counted
from kubeline.evaluation.calibration import Reliability
from kubeline.evaluation.calibration import ranked as ranked_by_probability
from kubeline.evaluation.classes import Confusion
from kubeline.evaluation.curves import precision_recall, roc
from kubeline.evaluation.importance import Importance
from kubeline.evaluation.kept import sample_rows
from kubeline.evaluation.metrics import Metric
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.slices import Slice, ranked
from kubeline.reports.bars import short
from kubeline.reports.plots import BAD, CHAMPION, MODEL, NEUTRAL, ON_TINT, axes, plain, style
from kubeline.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SLICES = 30  # drawn; the worst ones when there are more
_FEATURES = 20
_DOTS = 1_200
RESIDUALS = 250_000  # rows along whose predictions the error is shown; of more, a sample


def ranking(model: Scored, champion: Scored | None) -> "list[Figure]":
    """ROC and precision-recall curves of a binary task in which both classes occur."""
    with style():
        (first, left), (second, right) = axes(), axes()
        drawn = [("model", model, MODEL, "-")] + ([("champion", champion, CHAMPION, "--")] if champion else [])
        for label, scored, colour, line in drawn:
            curve, tradeoff = roc(scored), precision_recall(scored)
            left.plot(curve.false_positive_rate, curve.true_positive_rate, line, color=colour, label=label)
            right.plot(tradeoff.recall, tradeoff.precision, line, color=colour, label=label)
        share = model.mean(model.column(lambda some: some.positive))
        left.plot([0, 1], [0, 1], ":", color=NEUTRAL, label="constant guess")
        right.axhline(share, linestyle=":", color=NEUTRAL, label="constant guess")
        of = plain(f"of '{model.classes[1]}'")
        left.set(
            title=f"ROC {of}", xlabel="False positive rate", ylabel="True positive rate", xlim=(0, 1), ylim=(0, 1.01)
        )
        right.set(title=f"Precision and recall {of}", xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.01))
        left.legend(loc="lower right")
        right.legend(loc="upper right")
    return [first, second]


def calibration(found: Reliability, champion: Reliability | None, model: Scored) -> "list[Figure]":
    """The reliability curve, and the distribution of the probabilities it is of."""
    with style():
        (first, left), (second, right) = axes(), axes()
        end = 1.05 * max(found.predicted.max(), found.upper.max(), champion.predicted.max() if champion else 0)
        end = min(1.0, float(end))
        left.plot([0, end], [0, end], ":", color=NEUTRAL, label="perfect")
        if champion is not None:
            left.plot(champion.predicted, champion.observed, "--", color=CHAMPION, label="champion")
        reach = np.abs(np.stack([found.observed - found.lower, found.upper - found.observed]))
        left.errorbar(
            found.predicted, found.observed, reach, fmt="o-", markersize=3.5, elinewidth=1, color=MODEL, label="model"
        )
        left.set(title="Calibration", xlabel=f"Predicted probability of {plain(found.event)}", ylabel="Observed share")
        left.legend(loc="upper left")
        _probabilities(right, model, found.event, end)
    return [first, second]


def _probabilities(ax: "Axes", model: Scored, event: str, end: float) -> None:
    names = list(model.classes) if model.task == "binary" else ["wrong", "right"]
    ranking = ranked_by_probability(model)
    edges = np.linspace(0, max(end, float(ranking.quantiles(np.ones(1))[0])), 41)
    shapes = np.zeros((2, 40))
    for block in ranking.rising():
        for place in range(2):
            shapes[place] += np.histogram(block.values.astype(np.float64), edges, weights=block.rows[:, place])[0]
    for label, rows, shape, colour in zip(names, ranking.counts, shapes, (NEUTRAL, MODEL), strict=True):
        if rows:
            heights = shape / rows
            ax.stairs(heights, edges, color=colour, fill=True, alpha=0.25)
            ax.stairs(
                heights, edges, color=colour, linewidth=1.4, label=plain(f"{label} ({counted(int(rows), 'row')})")
            )
    ax.set(
        title="Distribution of probabilities",
        xlabel=f"Predicted probability of {plain(event)}",
        ylabel="Share of the rows",
    )
    ax.set_ylim(bottom=0)
    ax.legend(loc="upper right")


def confusion_matrix(found: Confusion) -> "Figure":
    """Counts, coloured by the share of the true class."""
    counts = found.counts
    size = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(1.6 + 0.75 * size, 9.0)
    with style():
        figure, ax = axes(side + 0.8, side)
        ax.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1)
        ax.invert_yaxis()
        ax.grid(visible=False)
        places = np.arange(size) + 0.5
        long = max(len(name) for name in found.names) > 8 and size > 3
        names = [plain(short(name)) for name in found.names]
        upright = 90 if size > 12 else 45
        ax.set_xticks(places, names, rotation=upright if long else 0)
        ax.set_yticks(places, names)
        ax.set(xlabel="Predicted", ylabel="True", title="Confusion matrix")
        for row, column in np.ndindex(counts.shape) if size <= 12 else ():
            share = shares[row, column]
            ax.text(
                column + 0.5, row + 0.5, f"{counts[row, column]:,.6g}\n{share:.0%}", ha="center", va="center",
                color="white" if share > 0.55 else ON_TINT,
            )  # fmt: skip
    return figure


def residuals(scored: Scored, seed: int = 0) -> "list[Figure]":
    """Predicted against true on a sample of the rows, and the residuals along the prediction on `RESIDUALS` of them."""
    rng = np.random.default_rng(seed)
    dots, scored = scored.take(sample_rows(len(scored), _DOTS, rng)), _sample(scored, RESIDUALS, rng)
    with style():
        (first, left), (second, right) = axes(), axes()
        left.plot(dots.prediction, dots.target, ".", markersize=3, alpha=0.35, color=MODEL)
        ends = [float(scored.prediction.min()), float(scored.prediction.max())]
        left.plot(ends, ends, ":", color=NEUTRAL)
        left.set(title=f"Predicted and true ({counted(len(dots), 'row')})", xlabel="Predicted", ylabel="True")
        bins = _prediction_bins(scored.prediction)
        residual = scored.target - scored.prediction
        centres = [float(scored.prediction[rows].mean()) for rows in bins]
        low, lower, middle, upper, high = np.array(
            [np.quantile(residual[rows], [0.05, 0.25, 0.5, 0.75, 0.95]) for rows in bins]
        ).T
        right.fill_between(centres, low, high, color=MODEL, alpha=0.15, linewidth=0, label="90 % of rows")
        right.fill_between(centres, lower, upper, color=MODEL, alpha=0.3, linewidth=0, label="half of the rows")
        right.plot(centres, middle, color=MODEL, label="median")
        right.axhline(0, linestyle=":", color=NEUTRAL)
        right.set(title="Residuals", xlabel="Predicted", ylabel="True minus predicted")
        right.legend()
    return [first, second]


def _sample(scored: Scored, most: int, rng: np.random.Generator) -> Scored:
    """All rows, or so many of them."""
    return scored.take(slice(None) if len(scored) <= most else sample_rows(len(scored), most, rng))


def _prediction_bins(prediction: Array, bins: int = 20) -> list[Array]:
    """Row numbers of quantile bins."""
    return [rows for rows in np.array_split(np.argsort(prediction, kind="stable"), bins) if len(rows)]


def slice_intervals(slices: list[Slice], metric: Metric, overall: float) -> "Figure":
    """The metric with its interval in each slice, the worst first."""
    drawn = ranked(slices, metric)[:_SLICES]
    with style():
        figure, ax = axes(5.6, 1.0 + 0.22 * len(drawn))
        ax.axvline(overall, color=NEUTRAL, linestyle=":", label="all rows")
        for place, part in enumerate(drawn):
            _slice(ax, place, part)
        champions = [(part.champion, place) for place, part in enumerate(drawn) if part.champion is not None]
        if champions:
            values, places = zip(*champions, strict=True)
            ax.plot(values, places, "|", color=CHAMPION, markersize=9, markeredgewidth=2, label="champion")
        ax.set_yticks(range(len(drawn)), [plain(f"{part.name}  ({part.rows:,})") for part in drawn])
        ax.set_ylim(len(drawn) - 0.5, -0.5)
        ax.set(xlabel=plain(metric.title))
        ax.legend(loc="best")
    return figure


def _slice(ax: "Axes", place: int, part: Slice) -> None:
    if part.estimate is None:
        return
    colour = BAD if part.weak or part.regression else MODEL
    if part.estimate.lower is not None and part.estimate.upper is not None:
        ax.plot([part.estimate.lower, part.estimate.upper], [place, place], color=colour, linewidth=1.4)
    ax.plot(part.estimate.value, place, "o", color=colour, markersize=4)


def importance(alone: list[Importance], together: list[Importance], metric: Metric) -> "Figure":
    """The loss of each feature and of each group of correlated ones, with intervals."""
    drawn = sorted([*alone, *together], key=lambda one: -one.loss)[:_FEATURES]
    with style():
        figure, ax = axes(5.6, 0.8 + 0.24 * len(drawn))
        for place, one in enumerate(drawn):
            ax.barh(place, one.loss, height=0.6, color=CHAMPION if len(one.features) > 1 else MODEL)
            if one.lower is not None and one.upper is not None:
                ax.plot([one.lower, one.upper], [place, place], color=NEUTRAL, linewidth=1.2)
        ax.set_yticks(range(len(drawn)), [plain(_features(one)) for one in drawn])
        ax.set_ylim(len(drawn) - 0.5, -0.5)
        ax.grid(visible=False, axis="y")
        ax.set(xlabel=f"{plain(metric.title)}: how much worse it gets when the column is shuffled")
    return figure


def _features(one: Importance) -> str:
    first, *others = one.features
    return first if not others else f"{short(first)} and {counted(len(others), 'other')}"
