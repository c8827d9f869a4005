"""What Evidently says of a sample, for people, on a page of ours: its verdicts are not ours.

Its own page is a program of megabytes, which neither the frame of the KFP UI nor a reader without scripts can run.
Its bins are of equal width and it leaves out missing values, so that one outlier hides a shift and a column that half
vanishes passes. The verdict of a drift check is in `result` and `report`.
"""

import logging
import os
import warnings
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kubeline.columns import Kind
from kubeline.drift.profile import CategoryProfile, Profile, ReferenceColumn
from kubeline.drift.values import numbers, text
from kubeline.errors import listed
from kubeline.printable import rounded
from kubeline.reports import Report, table, verdict
from kubeline.reports import text as paragraph
from kubeline.reports.bars import Bar, figure_of_bars, short
from kubeline.reports.lines import Curve, figure_of_curves
from kubeline.typing import Array

ROWS = 5_000  # of each sample
COLUMNS = 50  # of the page: each takes a tenth of a second, and no one reads thousands
CATEGORIES = 50  # of one column, by name
OTHER = "(other)"
BINS = 10  # of equal width, as Evidently draws them
STRETCHES = 20  # of the window, one after the other
DRAWN = 6  # columns along the window
_VERDICT = "The verdict of the drift check is in its own report: it counts all rows, by another rule."
log = logging.getLogger(__name__)


class EvidentlyColumn(NamedTuple):
    """What Evidently says of a column: a p-value below the threshold is drift, and a distance from it on."""

    column: str
    method: str
    value: float
    threshold: float
    drifted: bool


def write(path: str, reference: pd.DataFrame, current: pd.DataFrame, kinds: Mapping[str, Kind], note: str) -> str:
    """Write the report of two samples.

    Args:
        path: Where the HTML goes.
        reference: Rows of the reference.
        current: Rows of the current window, with the same columns.
        kinds: Kind of each column, those first that are to be shown where there are more than `COLUMNS`; times are
            left out, as they differ by nature.
        note: A sentence about the samples, shown at the top of the page.

    Returns:
        What a reader should know of the report: columns left out, or why there is none, as the page says too.
    """
    usable = {
        name: kind for name, kind in kinds.items() if reference[name].notna().any() and current[name].notna().any()
    }
    left_out = sorted(kinds.keys() - usable.keys())
    if left_out:
        note = f"{note} Left out, because one sample holds no value: {listed(left_out)}."
    if len(usable) > COLUMNS:
        shown = f"the {COLUMNS} columns that shifted most of {len(usable):,}"
        chosen = f"Evidently's report shows {shown}; the verdict is of all."
        log.info("%s", chosen)
        note = f"{note} {chosen}"
        usable = dict(list(usable.items())[:COLUMNS])
    if not usable:
        return write_note(path, f"{note} So there is nothing that Evidently could report on.")
    then, now = (_plain(sample, reference, usable) for sample in (reference, current))
    try:
        page = _page(_asked(then, now, usable), then, now, usable, note)
    except Exception as error:  # Evidently raises many kinds on odd data; the verdict does not depend on it
        kind = type(error).__name__  # its words may quote values of the table, which no page and no log may hold
        log.warning("Evidently could not make its report: %s", kind)
        log.debug("where it ended", exc_info=error)
        return write_note(path, f"Evidently could not make a report of these samples ({kind}).")
    page.write(path)
    return note


def write_note(path: str, note: str) -> str:
    """Write a page of ours in place of Evidently's, and return the note that it holds."""
    report = Report("Evidently's report")
    report.add("There is none", paragraph(note), paragraph(_VERDICT))
    report.write(path)
    return note


def _page(
    found: list[EvidentlyColumn], reference: pd.DataFrame, current: pd.DataFrame, kinds: Mapping[str, Kind], note: str
) -> Report:
    report = Report("Evidently's report", f"{len(current):,} rows beside {len(reference):,} of the reference")
    drifted = [each for each in found if each.drifted]
    word = f"{len(drifted)} of {len(found)} {'column' if len(found) == 1 else 'columns'}"
    report.add("What Evidently calls drift", verdict(word, "plain", [note, _VERDICT]))
    rows = [
        [each.column, kinds[each.column], "drift" if each.drifted else "none", each.method, each.value, each.threshold]
        for each in found
    ]
    about = "A p-value below its threshold is drift, and so is a distance from its threshold on."
    report.add("Columns", table(["column", "kind", "drift", "method", "value", "threshold"], rows, about))
    moving = [each.column for each in [*drifted, *found] if kinds[each.column] == "number"]
    curves = [_along(name, reference[name], current[name]) for name in dict.fromkeys(moving)]
    if known := [curve for curve in curves if curve][:DRAWN]:
        about = (
            f"The mean of each {STRETCHES}th of the window in the order of its rows, in standard deviations of the "
            "reference from its mean: a step says that something changed within the window."
        )
        report.add("Along the window", figure_of_curves(known, about))
    drawings = [
        (short(name), _bars(reference[name], current[name], kind)) for name, kind in kinds.items() if name in current
    ]
    about = "Share of the rows in bins of equal width, or of each category, missing values left out."
    report.add("Distributions", figure_of_bars(drawings, ("then", "now"), about))
    return report


