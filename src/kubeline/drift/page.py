"""The report of a drift check, for people."""

import os

from markupsafe import Markup

from kubeline.drift.result import ColumnDrift, ColumnSide, DriftResult, Performance, Shift, SlicePerformance
from kubeline.drift.values import moment
from kubeline.printable import rounded
from kubeline.reports import Report, facts, table, text, verdict
from kubeline.reports.bars import figure_of_bars, short
from kubeline.reports.page import Tone

DRAWN = 6  # columns with a figure
LISTED = 50  # columns, or predictions, of a table

TONES: dict[str, Tone] = {"stable": "good", "drift": "bad", "insufficient_data": "warn"}
WORDS = {
    "stable": "stable",
    "drift": "drift",
    "expected": "expected",
    "insufficient_data": "too few rows",
    "not_judged": "not judged",
}


def write_report(path: str | os.PathLike[str], outcome: DriftResult) -> None:
    """Write the HTML page."""
    page = Report("Drift check", f"{outcome.current_rows:,} rows against {outcome.reference}")
    page.add("Verdict", verdict(outcome.verdict.replace("_", " "), TONES[outcome.verdict], outcome.reasons))
    if outcome.performance or outcome.predictions or outcome.labels:
        page.add("The model on this window", *_model(outcome))
    page.add("Columns", _table(outcome.columns))
    page.add("All columns at once", *_together(outcome))
    if outcome.further:
        page.add("Beside further references", *_further(outcome))
    if outcome.findings:
        rows = [[one.column, one.kind.replace("_", " "), one.text] for one in outcome.findings]
        page.add("Of interest", table(["column", "kind", "what is seen"], rows, "Facts, and no part of the verdict."))
    drawn = [column for column in [*outcome.predictions, *outcome.columns] if column.shares][:DRAWN]
    if drawn:
        page.add("The greatest shifts", _figure(drawn))
    unseen = [column for column in outcome.columns if column.unseen and column.unseen.rows]
    if unseen:
        page.add("Categories that the reference does not have", _unseen(unseen))
    page.add("How it was judged", *_rule(outcome))
    page.write(path)


def _model(outcome: DriftResult) -> list[Markup]:
    blocks = []
    if outcome.performance:
        blocks.append(text(_performance(outcome.performance)))
    else:
        blocks.append(text(f"How well the model does here is not known: {outcome.performance_note}."))
    if outcome.estimate:
        blocks.append(text(_performance(outcome.estimate)))
    blocks += _calibration(outcome)
    if outcome.slices:
        blocks.append(_slices(outcome.slices, "metric", _WEAK))
    if outcome.estimated_slices:
        blocks.append(_slices(outcome.estimated_slices, "estimated metric", _ESTIMATED))
    if outcome.predictions or outcome.labels:
        blocks.append(_table([*outcome.labels, *outcome.predictions]))
    return blocks


def _calibration(outcome: DriftResult) -> list[Markup]:
    known = [("by the labels", outcome.performance), ("by the estimate", outcome.estimate)]
    gaps = [f"{_gap(one)} {how}" for how, one in known if one and one.calibration is not None]
    if not gaps:
        return []
    about = (
        "the mean gap between the predicted probability and what came true, in 15 bins; an interval above 0 says that "
        "the model is not calibrated, and takes rows as belonging together where that of the metric does"
    )
    return [text(f"Expected calibration error: {', '.join(gaps)} ({about}).")]


def _gap(one: Performance) -> str:
    if one.calibration_lower is None or one.calibration_upper is None:
        return f"{one.calibration:.3f}"
    return f"{one.calibration:.3f} [{one.calibration_lower:.3f}, {one.calibration_upper:.3f}]"


_WEAK = "Weak: surely worse than on the other rows, after correction for all slices."
_ESTIMATED = "Estimated from the answers, as long as one of them means the same in each slice as in all rows."


def _slices(slices: list[SlicePerformance], metric: str, about: str) -> Markup:
    rows = [
        [
            part.slice,
            part.rows,
            part.undefined if part.value is None else rounded(part.value),
            "" if part.lower is None or part.upper is None else f"{rounded(part.lower)} to {rounded(part.upper)}",
            "weak" if part.weak else "",
        ]
        for part in slices
    ]
    return table(["slice", "rows", metric, "95 % interval", ""], rows, about)


def _together(outcome: DriftResult) -> list[Markup]:
    found = outcome.together
    if found is None:
        return [text(f"Whether a classifier distinguishes the window is not known: {outcome.together_note}.")]
    about = (
        f"An AUC of 0.5 is chance. It learned from the bins of {found.columns:,} columns, and was asked about rows "
        "that it had not learned from."
    )
    said = [text(f"{str(found)[0].upper()}{str(found)[1:]}."), text(about)]
    if not found.explained_by:
        return said
    rows = [[name, loss] for name, loss in found.explained_by.items()]
    return [*said, table(["column", "AUC that is lost without its values"], rows)]


