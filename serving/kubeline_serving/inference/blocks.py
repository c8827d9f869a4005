"""What a model that reads blocks of columns is fed with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kubeline.typing import Array
from kubeline_serving.codec.inputs import Columns, Inputs

Block = Literal["numbers", "codes", "doubles"]
BLOCKS: Sequence[Block] = ("numbers", "codes", "doubles")


@dataclass(frozen=True)
class Blocks:
    """The inputs of a model that :func:`kubeline_serving.inference.graph.reading_blocks` has changed.

    Attributes:
        columns: of the model.
        names: of the inputs, by block; a block without columns is none.
        rare: of each category, the codes of values that the model tells apart, though the signature does not have them.
        texts: positions of the categories that the model reads as text, too; such an input has the column's name.
    """

    columns: Columns
    names: dict[Block, str]
    rare: Sequence[dict[str, int]]
    texts: Sequence[int]

    def tensors(self, inputs: Inputs) -> dict[str, Array]:
        """The inputs by name: numbers float32, codes int32, doubles float64, of shape (columns, rows); text (rows, 1).

        Codes are those of `inputs`, but unseen values have the one code after that of a missing value, unless the model
        knows them.
        """
        blocks = {"numbers": inputs.numbers, "codes": inputs.codes, "doubles": inputs.doubles}
        if inputs.unseen:
            blocks["codes"] = self._codes(inputs, inputs.unseen)
        found = {name: blocks[block] for block, name in self.names.items()}
        for place in self.texts:
            found[self.columns.categories[place]] = self.columns.texts(inputs, place)[:, None]
        return found

    def _codes(self, inputs: Inputs, unseen: Sequence[Sequence[str]]) -> Array:
        codes: Array = np.minimum(inputs.codes, self.columns.missing[:, None] + 1)
        for place, rare in enumerate(self.rare):
            if rare:
                other = self.columns.missing[place] + 1
                here = inputs.codes[place] >= other
                known = np.array([rare.get(text, other) for text in unseen[place]], dtype=np.int32)
                codes[place, here] = known[inputs.codes[place, here] - other]
        return codes
