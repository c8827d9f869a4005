"""From counts to verdicts: every column of a window against its profile, and the window as a whole."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from kubeline.drift.clusters import Spread
from kubeline.drift.profile import CategoryProfile, ReferenceColumn
from kubeline.drift.result import (
    ColumnDrift,
    ColumnSide,
    ColumnVerdict,
    DriftRule,
    DriftVerdict,
    Performance,
    Share,
    Together,
    Unseen,
)
from kubeline.drift.statistics import Bin, CategoryCounts, Divergence, adjust, category_bins, divergence, number_bins
from kubeline.drift.window import CategoryCounter, NumberCounter
from kubeline.errors import listed

Counter = NumberCounter | CategoryCounter
_NONE: Mapping[str, Any] = MappingProxyType({})
SHARES = 50
UNSEEN_NAMES = 20


class Compared(NamedTuple):
    """What was compared, each list by effect, greatest first; `adjusted_p` is of the classifier, if there was one."""

    columns: list[ColumnDrift]
    predictions: list[ColumnDrift]
    labels: list[ColumnDrift]
    adjusted_p: float | None


def compare(
    columns: Mapping[str, Counter],
    predictions: Mapping[str, Counter],
    rule: DriftRule,
    spreads: Mapping[str, Spread] = _NONE,
    labels: Mapping[str, Counter] = _NONE,
    of_classifier: float | None = None,
) -> Compared:
    """Compare counted columns, predictions and labels with their profiles, and judge all of them together.

    A datetime is compared but not judged: a later window differs in its times by nature. Where rows belong together,
    `spreads` says of each column how far. The p-value of a classifier of all columns is one of the others.
    """
    counters = [*sorted(columns.items()), *sorted(predictions.items()), *sorted(labels.items())]
    bins = [_bins(counter) for _, counter in counters]
    found = [divergence(each, spreads.get(name)) for (name, _), each in zip(counters, bins, strict=True)]
    judged = [i for i, (_, counter) in enumerate(counters) if counter.profile.kind != "datetime"]
    further = [] if of_classifier is None else [of_classifier]
    all_adjusted = adjust([*(found[i].p_value for i in judged), *further])
    adjusted = dict(zip(judged, all_adjusted, strict=False))
    results = [
        _column(name, counter, bins[i], found[i], adjusted.get(i), rule) for i, (name, counter) in enumerate(counters)
    ]
    first, last = len(columns), len(columns) + len(predictions)
    return Compared(
        _by_effect(results[:first]),
        _by_effect(results[first:last]),
        _by_effect(results[last:]),
        all_adjusted[-1] if further else None,
    )


def _by_effect(columns: list[ColumnDrift]) -> list[ColumnDrift]:
    return sorted(columns, key=lambda column: (-column.effect, column.p_value, column.name))


def decide(
    compared: Compared,
    together: Together | None,
    rows: tuple[int, int],
    rule: DriftRule,
    performance: Performance | None = None,
) -> tuple[DriftVerdict, list[str]]:
    """The verdict on the window and the reasons for it.

    Args:
        compared: Features, predictions and labels.
        together: All columns at once, if that is known.
        rows: Rows of the reference and of the current window.
        rule: The limits.
        performance: How the model does on the window: listed with the reasons, and no part of the verdict.
    """
    notes = [str(performance)] if performance else []
    for sample, count in zip(("reference", "current window"), rows, strict=True):
        if count < rule.min_rows:
            return "insufficient_data", [
                f"the {sample} has {count:,} rows; at least {rule.min_rows:,} are needed",
                *notes,
            ]
    drifted = [column for column in compared.columns if column.verdict == "drift"]
    moved = [column for column in compared.predictions if column.verdict == "drift"]
    outcomes = [column for column in compared.labels if column.verdict == "drift"]
    judged = sum(column.verdict in ("drift", "expected", "stable") for column in compared.columns)
    columns = f"{len(drifted)} of {judged} columns drifted" + (f": {_named(drifted)}" if drifted else "")
    apart = together is not None and together.verdict == "drift" and together.of_columns >= rule.min_columns
    reasons = [columns] if drifted else []  # the first one stands for all where there is room for one
    reasons += [f"the predictions drifted: {_named(moved)}"] if moved else []
    reasons += [f"the labels drifted (effect {column.effect:.2f})" for column in outcomes]
    reasons += [str(together)] if together and together.verdict == "drift" else []
    reasons += [] if drifted else [columns]
    reasons += ["the predictions are stable"] if compared.predictions and not moved else []
    as_before = [
        one for one in (*compared.columns, *compared.predictions, *compared.labels) if one.verdict == "expected"
    ]
    reasons += (
        [f"drifted from the training, and not from a further reference: {_named(as_before)}"] if as_before else []
    )
    found = moved or outcomes or apart or len(drifted) >= rule.min_columns
    return "drift" if found else "stable", reasons + notes


def _named(columns: Sequence[ColumnDrift]) -> str:
    return listed([f"{column.name} ({column.effect:.2f})" for column in columns], limit=8)


def _bins(counter: Counter) -> list[Bin]:
    if isinstance(counter, NumberCounter):
        return number_bins(counter.profile, counter.counts, counter.missing)
    return category_bins(counter.profile, counter.finish())


def _column(
    name: str, counter: Counter, bins: list[Bin], found: Divergence, adjusted: float | None, rule: DriftRule
) -> ColumnDrift:
    reference, current = _reference_side(counter.profile), _current_side(counter)
    return ColumnDrift(
        name=name,
        kind=counter.profile.kind,
        verdict=_verdict(found.effect, adjusted, min(reference.rows, current.rows), rule),
        effect=found.effect,
        psi=found.psi,
        p_value=found.p_value,
        adjusted_p=adjusted,
        bins=found.bins,
        reference=reference,
        current=current,
        unseen=_unseen(counter.profile, counter.finish()) if isinstance(counter, CategoryCounter) else None,
        shares=_shares(bins),
    )


def _verdict(effect: float, adjusted: float | None, rows: int, rule: DriftRule) -> ColumnVerdict:
    if adjusted is None:
        return "not_judged"
    if rows < rule.min_rows:
        return "insufficient_data"
    return "drift" if effect >= rule.min_effect and adjusted <= rule.max_p else "stable"


def _reference_side(profile: ReferenceColumn) -> ColumnSide:
    missing = profile.missing / max(profile.rows, 1)
    if isinstance(profile, CategoryProfile):
        return ColumnSide(rows=profile.rows, missing_share=missing)
    smallest, largest = (profile.quantiles[0], profile.quantiles[-1]) if profile.quantiles else (None, None)
    return ColumnSide(
        rows=profile.rows,
        missing_share=missing,
        mean=profile.mean,
        std=profile.std,
        smallest=smallest,
        largest=largest,
    )


def _current_side(counter: Counter) -> ColumnSide:
    if isinstance(counter, CategoryCounter):
        counts = counter.finish()
        return ColumnSide(rows=counts.rows, missing_share=counts.missing / max(counts.rows, 1))
    present = int(counter.counts.sum())
    mean, std = counter.moments
    return ColumnSide(
        rows=present + counter.missing,
        missing_share=counter.missing / max(present + counter.missing, 1),
        mean=mean,
        std=std,
        smallest=counter.smallest if present else None,
        largest=counter.largest if present else None,
    )


def _unseen(profile: CategoryProfile, counts: CategoryCounts) -> Unseen:
    ranked = sorted(counts.unlisted.items(), key=lambda item: (-item[1], item[0]))
    return Unseen(
        categories=len(counts.unlisted),
        rows=counts.unlisted_rows,
        most_frequent=dict(ranked[:UNSEEN_NAMES]),
        certain=profile.other == 0,
    )


def _shares(bins: list[Bin]) -> list[Share]:
    """Shares of the largest bins, in the order of the bins."""
    n = max(sum(each.reference for each in bins), 1)
    m = max(sum(each.current for each in bins), 1)
    filled = [i for i, each in enumerate(bins) if each.reference or each.current]
    largest = sorted(filled, key=lambda i: -bins[i].reference / n - bins[i].current / m)[:SHARES]
    return [
        Share(label=bins[i].label, reference=bins[i].reference / n, current=bins[i].current / m)
        for i in sorted(largest)
    ]
