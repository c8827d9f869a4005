"""From counters that grew to the judge's evidence of each version."""

import math
import re
from collections.abc import Mapping

from kubeline.rollout.analysis.judge import Evidence, Histogram, Side
from kubeline.rollout.analysis.judge.statistics import aligned, blurred
from kubeline.rollout.analysis.metrics.counts import CLASSES, Counts
from kubeline.rollout.analysis.metrics.source import MetricsError

_SLACK = 0.5  # of a count, up to which differences of sums of floats are none
_NO_LATENCY = Histogram((), (0.0,))

PredictionCounts = Mapping[str, float] | None


def evidence_of(canary: Counts, stable: Counts | None, errors: str, seconds: float, window: float) -> Evidence:
    """What happened to each version.

    Args:
        canary: growth of its counters.
        stable: the same, or None.
        errors: regular expression of the status codes that are errors.
        seconds: length of the latency's unit.
        window: seconds since which the counters grew.

    Raises:
        MetricsError: when the counters contradict each other.
    """
    (mine, theirs), why = _predictions(canary, stable)
    made = _side(canary, errors, seconds, mine)
    other = None if stable is None else _side(stable, errors, seconds, theirs)
    return Evidence(made, other, window, incomparable=why)


def _side(counts: Counts, errors: str, seconds: float, predictions: PredictionCounts) -> Side:
    by_code = counts.get("requests", {})
    requests = round(sum(by_code.values()))
    failed = round(sum(n for code, n in by_code.items() if re.fullmatch(errors, code)))
    latency = _histogram("latency", counts.get("latency", {}), seconds)
    return Side(requests, min(failed, requests), latency or _NO_LATENCY, predictions, _alike(counts.get("sizes", {})))


def _alike(cumulative: Mapping[str, float]) -> float | None:
    """As many requests of one size say as much as these, each as large as its bin's bound; None where that is unknown.

    Kish (1965), Survey Sampling, 11.7: the square of the sum of their sizes by the sum of the squares.
    """
    sizes = _histogram("the rows of requests", cumulative)
    if sizes is None or not sizes.total:
        return None
    pairs = list(zip((*sizes.bounds, 2 * sizes.bounds[-1]), sizes.counts, strict=True))
    squares = sum(count * size**2 for size, count in pairs)
    return sum(count * size for size, count in pairs) ** 2 / squares if squares else None


def _histogram(what: str, cumulative: Mapping[str, float], unit: float = 1.0) -> Histogram | None:
    """Counts between finite bounds, and above the last one; None where there are no buckets."""
    rising = sorted((float(bound), count) for bound, count in cumulative.items())
    if not rising:
        return None
    bounds = [bound for bound, _ in rising if math.isfinite(bound)]
    if not bounds or rising[-1][0] != math.inf or len(bounds) != len(rising) - 1:
        raise MetricsError(f"The buckets of {what} have no finite bound or no +Inf that all pods share.")
    bins, below = [], 0.0
    for bound, count in rising:
        if count < below - _SLACK:
            raise MetricsError(f"The buckets of {what} contradict each other: fewer up to {bound:g} than below.")
        bins.append(max(count - below, 0.0))
        below = max(count, below)
    return Histogram(tuple(bound * unit for bound in bounds), tuple(bins))


def _predictions(canary: Counts, stable: Counts | None) -> tuple[tuple[PredictionCounts, PredictionCounts], str]:
    """Distributions of the predictions in the finest terms that both versions have, or why there are none."""
    if stable is None:
        return (_alone(canary), None), ""
    kinds = _kind(canary), _kind(stable)
    if kinds == ("numbers", "numbers"):
        return _on_common_bounds(canary["numbers"], stable["numbers"])
    if kinds == ("classes", "classes") and _same_classes(canary, stable):
        found, why = _on_common_bounds(canary["probabilities"], stable["probabilities"])
        if not why:
            return found, ""
    why = ""
    if kinds == ("", ""):
        why = "There are no metrics of the predictions of either version."
    elif all(kinds) and kinds[0] != kinds[1]:
        why = f"The canary predicts {kinds[0]}, but the stable version {kinds[1]}."
    return (_alone(canary), _alone(stable)), why


def _same_classes(canary: Counts, stable: Counts) -> bool:
    """Whether both have probabilities, and of the same class among the same classes."""
    return all(
        canary.get(kind) and stable.get(kind) and canary[kind].keys() == stable[kind].keys()
        for kind in (CLASSES, "labels")
    )


def _kind(counts: Counts) -> str:
    return "numbers" if counts.get("numbers") else "classes" if counts.get("labels") else ""


def _alone(counts: Counts) -> PredictionCounts:
    """The distribution of one version, where the other's is not known."""
    return counts.get("labels") or _named(_histogram("predictions", counts.get("numbers", {})))


def _on_common_bounds(
    canary: Mapping[str, float], stable: Mapping[str, float]
) -> tuple[tuple[PredictionCounts, PredictionCounts], str]:
    mine, theirs = (_histogram("predictions", counts) for counts in (canary, stable))
    if mine is None or theirs is None:
        return (None, None), "The buckets of the predictions have no bounds that all pods share."
    common = tuple(sorted(set(mine.bounds) & set(theirs.bounds)))
    if not common or blurred(mine, theirs):
        return (None, None), (
            f"The bins of the two versions' predictions have {'too few bounds' if common else 'no bound'} in common: "
            f"the canary's are from {mine.bounds[0]:g} to {mine.bounds[-1]:g}, the stable version's from "
            f"{theirs.bounds[0]:g} to {theirs.bounds[-1]:g}."
        )
    canary_counts, stable_counts = (tuple(counts.tolist()) for counts in aligned(mine, theirs))
    return (_named(Histogram(common, canary_counts)), _named(Histogram(common, stable_counts))), ""


def _named(histogram: Histogram | None) -> PredictionCounts:
    """Counts by what each bin holds."""
    if histogram is None:
        return None
    names = [*(f"up to {bound!r}" for bound in histogram.bounds), f"above {histogram.bounds[-1]!r}"]
    return dict(zip(names, histogram.counts, strict=True))
