"""Permutation importance: how much worse the metric gets when columns are shuffled (Breiman, 2001).

A column that says what another one says loses little by itself, since the other one still answers. Groups of such
columns are therefore shuffled together as well, row by row, beside each column alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from kubeline.evaluation.bootstrap import Bootstrap, Interval, interval
from kubeline.evaluation.kept import Numbers, sample_rows
from kubeline.evaluation.metrics import Metric
from kubeline.evaluation.scored import Scored
from kubeline.model_package.predictor import Predictions, Predictor
from kubeline.typing import Array

SAMPLE = 4_000  # rows; enough to rank columns, and the cost does not grow with the test table
REPEATS = 4
GROUPS = 20  # that are shuffled, of the largest
_VALUES = 2_000_000_000  # that are predicted from: each column takes a prediction of the whole width
_FEWEST = 250  # rows, which rank columns roughly
_EACH = 60  # columns, up to which each has an interval, which takes as long as to predict
_REPLICATES = (200, 256)  # and buckets, of the sample


@dataclass(frozen=True)
class Importance:
    """What the metric loses without some columns.

    Attributes:
        features: Columns that the model reads: one, or a group of correlated ones.
        loss: Mean loss of the metric, in its unit, when they are shuffled together; above zero they help.
        spread: Standard deviation of the loss over the shuffles.
        lower: The end of its interval for other rows and shuffles; None where too few replicates define it, and of
            what is within the shuffles' own spread in a wide table.
        upper: The other end.
    """

    features: tuple[str, ...]
    loss: float
    spread: float
    lower: float | None = None
    upper: float | None = None

    @property
    def interval(self) -> Interval:
        """The loss with its interval."""
        return Interval(self.loss, self.lower, self.upper)

    @property
    def idle(self) -> bool:
        """Whether the loss cannot be distinguished from none."""
        return self.loss <= 2 * self.spread if self.lower is None else self.lower <= 0


@dataclass(frozen=True)
class SampledRows:
    """Test rows that columns are shuffled in.

    Attributes:
        scored: The model's answers for the n rows.
        columns: (n, 1) by name, as the model reads them.
        bootstrap: Resamples the rows.
    """

    scored: Scored
    columns: dict[str, Array]
    bootstrap: Bootstrap

    @classmethod
    def of(
        cls,
        predictor: Predictor,
        rows: Callable[[Array], pd.DataFrame],
        scored: Scored,
        rng: np.random.Generator,
        clusters: Numbers | None = None,
    ) -> Self:
        """A sample of the rows judged.

        Args:
            predictor: The model in ONNX Runtime.
            rows: Reads some of the n labelled rows, by their rising positions.
            scored: The model's answers for those rows.
            rng: Draws the rows.
            clusters: (n,) codes of the rows that belong together, or None.
        """
        places = sample_rows(len(scored), sample_size(len(predictor.signature.names)), rng)
        together = None if clusters is None else np.unique(np.asarray(clusters)[places], return_inverse=True)[1]
        bootstrap = Bootstrap(len(places), *_REPLICATES, clusters=together)
        return cls(scored.take(places), predictor.signature.encode(rows(places)), bootstrap)


def sample_size(features: int) -> int:
    """How many rows are sampled: fewer of a wide table, whose cost grows with the square of its columns."""
    return max(_FEWEST, min(SAMPLE, _VALUES // (REPEATS * max(features, 1) ** 2)))


def importances(
    predictor: Predictor,
    sample: SampledRows,
    metric: Metric,
    rng: np.random.Generator,
    groups: Callable[[list[Importance]], Sequence[Sequence[str]]] = lambda found: [],
    confidence: float = 0.95,
) -> tuple[list[Importance], list[Importance]]:
    """The importance of every feature, and of groups of them, each the greatest first.

    Args:
        predictor: The model in ONNX Runtime.
        sample: Rows to shuffle in.
        metric: What is lost.
        rng: Of the shuffles.
        groups: The groups that are shuffled together, given what each feature is worth by itself.
        confidence: Of the intervals.

    Returns:
        One importance for each feature, and one for each group; both empty when the sample does not define the metric.
    """
    part = sample.scored
    if metric.undefined(part):
        return [], []
    # read once, as that takes longer than to predict where there are thousands of columns
    tensors = predictor.tensors({name: np.tile(column, (REPEATS, 1)) for name, column in sample.columns.items()})
    whole, unmoved = metric.value(part), predictor.predict_tensors(tensors)
    replicates = metric.replicates(part, sample.bootstrap)

    def worth(names: Sequence[str]) -> Importance:
        answer = _shuffled(predictor, tensors, names, [rng.permutation(len(part)) for _ in range(REPEATS)])
        if np.array_equal(answer.numbers, unmoved.numbers):  # as of a column that no tree asks for
            return Importance(tuple(names), 0.0, 0.0, 0.0, 0.0)
        again = _scored(predictor, answer, part)
        values = np.array([np.nan if metric.undefined(one) else metric.value(one) for one in again])
        losses = whole - values if metric.greater_is_better else values - whole
        spread = float(losses.std(ddof=1))
        if len(sample.columns) > _EACH and losses.mean() <= 2 * spread:
            return Importance(tuple(names), float(losses.mean()), spread)
        # of one shuffle: its own chance is in the interval, too
        apart = replicates - metric.replicates(again[0], sample.bootstrap)
        apart = (apart if metric.greater_is_better else -apart) + losses.mean() - losses[0]
        found = interval(float(losses.mean()), apart, confidence)
        return Importance(tuple(names), found.value, spread, found.lower, found.upper)

    alone = _ranked([worth([name]) for name in sample.columns])
    return alone, _ranked([worth(group) for group in list(groups(alone))[:GROUPS]])


def _ranked(found: list[Importance]) -> list[Importance]:
    return sorted(found, key=lambda one: -one.loss)


def _shuffled(
    predictor: Predictor, tensors: dict[str, Array], names: Sequence[str], orders: Sequence[Array]
) -> Predictions:
    """Predictions for the repeated rows, with the values of some columns in other orders; the tensors stay as given."""
    kept = {}
    for name in names:
        column = predictor.column(tensors, name)
        kept[name] = column.copy()
        column[:] = np.concatenate([kept[name][order] for order in orders])
    answer = predictor.predict_tensors(tensors)
    for name, values in kept.items():
        predictor.column(tensors, name)[:] = values
    return answer


def _scored(predictor: Predictor, answer: Predictions, part: Scored) -> list[Scored]:
    """The answers of each repeat beside the truth."""
    rows = len(part)
    order = [(predictor.signature.classes or []).index(label) for label in part.classes]
    found = []
    for start in range(0, len(answer.values), rows):
        if answer.probabilities is None:
            found.append(replace(part, prediction=answer.values[start : start + rows]))
        else:
            probabilities = answer.probabilities[start : start + rows, order].astype(np.float64)
            found.append(replace(part, prediction=probabilities.argmax(axis=1), probabilities=probabilities))
    return found
