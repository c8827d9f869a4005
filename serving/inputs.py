"""The rows of a request in the form that the model reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from kubeline.model_package.signature import Kind, Signature

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(slots=True)
class Inputs:
    """Rows, encoded as :meth:`Signature.encode` does.

    Columns of one kind stand side by side, in the order of the signature: whatever is done to a request, one array
    takes as long as one column.

    Attributes:
        rows: their number.
        numbers: numbers and booleans, float32 of shape (columns, rows); missing: NaN.
        texts: categories, the values of one column after the other; missing: ``""``.
        times: datetimes, float64 of shape (columns, rows), seconds since 1970-01-01 UTC; missing: NaN.
    """

    rows: int
    numbers: Array
    texts: list[Sequence[str]]
    times: Array


def joined(parts: Sequence[Inputs]) -> Inputs:
    """The rows of several requests, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Inputs(
        sum(part.rows for part in parts),
        np.concatenate([part.numbers for part in parts], axis=1),
        [list(chain.from_iterable(column)) for column in zip(*(part.texts for part in parts), strict=True)],
        np.concatenate([part.times for part in parts], axis=1),
    )


class Columns:
    """The columns of a model by the form in which :class:`Inputs` holds them.

    Attributes:
        numbers: names of the numbers and booleans.
        texts: names of the categories.
        times: names of the datetimes.
    """

    def __init__(self, signature: Signature):
        self.numbers = _names(signature, "number", "boolean")
        self.texts = _names(signature, "category")
        self.times = _names(signature, "datetime")

    def tensors(self, inputs: Inputs) -> dict[str, Array]:
        """The inputs of the ONNX model by name, each of shape (rows, 1)."""
        found: dict[str, Array] = dict(zip(self.numbers, _tall(inputs.numbers), strict=True))
        for name, texts in zip(self.texts, inputs.texts, strict=True):
            found[name] = np.array(texts, dtype=object)[:, None]
        if self.times:
            found.update(zip(self.times, _tall(inputs.times), strict=True))
        return found


def _tall(block: Array) -> Iterable[Array]:
    return block[:, :, None]


def _names(signature: Signature, *kinds: Kind) -> list[str]:
    return [feature.name for feature in signature.features if feature.kind in kinds]
