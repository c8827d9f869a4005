"""How often windows that are drawn as their reference was raise an alarm, of independent rows and of rows in clusters.

python -m benchmarks.false_alarms [windows [1, 2 or 3: only this sort of rows]]
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import binomtest

from kubeline.drift.check import judge
from kubeline.drift.clusters import ClusterCounts
from kubeline.drift.coded_rows import CodedRows, size_of
from kubeline.drift.profile import Profile, build
from kubeline.drift.reference import Reference
from kubeline.drift.result import DriftResult, DriftRule
from kubeline.drift.scan import Window
from kubeline.drift.values import cells
from kubeline.drift.window import ROWS, RowSample, counter
from kubeline.typing import Array

RULE = DriftRule(min_effect=0.1, max_p=0.01, min_rows=200, min_columns=1, min_auc=0.6)
WINDOWS = 200
REFERENCE = 100_000  # rows
SIZES = (1_000, 100_000, 1_000_000)
KINDS = {
    "normal": "number",
    "heavy tail": "number",
    "mostly zero": "number",
    "half missing": "number",
    "count": "number",
    "flag": "boolean",
    "20 categories": "category",
    "1,000 categories": "category",
}
TOGETHER = "together"


def no_clusters(rng: np.random.Generator, rows: int) -> Array:
    """Each row stands for itself."""
    del rng
    return np.arange(rows)


def days(rng: np.random.Generator, rows: int, number: int) -> Array:
    """(n,) so many days of as many rows each."""
    del rng
    return np.arange(rows) * number // rows


def customers(rng: np.random.Generator, rows: int) -> Array:
    """(n,) customers of very different sizes, nine rows each in the mean: the greatest of a window has hundreds."""
    sizes = np.maximum(rng.lognormal(1.5, 1.2, rows // 5), 1).astype(np.int64)
    return np.repeat(np.arange(len(sizes)), sizes)[:rows]


@dataclass(frozen=True)
class Sort:
    """How rows belong together, of a reference and of a window."""

    name: str
    reference: "partial[Array]"
    window: "partial[Array]"
    clustered: bool = True


SORTS = (
    Sort("independent rows", partial(no_clusters), partial(no_clusters), clustered=False),
    Sort("30 days", partial(days, number=365), partial(days, number=30)),
    Sort("customers of 1 to hundreds of rows", partial(customers), partial(customers)),
)


def table(rng: np.random.Generator, codes: Array, clustered: bool) -> pd.DataFrame:
    """One column of each kind; half of what varies is of the cluster."""
    number = int(codes[-1]) + 1
    share = 0.5 if clustered else 0.0

    def normal() -> Array:
        own: Array = rng.normal(size=len(codes)) * np.sqrt(1 - share)
        return own + (np.sqrt(share) * rng.normal(size=number)[codes] if clustered else 0)

    def category(names: int) -> Array:
        weights = 1 / np.arange(1, names + 1)
        cumulative = np.cumsum(weights) / weights.sum()
        own = np.minimum(np.searchsorted(cumulative, rng.random(len(codes))), names - 1)
        if not clustered:
            return np.asarray(own)
        usual = np.minimum(np.searchsorted(cumulative, rng.random(number)), names - 1)[codes]
        return np.asarray(np.where(rng.random(len(codes)) < share, usual, own))

    first = normal()
    return pd.DataFrame(
        {
            "normal": first,
            "heavy tail": np.sinh(2 * normal()),
            "mostly zero": np.maximum(normal() - 1.3, 0),
            "half missing": np.where(normal() > 0, np.nan, first + normal()),
            "count": np.floor(np.exp(1 + 0.5 * normal())),
            "flag": normal() > 1.3,
            "20 categories": pd.Categorical.from_codes(category(20), [f"c{k}" for k in range(20)]),
            "1,000 categories": pd.Categorical.from_codes(category(1_000), [f"c{k}" for k in range(1_000)]),
            TOGETHER: codes,
        }
    )


def reference_of(rng: np.random.Generator, sort: Sort) -> Reference:
    """A reference as a model package keeps it."""
    codes = sort.reference(rng, REFERENCE)
    rows = table(rng, codes, sort.clustered)
    clusters = int(codes[-1]) + 1 if sort.clustered else None
    profile = Profile.read(build(rows, KINDS, clusters=clusters))
    coded = CodedRows.of(rows, profile.columns, TOGETHER if sort.clustered else "").sample()
    return Reference("reference", profile, [*KINDS], coded=coded)


def window_of(reference: Reference, rows: pd.DataFrame, clustered: bool) -> Window:
    """What a drift check counts of a window: batch by batch, as it reads one."""
    profile, count = reference.profile, len(rows)
    counters = {name: counter(each) for name, each in profile.columns.items()}
    sample = RowSample(size_of(len(reference.names)), expected=count)
    clusters = ClusterCounts(profile.columns, TOGETHER, profile.rows / (profile.clusters or 1)) if clustered else None
    for batch in pa.Table.from_pandas(rows, preserve_index=False).to_batches(ROWS):
        for name, each in counters.items():
            each.add(cells(batch, name))
        sample.add(batch)
        if clusters:
            clusters.add({name: cells(batch, name) for name in clusters.columns})
    frame = sample.frame()
    assert frame is not None  # noqa: S101 (a window has rows)
    return Window(
        rows=count,
        columns=counters,
        predictions={},
        labels={},
        sample=frame,
        coded=CodedRows.of(frame, profile.columns, TOGETHER if clustered else ""),
        spreads=clusters.spreads() if clusters else {},
        clusters=clusters,
        performance=None,
        performance_note="",
        slices=[],
        estimated_slices=[],
        estimate=None,
        not_in_reference=[],
        read_as=[],
    )


def outcomes(sort: Sort, rows: int, windows: int, rule: DriftRule = RULE, seed: int = 0) -> Iterator[DriftResult]:
    """The outcome of so many windows, each with a reference of its own."""
    rng = np.random.default_rng([seed, rows])
    for _ in range(windows):
        reference = reference_of(rng, sort)
        window = table(rng, sort.window(rng, rows), sort.clustered)
        yield judge(window_of(reference, window, sort.clustered), reference, rule)[0]


@dataclass
class Tally:
    """Of so many windows: how many alarm, and how many have a p-value so small, of any column and of the classifier."""

    windows: int = 0
    alarms: int = 0
    columns: int = 0
    classifier: int = 0
    asked: int = 0
    greatest: float = 0.5

    def add(self, outcome: DriftResult) -> None:
        """Count one."""
        self.windows += 1
        self.alarms += outcome.drifted
        self.columns += any((each.adjusted_p or 0) <= outcome.rule.max_p for each in outcome.columns)
        if outcome.together:
            self.asked += 1
            self.classifier += outcome.together.p_value <= outcome.rule.max_p
            self.greatest = max(self.greatest, outcome.together.auc)

    def __str__(self) -> str:
        return (
            f"alarms {_rate(self.alarms, self.windows)}; p of a column {_rate(self.columns, self.windows)}; "
            f"p of the classifier {_rate(self.classifier, self.asked)}, its greatest AUC {self.greatest:.3f}"
        )


def _rate(found: int, of: int) -> str:
    if not of:
        return "not asked"
    interval = binomtest(found, of).proportion_ci(0.95, "exact")
    return f"{found} of {of} [{interval.low:.1%}, {interval.high:.1%}]"


def main(windows: int = WINDOWS, only: int = 0) -> None:
    """Print the rates, with exact 95 % intervals."""
    for rows in SIZES:
        for sort in SORTS[only - 1 : only] if only else SORTS:
            tally = Tally()
            for outcome in outcomes(sort, rows, windows):
                tally.add(outcome)
            print(f"{rows:>9,} rows, {sort.name}: {tally}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
