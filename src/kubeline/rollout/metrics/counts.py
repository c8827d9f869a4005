"""What both sources gather: how much each counter of a version grew, and the Sides that follow from it."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from kubeline.rollout.judge import Histogram, Side
from kubeline.rollout.metrics.source import MetricsError

Kind = Literal["requests", "latency", "labels", "probabilities", "numbers"]
KINDS: tuple[Kind, ...] = get_args(Kind)
BUCKETS = {"latency", "probabilities", "numbers"}  # cumulative, by upper bound

Counts = dict[str, dict[str, float]]
"""By kind, then by status code, label, or upper bound."""

Sample = tuple[Mapping[str, str], float]


def counted(samples: Mapping[Kind, Sequence[Sample]], code: str) -> Counts:
    """Sum samples of several series, such as pods and protocols.

    Args:
        samples: by kind.
        code: label of the status code.

    Returns:
        Cumulative counts only at the bounds that all series have; probabilities only of a single class, because
        those of several are told by the labels.
    """
    found: Counts = {}
    for kind, of_kind in samples.items():
        key = {"requests": code, "labels": "label"}.get(kind, "le")
        series: dict[frozenset[tuple[str, str]], dict[str, float]] = defaultdict(dict)
        classes = set()
        for labels, value in of_kind:
            rest = frozenset(item for item in labels.items() if item[0] != key)
            at = str(float(labels.get("le", "nan"))) if key == "le" else labels.get(key, "")
            series[rest][at] = value
            classes.add(labels.get("label", ""))
        if series and not (kind == "probabilities" and len(classes) > 1):
            found[kind] = _summed(kind, series.values())
    return found


def together(parts: Iterable[Counts]) -> Counts:
    """Sum what several pods counted."""
    by_kind: dict[str, list[dict[str, float]]] = defaultdict(list)
    for part in parts:
        for kind, counts in part.items():
            by_kind[kind].append(counts)
    return {kind: _summed(kind, counts) for kind, counts in by_kind.items()}


def _summed(kind: str, parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    parts = list(parts)
    keys = list(dict.fromkeys(key for part in parts for key in part))
    if kind in BUCKETS:
        keys = [key for key in keys if all(key in part for part in parts)]
    return {key: sum(part.get(key, 0.0) for part in parts) for key in keys}


def sides(canary: Counts, stable: Counts | None, errors: str, seconds: float) -> tuple[Side, Side | None]:
    """What happened to each version.

    Args:
        canary: growth of its counters.
        stable: the same, or None.
        errors: regular expression of the status codes that are errors.
        seconds: length of the latency's unit.

    Raises:
        MetricsError: when there are no requests to count, or no latency.
    """
    both = [canary] if stable is None else [canary, stable]
    predictions = _predictions(both)
    made = []
    for counts, predicted in zip(both, predictions, strict=True):
        requests = round(sum(counts["requests"].values()))
        failed = round(sum(n for code, n in counts["requests"].items() if re.fullmatch(errors, code)))
        made.append(Side(requests, min(failed, requests), _latency(counts, seconds), predicted))
    return made[0], None if stable is None else made[1]


def _latency(counts: Counts, seconds: float) -> Histogram:
    bounds, bins = _bins(counts.get("latency", {}))
    if not bounds:
        raise MetricsError(
            "The metrics have no latency histogram whose bounds all pods share; see the queries of the metrics' source."
        )
    return Histogram(tuple(bound * seconds for bound in bounds), tuple(bins))


def _bins(cumulative: Mapping[str, float]) -> tuple[list[float], list[float]]:
    """Finite bounds, and counts between them; what is above the last one is the last count."""
    rising = sorted((float(bound), count) for bound, count in cumulative.items())
    bounds = [bound for bound, _ in rising if math.isfinite(bound)]
    if not bounds or not math.isinf(rising[-1][0]):
        return [], []
    bins, below = [], 0.0
    for _, count in rising:
        bins.append(max(count - below, 0.0))  # a scrape in the middle of a restart can be out of order
        below = max(count, below)
    return bounds, bins


def _predictions(both: list[Counts]) -> list[dict[str, float] | None]:
    """Distribution of each version's predictions, in the finest terms that both have."""
    for kind in ("probabilities", "numbers"):
        if not all(counts.get(kind) for counts in both):
            continue
        common = [bound for bound in both[0][kind] if all(bound in counts[kind] for counts in both)]
        if len(common) > 2:  # infinity and two more
            binned = [_bins({bound: counts[kind][bound] for bound in common}) for counts in both]
            return [dict(zip(_names(bounds), bins, strict=True)) for bounds, bins in binned]
    return [counts.get("labels") for counts in both]


def _names(bounds: list[float]) -> list[str]:
    return [*(f"up to {bound:g}" for bound in bounds), f"above {bounds[-1]:g}"]
