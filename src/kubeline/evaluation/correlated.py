"""Groups of columns that say much the same thing, whatever their kinds.

How closely two columns go together is a number from 0 to 1: the size of Spearman's rank correlation of two numbers,
Cramér's V of two categories (Bergsma's correction), the correlation ratio of a category and the ranks of a number
(Kelley's correction). Columns that are chained by values of the threshold and more are one group, which is
single-linkage clustering, cut there: nothing outside of a group goes that closely with anything in it, so that nothing
is left to answer in its place when all of it is shuffled.

Sources: Bergsma (2013), A bias-correction for Cramér's V and Tschuprow's T; Kelley (1935), An unbiased correlation
ratio measure.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kubeline.typing import Array

THRESHOLD = 0.7
ROWS = 1_000  # of which the association is measured
COLUMNS = 300  # each pair of categories takes a table of counts
_LEVELS = 50  # values of a category; the rarer ones count as one


def correlated_groups(columns: Mapping[str, Array], threshold: float = THRESHOLD) -> list[list[str]]:
    """The groups of two columns or more, the largest first.

    Args:
        columns: (rows,) values by name: numbers with NaN for missing, or objects for categories; the first `COLUMNS`
            count.
        threshold: From which association on two columns are of one group.
    """
    from scipy.sparse.csgraph import connected_components

    names = list(columns)[:COLUMNS]
    close = associations({name: columns[name][:ROWS] for name in names}) >= threshold
    number, of = connected_components(close, directed=False)  # numbered by their first columns
    groups = [[names[place] for place in np.flatnonzero(of == group)] for group in range(number)]
    return sorted((group for group in groups if len(group) > 1), key=lambda group: -len(group))


def associations(columns: Mapping[str, Array]) -> Array:
    """(k, k) how closely each two of the columns go together, from 0 to 1; a constant one goes with none."""
    values = list(columns.values())
    numbers = [place for place, column in enumerate(values) if column.dtype != object]
    others = [place for place, column in enumerate(values) if column.dtype == object]
    found = np.eye(len(values))
    ranks = _ranks([values[place] for place in numbers])
    found[np.ix_(numbers, numbers)] = np.abs(ranks @ ranks.T)
    codes = [_codes(values[place]) for place in others]
    for first, (code, levels) in enumerate(codes):
        found[others[first], numbers] = found[numbers, others[first]] = _correlation_ratio(code, levels, ranks)
        for second in range(first):
            found[others[first], others[second]] = found[others[second], others[first]] = _cramers_v(
                codes[first], codes[second]
            )
    return found


def _ranks(columns: list[Array]) -> Array:
    """(k, rows) the ranks of numbers with mean 0 and length 1; a missing number has the mean rank, a constant 0s."""
    if not columns:
        return np.empty((0, 0))
    table = pd.DataFrame(dict(enumerate(columns))).rank()
    ranks = (table - table.mean()).fillna(0.0).to_numpy().T
    length = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    normed: Array = np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)
    return normed


def _codes(column: Array) -> tuple[Array, int]:
    """(rows,) a number for each value, the rare ones sharing one, and how many there are."""
    codes, found = pd.factorize(column)
    if len(found) > _LEVELS:
        place = np.full(len(found), _LEVELS - 1)
        place[np.argsort(-np.bincount(codes), kind="stable")[: _LEVELS - 1]] = np.arange(_LEVELS - 1)
        codes = place[codes]
    return codes, min(len(found), _LEVELS)


def _correlation_ratio(codes: Array, levels: int, ranks: Array) -> Array:
    """(k,) how much of the variance of each row of ranks lies between the levels, as a root."""
    rows = len(codes)
    if not len(ranks) or rows <= levels:
        return np.zeros(len(ranks))
    one_hot = np.zeros((rows, levels))
    one_hot[np.arange(rows), codes] = 1.0
    between = ((ranks @ one_hot) ** 2 / one_hot.sum(axis=0)).sum(axis=1)  # of a total of 1
    corrected = 1 - (1 - between) * (rows - 1) / (rows - levels)
    ratio: Array = np.sqrt(np.clip(np.where(ranks.any(axis=1), corrected, 0.0), 0.0, 1.0))
    return ratio


def _cramers_v(first: tuple[Array, int], second: tuple[Array, int]) -> float:
    (codes, levels), (others, width) = first, second
    rows = len(codes)
    counts = np.bincount(codes * width + others, minlength=levels * width).reshape(levels, width)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0))
    squared = float((counts**2 / expected).sum()) - 1  # chi-squared over the rows
    dof = (levels - 1) * (width - 1)
    least = min(one - (one - 1) ** 2 / (rows - 1) for one in (levels, width)) - 1 if rows > 1 else 0.0
    return float(np.sqrt(np.clip((squared - dof / (rows - 1)) / least, 0.0, 1.0))) if least > 0 else 0.0
