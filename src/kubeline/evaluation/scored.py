"""Predictions beside the truth, on the rows that have a label."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from kubeline.task import Task

Array = NDArray[Any]


@dataclass(frozen=True)
class Scored:
    """What a model said about n rows, and what was true.

    Attributes:
        task: What is predicted.
        classes: The k class labels, of which ``classes[1]`` is the positive one of a binary task; empty for regression.
        target: (n,) class codes (index into `classes`) or, for regression, numbers.
        prediction: (n,) the same for what was predicted; a class is the one the model serves (threshold 0.5).
        probabilities: (n, k) class probabilities, or None for regression.
    """

    task: Task
    classes: tuple[str, ...]
    target: Array
    prediction: Array
    probabilities: Array | None = None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: Array) -> Self:
        """The same for some of the rows: a mask or row numbers."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return replace(self, target=self.target[rows], prediction=self.prediction[rows], probabilities=probabilities)

    @property
    def positive(self) -> Array:
        """(n,) True where the positive class of a binary task is the truth."""
        return self.target == 1

    @property
    def score(self) -> Array:
        """(n,) probability of the positive class of a binary task."""
        return self.class_probabilities[:, 1]

    @property
    def class_probabilities(self) -> Array:
        """(n, k) probabilities of a classification task."""
        if self.probabilities is None:
            raise TypeError("a regression has no class probabilities")
        return self.probabilities

    def constant(self, centre: Literal["mean", "median"] = "mean") -> Self:
        """The best guess that ignores every feature: the class shares of these rows, or the mean or median target.

        It is taken from the test rows themselves, which no real guess could know: beating it is a little harder than
        beating the constant of the training rows.
        """
        rows = len(self)
        if self.task == "regression":
            middle = np.mean(self.target) if centre == "mean" else np.median(self.target)
            return replace(self, prediction=np.full(rows, middle))
        shares = np.bincount(self.target, minlength=len(self.classes)) / rows
        return replace(
            self, prediction=np.full(rows, shares.argmax()), probabilities=np.broadcast_to(shares, (rows, len(shares)))
        )
