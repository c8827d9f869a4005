"""A business metric that Prometheus has of each version, by intervals of the step.

The query is asked for the end of each whole interval since the step began. An interval is one sample: what varies
within it, and how much values that belong together vary, is in its value already (batch means; Law and Carson 1979,
Operations Research 27). The two versions are compared interval by interval, so that a busy hour, which both had, is no
difference. What is assumed is that the differences of intervals are independent of one another.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from kubeline.rollout.analysis.judge import BusinessMetric, SampleStatistics
from kubeline.rollout.analysis.metrics.growth import NOT_UNDERSTOOD
from kubeline.rollout.analysis.metrics.source import BusinessQuery, MetricsError
from kubeline.typing import Array

_DIVIDED_BY_ZERO = 0.1  # share of intervals, such as of a missed scrape, that are left out
MOST = 10_000  # intervals of one answer, below the 11,000 points that Prometheus gives at most

Ask = Callable[[str, float, float, float], Any]
"""The result of a query from a time to a time by a step, in seconds."""


def ends_of(query: BusinessQuery, start: float, now: float) -> Array:
    """(k,) when each whole interval of the window ended, in Prometheus' time; of very many, the last ones."""
    number = int((now - start) // query.interval_seconds)
    return start + query.interval_seconds * np.arange(max(number - MOST, 0) + 1, number + 1)


def compared(query: BusinessQuery, ask: Ask, canary: str, stable: str, ends: Array, stale: float) -> BusinessMetric:
    """The two versions in the intervals of which both have a value.

    Args:
        query: what is asked for.
        ask: asks Prometheus.
        canary: the query of the canary, its placeholders filled.
        stable: the same of the stable version.
        ends: of the intervals.
        stale: seconds from which the newest value is too old, beside the interval itself.

    Raises:
        MetricsError: when there is no answer, none of a version, an old one, or something else than one number.
    """
    empty = BusinessMetric(query.name, higher_is_better=query.higher_is_better, samples="intervals")
    if not len(ends):
        return empty
    sides = [
        _values(query, whose, expression, ask, ends, stale)
        for whose, expression in (("canary", canary), ("stable version", stable))
    ]
    both = np.isfinite(sides[0]) & np.isfinite(sides[1])
    mine, theirs = (values[both] for values in sides)
    return BusinessMetric(
        query.name, _statistics(mine), _statistics(theirs), query.higher_is_better,
        difference=_statistics(mine - theirs), samples="intervals",
    )  # fmt: skip


def _values(query: BusinessQuery, whose: str, expression: str, ask: Ask, ends: Array, stale: float) -> Array:
    """(k,) the value of each interval; NaN where there is none."""
    result = ask(expression, float(ends[0]), float(ends[-1]), query.interval_seconds)
    try:
        if len(result) > 1:
            raise MetricsError(
                f"The query of {query.name} finds {len(result)} series of the {whose}, but one number is expected: "
                f"sum or average them ({expression})."
            )
        points = [(float(moment), float(value)) for each in result for moment, value in each["values"]]
    except NOT_UNDERSTOOD as error:
        raise MetricsError(f"Prometheus answers the query of {query.name} with something else than samples.") from error
    found = np.full(len(ends), np.nan)
    for moment, value in points:
        place = round((moment - ends[0]) / query.interval_seconds)
        if not 0 <= place < len(ends) or abs(moment - ends[place]) > 0.01:
            raise MetricsError(f"Prometheus answers the query of {query.name} for other times than was asked.")
        found[place] = value
    infinite = np.isinf(found)
    if infinite.mean() > _DIVIDED_BY_ZERO:
        raise MetricsError(
            f"{query.name} of the {whose} is infinite in {infinite.sum():,} of {len(found):,} intervals: the query "
            "divides by 0; give a longer interval_seconds."
        )
    found[infinite] = np.nan
    _check_fresh(query, whose, expression, ends, found, stale)
    return found


def _check_fresh(query: BusinessQuery, whose: str, expression: str, ends: Array, found: Array, stale: float) -> None:
    known = np.flatnonzero(np.isfinite(found))
    if not len(known):
        raise MetricsError(f"Prometheus has no value of {query.name} of the {whose}: {expression} finds none.")
    age = float(ends[-1] - ends[known[-1]])
    if age > max(stale, query.interval_seconds):
        raise MetricsError(
            f"The newest value of {query.name} of the {whose} is {age:.0f} s old, but "
            f"{max(stale, query.interval_seconds):g} s are allowed (stale_seconds, or an interval)."
        )


def _statistics(values: Array) -> SampleStatistics:
    n = len(values)
    return SampleStatistics(float(values.mean()) if n else 0.0, float(values.var(ddof=1)) if n > 1 else 0.0, n)
