"""Shapley values of single predictions, from the graph that serves; needs numpy and nothing of training.

A prediction is explained beside some background rows: the contributions of the columns add up to the prediction minus
the mean prediction of the background. A column's contribution is what changes when its value takes the place of a
background row's, in the mean over all orders in which the columns can do so. This is what the library shap calls
interventional: of a column that the model does not read it is zero, however much it says about another one.

Between a row and a background row only the columns count in which they differ. Where these are few, all their subsets
are predicted and the values are exact. Else a sample of the orders is, each beside its reverse, and the values have
standard errors; the sum is exact all the same.

Sources: Lundberg, Lee (2017), A Unified Approach to Interpreting Model Predictions; Strumbelj, Kononenko (2014),
Explaining prediction models and individual predictions with feature contributions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from kubeline.model_package.blocks import Columns
from kubeline.model_package.predictor import ServingPredictor
from kubeline.typing import Array

Blocks = Mapping[str, Array]

_EXACT = 8  # columns that differ, of which all subsets are predicted
_PREDICTIONS = 4_000  # for one row, about; wide rows take two for each column and background row at least
_MOST_ORDERS = 8  # each with its reverse
_AT_ONCE = 1_000_000  # values that are predicted from at a time


@dataclass(frozen=True)
class Explanation:
    """Why a prediction is what it is, in its unit; k outputs are the classes' probabilities, or one number.

    Attributes:
        base: (k,) the mean prediction of the background.
        prediction: (k,) of the row.
        contributions: (columns, k), which add up to the prediction minus the base.
        errors: (columns, k) at most their standard errors; zero where they are exact.
    """

    base: Array
    prediction: Array
    contributions: Array
    errors: Array


class Explainer:
    """Explains what a model answers.

    Args:
        predictor: The model.
        background: Some rows as blocks, each of shape (columns, rows), as :meth:`Columns.inputs_of` makes them.
        seed: Of the orders.

    Attributes:
        names: Of the columns, in the order of the contributions.
    """

    def __init__(self, predictor: ServingPredictor, background: Blocks, seed: int = 0):
        columns = Columns(predictor.signature)
        self._predictor = predictor
        self._background = {block: background[block] for block in columns.inputs.values()}
        self._seed = seed
        by_block = [name for names in columns.blocks.values() for name in names]
        self.names = list(predictor.signature.names)
        self._order = np.array([by_block.index(name) for name in self.names])
        self._rows: int = next(iter(self._background.values())).shape[1]
        self._base = self._outputs(self._background).mean(axis=0)

    @property
    def cost(self) -> int:
        """Predictions that the explanation of one row takes, at most."""
        width = len(self.names)
        if width <= _EXACT:
            return self._rows << width
        return self._rows * max(1 << _EXACT, 2 * self._orders(width) * (width + 1))

    def explain(self, rows: Blocks, place: int, go_on: Callable[[], None] = lambda: None) -> Explanation:
        """The explanation of the row at a place of some rows.

        Args:
            rows: As blocks.
            place: Of the row among them.
            go_on: Is called every few milliseconds, and may raise to end it.
        """
        row = {block: rows[block][:, place : place + 1] for block in self._background}
        prediction = self._outputs(row)[0]
        width = len(self.names)
        total, variance = np.zeros((width, len(prediction))), np.zeros((width, len(prediction)))
        rng = np.random.default_rng(self._seed)
        for other in range(self._rows):
            beside = {block: values[:, other : other + 1] for block, values in self._background.items()}
            differ = np.concatenate([_differ(row[block], beside[block])[:, 0] for block in row])
            found, errors = self._between(row, beside, np.flatnonzero(differ), rng, go_on)
            total += found
            variance += errors**2
        return Explanation(
            self._base,
            prediction,
            (total / self._rows)[self._order],
            (np.sqrt(variance) / self._rows)[self._order],
        )

    def _between(
        self, row: Blocks, beside: Blocks, differ: Array, rng: "np.random.Generator", go_on: Callable[[], None]
    ) -> tuple[Array, Array]:
        """Contributions beside one background row, and their errors; (columns in the order of blocks, k)."""
        count = len(differ)
        if count <= _EXACT:
            sets, weights = _subsets(count)
            values = weights @ self._mixed(row, beside, differ, sets, go_on)
            return self._spread(differ, values), np.zeros((len(self.names), values.shape[1]))
        samples = []
        for _ in range(self._orders(count)):
            order = rng.permutation(count)
            for each in (order, order[::-1]):
                taken = np.argsort(each)[None, :] < np.arange(count + 1)[:, None]  # first none, at last all
                steps = np.diff(self._mixed(row, beside, differ, taken, go_on), axis=0)
                samples.append(steps[np.argsort(each)])
        values = np.mean(samples, axis=0)
        errors = np.std(samples, axis=0, ddof=1) / math.sqrt(len(samples))
        return self._spread(differ, values), self._spread(differ, errors)

    def _orders(self, width: int) -> int:
        return max(1, min(_MOST_ORDERS, _PREDICTIONS // (2 * self._rows * (width + 1))))

    def _mixed(self, row: Blocks, beside: Blocks, differ: Array, taken: Array, go_on: Callable[[], None]) -> Array:
        """(sets, k) predictions of the background row with some values of the row: (sets, columns that differ) True."""
        found, step = [], max(1, _AT_ONCE // len(self.names))
        for start in range(0, len(taken), step):
            go_on()
            mask = np.zeros((len(self.names), len(taken[start : start + step])), dtype=bool)
            mask[differ] = taken[start : start + step].T
            blocks, first = {}, 0
            for block, values in row.items():
                blocks[block] = np.where(mask[first : first + len(values)], values, beside[block])
                first += len(values)
            found.append(self._outputs(blocks))
        return np.concatenate(found)

    def _spread(self, differ: Array, values: Array) -> Array:
        every = np.zeros((len(self.names), values.shape[1]))
        every[differ] = values
        return every

    def _outputs(self, blocks: Blocks) -> Array:
        found = self._predictor.predict_blocks(dict(blocks))
        outputs = found.values[:, None] if found.probabilities is None else found.probabilities
        return outputs.astype(np.float64)


def _differ(values: Array, others: Array) -> Array:
    missing = np.isnan(values) & np.isnan(others) if values.dtype.kind == "f" else False
    found: Array = ~((values == others) | missing)
    return found


@cache
def _subsets(count: int) -> tuple[Array, Array]:
    """All subsets of so many columns, (2^n, n) True for members, and (n, 2^n) their weights in each Shapley value."""
    members = (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(bool)
    sizes = members.sum(axis=1)
    without = np.array([1 / (count * math.comb(count - 1, size)) for size in range(count)] or [0.0])
    gained, lost = without[np.maximum(sizes - 1, 0)], without[np.minimum(sizes, max(count - 1, 0))]
    return members, np.where(members, gained[:, None], -lost[:, None]).T


def largest(names: Sequence[str], contributions: Array, most: int) -> list[tuple[str, float]]:
    """The names with the (columns,) contributions furthest from zero, the greatest first."""
    order = np.argsort(-np.abs(contributions), kind="stable")[:most]
    return [(names[place], float(contributions[place])) for place in order]
