"""Permutation importance: how much worse the metric gets when one column is shuffled (Breiman, 2001)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kubeline.evaluation.metrics import Metric
from kubeline.evaluation.scored import Scored
from kubeline.model_package.predictor import Predictions, Predictor
from kubeline.typing import Array

SAMPLE = 4_000  # rows; enough to rank columns, and the cost does not grow with the test table
REPEATS = 4
_VALUES = 2_000_000_000  # that are predicted from: each column takes a prediction of the whole width
_FEWEST = 250  # rows, which rank columns roughly


@dataclass(frozen=True)
class Importance:
    """The loss of one feature.

    Attributes:
        feature: A column that the model reads.
        loss: Mean loss of the metric, in its unit, when the column is shuffled; above zero the column helps.
        spread: Standard deviation of the loss over the shuffles.
    """

    feature: str
    loss: float
    spread: float


def sample_size(features: int) -> int:
    """How many rows are sampled: fewer of a wide table, whose cost grows with the square of its columns."""
    return max(_FEWEST, min(SAMPLE, _VALUES // (REPEATS * max(features, 1) ** 2)))


def importances(
    predictor: Predictor, rows: Callable[[Array], pd.DataFrame], scored: Scored, metric: Metric, seed: int = 0
) -> list[Importance]:
    """The importance of every feature on a sample of the rows, the greatest first.

    Columns that say the same thing share their importance: shuffling one leaves the other.

    Args:
        predictor: The model in ONNX Runtime.
        rows: Reads some of the n labelled rows, by their rising positions.
        scored: The model's answers for those rows.
        metric: What is lost.
        seed: Of the sample and the shuffles.

    Returns:
        One importance for each feature; empty when the sample does not define the metric.
    """
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.permutation(len(scored))[: sample_size(len(predictor.signature.names))])
    part = scored.take(sample)
    if metric.undefined(part):
        return []
    columns = predictor.signature.encode(rows(sample))
    # read once, as that takes longer than to predict where there are thousands of columns
    tensors = predictor.tensors({name: np.tile(column, (REPEATS, 1)) for name, column in columns.items()})
    whole, unmoved = metric.value(part), predictor.predict_tensors(tensors)
    found = []
    for name in columns:
        column = predictor.column(tensors, name)
        kept = column.copy()
        column[:] = np.concatenate([rng.permutation(kept[: len(part)]) for _ in range(REPEATS)])
        answer = predictor.predict_tensors(tensors)
        column[:] = kept
        values = np.full(REPEATS, whole) if _is_same(answer, unmoved) else _values(predictor, answer, part, metric)
        losses = whole - values if metric.greater_is_better else values - whole
        found.append(Importance(name, float(losses.mean()), float(losses.std(ddof=1))))
    return sorted(found, key=lambda one: -one.loss)


def _is_same(answer: Predictions, other: Predictions) -> bool:
    """Whether no answer has moved, as of a column that no tree asks for."""
    if answer.probabilities is None or other.probabilities is None:
        return np.array_equal(answer.values, other.values)
    return np.array_equal(answer.probabilities, other.probabilities)


def _values(predictor: Predictor, answer: Predictions, part: Scored, metric: Metric) -> Array:
    """(repeats,) the metric for each repeat, all of them answered together."""
    rows = len(part)
    order = [(predictor.signature.classes or []).index(label) for label in part.classes]
    values = []
    for start in range(0, len(answer.values), rows):
        if answer.probabilities is None:
            again = replace(part, prediction=answer.values[start : start + rows])
        else:
            probabilities = answer.probabilities[start : start + rows, order].astype(np.float64)
            again = replace(part, prediction=probabilities.argmax(axis=1), probabilities=probabilities)
        values.append(np.nan if metric.undefined(again) else metric.value(again))
    return np.array(values)
