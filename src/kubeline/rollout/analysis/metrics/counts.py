"""What both sources gather: how much each counter of a version grew."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from kubeline.rollout.analysis.metrics.source import MetricsError

SeriesKind = Literal["requests", "latency", "labels", "probabilities", "numbers", "sizes"]
KINDS: tuple[SeriesKind, ...] = get_args(SeriesKind)
BUCKETS = {"latency", "probabilities", "numbers", "sizes"}  # cumulative, by upper bound

Counts = dict[str, dict[str, float]]
"""By kind, then by status code, label, or upper bound; beside probabilities, ``classes`` has what they are of."""

SeriesSample = tuple[Mapping[str, str], float]

CLASSES = "classes"
_MAX_COUNTED = 2.0**53  # from there on a float64 does not count any more


def count(value: float, labels: Mapping[str, str]) -> float:
    """The value, when it is a count.

    Raises:
        MetricsError: when it is none.
    """
    if not (math.isfinite(value) and 0 <= value <= _MAX_COUNTED):
        series = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))[:300]
        raise MetricsError(f"The value {value:g} is no count ({series}).")
    return value


def counted(samples: Mapping[SeriesKind, Sequence[SeriesSample]], code: str) -> Counts:
    """Sum samples of several series, such as pods and protocols.

    Args:
        samples: by kind.
        code: label of the status code.

    Returns:
        Cumulative counts only at the bounds that all series have; probabilities only of a single class, because
        those of several are known by the labels.

    Raises:
        MetricsError: when a value is no count, a series is there twice, or lacks the label that identifies it.
    """
    found: Counts = {}
    for kind, of_kind in samples.items():
        key = {"requests": code, "labels": "label"}.get(kind, "le")
        series: dict[frozenset[tuple[str, str]], dict[str, float]] = defaultdict(dict)
        for labels, value in of_kind:
            at = _key(kind, key, labels)
            of_series = series[frozenset(item for item in labels.items() if item[0] != key)]
            if at in of_series:
                raise MetricsError(f"There are two series of {kind} with the same labels, as of {key} {at[:100]}.")
            of_series[at] = count(value, labels)
        classes = {label for rest in series for name, label in rest if name == "label"}
        if series and not (kind == "probabilities" and len(classes) > 1):
            found[kind] = _summed(kind, series.values())
            if kind == "probabilities":
                found[CLASSES] = dict.fromkeys(classes, 0.0)
    return found


def _key(kind: str, key: str, labels: Mapping[str, str]) -> str:
    """What distinguishes the sample from others of its series."""
    at = labels.get(key, "")
    if not at and kind != "labels":  # a class may be the empty text, which Prometheus keeps no label for
        raise MetricsError(f"A series of {kind} has no label {key}, so it is not known what it counts.")
    if key != "le":
        return at
    try:
        bound = float(at)
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise MetricsError(f"A bucket has the bound {at[:40]!r}, but a number is expected.")
    return str(bound)


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
