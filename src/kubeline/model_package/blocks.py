"""The inputs of a package's serving form: columns of one kind side by side, and categories as codes.

ONNX Runtime takes longer to accept twenty tensors, and texts from Python, than to walk the trees of a usual model for a
row. ``serving.onnx`` therefore reads three blocks at most, each of shape (columns, rows).
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Literal

import numpy as np

from kubeline.columns import MISSING_CATEGORY
from kubeline.model_package.signature import Signature
from kubeline.typing import Array

Block = Literal["numbers", "codes", "doubles"]
DTYPES: Mapping[Block, str] = {"numbers": "float32", "codes": "int32", "doubles": "float64"}
PREFIX = "kubeline."  # of names in the graph that are no names of columns


class Columns:
    """The columns of a model, by the block in which it reads them.

    The codes of a category are the positions in its vocabulary, then one for every other value, then those of the
    values that the model distinguishes though the vocabulary does not have them.

    Attributes:
        numbers: names of the numbers that are float32, and of the booleans.
        categories: names of the categories.
        doubles: names of the datetimes, and of the numbers that are float64.
        vocabularies: of each category, an object array of the values that training saw, and at last ``""``, which
            stands for a missing value.
        missing: of each category, the code of a missing value, the largest of its vocabulary.
        rare: of each category, the codes of what the model distinguishes beside its vocabulary.
        blocks: the names of the columns of each block, but for blocks without a column, which the model does not read.
        inputs: the name of each block.
    """

    def __init__(self, signature: Signature):
        features = [feature for feature in signature.features if feature.kind == "category"]
        self.categories = [feature.name for feature in features]
        self.doubles = [feature.name for feature in signature.features if feature.is_double]
        others = {*self.categories, *self.doubles}
        self.numbers = [name for name in signature.names if name not in others]
        self.vocabularies = [
            np.array(
                [*(value for value in feature.categories or [] if value != MISSING_CATEGORY), MISSING_CATEGORY],
                dtype=object,
            )
            for feature in features
        ]
        self.missing = np.array([len(vocabulary) - 1 for vocabulary in self.vocabularies], dtype=np.int32)
        self.rare = [
            {text: int(missing) + 2 + place for place, text in enumerate(feature.rare)}
            for feature, missing in zip(features, self.missing, strict=True)
        ]
        every: dict[Block, list[str]] = {"numbers": self.numbers, "codes": self.categories, "doubles": self.doubles}
        self.blocks = {block: names for block, names in every.items() if names}
        self.inputs = {block: f"{PREFIX}{block}" for block in self.blocks}

    def place(self, name: str) -> tuple[Block, int]:
        """The block of a column, and its position there."""
        return next((block, names.index(name)) for block, names in self.blocks.items() if name in names)

    @cached_property
    def codes(self) -> "dict[str, Callable[[Array], Array]]":
        """Of each category, what makes (n,) codes of an array of texts."""
        known = zip(self.categories, self.vocabularies, self.missing, self.rare, strict=True)
        return {name: _Codes(*each).of for name, *each in known}

    def inputs_of(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """The inputs of the serving form, by name, each of shape (columns, rows).

        Args:
            columns: by name, each of shape (rows, 1), as :meth:`Signature.encode` makes them; categories as texts, or
                as their codes already.
        """
        found = {}
        for block, names in self.blocks.items():
            values = [columns[name][:, 0] for name in names]
            if block == "codes":
                values = [
                    each if each.dtype == DTYPES[block] else self.codes[name](each)
                    for name, each in zip(names, values, strict=True)
                ]
            found[self.inputs[block]] = np.stack(values).astype(DTYPES[block], copy=False)
        return found


class _Codes(dict[str, int]):
    """The code of every text."""

    def __init__(self, vocabulary: Array, missing: int, rare: Mapping[str, int]):
        super().__init__(rare)
        self.update((text, code) for code, text in enumerate(vocabulary.tolist()))
        self._other = int(missing) + 1

    def __missing__(self, text: str) -> int:
        return self._other

    def of(self, texts: Array) -> Array:
        """(n,) of an array of texts."""
        return np.fromiter(map(self.__getitem__, texts), np.int32, len(texts))
