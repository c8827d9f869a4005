"""Predictions beside the truth, on the rows that have a label."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self, cast

import numpy as np
import pandas as pd

from kubeline.evaluation.kept import Computed, Kept, Numbers, pieces
from kubeline.evaluation.tally import Occurrences, tally
from kubeline.model_package.predictor import Predictions
from kubeline.numbers import power_of_two
from kubeline.task import Task
from kubeline.typing import Array, Mask


@dataclass(frozen=True)
class Scored:
    """What a model said about n rows, and what was true.

    The numbers of many rows are :class:`Kept <kubeline.evaluation.kept.Kept>` in files (see :meth:`kept`), which are
    used like arrays: what is asked of all rows goes through :meth:`pieces`, :meth:`column` or a tally.

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

    @classmethod
    def kept(cls, parts: Iterable[Self]) -> Self:
        """Some parts as one, one part at least, whose numbers stay in temporary files."""
        columns: dict[str, Kept] = {}
        for part in parts:
            for name in ("target", "prediction", "probabilities", "weights"):
                if (numbers := getattr(part, name)) is not None:
                    columns.setdefault(name, Kept()).add(numbers)
        return replace(part, **cast("dict[str, Any]", columns))

    def __len__(self) -> int:
        return len(self.target)

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[Self]:
        """All rows in order, or those from `start` to `stop`, as many at a time as take little memory."""
        for rows in pieces(len(self) if stop is None else stop, len(self.classes), start):
            yield self.take(rows)

    def column(self, make: Callable[[Self], Array]) -> Array:
        """(n,) or (n, m) numbers that are computed whenever some of the rows are asked for.

        Args:
            make: Gives them for some of the rows.
        """

        def some(rows: slice) -> Array:
            return np.concatenate([make(part) for part in self.pieces(rows.start, rows.stop)])

        return cast("Array", Computed(len(self), some))

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

    def part(self, codes: Numbers, code: int) -> Self:
        """The rows that have this one of the (n,) codes, kept in files."""

        def parts() -> Iterator[Self]:
            for rows in pieces(len(self), len(self.classes)):
                yield self.take(rows).take(codes[rows] == code)

        return self.kept(parts())

    def against_rest(self, label: str) -> Self:
        """The same as a binary task, whose positive class is `label` and whose other one is all the rest."""
        code = self.classes.index(label)

        def chances(some: Self) -> Array:
            chance = some.class_probabilities[:, code]
            return np.column_stack([1 - chance, chance])

        return replace(
            self,
            task="binary",
            classes=(f"not {label}", label),
            target=self.column(lambda some: (some.target == code).astype(np.int8)),
            prediction=self.column(lambda some: (some.prediction == code).astype(np.int8)),
            probabilities=self.column(chances),
        )

    def in_own_unit(self) -> tuple[Self, float]:
        """A regression's numbers over a power of two, and that: the squares of what is very large are infinite."""
        return self._in_own_unit

    @cached_property
    def _in_own_unit(self) -> tuple[Self, float]:
        if self.task != "regression":
            return self, 1.0
        unit = power_of_two(max(float(np.abs(self.extent).max()), 1e-300))
        target, prediction = (
            self.column(lambda some: some.target / unit),
            self.column(lambda some: some.prediction / unit),
        )
        return replace(self, target=target, prediction=prediction), unit

    def mean(self, values: Numbers) -> float:
        """The mean of (n,) values, by weight."""
        total = weight = 0.0
        for rows in pieces(len(self)):
            some = np.asarray(values[rows], dtype=np.float64)
            counts = np.ones(len(some)) if self.weights is None else self.weights[rows]
            total, weight = total + float((some * counts).sum()), weight + float(counts.sum())
        return total / weight

    @cached_property
    def class_counts(self) -> tuple[Array, Array]:
        """(k,) how many rows are of each class, and are predicted to be, whatever their weights."""
        found = np.zeros((2, len(self.classes)), np.int64)
        for some in self.pieces():
            found += [np.bincount(codes, minlength=found.shape[1]) for codes in (some.target, some.prediction)]
        return found[0], found[1]

    @cached_property
    def extent(self) -> tuple[float, float]:
        """The least and the greatest target of a regression."""
        ends = [(some.target.min(), some.target.max()) for some in self.pieces()]
        return float(min(low for low, _ in ends)), float(max(high for _, high in ends))

    @property
    def varies(self) -> bool:
        """Whether not every row has the same class, or target."""
        if self.task == "regression":
            return self.extent[0] < self.extent[1]
        return int(np.count_nonzero(self.class_counts[0])) > 1

    @cached_property
    def _tallies(self) -> dict[Any, Occurrences]:
        return {}

    def ranking(self, code: int = 1) -> Occurrences:
        """The rows by the probability of a class: how many others, and how many of this class, have each."""

        def count() -> Occurrences:
            of = self.column(lambda some: some.target == code)
            return tally(self.column(lambda some: some.probability_of(code)), of, self.weights, 2)

        return self._tally(code, count)

    def ranked_by(
        self, name: str, make: Callable[[Self], Array], right: Callable[[Self], Array] | None = None
    ) -> Occurrences:
        """The rows by a number, which always has the same name; of two kinds where `right` says which is the second."""
        kinds = None if right is None else self.column(right)
        return self._tally(name, lambda: tally(self.column(make), kinds, self.weights, 1 if right is None else 2))

    def _tally(self, key: Any, count: Callable[[], Occurrences]) -> Occurrences:
        if key not in self._tallies:
            self._tallies[key] = count()
        return self._tallies[key]

    def probability_of(self, code: int) -> Array:
        """(n,) the probability of a class as it is held, where only the order of rows matters."""
        if self.probabilities is None:
            raise TypeError("a regression has no class probabilities")
        return self.probabilities[:, code]

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
        return self.probability_of(1)

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
            middle = self.mean(self.target) if centre == "mean" else self.ranked_by("target", _target).middle()
            return replace(self, prediction=np.broadcast_to(np.float64(middle), rows))
        counts = np.zeros(len(self.classes))
        for some in self.pieces():
            counts += np.bincount(some.target, some.weights, len(counts))
        shares = counts / counts.sum()
        return replace(
            self,
            prediction=np.broadcast_to(np.int64(shares.argmax()), rows),
            probabilities=np.broadcast_to(shares, (rows, len(shares))),
        )


def _target(scored: Scored) -> Array:
    return scored.target
