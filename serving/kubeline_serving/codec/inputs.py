"""The rows of a request in the form in which they are predicted, counted and logged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kubeline.model_package import blocks
from kubeline.model_package.blocks import Block
from kubeline.typing import Array


@dataclass(slots=True)
class Inputs:
    """Rows, encoded as by :meth:`Signature.encode`, without the text of values that training has seen.

    Columns of one kind stand side by side, in the order of the signature: whatever is done to a request, one array
    takes as long as one column.

    Attributes:
        rows: their number.
        numbers: numbers and booleans, float32 of shape (columns, rows); missing: NaN.
        codes: categories, int32 of shape (columns, rows): positions in the column's vocabulary, see :class:`Columns`;
            larger codes are unseen values.
        unseen: of each category column, the values that its vocabulary does not have, by their codes; empty when no
            column has any.
        doubles: datetimes (seconds since 1970-01-01 UTC) and numbers that need it, float64 of shape (columns, rows);
            missing: NaN.
    """

    rows: int
    numbers: Array
    codes: Array
    unseen: Sequence[Sequence[str]]
    doubles: Array


class InputColumns(blocks.Columns):
    """The columns of a model by the form in which :class:`Inputs` holds them."""

    def joined(self, parts: Sequence[Inputs]) -> Inputs:
        """The rows of several requests, one after the other."""
        if len(parts) == 1:
            return parts[0]
        numbers = _joined([part.numbers for part in parts])
        codes = _joined([part.codes for part in parts])
        doubles = _joined([part.doubles for part in parts])
        unseen = self._join_unseen(parts, codes) if any(part.unseen for part in parts) else ()
        return Inputs(sum(part.rows for part in parts), numbers, codes, unseen, doubles)

    def tensors(self, inputs: Inputs) -> dict[str, Array]:
        """What the model reads, by name: the arrays of `inputs`, but that codes of unseen values are the model's."""
        found: dict[Block, Array] = {"numbers": inputs.numbers, "codes": inputs.codes, "doubles": inputs.doubles}
        if inputs.unseen:
            found["codes"] = self._known_codes(inputs.codes, inputs.unseen)
        return {name: found[block] for block, name in self.inputs.items()}

    def _known_codes(self, codes: Array, unseen: Sequence[Sequence[str]]) -> Array:
        """A copy, in which unseen values have the one code of them all, unless the model distinguishes them."""
        known: Array = np.minimum(codes, self.missing[:, None] + 1)
        for place, rare in enumerate(self.rare):
            if rare:
                other = self.missing[place] + 1
                here = codes[place] >= other
                code_of = np.array([rare.get(text, other) for text in unseen[place]], dtype=np.int32)
                known[place, here] = code_of[codes[place, here] - other]
        return known

    def _join_unseen(self, parts: Sequence[Inputs], codes: Array) -> list[list[str]]:
        """The unseen values of all parts; their codes are changed to go on where those of the parts before end."""
        unseen: list[list[str]] = [[] for _ in self.categories]
        start = 0
        for part in parts:
            end = start + part.rows
            for place, values in enumerate(part.unseen):
                mine = codes[place, start:end]
                mine[mine > self.missing[place]] += len(unseen[place])
                unseen[place].extend(values)
            start = end
        return unseen


def _joined(blocks: list[Array]) -> Array:
    """Blocks of the same columns, one behind the other; a block without columns needs no rows."""
    return np.concatenate(blocks, axis=1) if len(blocks[0]) else blocks[0]
