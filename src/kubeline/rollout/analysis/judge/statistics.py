"""The tests of the judge, all one-sided: how likely is such evidence if the canary is no worse than allowed.

Sources: Fisher (1935), JRSS 98; Farrington and Manning (1990), Statistics in Medicine 9; Mann and Whitney (1947),
Annals of Mathematical Statistics 18, with the tie correction of Lehmann (1975), Nonparametrics, ch. 1; Cliff (1993),
Psychological Bulletin 114; Vargha and Delaney (2000), JEBS 25; Welch (1947), Biometrika 34; of rows in clusters:
Cochran (1977), Sampling Techniques, ch. 2.
"""

import math
from dataclasses import dataclass

import numpy as np

from kubeline.distributions import (
    beta_below,
    chi_squared_above,
    hypergeometric_at_least,
    noncentral_chi_squared_above,
    normal_below,
    student_below,
    student_quantile,
)
from kubeline.rollout.analysis.judge.evidence import Histogram, SampleStatistics

_MANY = 10**7  # requests, beyond which the hypergeometric distribution takes long, and is the binomial one
_TOGETHER, _SPREAD = (
    0.95,
    0.8,
)  # shares of a version's values in one bin: from when they are indistinguishable, and up to when they are not


def share_above(count: float, n: float, limit: float) -> float:
    """Chance (p) that `count` or more of `n` are above if each is with a chance of `limit`: exact binomial test."""
    if count <= 0 or n <= 0:
        return 1.0
    return beta_below(count, n - count + 1, limit) if count <= n else 0.0


def share_increase(canary: int, canary_n: int, stable: int, stable_n: int, tolerance: float) -> float:
    """Chance (p) of "the canary's share exceeds the stable one's by at most `tolerance`".

    The larger of two: Farrington and Manning's score test of that difference, which is approximate, and Fisher's exact
    test of no difference at all, so that a handful of rare errors never looks certain.
    """
    if not canary_n or not stable_n:
        return 1.0
    total = canary_n + stable_n
    if total <= _MANY:
        exact = hypergeometric_at_least(canary, total, canary + stable, canary_n)
    else:  # its limit, which is never surer
        exact = share_above(canary, canary + stable, canary_n / total)
    p1, p2 = canary / canary_n, stable / stable_n
    q1, q2 = _restricted(p1, p2, stable_n / canary_n, tolerance)
    deviation = math.sqrt(max(q1 * (1 - q1) / canary_n + q2 * (1 - q2) / stable_n, 0.0))
    if not deviation:
        return exact if p1 - p2 > tolerance else 1.0
    return max(exact, normal_below(-(p1 - p2 - tolerance) / deviation))


def _restricted(p1: float, p2: float, ratio: float, difference: float) -> tuple[float, float]:
    """Most likely shares among those that differ by `difference` (Farrington and Manning, appendix)."""
    a = 1 + ratio
    b = -(1 + ratio + p1 + ratio * p2 + difference * (ratio + 2))
    c = difference**2 + difference * (2 * p1 + ratio + 1) + p1 + ratio * p2
    d = -p1 * difference * (1 + difference)
    v = b**3 / (27 * a**3) - b * c / (6 * a**2) + d / (2 * a)
    u = math.copysign(math.sqrt(max(b**2 / (9 * a**2) - c / (3 * a), 0.0)), v)
    angle = (math.pi + math.acos(min(max(v / u**3, -1.0), 1.0))) / 3 if u else 0.0
    q1 = min(max(2 * u * math.cos(angle) - b / (3 * a), difference), 1.0)
    return q1, min(max(q1 - difference, 0.0), 1.0)


@dataclass(frozen=True)
class LatencyShift:
    """How much slower one sample is: `delta` is Cliff's, 2A - 1 of Vargha and Delaney's A; p of "not slower"."""

    delta: float
    p_value: float


def latency_shift(canary: Histogram, stable: Histogram, tolerance: float = 0.0) -> LatencyShift:
    """Mann and Whitney's test on the bins that both histograms have; durations of one bin are ties.

    The canary is held to be not slower by more than `tolerance`, in seconds: its durations count as shorter by that.

    What a bin hides is lost: a shift within a bin is not seen, so delta is never overstated by the binning, and a
    test of fewer, larger groups of ties is weaker but keeps its level.
    """
    c, s = aligned(_shortened(canary, tolerance), stable)
    n, m, ties = c.sum(), s.sum(), c + s
    total = n + m
    if not n or not m:
        return LatencyShift(0.0, 1.0)
    u = float((c * (np.cumsum(s) - s / 2)).sum())
    variance = n * m / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1)))
    if variance <= 0:
        return LatencyShift(0.0, 1.0)
    return LatencyShift(float(2 * u / (n * m) - 1), normal_below(-(u - n * m / 2 - 0.5) / math.sqrt(variance)))


