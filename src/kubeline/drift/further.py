"""Further references of a window, such as the same period a year before: what they have too is to be expected.

They are compared by samples, so that nothing more is counted while the window is read: at most 10,000 rows of each, in
which an effect as great as a rule asks for is as certain as in all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pandas as pd

from kubeline.drift.alarm.history import History
from kubeline.drift.clusters import FEWEST, ClusterCounts, Spread
from kubeline.drift.coded_rows import CodedRows
from kubeline.drift.compare import Compared, Counter, compare
from kubeline.drift.profile import CategoryProfile, NumberProfile, Profile, ReferenceColumn, build, category_profile
from kubeline.drift.reference import Reference, resolve
from kubeline.drift.result import ColumnDrift, DriftRule, FurtherReference, Shift, Together
from kubeline.drift.scan import Window, coded
from kubeline.drift.seasons import Bounds, earlier, is_season, nearest
from kubeline.drift.together import ask, judged
from kubeline.drift.window import CategoryCounter, NumberCounter, counter


@dataclass(frozen=True)
class Further:
    """One further reference: what it is called, and why it is `missing`, or else its profile.

    `same_model` says that its predictions are those of the model in question.
    """

    name: str
    missing: str = ""
    reference: Reference | None = None
    same_model: bool = False


def find(
    references: Sequence[str], bounds: Bounds | None, history: History | None, reference: Reference, tracking_uri: str
) -> list[Further]:
    """Each of `references`: by its season from the history, or by its address.

    Raises:
        UserError: when a season is shorter than the window, or there is nothing at an address.
    """
    found = []
    for one in references:
        if is_season(one) and history and bounds:
            found.append(_earlier(one.strip(), bounds, history, reference))
        else:
            other = resolve(None, None, one, tracking_uri, [])
            same = bool(other.package and reference.package and other.package.digest == reference.package.digest)
            found.append(Further(other.name, reference=other, same_model=same))
    return found


def _earlier(season: str, bounds: Bounds, history: History, reference: Reference) -> Further:
    wanted = earlier(bounds, season)
    kept = history.profiles()
    best = nearest(wanted, [(one.since, one.until) for one in kept])
    if best is None:
        name = f"the window {season} earlier ({_span(wanted)})"
        return Further(name, missing=f"the history '{history.shown}' has none of that time")
    same = [one for one in kept if (one.since, one.until) == (kept[best].since, kept[best].until)]
    chosen = next((one for one in same if one.is_of(reference.name)), same[-1])
    name = f"the window {season} earlier ({_span((chosen.since, chosen.until))})"
    profile = Profile.read(history.read_profile(chosen), f"'{chosen.file}' of history '{history.shown}'")
    coded = CodedRows.read(profile.sample) if profile.sample else None
    return Further(
        name,
        reference=Reference(name, profile, [*profile.columns], coded=coded),
        same_model=chosen.is_of(reference.name),
    )


def _span(bounds: Bounds) -> str:
    return " to ".join(moment.astimezone(UTC).strftime(_format(moment)) for moment in bounds)


def _format(moment: datetime) -> str:
    at_midnight = moment.astimezone(UTC).time() == datetime.min.time()
    return "%Y-%m-%d" if at_midnight else "%Y-%m-%dT%H:%MZ"


def compared_with(further: Further, window: Window, features: Iterable[str], rule: DriftRule) -> FurtherReference:
    """How the window differs from one further reference, by the rule that holds for the training.

    Args:
        further: The reference.
        window: What was counted of the window.
        features: Of the model. Predictions by another model are not compared: they are the same as then where none of
            the features differ, neither alone nor together.
        rule: The limits.
    """
    frame, other = window.sample, further.reference
    if other is None or frame is None:
        return FurtherReference(reference=further.name, note=further.missing or "the window has no rows")
    columns = {
        name: _counted(profile, frame[name])
        for name, profile in other.profile.columns.items()
        if name in window.columns and profile.kind == window.columns[name].profile.kind
    }
    predictions = {
        name: _counted(profile, frame[name])
        for name, profile in (other.profile.predictions if further.same_model else {}).items()
        if name in window.predictions
    }
    asked, _ = ask(other.coded, coded(frame, other.profile, columns, window.clusters), rule)
    labels = _labels(window.labels, other.profile.labels)
    spreads = _spreads(window, frame, other.profile, {**columns, **predictions})
    of_classifier = asked.found.p_value if asked else None
    compared = compare(columns, predictions, rule, spreads, labels, of_classifier)
    together = judged(asked, compared.adjusted_p, rule)
    known = [_shift(one) for one in compared.predictions]
    if not predictions and _all_as_then(features, compared.columns, together):
        known = [Shift(name=name, verdict="stable") for name in window.predictions]
    return FurtherReference(
        reference=further.name,
        rows=other.profile.rows,
        columns=[_shift(one) for one in compared.columns],
        predictions=known,
        labels=[_shift(one) for one in compared.labels],
        together=together,
    )


def expected(
    compared: Compared, together: Together | None, others: Sequence[FurtherReference]
) -> tuple[Compared, Together | None]:
    """What drifted from the training and not from a further reference is expected, and no drift."""
    if together and together.verdict == "drift" and any(one.together_is_stable for one in others):
        together = together.model_copy(update={"verdict": "expected"})
    return Compared(
        _marked(compared.columns, [one.columns for one in others]),
        _marked(compared.predictions, [one.predictions for one in others]),
        _marked(compared.labels, [one.labels for one in others]),
        compared.adjusted_p,
    ), together


def profile_of(window: Window) -> Profile | None:
    """The window as later ones are compared with it; None of one without rows."""
    frame = window.sample
    if frame is None:
        return None
    kinds = {name: each.profile.kind for name, each in window.columns.items()}
    number = window.clusters.number if window.clusters else 0
    labels = next((_label_profile(each) for each in window.labels.values()), None)
    document = build(
        frame,
        kinds,
        predictions=frame[list(window.predictions)],
        clusters=number if number >= FEWEST else None,
        labels=labels,
    )
    profile = Profile.read(document)
    return profile.model_copy(update={"sample": coded(frame, profile, kinds, window.clusters).sample().kept()})


def _marked(columns: Sequence[ColumnDrift], others: Iterable[Sequence[Shift]]) -> list[ColumnDrift]:
    known = {one.name for shifts in others for one in shifts if one.verdict == "stable"}
    return [
        one.model_copy(update={"verdict": "expected"}) if one.verdict == "drift" and one.name in known else one
        for one in columns
    ]


def _shift(column: ColumnDrift) -> Shift:
    return Shift(name=column.name, verdict=column.verdict, effect=column.effect, adjusted_p=column.adjusted_p)


def _all_as_then(features: Iterable[str], columns: Sequence[ColumnDrift], together: Together | None) -> bool:
    stable = {one.name for one in columns if one.verdict == "stable"}
    return stable.issuperset(features) and together is not None and together.verdict == "stable"


def _counted(profile: ReferenceColumn, values: pd.Series) -> Counter:
    found = counter(profile)
    found.add(values)
    return found


def _spreads(window: Window, frame: pd.DataFrame, other: Profile, counters: Mapping[str, Counter]) -> dict[str, Spread]:
    """How far rows that belong together differ, in the bins of the other reference."""
    if window.clusters is None:
        return {}
    size = other.rows / other.clusters if other.clusters else None
    clusters = ClusterCounts({name: each.profile for name, each in counters.items()}, window.clusters.column, size)
    clusters.add({name: frame[name] for name in clusters.columns})
    labelled = other.labels.rows / other.clusters if other.labels and other.clusters else None
    of_labels = {
        name: replace(spread, size=labelled * window.clusters.number / spread.rows if labelled else 1.0)
        for name, spread in window.spreads.items()
        if name in window.labels
    }
    return {**clusters.spreads(), **of_labels}


def _labels(window: Mapping[str, Counter], other: ReferenceColumn | None) -> dict[str, Counter]:
    """The labels of the window, counted against those of the other reference where that is possible."""
    found = {name: _recounted(each, other) for name, each in window.items() if other is not None}
    return {name: each for name, each in found.items() if each is not None}


def _recounted(current: Counter, profile: ReferenceColumn) -> Counter | None:
    if isinstance(current, CategoryCounter) and isinstance(profile, CategoryProfile):
        categories = CategoryCounter(profile)
        categories.count(current.counts.listed + current.counts.unlisted, current.counts.missing)
        return categories
    if isinstance(current, NumberCounter) and isinstance(profile, NumberProfile):
        return current.against(profile) if current.profile.edges == profile.edges else None
    return None


def _label_profile(current: Counter) -> ReferenceColumn:
    if isinstance(current, CategoryCounter):
        counts = current.finish()
        return category_profile(current.profile.kind, counts.listed + counts.unlisted, counts.missing)
    counted, (mean, std) = current.counts.tolist(), current.moments
    return current.profile.model_copy(
        update={"counts": counted, "missing": current.missing, "rows": sum(counted) + current.missing}
        | {"mean": mean, "std": std, "quantiles": []}
    )