def _asked(reference: pd.DataFrame, current: pd.DataFrame, kinds: Mapping[str, Kind]) -> list[EvidentlyColumn]:
    """Of each column, those of the greatest shift first as `kinds` has them."""
    os.environ["DO_NOT_TRACK"] = "1"  # before the import: Evidently reports its use to its makers otherwise
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if kind == "number"],
        categorical_columns=[name for name, kind in kinds.items() if kind != "number"],
    )
    samples = [Dataset.from_pandas(sample, definition) for sample in (current, reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the statistics of constant columns
        said: dict[str, Any] = Report([DataDriftPreset()], include_tests=True).run(*samples).dict()
    drifted = {each["metric_config"]["metric_id"]: each["status"] == "FAIL" for each in said["tests"]}
    found = {
        asked["column"]: EvidentlyColumn(
            asked["column"], asked["method"], float(each["value"]), float(asked["threshold"]), drifted[each["id"]]
        )
        for each in said["metrics"]
        if "column" in (asked := each["config"])
    }
    return [found[name] for name in kinds]


def _plain(sample: pd.DataFrame, reference: pd.DataFrame, kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """Numbers as float64 and categories as text, with what is rare in the reference as one category."""
    columns = {}
    for name, kind in kinds.items():
        if kind == "number":
            columns[name] = pd.Series(numbers(sample[name], kind))
            continue
        frequent = text(reference[name], kind).value_counts().index[:CATEGORIES]
        values = text(sample[name], kind)
        columns[name] = values.where(values.isin(frequent) | values.isna(), OTHER)
    return pd.DataFrame(columns)


def _bars(reference: pd.Series, current: pd.Series, kind: Kind) -> list[Bar]:
    then, now = reference.dropna(), current.dropna()
    if kind != "number" or len(pd.unique(pd.concat([then, now]))) <= BINS:
        counts = [sample.value_counts(normalize=True) for sample in (then, now)]
        categories = dict.fromkeys([*counts[0].index, *counts[1].index])
        names = categories if kind != "number" else sorted(categories)
        said = str if kind != "number" else rounded
        return [(said(name), float(counts[0].get(name, 0)), float(counts[1].get(name, 0))) for name in names]
    edges = np.histogram_bin_edges(np.concatenate([then, now]), BINS)
    shares = [np.histogram(sample, edges)[0] / len(sample) for sample in (then, now)]
    labels = [f"{rounded(low, 3)} to {rounded(high, 3)}" for low, high in pairwise(edges)]
    return [(name, float(first), float(second)) for name, first, second in zip(labels, *shares, strict=True)]


def _along(name: str, reference: pd.Series, current: pd.Series) -> Curve | None:
    """None of a column without spread, and of a window that is too short or in parts empty."""
    spread = float(reference.std())
    if not spread > 0 or len(current) < STRETCHES:
        return None
    stretch = np.arange(len(current)) * STRETCHES // len(current)
    means = (current.groupby(stretch).mean() - reference.mean()) / spread
    if not np.isfinite(means).all():
        return None
    names = ("the first rows", *(f"stretch {place}" for place in range(2, STRETCHES)), "the last rows")
    return Curve(name, names, tuple(map(float, range(STRETCHES))), tuple(map(float, means)))


def redrawn(profile: Profile, rows: int = ROWS) -> pd.DataFrame:
    """Rows whose columns are distributed as the profile says, each column on its own.

    A profile keeps no rows. Evidently compares column by column, for which this is enough; how columns go together in
    these rows means nothing.
    """
    rng = np.random.default_rng(0)
    columns = {**profile.columns, **profile.predictions}
    return pd.DataFrame({name: rng.permutation(_redrawn(column, rows)) for name, column in columns.items()})


def _redrawn(column: ReferenceColumn, rows: int) -> Array:
    present = rows - round(rows * column.missing / max(column.rows, 1))
    values: Array = np.full(rows, None, dtype=object)
    shares = (np.arange(present) + 0.5) / max(present, 1)  # evenly spread: no chance in it
    if isinstance(column, CategoryProfile):
        # a boolean's rows are booleans again, as those of a window are
        known = [name == "true" if column.kind == "boolean" else name for name in column.counts]
        names = np.array([*known, OTHER], dtype=object)
        cumulative = np.cumsum([*column.counts.values(), column.other])
        if present and cumulative[-1]:
            values[:present] = names[np.searchsorted(cumulative, shares * cumulative[-1], side="right")]
        return values
    if column.quantiles:
        drawn = np.interp(shares, np.linspace(0, 1, len(column.quantiles)), column.quantiles)
        values[:present] = np.rint(drawn) if column.integer else drawn
    return values.astype(np.float64)
