"""One metric on parts of the table: where the model is weak, and where it lost against the champion."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kubeline.data.stored import StoredTable
from kubeline.errors import UserError, listed
from kubeline.evaluation.bootstrap import Bootstrap, Interval, interval
from kubeline.evaluation.comparison import holm
from kubeline.evaluation.kept import Numbers
from kubeline.evaluation.metrics import Metric
from kubeline.evaluation.parts import ColumnParts, parts_of
from kubeline.evaluation.scored import Scored
from kubeline.typing import Array

REPLICATES_OF_PARTS = (400, 512)  # and buckets, of one part of the rows; there are many
SLICE_ROWS = 100  # of smaller parts nothing is said
SLICE_BINS = 4  # of a numeric column, by quantiles
_RANGES = ("up to ", "above ")  # as the words for a range begin


@dataclass(frozen=True)
class Slice:
    """The rows where `column` has `value`.

    Attributes:
        column: A column of the test table.
        value: A category, or a range of numbers.
        rows: How many rows it has.
        undefined: Why the metric is not defined on them; then the other fields are empty.
        estimate: The metric with its interval.
        weak: Worse than the other rows by more than the margin, after correction for all slices evaluated.
        champion: The champion's metric on these rows.
        gain: How much better than the champion (below zero: worse).
        regression: Worse than the champion by more than the margin, after the same correction.
    """

    column: str
    value: str
    rows: int
    undefined: str = ""
    estimate: Interval | None = None
    weak: bool = False
    champion: float | None = None
    gain: Interval | None = None
    regression: bool = False

    @property
    def name(self) -> str:
        """``column=value``, and of a range ``column up to value``."""
        between = " " if self.value.startswith(_RANGES) else "="
        return f"{self.column}{between}{self.value}"


@dataclass(frozen=True)
class SliceSettings:
    """How slices are judged by a metric.

    Attributes:
        metric: The metric.
        min_rows: Smaller slices are not judged.
        bins: Quantile bins of a numeric column.
        margin: The loss that does not matter, as a share of the metric's value.
        confidence: Of the intervals and of the flags.
        seed: Of the resampling.
    """

    metric: Metric
    min_rows: int = SLICE_ROWS
    bins: int = SLICE_BINS
    margin: float = 0.0
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class _TestedSlice:
    """A slice and the evidence against it: p-values of "not worse than the rest" and "not worse than the champion"."""

    slice: Slice
    weak_p: float = 1.0
    regression_p: float = 1.0


def numbered_slices(slices: Sequence[Slice], personal: Container[str] | None) -> list[Slice]:
    """The same, with numbers in place of the values of columns that hold personal data; None where nobody looked."""
    return [
        replace(one, value=f"part {place}") if one.column in (personal or ()) else one
        for place, one in enumerate(slices, 1)
    ]


def evaluate_slices(
    frame: StoredTable | pd.DataFrame,
    columns: Sequence[str],
    settings: SliceSettings,
    model: Scored,
    champion: Scored | None,
    clusters: Numbers | None = None,
    judged: Numbers | None = None,
) -> list[Slice]:
    """The slices of `frame` by each of `columns`, the largest first within a column.

    Args:
        frame: Test rows.
        columns: Columns of `frame`, features or not.
        settings: By which metric, and how strictly.
        model: The model on the (n) rows that are judged.
        champion: The champion on these rows, or None.
        clusters: (n,) codes of rows that belong together, or None.
        judged: True for the rows of `frame` that are judged; None for all.

    Raises:
        UserError: when `frame` has no such column.
    """
    for column in columns:
        if column not in frame.columns:
            raise UserError(f"slice '{column}' is not a column of the test table; it has: {listed(frame.columns)}")
    if settings.metric.undefined(model):
        return []
    bootstrap = Bootstrap(len(model), *REPLICATES_OF_PARTS, settings.seed, clusters)
    whole = _Whole(settings.metric.value(model), settings.metric.replicates(model, bootstrap), bootstrap)
    found = [
        each
        for name in columns
        for each in _column(name, parts_of(frame, name, judged, settings.bins), settings, model, champion, whole)
    ]
    return _flagged(found, 1 - settings.confidence)


def worst(slices: Sequence[Slice], metric: Metric) -> Slice | None:
    """The slice that is worst beyond noise: the one whose interval's better end is the worst."""
    return next(iter(ranked(slices, metric)), None)


def ranked(slices: Sequence[Slice], metric: Metric) -> list[Slice]:
    """The slices with an interval, by its better end: a small slice does not lead the list by its noise alone."""
    ends = []
    for part in slices:
        if part.estimate is not None:
            gain = part.estimate if metric.greater_is_better else part.estimate.negated()
            if gain.upper is not None:
                ends.append((gain.upper, part))
    return [part for _, part in sorted(ends, key=lambda pair: pair[0])]


@dataclass(frozen=True)
class _Whole:
    """The metric on all rows, resampled: every slice is compared with it in the same replicates."""

    value: float
    replicates: Array
    bootstrap: Bootstrap


def _column(
    name: str, parts: ColumnParts, settings: SliceSettings, model: Scored, champion: Scored | None, whole: _Whole
) -> Iterator[_TestedSlice]:
    for code, (value, count) in enumerate(zip(parts.labels, parts.sizes, strict=True)):
        if count < settings.min_rows:
            continue
        part = Slice(name, value, count)
        rival = None if champion is None else champion.part(parts.codes, code)
        yield _judge(
            part, settings, model.part(parts.codes, code), rival, whole, whole.bootstrap.part(parts.codes, code)
        )


def _judge(
    part: Slice, settings: SliceSettings, model: Scored, champion: Scored | None, whole: _Whole, bootstrap: Bootstrap
) -> _TestedSlice:
    metric = settings.metric
    reason = metric.undefined(model) or (champion and metric.undefined(champion))
    if reason:
        return _TestedSlice(replace(part, undefined=reason))
    value, replicates = metric.value(model), metric.replicates(model, bootstrap)
    part = replace(part, estimate=interval(value, replicates, settings.confidence))
    sign = 1 if metric.greater_is_better else -1
    behind = sign * (value - whole.value)
    weak_p = _below(behind + settings.margin * abs(whole.value), _spread(replicates - whole.replicates))
    if champion is None:
        return _TestedSlice(part, weak_p)
    before = metric.value(champion)
    gains = sign * (replicates - metric.replicates(champion, bootstrap))
    gain = sign * (value - before)
    part = replace(part, champion=before, gain=interval(gain, gains, settings.confidence))
    return _TestedSlice(part, weak_p, _below(gain + settings.margin * abs(before), _spread(gains)))


def _below(gain: float, error: float) -> float:
    """One-sided p-value for "the gain is at least zero"."""
    from scipy.special import ndtr

    if not np.isfinite(error):
        return 1.0
    if error == 0:
        return 0.0 if gain < 0 else 1.0
    return float(ndtr(gain / error))


def _flagged(found: list[_TestedSlice], level: float) -> list[Slice]:
    """The slices, flagged where the evidence survives the correction for all of them."""
    judged = [tested for tested in found if not tested.slice.undefined]
    weak = iter(holm([tested.weak_p for tested in judged]) < level)
    regression = iter(holm([tested.regression_p for tested in judged]) < level)
    return [
        tested.slice
        if tested.slice.undefined
        else replace(tested.slice, weak=bool(next(weak)), regression=bool(next(regression)))
        for tested in found
    ]


def _spread(replicates: Array) -> float:
    known = replicates[np.isfinite(replicates)]
    return float(known.std()) if len(known) >= 0.9 * len(replicates) else float("nan")
