"""The input and the answer of the judge, as plain values, so that a record can hold them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Histogram:
    """Durations counted in bins.

    Attributes:
        bounds: upper bounds of the bins in seconds, rising and finite; a bin includes its upper bound.
        counts: of each bin, and at last of what is above every bound: one more than there are bounds.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.bounds, self.bounds[1:], strict=False))
        if not rising or not all(math.isfinite(bound) for bound in self.bounds):
            raise ValueError(f"the bounds of a histogram must rise and be finite, but are {list(self.bounds)}")
        if len(self.counts) != len(self.bounds) + 1:
            raise ValueError(f"{len(self.bounds)} bounds make {len(self.bounds) + 1} bins, not {len(self.counts)}")
        if not all(math.isfinite(count) and count >= 0 for count in self.counts):
            raise ValueError("the counts of a histogram must be finite and at least 0")

    @property
    def total(self) -> float:
        """How many durations were counted."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """Duration in seconds that a share `q` does not exceed, as if a bin were evenly filled.

        Infinite when it lies above the last bound; NaN when nothing was counted.
        """
        if not self.total:
            return math.nan
        rank, below, low = q * self.total, 0.0, 0.0
        for high, count in zip(self.bounds, self.counts[:-1], strict=True):
            if count and below + count >= rank:
                return low + (high - low) * (rank - below) / count
            below, low = below + count, high
        return math.inf

    def surely_above(self, seconds: float) -> float:
        """Durations in bins that begin at `seconds` or later: at least so many were slower."""
        lows = (0.0, *self.bounds)
        return sum(count for low, count in zip(lows, self.counts, strict=True) if low >= seconds)


@dataclass(frozen=True)
class Side:
    """One version's requests in a window of time.

    Attributes:
        requests: all that ended, errors included.
        errors: those that failed by the server's fault.
        latency: of requests, as far as the source measures them.
        predictions: count of each label, or of each bin of the predicted number; None when the source has none.
        alike: how many requests of one size would say as much as those that the predictions came from, since the rows
            of one request belong together; None when the source does not know how large they were.
    """

    requests: int
    errors: int
    latency: Histogram
    predictions: Mapping[str, float] | None = None
    alike: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.errors <= self.requests:
            raise ValueError(f"errors must be from 0 to the {self.requests} requests, but are {self.errors}")

    @property
    def independent(self) -> float:
        """Of how many independent rows the predictions are, at least: the rows of one request may all be alike."""
        rows = sum((self.predictions or {}).values())
        return min(rows, self.requests - self.errors if self.alike is None else self.alike)


@dataclass(frozen=True)
class SampleStatistics:
    """A business metric of one version: mean and variance (n - 1) of `n` observations."""

    mean: float
    variance: float
    n: int


@dataclass(frozen=True)
class BusinessMetric:
    """What the predictions are for, such as revenue for each visit.

    Attributes:
        name: for people.
        canary: its samples.
        stable: those of the stable version.
        higher_is_better: whether more of it is better.
        problem: why it is not known; empty where it is.
        difference: canary minus stable, where both have a sample of each interval.
        samples: what one is, a request or an interval.
    """

    name: str
    canary: SampleStatistics = SampleStatistics(0.0, 0.0, 0)
    stable: SampleStatistics = SampleStatistics(0.0, 0.0, 0)
    higher_is_better: bool = True
    problem: str = ""
    difference: SampleStatistics | None = None
    samples: str = "requests"


@dataclass(frozen=True)
class LabelEvidence:
    """How wrong the answers were, by the labels that have come.

    A sample is one request: its rows belong together. Without labelled requests of both versions there are no means.

    Attributes:
        metric: the loss of one row, such as ``log_loss``; smaller is better.
        canary: of the canary's labelled requests.
        stable: of the stable version's.
        logged: requests in the payload log, of the canary and of the stable version.
        differing: labelled requests left out, since several labels that differ have come for them.
        difference: canary minus stable, where both answered the same requests.
        problem: why the labels are not known; empty where they are.
    """

    metric: str
    canary: SampleStatistics = SampleStatistics(0.0, 0.0, 0)
    stable: SampleStatistics = SampleStatistics(0.0, 0.0, 0)
    logged: tuple[int, int] = (0, 0)
    differing: int = 0
    difference: SampleStatistics | None = None
    problem: str = ""


@dataclass(frozen=True)
class Evidence:
    """What was observed in one window.

    Attributes:
        canary: its requests.
        stable: those of the version it is compared with; None where there is none, or nothing measures it.
        seconds: length of the window.
        business: what the predictions are for.
        incomparable: why the predictions of the two cannot be compared or, without `stable`, why nothing can though
            there is a stable version.
        labels: how wrong the answers were; None where the plan names no outcomes.
    """

    canary: Side
    stable: Side | None
    seconds: float
    business: BusinessMetric | None = None
    incomparable: str = ""
    labels: LabelEvidence | None = None


class CheckOutcome(StrEnum):
    """What one check, or all of them, came to; all together are in error where one that counts is not possible."""

    PASS = "pass"  # noqa: S105 not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    NOT_POSSIBLE = "not possible"


@dataclass(frozen=True)
class CheckResult:
    """One check. Numbers that there are not, or that are not finite, are None.

    Attributes:
        name: of the check: ``samples``, ``error_rate``, ``p95``, ``p99``, ``error_increase``, ``latency_shift``,
            ``prediction_drift``, ``label_loss``, ``business``.
        outcome: of this check.
        canary: its measured value: a share, seconds, or the business metric's mean.
        stable: the same of the stable version.
        limit: what was allowed, in the unit of `effect`.
        p_value: one-sided, of "the limit is kept" (of "no difference" for latency).
        effect: what is compared with the limit.
        sentence: for people.
    """

    name: str
    outcome: CheckOutcome
    canary: float | None
    stable: float | None
    limit: float | None
    p_value: float | None
    effect: float | None
    sentence: str


@dataclass(frozen=True)
class Judgement:
    """The outcome, the checks that led to it, and the level at which a p-value made a check fail."""

    outcome: CheckOutcome
    findings: tuple[CheckResult, ...]
    level: float = 0.0

    @property
    def sentence(self) -> str:
        """The sentences of the checks that decided."""
        decided = {self.outcome} | ({CheckOutcome.NOT_POSSIBLE} if self.outcome is CheckOutcome.ERROR else set())
        return " ".join(each.sentence for each in self.findings if each.outcome in decided)
