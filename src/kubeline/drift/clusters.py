"""How much of a shift is chance where rows belong together: those of a day or a customer are alike, and say less than
as many that are independent.

Of each column the window's rows are counted by cluster and bin. The covariance of the bins' shares between clusters,
in units of that of independent rows, gives what the divergence amounts to without drift (the trace), and the degrees of
freedom of the chi-squared distribution with that mean and variance. It is divided by what was estimated of so many
clusters, so that an F distribution judges; with a third of its degrees of freedom, because bins are many beside
clusters: simulated, tests/drift/test_clusters.py. Clusters of different sizes count as the number of equal ones that
would say as much, since the largest decide.

Sources: Rao and Scott (1984), Annals of Statistics 12 (second-order correction of chi-squared tests for clusters);
Satterthwaite (1946), Biometrics Bulletin 2; Kish (1965), Survey Sampling (the effective number of clusters).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kubeline.drift.bins import Bins, belonging
from kubeline.drift.profile import ReferenceColumn
from kubeline.typing import Array

FEWEST = 10  # clusters of which something is known
MOST = 512  # are distinguished; more are put together by chance, which changes no expectation
_ALONE = "every row is taken as independent of the others"


@dataclass(frozen=True)
class Spread:
    """How the shares of a column's bins differ between clusters.

    Attributes:
        covariance: (k, k) of the shares of one row, in units of independent rows.
        independent: (k, k) what it would be of independent rows.
        clusters: how many of equal size would say as much.
        rows: of the window.
        size: rows of a cluster in the reference, as a multiple of those in the window.
    """

    covariance: Array
    independent: Array
    clusters: float
    rows: int
    size: float

    def chance(self, reference: float, current: float, bins: int) -> tuple[float, float, float]:
        """Without drift: the mean of the divergence, its degrees of freedom, and those of its estimate.

        Args:
            reference: Rows of the reference.
            current: Rows of the window.
            bins: Those that are compared, where they are not these.
        """
        of_reference = self.independent + (self.covariance - self.independent) * self.size
        whole = self.covariance / current + of_reference / reference
        trace, squares = float(np.trace(whole)), float((whole**2).sum())
        scale = (bins - 1) / max(len(whole) - 1, 1)
        least = (bins - 1) * (1 / reference + 1 / current)
        degrees = trace**2 / squares if squares else 1.0
        return max(trace * scale, least), max(degrees * scale, 1.0), max((self.clusters - 1) / 3, 1.0)


class ClusterCounts:
    """Counts a window by cluster, chunk by chunk.

    Args:
        profiles: Of the columns and predictions that are compared.
        column: Says which rows belong together: a group, or a time, whose days do.
        in_reference: Rows of a cluster of the reference; None where its package does not say.
    """

    def __init__(self, profiles: Mapping[str, ReferenceColumn], column: str, in_reference: float | None) -> None:
        self.column = column
        self._in_reference = in_reference
        self._bins = {name: Bins(each) for name, each in profiles.items() if each.kind != "datetime"}
        self._counts = {name: np.zeros((MOST, each.number)) for name, each in self._bins.items()}
        self._known: dict[object, int] = {}
        self.columns = [*dict.fromkeys([column, *self._bins])]

    @property
    def number(self) -> int:
        """Clusters that were seen."""
        return len(self._known)

    @property
    def assumed(self) -> str:
        """What is taken for granted of the rows, as a sentence."""
        if self.number < FEWEST:
            return f"the window has only {self.number} groups or days of '{self.column}'; {_ALONE}"
        return f"rows of one group or day of '{self.column}' belong together, of which the window has {self.number:,}"

    def add(self, columns: Mapping[str, pd.Series]) -> None:
        """Count a chunk: the columns, the predictions, and the column of clusters."""
        codes, found = pd.factorize(belonging(columns[self.column]), use_na_sentinel=False)
        places = np.array([self._known.setdefault(each, len(self._known)) for each in found])
        mixed = (places * 2_654_435_761 % 2**32) % MOST  # Knuth's multiplicative hash
        rows = np.where(places < MOST, places, mixed)[codes]
        for name, bins in self._bins.items():
            cells = rows * bins.number + bins.of(columns[name])
            self._counts[name] += np.bincount(cells, minlength=MOST * bins.number).reshape(MOST, bins.number)

    def spreads(self) -> dict[str, Spread]:
        """Of each column; empty for fewer clusters than anything follows from."""
        if self.number < FEWEST:
            return {}
        found = {name: self._spread(counts) for name, counts in self._counts.items()}
        return {name: spread for name, spread in found.items() if spread is not None}

    def _spread(self, counts: Array) -> Spread | None:
        counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
        clusters, rows = len(counts), counts.sum()
        if counts.shape[1] < 2 or clusters < FEWEST:
            return None
        shares = counts.sum(axis=0) / rows
        off = counts - counts.sum(axis=1, keepdims=True) * shares
        unit = np.sqrt(np.outer(shares, shares))
        covariance = clusters / (clusters - 1) * off.T @ off / rows / unit
        size = 1.0 if self._in_reference is None else self._in_reference / (rows / self.number)
        effective = float(rows**2 / (counts.sum(axis=1) ** 2).sum())
        return Spread(covariance, np.eye(len(shares)) - unit, effective, int(rows), size)
