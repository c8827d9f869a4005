"""How much the counters of a version grew in a window, from the raw samples that Prometheus has of them.

A counter grows from its last sample before the window. Where it, or another one of its process, goes back, the process
has restarted, and it grew by its new value. A gap between scrapes inside the window loses nothing as long as the
process lives.

From where a counter grew must be known; it is in one of these cases only:

- its process was scraped shortly before the window: from its value then, or from 0 when it was not on that page;
- its process is new: from 0. That is believed of one whose first sample is no more than it can have counted since the
  window began, and that does not go on where another one ends, as one does whose labels have changed.

Everything else would take what was counted before the window for a part of it, and is an error.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kubeline.rollout.analysis.metrics.counts import SeriesKind, count
from kubeline.rollout.analysis.metrics.source import MetricsError

Labels = Mapping[str, str]
Points = list[tuple[float, float]]
Series = tuple[dict[str, str], Points]
"""Labels, and samples as (time, value)."""

ProcessLabels = frozenset[tuple[str, str]]
"""The labels that all series of one process have in common."""

NOT_UNDERSTOOD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What parsing an answer can raise that is not what was asked for."""

_FEW = 100  # requests, up to which any process may be a new one
_FASTER = 20  # times the usual rate of requests, from which it cannot be a new one


def series_of(result: Any, now: float) -> list[Series]:
    """Labels and samples of each series of a range, as Prometheus' API answers.

    Raises:
        MetricsError: when it is something else.
    """
    found: dict[ProcessLabels, Series] = {}
    try:
        for each in result:
            labels = {str(name): str(value) for name, value in each["metric"].items()}
            points = [(float(moment), count(float(value), labels)) for moment, value in each["values"]]
            times = [moment for moment, _ in points]
            if times != sorted(set(times)) or not all(0 < moment <= now + 1 for moment in times):
                raise MetricsError("Prometheus has samples that are not in the order of their times; see its state.")
            if frozenset(labels.items()) in found:
                raise MetricsError(f"Prometheus has two series with the same labels ({_named(labels)}).")
            found[frozenset(labels.items())] = labels, points
    except NOT_UNDERSTOOD as error:
        raise MetricsError(
            "Prometheus answered with something else than samples; a query of the metrics must select counters."
        ) from error
    return [each for each in found.values() if each[1]]


@dataclass(frozen=True)
class CounterWindow:
    """A window of one version's counters.

    Attributes:
        whose: of which version, for messages.
        start: of the window, in seconds of Prometheus' clock.
        stale: seconds before it from which a sample is not the value at its start.
        code: label of the status code.
    """

    whose: str
    start: float
    stale: float
    code: str

    def growth(self, found: Mapping[SeriesKind, list[Series]]) -> Iterator[tuple[SeriesKind, Labels, float]]:
        """Kind, labels, and how much it grew, of each series.

        Raises:
            MetricsError: when that is not known.
        """
        everything = [each for of_kind in found.values() for each in of_kind]
        restarts, scraped = self._restarts(everything), self._scraped(everything)
        self._check_known(found.get("requests", []), restarts, scraped)
        for kind, of_kind in found.items():
            for labels, points in of_kind:
                target = self._target(labels)
                yield kind, labels, self._grown(points, scraped.get(target, -math.inf), restarts[target])

    def _grown(self, points: Points, scraped: float, restarts: set[float]) -> float:
        before = [value for moment, value in points if scraped - self.stale <= moment <= self.start]
        last, grown = before[-1] if before else 0.0, 0.0
        for moment, value in points:
            if moment > self.start:
                grown += value if moment in restarts else value - last
                last = value
        return grown

    def _target(self, labels: Labels) -> ProcessLabels:
        own = {"__name__", "le", "label", "protocol", self.code}
        return frozenset(item for item in labels.items() if item[0] not in own)

    def _restarts(self, series: list[Series]) -> dict[ProcessLabels, set[float]]:
        """When each process restarted: another counter's fall shows it of one that has passed its old value since."""
        found: dict[ProcessLabels, set[float]] = defaultdict(set)
        for labels, points in series:
            found[self._target(labels)] |= {
                later[0] for earlier, later in pairwise(points) if later[1] < earlier[1] and later[0] > self.start
            }
        return found

    def _scraped(self, series: list[Series]) -> dict[ProcessLabels, float]:
        """When each process was scraped last before the window; those that were not are left out."""
        found: dict[ProcessLabels, float] = {}
        for labels, points in series:
            for moment, _ in points:
                if moment <= self.start:
                    target = self._target(labels)
                    found[target] = max(moment, found.get(target, -math.inf))
        return found

    def _check_known(
        self,
        requests: list[Series],
        restarts: Mapping[ProcessLabels, set[float]],
        scraped: Mapping[ProcessLabels, float],
    ) -> None:
        if self.whose != "canary" and not scraped:
            raise MetricsError(
                f"Prometheus has no sample of the {self.whose} from before the step, so what it counted since is not "
                "known; was Prometheus itself started anew?"
            )
        totals: dict[ProcessLabels, dict[float, float]] = defaultdict(lambda: defaultdict(float))
        for labels, points in requests:
            for moment, value in points:
                totals[self._target(labels)][moment] += value
        pods = {target: sorted(of_target.items()) for target, of_target in totals.items()}
        for target, points in pods.items():
            inside = [point for point in points if point[0] > self.start]
            age = self.start - scraped.get(target, -math.inf)
            if not inside or age <= self.stale:
                continue
            if math.isfinite(age) and inside[0][0] not in restarts.get(target, ()):
                raise MetricsError(
                    f"What the {self.whose} had counted when the step began is not known: the last sample of "
                    f"{_named(dict(target))} is from {age:.0f} s before, but {self.stale:g} s are allowed "
                    "(stale_seconds)."
                )
            if inside[0][1] >= _FEW:
                self._check_new(target, inside, pods)

    def _check_new(self, target: ProcessLabels, points: Points, pods: Mapping[ProcessLabels, Points]) -> None:
        """See that a process which appears in the window is a new one."""
        began, first = points[0]
        ended = [others[-1] for other, others in pods.items() if other != target and others[-1][0] < began]
        goes_on = any(_FEW <= value <= first and began - moment <= 2 * self.stale for moment, value in ended)
        rates = [_rate([p for p in others if p[0] > self.start - self.stale]) for others in pods.values()]
        usual = max(rates, default=0.0)
        implied = first / (began - self.start + self.stale)
        if goes_on or (usual and implied > _FASTER * usual):
            raise MetricsError(
                f"{_named(dict(target))} of the {self.whose} appears in the middle of the step with {first:,.0f} "
                "requests: whether they belong to the step is not known."
            )


def _rate(points: Points) -> float:
    """Requests in a second, as far as they only grew."""
    if len(points) < 2:
        return 0.0
    grown = sum(max(later[1] - earlier[1], 0.0) for earlier, later in pairwise(points))
    return grown / (points[-1][0] - points[0][0])


def _named(labels: Labels) -> str:
    """A series or process by the labels that people know it by."""
    known = [f"{name}={labels[name]}" for name in ("pod", "instance") if labels.get(name)]
    return ", ".join(known or [f"{name}={value}" for name, value in sorted(labels.items())])[:200] or "a series"
