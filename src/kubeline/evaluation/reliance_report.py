"""What a report says of the columns that a model relies on: over all rows, and in a few predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from kubeline.errors import counted, listed
from kubeline.evaluation import plots
from kubeline.evaluation.correlated import THRESHOLD
from kubeline.evaluation.dependence import ROWS
from kubeline.evaluation.explained import Contribution, ExplainedRow, ExplainedRows
from kubeline.evaluation.findings import Evaluation
from kubeline.evaluation.importance import sample_size
from kubeline.printable import rounded
from kubeline.reports import figure, table, text
from kubeline.reports.bars import short
from kubeline.reports.lines import Curve, figure_of_curves
from kubeline.reports.plots import BAD, MODEL, NEUTRAL, axes, plain, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMED = 12  # columns of a group


def importance_blocks(evaluation: Evaluation) -> list[Markup]:
    """What the metric loses without each column, and without groups of correlated ones."""
    alone, together = evaluation.reliance.alone, evaluation.reliance.together
    if not alone:
        return [text(f"{evaluation.metric.title} is not defined on the sampled rows.")]
    useful = {name for group in together if not group.idle for name in group.features}
    idle = [one.features[0] for one in alone if one.idle and one.features[0] not in useful]
    caption = (
        f"Permutation importance on at most {sample_size(len(alone)):,} test rows, with {_confidence(evaluation)} "
        "intervals for other rows and shuffles."
    )
    blocks = [figure(plots.importance(alone, together, evaluation.metric), caption)]
    if together:
        blocks += [text(_CORRELATED), _groups(evaluation)]
    if idle:
        blocks.append(text(f"Not distinguishable from noise: {_named(idle)}."))
    return blocks


def _named(columns: Sequence[str]) -> str:
    """All, or of many how many there are and the first."""
    few = len(columns) <= _NAMED
    return ", ".join(columns) if few else f"{len(columns):,} columns, such as {', '.join(columns[:_NAMED])}"


_CORRELATED = (
    "Columns that say much the same thing answer for each other: shuffled alone each loses little, so that they are "
    f"also shuffled together (orange). They are chained by associations of {THRESHOLD:g} and more, on a scale from 0 "
    "to 1: Spearman's rank correlation of numbers, Cramér's V of categories, the correlation ratio of both; no column "
    "outside of a group goes that closely with any in it."
)


def _groups(evaluation: Evaluation) -> Markup:
    worth = {one.features[0]: one for one in evaluation.reliance.alone}
    rows = []
    for group in evaluation.reliance.together:
        best = max((worth[name] for name in group.features), key=lambda one: one.loss)
        names = listed(group.features, _NAMED)
        rows.append([names, len(group.features), str(group.interval), f"{best.interval} ({best.features[0]})"])
    title = evaluation.metric.title
    return table(["Columns", "How many", f"{title} lost together", "Most lost by one of them alone"], rows)


def dependence_blocks(evaluation: Evaluation) -> list[Markup]:
    """How the mean prediction goes along with the columns that matter most."""
    curves = evaluation.reliance.curves
    if curves is None:
        words = "Not drawn: validate has not looked for personal data, whose values no report may show."
        return [text(words)]
    if not curves:
        return [text("No column that may be shown matters.")]
    caption = (
        f"Partial dependence: the mean {curves[0].of} when all of {ROWS} test rows have the same value of the column, "
        f"of the {counted(len(curves), 'column')} that matter most. Numbers from their 5th to their 95th percentile, "
        "categories by their most frequent values; all on one scale."
    )
    drawn = [Curve(one.feature, one.values, one.positions, one.means) for one in curves]
    notes = [
        text(
            f"'{one.feature}' goes with {listed(one.correlated, _NAMED)}: some of the combinations that its curve is "
            "drawn from do not exist in the data."
        )
        for one in curves
        if one.correlated
    ]
    return [figure_of_curves(drawn, caption), *notes]


def _confidence(evaluation: Evaluation) -> str:
    return f"{evaluation.settings.confidence:.0%}".replace("%", " %")


def explained_blocks(found: ExplainedRows) -> list[Markup]:
    """A few predictions, each with its largest contributions."""
    notes = [text(f"{found.note[:1].upper()}{found.note[1:]}.")] if found.note else []
    if not found.rows:
        return notes
    words = (
        f"The contributions of all columns add up to the prediction minus the base, the mean prediction of "
        f"{counted(found.golden, 'golden row')}, held out in training: Shapley values, of the model and not of what "
        "causes what."
    )
    if any(one.value is None for row in found.rows for one in row.contributions):
        words += (
            " No value is shown of a column that holds personal data, or of any where validate has not looked for such."
        )
    rows = [
        (one.title, one.row, one.of, one.actual, one.base, one.prediction - one.base, one.prediction)
        for one in found.rows
    ]
    columns = ["Prediction", "Row of the test table", "Of", "True", "Base", "Contributions", "Sum: predicted"]
    caption = (
        "What each column adds to the base (blue) or takes from it (red); ± is the standard error of a sampled value."
    )
    return [text(words), table(columns, rows), figure([_figure(one) for one in found.rows], caption), *notes]


def _figure(row: ExplainedRow) -> "Figure":
    bars = [(_label(one), one.by) for one in row.contributions]
    if row.others:
        bars.append(("all others", row.others))
    with style():
        made, ax = axes(3.2, 0.5 + 0.24 * max(len(bars), 1))
        places = range(len(bars))
        ax.barh(places, [by for _, by in bars], height=0.6, color=[MODEL if by > 0 else BAD for _, by in bars])
        ax.axvline(0, color=NEUTRAL, linewidth=1)
        ax.set_yticks(places, [plain(label) for label, _ in bars])
        ax.set_ylim(max(len(bars), 1) - 0.5, -0.5)
        ax.margins(x=0.05)
        ax.grid(visible=False, axis="y")
        ax.set(title=plain(f"{short(row.title)}: {rounded(row.prediction, 3)}"), xlabel=plain(short(row.of)))
    return made


def _label(one: Contribution) -> str:
    named = short(one.column) if one.value is None else f"{short(one.column)} = {short(one.value)}"
    error = f" ± {rounded(one.error, 1)}" if one.error else ""
    return f"{named}  ({rounded(one.by, 2, sign=True)}{error})"