def _further(outcome: DriftResult) -> list[Markup]:
    """Both shifts of each column: from the training, and from what else it is compared with."""
    said = [text(f"{str(one)[0].upper()}{str(one)[1:]}.") for one in outcome.further]
    known = [one for one in outcome.further if not one.note]
    if not known:
        return said
    shown = [*outcome.columns, *outcome.predictions, *outcome.labels]
    shifts = [{each.name: each for each in (*one.columns, *one.predictions, *one.labels)} for one in known]
    rows = [
        [column.name, _verdict(column), round(column.effect, 4), *(_shift(found.get(column.name)) for found in shifts)]
        for column in shown
    ]
    if together := outcome.together:
        others = [one.together.auc if one.together else None for one in known]
        found = ["" if auc is None else f"AUC {auc:.3f}" for auc in others]
        rows.append(["all columns at once", WORDS[together.verdict], f"AUC {together.auc:.3f}", *found])
    about = "What drifted from the training, and not from one of these, is expected, and no drift."
    return [*said, table(["column", "verdict", "from the training", *(one.reference for one in known)], rows, about)]


def _shift(found: Shift | None) -> str:
    if found is None:
        return "not compared"
    return (
        f"{WORDS[found.verdict]}, as the features"
        if found.effect is None
        else f"{found.effect:.4f}, {WORDS[found.verdict]}"
    )


def _performance(found: Performance) -> str:
    if found.validation is None or found.lower is None:
        return f"{found}."
    if found.worse:
        return f"{found}. The whole 95 % interval is worse than in validation."
    return f"{found}. The 95 % interval does not lie on the worse side of that."


def _table(columns: list[ColumnDrift]) -> Markup:
    names = [
        "column",
        "verdict",
        "effect",
        "adjusted p",
        "missing then",
        "missing now",
        "mean then",
        "mean now",
        "bins",
    ]
    rows = [
        [
            column.name,
            _verdict(column),
            round(column.effect, 4),
            _p(column.adjusted_p),
            f"{column.reference.missing_share:.1%}",
            f"{column.current.missing_share:.1%}",
            _mean(column, column.reference),
            _mean(column, column.current),
            column.bins,
        ]
        for column in sorted(columns, key=lambda one: one.verdict != "drift" and len(columns) > LISTED)[:LISTED]
    ]
    which = f"The first {LISTED} of {len(columns):,}, the drifted before the others; result has all. "
    note = "Then: the reference. Now: the current window. Sorted by effect."
    return table(names, rows, which + note if len(columns) > LISTED else note)


def _verdict(column: ColumnDrift) -> Markup:
    tone = {"drift": "bad", "stable": "good", "expected": "good"}.get(column.verdict, "warn")
    return Markup('<span class="{0}" style="color:var(--{0})">{1}</span>').format(tone, WORDS[column.verdict])


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _mean(column: ColumnDrift, side: ColumnSide) -> str:
    if side.mean is None:
        return ""
    return moment(side.mean) if column.kind == "datetime" else rounded(side.mean)


def _figure(columns: list[ColumnDrift]) -> Markup:
    """One drawing for each column, so that they stand side by side or one below the other as there is room."""
    drawings = [
        (
            f"{short(column.name)}: {column.effect:.2f}",
            [(share.label, share.reference, share.current) for share in column.shares],
        )
        for column in columns
    ]
    caption = "Share of the rows in each bin, for the columns and predictions of the greatest effect."
    return figure_of_bars(drawings, ("then", "now"), caption)


def _unseen(columns: list[ColumnDrift]) -> Markup:
    rows = []
    for column in columns:
        if column.unseen:
            names = ", ".join(f"{name} ({count:,})" for name, count in column.unseen.most_frequent.items())
            names = names or "not shown, as they are of people"
            count = f"{column.unseen.categories:,}" if column.unseen.certain else f"up to {column.unseen.categories:,}"
            rows.append([column.name, count, column.unseen.rows, names])
    return table(["column", "categories", "rows", "the most frequent"], rows)


def _rule(outcome: DriftResult) -> list[Markup]:
    blocks = [
        text(str(outcome.rule)),
        text(
            "The effect is the population stability index over bins of the reference (a tenth of its rows each, or one "
            "for each category, and one each for missing and unseen), minus what it amounts to between two samples of "
            "the same distribution. It does not grow with the number of rows; the p-value shows that it is not chance. "
            "A common reading: below 0.1 little, 0.1 to 0.25 some, above 0.25 much. Times are shown but not judged: a "
            "later window differs in its times by nature."
        ),
        text(
            "A shift does not say that the model got worse, and no shift does not say that it did not: see how it "
            "does on labelled rows before you train again."
        ),
    ]
    notes = {"Left out on request": outcome.excluded, "Not in the reference": outcome.not_in_reference}
    notes |= {"Read as the reference has it": outcome.read_as}
    shown = {name: ", ".join(columns) for name, columns in notes.items() if columns}
    shown |= {"Rows": outcome.assumed} if outcome.assumed else {}
    shown["Evidently's report"] = outcome.evidently_note
    return [*blocks, facts(shown)]
