"""What a load generator saw."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


def percentile(sorted_values: "array[float] | list[float]", share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank); NaN of no values."""
    if not sorted_values:
        return math.nan
    return sorted_values[max(0, math.ceil(share * len(sorted_values)) - 1)]


@dataclass
class Measurement:
    """Answers of one measured stretch of time.

    Attributes:
        seconds: its length.
        latencies: seconds of each answer with status 200, from the moment its request was to be sent.
        refused: seconds of each answer with status 503 that says when to try again.
        errors: every other outcome, by its name: ``HTTP 500``, ``503 without Retry-After``, ``connection lost``…
        late: in the open loop, seconds that requests were sent after their time because the client was busy.
        answers: the newest content of each distinct request, by its position.
        answered: how often each distinct request was answered with status 200, the last ones after the end included.
    """

    seconds: float = 0.0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    refused: "array[float]" = field(default_factory=lambda: array("d"))
    errors: "Counter[str]" = field(default_factory=Counter)
    late: "array[float]" = field(default_factory=lambda: array("d"))
    answers: dict[int, Any] = field(default_factory=dict)
    answered: "Counter[int]" = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answers with status 200 in a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def total(self) -> int:
        """Everything that ended."""
        return len(self.latencies) + len(self.refused) + self.errors.total()

    def count(self, status: int, seconds: float, retry_after: bool) -> None:
        """Count one answer; status 0 stands for a connection that was lost."""
        if status == 200:
            self.latencies.append(seconds)
        elif status == 503 and retry_after:
            self.refused.append(seconds)
        elif status == 503:
            self.errors["503 without Retry-After"] += 1
        else:
            self.errors[f"HTTP {status}" if status else "connection lost"] += 1

    def quantiles(self, *shares: float) -> list[float]:
        """Milliseconds of answers with status 200."""
        return milliseconds(self.latencies, *shares)


def milliseconds(seconds: Iterable[float], *shares: float) -> list[float]:
    """Percentiles of times, in milliseconds."""
    ordered = sorted(seconds)
    return [1000 * percentile(ordered, share) for share in shares]


def together(parts: Iterable[Measurement]) -> Measurement:
    """Several stretches as one."""
    whole = Measurement()
    for part in parts:
        whole.seconds += part.seconds
        whole.latencies.extend(part.latencies)
        whole.refused.extend(part.refused)
        whole.errors.update(part.errors)
        whole.late.extend(part.late)
        whole.answers.update(part.answers)
        whole.answered.update(part.answered)
    return whole


@dataclass
class Cell:
    """What one server did with one form of requests of one size."""

    contender: str
    form: str
    rows: int
    rounds: list[Measurement] = field(default_factory=list)
    memory: int = 0  # bytes, the most ever, of the process and what it started
    wrong: int = 0  # of the different requests, those whose answer is not scikit-learn's

    @property
    def all(self) -> Measurement:
        """Every round together."""
        return together(self.rounds)
