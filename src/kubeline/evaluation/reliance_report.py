"""What a report says of the columns that a model relies on: over all rows, and in a few predictions."""

from typing import TYPE_CHECKING

from markupsafe import Markup

from kubeline.errors import counted
from kubeline.evaluation import plots
from kubeline.evaluation.explained import Contribution, ExplainedRow, ExplainedRows
from kubeline.evaluation.findings import Evaluation
from kubeline.evaluation.importance import sample_size
from kubeline.printable import rounded
from kubeline.reports import figure, table, text
from kubeline.reports.bars import short
from kubeline.reports.plots import BAD, MODEL, NEUTRAL, axes, plain, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def importance_blocks(evaluation: Evaluation) -> list[Markup]:
    """What the metric loses without each column."""
    if not evaluation.importances:
        return [text(f"{evaluation.metric.title} is not defined on the sampled rows.")]
    idle = [one.feature for one in evaluation.importances if one.loss <= 2 * one.spread]
    most = sample_size(len(evaluation.importances))
    caption = f"Permutation importance on at most {most:,} test rows; columns that say the same thing share theirs."
    blocks = [figure(plots.importance(evaluation.importances, evaluation.metric), caption)]
    if idle:
        blocks.append(text(f"Not distinguishable from noise: {', '.join(idle)}."))
    return blocks


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
