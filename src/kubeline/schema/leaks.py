"""Columns that give the target away: how well each one alone predicts it, on rows the prediction was not made from.

Half of a bounded sample says what the target is for each value (or, for numbers and times, each of up to 100 quantile
bins) of a column, and the other half scores it. Values that occur in one half only say nothing, so an id of unique
values scores as chance does. Missing values are a value: a refund date that exists only for refunds is a leak.
"""

import numpy as np
import pandas as pd

from kubeline.schema.document import SchemaTask
from kubeline.typing import Array

SAMPLE_ROWS = 30_000  # rows of the table that are sampled,
SAMPLE_CELLS = 10_000_000  # and fewer of a wide one, but
MIN_SAMPLE = 2_000
MIN_ROWS = 50  # with fewer, chance reaches any threshold
MIN_CLASS_ROWS = 5  # a class with fewer rows in either half is left out
MAX_LEAK_CLASSES = 20
BINS = 100
BIN_ROWS = 20


def leak_scores(sample: pd.DataFrame, target: str, task: SchemaTask) -> dict[str, float]:
    """The predictive power of every other column alone, greatest first.

    Args:
        sample: Rows of the table in random order of no meaning; rows without a target are left out.
        target: The column to be predicted.
        task: Decides the score: for classification the area under the ROC curve (one class against the rest, the mean
            over classes; 0.5 is chance), for regression R² of the target's ranks (0 is chance), which neither outliers
            nor a transformation of the target change.

    Returns:
        Column -> score, at most 1. Empty when there are too few rows or only one class.
    """
    rows = sample[sample[target].notna()]
    if len(rows) < MIN_ROWS or rows[target].nunique() < 2:
        return {}
    order = np.random.default_rng(0).permutation(len(rows))
    rows = rows.iloc[order].reset_index(drop=True)
    half = len(rows) // 2
    outcome = _ranks(rows[target])[:, None] if task == "regression" else _indicators(rows[target], half)
    if outcome.shape[1] == 0:
        return {}
    scores = {}
    for name in sample.columns:
        if name != target:
            score = _r2 if task == "regression" else _auc
            column = _numbers(rows[name])
            codes = _bins(column, half) if column is not None else _categories(rows[name])
            scores[str(name)] = score(outcome[half:], _predict(codes, outcome, half))
            if column is not None:
                scores[str(name)] = max(scores[str(name)], _monotone(column, outcome, task))
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def _ranks(target: pd.Series) -> Array:
    number = target.astype("int64") if pd.api.types.is_datetime64_any_dtype(target) else target.astype("float64")
    ranks: Array = (number.rank() / len(number)).to_numpy()
    return ranks


def _indicators(target: pd.Series, half: int) -> Array:
    """A 0/1 column for each class that both halves hold often enough; for two classes one column says it all."""
    codes, _ = pd.factorize(target)
    frequent = np.argsort(-np.bincount(codes), kind="stable")[:MAX_LEAK_CLASSES]
    columns = [codes == code for code in frequent]
    enough = [c for c in columns if min(c[:half].sum(), c[half:].sum()) >= MIN_CLASS_ROWS]
    if len(columns) == 2 and enough:
        enough = enough[:1] if len(enough) == 2 else []
    return np.column_stack(enough).astype(np.float64) if enough else np.empty((len(codes), 0))


def _numbers(column: pd.Series) -> Array | None:
    """Numbers and times as floats, missing as NaN; None for columns of other values."""
    if pd.api.types.is_datetime64_any_dtype(column):
        column = column.astype("int64").astype("float64").mask(column.isna())
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return None
    numbers: Array = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def _bins(numbers: Array, half: int) -> Array:
    """Numbers as bins 0, 1, … between quantiles of the first half, of `BIN_ROWS` rows at least; -1 is missing."""
    known = numbers[:half][np.isfinite(numbers[:half])]
    edges = np.unique(known)
    if len(edges) > BINS:
        bins = min(BINS, max(2, len(known) // BIN_ROWS))
        edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="left"))


def _categories(column: pd.Series) -> Array:
    """Values as bins 0, 1, …; -1 is missing."""
    codes: Array
    codes, _ = pd.factorize(column.astype(str).where(column.notna()))
    return codes


def _monotone(numbers: Array, outcome: Array, task: SchemaTask) -> float:
    """The score of the numbers themselves, which needs no fit: a leak on few rows is one too. 0 with missing values."""
    if np.isnan(numbers).any():
        return 0.0
    ranks = pd.Series(numbers).rank().to_numpy()
    if task == "regression":
        return float(np.corrcoef(ranks, outcome[:, 0])[0, 1] ** 2) if ranks.std() > 0 else 0.0
    area = _auc(outcome, np.repeat(ranks[:, None], outcome.shape[1], axis=1))
    return max(area, 1 - area)


def _predict(codes: Array, outcome: Array, half: int) -> Array:
    """For each row of the second half, the mean outcome of its bin in the first, drawn a little to the overall mean."""
    bins = codes + 1
    prior = outcome[:half].mean(axis=0)
    size = int(bins.max()) + 1
    count = np.bincount(bins[:half], minlength=size)[:, None] + 1.0
    totals = [np.bincount(bins[:half], weights=column, minlength=size) for column in outcome[:half].T]
    means = (np.column_stack(totals) + prior) / count
    predicted: Array = means[bins[half:]]
    return predicted


def _auc(truth: Array, predicted: Array) -> float:
    """The mean over classes of the Mann-Whitney form of the area under the ROC curve."""
    areas = []
    for labels, score in zip(truth.T, predicted.T, strict=True):
        ranks = pd.Series(score).rank().to_numpy()
        positive = labels.sum()
        negative = len(labels) - positive
        areas.append((ranks[labels == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))
    return float(np.mean(areas))


def _r2(truth: Array, predicted: Array) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((truth - predicted) ** 2).sum()) / spread if spread > 0 else 0.0
