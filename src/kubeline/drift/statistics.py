"""Drift of one column: an effect size that a large table cannot inflate, and a p-value that a small one cannot fake.

The effect is the population stability index (PSI), the symmetric Kullback-Leibler divergence of the two samples' bin
shares, minus what it amounts to between two samples of the same distribution:

    PSI = sum over k bins of (c - r) ln(c / r);   bias = (k - 1) (1/n + 1/m)

for n reference rows and m current rows. Without drift, PSI n m / (n + m) follows a chi-squared distribution with k - 1
degrees of freedom, which gives both the bias (its mean) and the p-value.

Sources: Kullback (1959), Information Theory and Statistics, ch. 6; Yurdakul (2018), Statistical Properties of
Population Stability Index, Western Michigan University; Siddiqi (2006), Credit Risk Scorecards (the limits 0.1 and
0.25); Good (1953), Biometrika 40 (the share of unseen categories); Benjamini and Hochberg (1995), JRSS B 57.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kubeline.distributions import chi_squared_above, f_above
from kubeline.typing import Array

if TYPE_CHECKING:  # a rollout's plan takes these statistics, and needs no tables
    from kubeline.drift.clusters import Spread
    from kubeline.drift.profile import CategoryProfile, NumberProfile

MIN_EXPECTED = 10  # rows that a category's bin must expect in the smaller sample
CLEAR_ROWS = 30  # rows of the smaller sample that no category with fewer expected rows reaches by chance
HALF = 0.5  # added to each bin, so that an empty one has a logarithm

MISSING = "(missing)"
UNSEEN = "(unseen)"
REST = "(rest)"
RANGE = " … "  # between the first and the last category of a group


class Bin(NamedTuple):
    """Rows of the reference and of the current window that fall into one bin."""

    label: str
    reference: int
    current: int


@dataclass(frozen=True)
class Divergence:
    """How far two samples are apart.

    `effect` is the PSI without its bias, at least 0; `p_value` is of "both are samples of one distribution".
    """

    psi: float
    effect: float
    p_value: float
    bins: int


@dataclass
class CategoryCounts:
    """Categories of the current window: those the reference lists, and others as far as they are kept by name."""

    listed: Counter[str] = field(default_factory=Counter)
    unlisted: Counter[str] = field(default_factory=Counter)
    unlisted_rows: int = 0
    missing: int = 0

    @property
    def rows(self) -> int:
        """All rows counted."""
        return self.listed.total() + self.unlisted_rows + self.missing

    @property
    def named(self) -> bool:
        """Whether every unlisted category was kept by name."""
        return self.unlisted.total() == self.unlisted_rows


def divergence(bins: Sequence[Bin], spread: "Spread | None" = None) -> Divergence:
    """Compare two samples by their counts in the same bins; bins that are empty in both are left out.

    Without two bins, or without rows in one sample, there is nothing to compare: no effect, and a p-value of 1. A
    `spread` says how far rows that belong together differ; without it every row is independent.
    """
    counts = np.array([(each.reference, each.current) for each in bins if each.reference or each.current], dtype=float)
    k = len(counts)
    if k < 2 or not counts.sum(axis=0).all():
        return Divergence(0.0, 0.0, 1.0, k)
    n, m = counts.sum(axis=0)
    reference, current = ((counts + HALF) / (counts + HALF).sum(axis=0)).T
    psi = float(((current - reference) * np.log(current / reference)).sum())
    weight = n * m / (n + m)
    if spread is not None:
        chance, degrees, of_estimate = spread.chance(n, m, k)
        return Divergence(psi, max(psi - chance, 0.0), f_above(degrees, of_estimate, psi / chance), k)
    return Divergence(psi, max(psi - (k - 1) / weight, 0.0), chi_squared_above(k - 1, psi * weight), k)


def number_bins(profile: "NumberProfile", counts: Array, missing: int) -> list[Bin]:
    """Bins of a number: the quantile bins of the reference, and one for missing values."""
    pairs = zip(interval_labels(profile), profile.counts, counts.tolist(), strict=True)
    return [*(Bin(label, r, c) for label, r, c in pairs), Bin(MISSING, profile.missing, missing)]


def category_bins(profile: "CategoryProfile", counts: CategoryCounts) -> list[Bin]:
    """Bins of a category column: the frequent categories, groups of the others, unseen and missing.

    Which categories are frequent is decided on both samples together. Taking the most frequent of the reference alone
    would take those that chance made frequent there, and on columns with many categories that looks like drift. The
    others are grouped in order of their names until a group is frequent; codes that are alike often mean alike.
    """
    missing = Bin(MISSING, profile.missing, counts.missing)
    if profile.other or not counts.named:
        return [*_bins_beyond_the_list(profile, counts), missing]
    n, m = profile.rows, counts.rows
    current = counts.listed + counts.unlisted
    frequent: list[Bin] = []
    others: list[Bin] = []
    for name in sorted(profile.counts.keys() | current.keys()):
        each = Bin(name, profile.counts.get(name, 0), current[name])
        (frequent if _is_frequent(each, n, m) else others).append(each)
    frequent.sort(key=lambda each: -each.reference)
    return [*frequent, *_groups(others, n, m), missing]


def _is_frequent(category: Bin, n: int, m: int) -> bool:
    """Whether a category expects enough rows in the smaller sample, or has more there than chance can give."""
    expected = (category.reference + category.current) * min(n, m) / (n + m)
    return expected >= MIN_EXPECTED or (category.current if m <= n else category.reference) >= CLEAR_ROWS


def _groups(categories: list[Bin], n: int, m: int) -> list[Bin]:
    """Infrequent categories in groups; those the reference does not have in a bin of their own, if there is reason."""
    tail = []
    if _more_unseen_than_chance(categories, n, m):
        singles = sum(each.reference == 1 for each in categories)
        tail = [Bin(UNSEEN, singles, sum(each.current for each in categories if not each.reference))]
        categories = [
            Bin(each.label, 0 if each.reference == 1 else each.reference, each.current)
            for each in categories
            if each.reference
        ]
    groups: list[Bin] = []
    for each in categories:
        if groups and not _is_frequent(groups[-1], n, m):
            groups[-1] = _joined(groups[-1], each)
        else:
            groups.append(each)
    if len(groups) > 1 and not _is_frequent(groups[-1], n, m):
        last = groups.pop()
        groups[-1] = _joined(groups[-1], last)
    return groups + tail


def _joined(first: Bin, second: Bin) -> Bin:
    label = f"{first.label.split(RANGE)[0]}{RANGE}{second.label.split(RANGE)[-1]}"
    return Bin(label, first.reference + second.reference, first.current + second.current)


def _more_unseen_than_chance(categories: list[Bin], n: int, m: int) -> bool:
    """Whether the current window has more rows of unseen categories than a column whose categories never end.

    The reference's own share of unseen is estimated by its share of categories that occur once (Good-Turing): left
    out, each of those rows would be unseen to the others. Names and addresses are always new and do not alarm.
    """
    if not n or not m:
        return False
    once = sum(each.reference == 1 for each in categories)
    twice = sum(each.reference == 2 for each in categories)
    unseen = sum(each.current for each in categories if not each.reference) / m
    error = math.sqrt((once + 2 * twice + 1) / n**2 + unseen / m)  # variance of the estimate: Good (1953), eq. 65
    return unseen - once / n > 3 * error


def _bins_beyond_the_list(profile: "CategoryProfile", counts: CategoryCounts) -> list[Bin]:
    """Bins when there are more categories than a profile lists: unseen ones cannot be separated from the rest.

    A category has a bin of its own only where it is far more frequent than any that is not listed.
    """
    bar = profile.floor + 4 * math.sqrt(profile.floor) + MIN_EXPECTED
    n, m = profile.rows, counts.rows
    listed = [Bin(name, reference, counts.listed[name]) for name, reference in profile.counts.items()]
    frequent = [
        each
        for each in listed
        if (each.reference + each.current) * min(n, m) / (n + m) >= MIN_EXPECTED
        and (each.reference + each.current) * n / (n + m) >= bar
    ]
    reference = profile.rows - profile.missing - sum(each.reference for each in frequent)
    current = m - counts.missing - sum(each.current for each in frequent)
    return [*frequent, Bin(REST, reference, current)]


def interval_labels(profile: "NumberProfile") -> list[str]:
    """What each bin of a number holds, for people."""
    if not profile.edges:
        return ["(any)"]
    if profile.integer and profile.kind == "number":
        last = [math.floor(edge) for edge in profile.edges]
        inner = [str(high) if low + 1 == high else f"{low + 1} to {high}" for low, high in pairwise(last)]
        return [f"up to {last[0]}", *inner, f"from {last[-1] + 1}"]
    from kubeline.drift.values import moment

    names = [moment(edge) for edge in profile.edges] if profile.kind == "datetime" else _short(profile.edges)
    return [f"up to {names[0]}", *(f"{low} to {high}" for low, high in pairwise(names)), f"above {names[-1]}"]


def _short(numbers: Sequence[float]) -> list[str]:
    """Numbers in as few digits, from four, as distinguish them."""
    for digits in range(4, 17):
        names = [f"{number:.{digits}g}" for number in numbers]
        if len(set(names)) == len(names):
            return names
    return [repr(number) for number in numbers]


def adjust(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number by Benjamini and Hochberg: rejecting those up to q keeps false alarms to q."""
    if not len(p_values):
        return []
    found = np.array(p_values, dtype=float)
    order = np.argsort(found)[::-1]  # from the greatest on, of rank n
    adjusted = found[order] * len(found) / np.arange(len(found), 0, -1)
    found[order] = np.minimum(np.minimum.accumulate(adjusted), 1.0)
    return [float(each) for each in found]
