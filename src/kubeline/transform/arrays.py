"""Programs run by NumPy: what scikit-learn learns from."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kubeline.transform.program import Instruction, execute
from kubeline.typing import Array

_OPERATORS: Mapping[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Abs": np.abs,
    "Floor": np.floor,
    "Sqrt": np.sqrt,
    "Log": np.log,
    "Exp": np.exp,
    "Sin": np.sin,
    "Cos": np.cos,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Equal": np.equal,
    "IsNaN": np.isnan,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Not": np.logical_not,
    "Where": np.where,
}


def compute(steps: Sequence[Instruction], wanted: Sequence[int], frame: pd.DataFrame) -> list[Array]:
    """Results of a program for the rows of a frame, each float64 of shape (rows,).

    Args:
        steps: of the program.
        wanted: places of the results.
        frame: columns as :meth:`kubeline.model_package.signature.Signature.encode` makes them.
    """
    with np.errstate(all="ignore"):  # what is no number is missing
        found = execute(steps, wanted, _Arrays(frame))
    return [np.broadcast_to(values, len(frame)) for values in found]


class _Arrays:
    """The back end; see :class:`kubeline.transform.program.BackEnd`."""

    def __init__(self, frame: pd.DataFrame):
        self._frame = frame

    def column(self, name: str) -> Array:
        numbers: Array = self._frame[name].to_numpy(dtype=np.float64)
        return numbers

    def constant(self, value: float) -> Array:
        return np.array(value)

    def texts(self, name: str, numbers: Sequence[tuple[str, float]], other: float) -> Array:
        known = dict(numbers)
        places, texts = pd.factorize(self._frame[name].to_numpy(dtype=object))
        numbered: Array = np.array([known.get(text, other) for text in texts], dtype=np.float64)[places]
        return numbered

    def table(self, positions: Array, numbers: Sequence[float]) -> Array:
        every = np.array([*numbers, np.nan])
        return every[np.where(np.isnan(positions), len(numbers), positions).astype(np.int64)]

    def rounded(self, value: Array) -> Array:
        return value.astype(np.float32)

    def number(self, mask: Array) -> Array:
        return mask.astype(np.float64)

    def apply(self, operator: str, *values: Any) -> Array:
        return _OPERATORS[operator](*values)
