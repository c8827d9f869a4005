"""Predictions beside the truth, on the rows that have a label."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import pandas as pd

from kubeline.model_package.predictor import Predictions
from kubeline.numbers import power_of_two
from kubeline.task import Task
from kubeline.typing import Array, Mask


@dataclass(frozen=True)
class Scored:
    """What a model said about n rows, and what was true.

    Attributes:
        task: What is predicted.
        classes: The k class labels, of which ``classes[1]`` is the positive one of a binary task (see :meth:`of`, which
            puts it there); empty for regression.
        target: (n,) class codes (index into `classes`), small integers, or, for regression, numbers.
        prediction: (n,) the same for what was predicted; a class is the one the model serves (threshold 0.5).
        probabilities: (n, k) class probabilities as they are held, float32 where a model gave them, or None for
            regression; to compute with, :attr:`class_probabilities` are.
        weights: (n,) how much each row counts, above 0, or None when all count the same.
    """

    task: Task
    classes: tuple[str, ...]
    target: Array
    prediction: Array
    probabilities: Array | None = None
    weights: Array | None = None

    @classmethod
    def of(
        cls,
        labels: Sequence[str] | None,
        positive_class: str | None,
        target: Array,
        predictions: Predictions,
        weights: Array | None = None,
    ) -> Self:
        """What was predicted for n rows beside what was true.

        Args:
            labels: The classes, in the order of the probabilities; None for regression.
            positive_class: The one of two that precision, recall and the like are of; None for other tasks.
            target: (n,) positions in `labels`, or numbers.
            predictions: For the same rows; their values may be positions in `labels` as well.
            weights: (n,) above 0, or None.
        """
        if labels is None or predictions.probabilities is None:
            return cls("regression", (), target, predictions.values, weights=weights)
        classes, probabilities, prediction = tuple(labels), predictions.probabilities, predictions.values
        if prediction.dtype == object:
            prediction = pd.Index(classes).get_indexer(pd.Index(prediction))
        if positive_class == classes[0]:
            classes, probabilities = classes[::-1], probabilities[:, ::-1]
            target, prediction = 1 - target, 1 - prediction
        task: Task = "multiclass" if positive_class is None else "binary"
        return cls(task, classes, target, prediction, probabilities, weights)

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: Array | slice) -> Self:
        """The same for some of the rows: a mask, row numbers, or a slice, which copies nothing."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        weights = None if self.weights is None else self.weights[rows]
        return replace(
            self,
            target=self.target[rows],
            prediction=self.prediction[rows],
            probabilities=probabilities,
            weights=weights,
        )

    def against_rest(self, label: str) -> Self:
        """The same as a binary task, whose positive class is `label` and whose other one is all the rest."""
        code = self.classes.index(label)
        chance = self.class_probabilities[:, code]
        return replace(
            self,
            task="binary",
            classes=(f"not {label}", label),
            target=(self.target == code).astype(np.int64),
            prediction=(self.prediction == code).astype(np.int64),
            probabilities=np.column_stack([1 - chance, chance]),
        )

    def in_own_unit(self) -> tuple[Self, float]:
        """A regression's numbers over a power of two, and that: the squares of what is very large are infinite."""
        if self.task != "regression":
            return self, 1.0
        unit = power_of_two(max(float(np.abs(self.target).max()), 1e-300))
        return replace(self, target=self.target / unit, prediction=self.prediction / unit), unit

    def mean(self, values: Array) -> float:
        """The mean of (n,) values, by weight."""
        return float(np.average(values, weights=self.weights))

    @property
    def positive(self) -> Mask:
        """(n,) True where the positive class of a binary task is the truth."""
        return np.equal(self.target, 1)

    @property
    def score(self) -> Array:
        """(n,) probability of the positive class of a binary task, float64."""
        return self.held_score.astype(np.float64, copy=False)

    @property
    def held_score(self) -> Array:
        """(n,) the same without a copy, where only the order of rows matters."""
        if self.probabilities is None:
            raise TypeError("a regression has no class probabilities")
        return self.probabilities[:, 1]

    @property
    def class_probabilities(self) -> Array:
        """(n, k) probabilities of a classification task, float64."""
        if self.probabilities is None:
            raise TypeError("a regression has no class probabilities")
        return self.probabilities.astype(np.float64, copy=False)

    def constant(self, centre: Literal["mean", "median"] = "mean") -> Self:
        """The best guess that ignores every feature: the class shares of these rows, or the mean or median target.

        It is taken from the test rows themselves, which no real guess could know: beating it is a little harder than
        beating the constant of the training rows.
        """
        rows = len(self)
        if self.task == "regression":
            middle = self.mean(self.target) if centre == "mean" else median(self.target, self.weights)
            return replace(self, prediction=np.full(rows, middle))
        counts = np.bincount(self.target, self.weights, minlength=len(self.classes))
        shares = counts / counts.sum()
        return replace(
            self,
            prediction=np.full(rows, shares.argmax(), self.target.dtype),
            probabilities=np.broadcast_to(shares, (rows, len(shares))),
        )


def median(values: Array, weights: Array | None = None) -> float:
    """The middle of (n,) values: half of the weight is at or below it, and half at or above."""
    if weights is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    first = int(np.searchsorted(below, 0.5))
    second = min(first + 1, len(values) - 1) if np.isclose(below[first], 0.5, rtol=0, atol=1e-12) else first
    return float((values[order[first]] + values[order[second]]) / 2)
