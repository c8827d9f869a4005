"""Evidently's own report, on a sample, for people: its verdicts are not ours.

Its bins are of equal width and it leaves out missing values, so that one outlier hides a shift and a column that half
vanishes passes. The verdict of a drift check is in `result` and `report`.
"""

import logging
import os
import re
import warnings
from collections.abc import Mapping
from html import escape

import numpy as np
import pandas as pd

from kubeline.artifacts import publish
from kubeline.columns import Kind
from kubeline.drift.profile import CategoryProfile, Profile, ReferenceColumn
from kubeline.drift.values import numbers, text
from kubeline.errors import listed
from kubeline.reports import Report
from kubeline.reports import text as paragraph
from kubeline.typing import Array

ROWS = 5_000  # of each sample
COLUMNS = 50  # of the page: each takes a tenth of a second, 1 MB of memory and 100 kB, and no one reads thousands
CATEGORIES = 50  # of one column, by name
OTHER = "(other)"
# Its own script and data and nothing from elsewhere: the page is one file.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; worker-src blob:; base-uri 'none'; form-action 'none'"
)
_VERDICT = "The verdict of the drift check is in its own report: it counts all rows, by another rule."
log = logging.getLogger(__name__)


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
        What a reader should know of the report: columns left out, or why there is none, as the page says too; and how
        large it is.
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
    try:
        page = _page(reference, current, usable)
    except Exception as error:  # Evidently raises many kinds on odd data; the verdict does not depend on it
        log.warning("Evidently could not make its report", exc_info=error)
        return write_note(
            path, f"Evidently could not make a report of these samples ({type(error).__name__}: {error})."
        )
    return _write_page(path, note, page)


def write_note(path: str, note: str) -> str:
    """Write a page of ours in place of Evidently's, and return the note that it holds."""
    report = Report("Evidently's report")
    report.add("There is none", paragraph(note), paragraph(_VERDICT))
    report.write(path)
    return note


def _write_page(path: str, note: str, page: str) -> str:
    banner = (
        '<p style="margin:0;padding:12px 24px;background:#fff4e0;color:#1b2430;font:14px/1.5 sans-serif">'
        f"{escape(note)} {_VERDICT}</p>"
    )
    with publish(path) as partial:
        policy = f'<head><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        safe = page.replace("<head>", policy, 1)
        partial.write_text(re.sub(r"<body[^>]*>", lambda tag: tag[0] + banner, safe, count=1), encoding="utf-8")
        size = partial.stat().st_size / 1e6
    return f"{note} Its page has {size:.1f} MB, nearly all of it a program that draws, and needs scripts."


def _page(reference: pd.DataFrame, current: pd.DataFrame, kinds: dict[str, Kind]) -> str:
    os.environ["DO_NOT_TRACK"] = "1"  # before the import: Evidently reports its use to its makers otherwise
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=[_harmless(name) for name, kind in kinds.items() if kind == "number"],
        categorical_columns=[_harmless(name) for name, kind in kinds.items() if kind != "number"],
    )
    plain = [_plain(sample, reference, kinds) for sample in (current, reference)]
    samples = [Dataset.from_pandas(sample, definition) for sample in plain]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the statistics of constant columns
        return str(Report([DataDriftPreset()]).run(*samples).get_html_str(as_iframe=False))


def _plain(sample: pd.DataFrame, reference: pd.DataFrame, kinds: dict[str, Kind]) -> pd.DataFrame:
    """Numbers as float64 and categories as text, with what is rare in the reference as one category."""
    columns = {}
    for name, kind in kinds.items():
        if kind == "number":
            columns[_harmless(name)] = pd.Series(numbers(sample[name], kind))
            continue
        frequent = text(reference[name], kind).value_counts().index[:CATEGORIES]
        values = text(sample[name], kind)
        columns[_harmless(name)] = values.where(values.isin(frequent) | values.isna(), OTHER).map(_harmless)
    return pd.DataFrame(columns)


def _harmless(words: str | None) -> str | None:
    """The words without a ``<``: Evidently writes them into a script as they are, where ``</script>`` would end it."""
    return None if words is None else words.replace("<", "‹")


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