def _shortened(histogram: Histogram, seconds: float) -> Histogram:
    """Had each duration been shorter, a bin evenly filled; above the last bound by how much is not known."""
    if not seconds or not histogram.bounds:
        return histogram
    edges, below = (0.0, *histogram.bounds), np.cumsum((0.0, *histogram.counts[:-1]))
    counts = np.diff(np.interp(np.add(histogram.bounds, seconds), edges, below), prepend=0.0)
    return Histogram(histogram.bounds, (*counts.tolist(), histogram.counts[-1]))


def aligned(first: Histogram, second: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """Counts of two histograms in the bins between the bounds that both have."""
    common = sorted(set(first.bounds) & set(second.bounds))

    def counts(histogram: Histogram) -> np.ndarray:
        found = np.zeros(len(common) + 1)
        np.add.at(found, np.searchsorted(common, [*histogram.bounds, math.inf]), histogram.counts)
        return found

    return counts(first), counts(second)


def blurred(first: Histogram, second: Histogram) -> bool:
    """Whether the bounds that both have hide what the bins of one show.

    That is so when nearly everything of both falls into one common bin, while one side's own bins divide it.
    """
    shares = [counts / counts.sum() for counts in aligned(first, second) if counts.sum()]
    own = [max(each.counts) / each.total for each in (first, second) if each.total]
    return len(shares) == 2 and bool(min(own) < _SPREAD and np.min(shares, axis=0).max() > _TOGETHER)


def drift_beyond(psi: float, canary: float, stable: float, bins: int, limit: float) -> float:
    """Chance (p) of such a population stability index if that of the two distributions is `limit`.

    The index times ``nm / (n + m)`` has about a chi-squared distribution with as many degrees of freedom as there are
    bins but one; it is a noncentral one where the distributions differ (simulated: tests/rollout/judge/test_drift.py).

    Args:
        psi: of the samples, with its bias.
        canary: its independent rows, n.
        stable: those of the stable version, m.
        bins: that both are counted in.
        limit: of the index without its bias.
    """
    if bins < 2 or not canary or not stable:
        return 1.0
    weight = canary * stable / (canary + stable)
    if not limit:
        return chi_squared_above(bins - 1, psi * weight)
    return noncentral_chi_squared_above(bins - 1, limit * weight, psi * weight)


def mean_difference(canary: SampleStatistics, stable: SampleStatistics) -> tuple[float, float, float]:
    """Canary minus stable mean, its standard error, and Welch's degrees of freedom (0 where they are not known)."""
    difference = canary.mean - stable.mean
    if canary.n < 2 or stable.n < 2:
        return difference, 0.0, 0.0
    v1, v2 = canary.variance / canary.n, stable.variance / stable.n
    if not v1 + v2:
        return difference, 0.0, float(canary.n + stable.n - 2)
    freedom = (v1 + v2) ** 2 / (v1**2 / (canary.n - 1) + v2**2 / (stable.n - 1))
    return difference, math.sqrt(v1 + v2), freedom


def paired_difference(sample: SampleStatistics) -> tuple[float, float, float]:
    """The same of one sample of differences."""
    return sample.mean, math.sqrt(sample.variance / sample.n) if sample.n else 0.0, float(max(sample.n - 1, 0))


def beyond(difference: float, tolerance: float, error: float, freedom: float) -> float:
    """Chance (p) of "the true difference is at most `tolerance`", by the t-test.

    Samples of fewer than two have no variance, and prove nothing.
    """
    excess = difference - tolerance
    if not freedom:
        return 1.0
    if not error:
        return 0.0 if excess > 0 else 1.0
    return student_below(freedom, -excess / error)


def interval(difference: float, error: float, freedom: float) -> tuple[float, float]:
    """The 95 % interval of a difference."""
    half = student_quantile(freedom, 0.975) * error if freedom and error else 0.0
    return difference - half, difference + half


def of_clusters(sums: np.ndarray, sizes: np.ndarray) -> SampleStatistics:
    """The mean of rows that belong together, with the variance that its n clusters give it (a ratio estimate).

    Args:
        sums: (n,) of the values of each cluster.
        sizes: (n,) how many values each has.
    """
    n, total = len(sums), float(np.sum(sizes))
    if not n:
        return SampleStatistics(0.0, 0.0, 0)
    mean = float(np.sum(sums)) / total
    apart = (sums - mean * sizes) * n / total
    return SampleStatistics(mean, float(np.sum(apart**2)) / (n - 1) if n > 1 else 0.0, n)
