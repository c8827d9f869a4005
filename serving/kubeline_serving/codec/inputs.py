"""The rows of a request in the form in which they are predicted, counted and logged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kubeline.model_package.signature import MISSING_CATEGORY, Signature
from kubeline.typing import Array


@dataclass(slots=True)
class Inputs:
    """Rows, encoded as by :meth:`Signature.encode`, of which they keep no text that training has seen.

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


class Columns:
    """The columns of a model by the form in which :class:`Inputs` holds them.

    Attributes:
        numbers: names of the numbers that are float32, and of the booleans.
        categories: names of the categories.
        doubles: names of the datetimes, and of the numbers that are float64.
        vocabularies: of each category, an object array of the values that training saw, and at last ``""``, which
            stands for a missing value.
        missing: of each category, the code of a missing value, the largest that is not of an unseen one.
    """

    def __init__(self, signature: Signature):
        features = signature.features
        self.categories = [feature.name for feature in features if feature.kind == "category"]
        self.doubles = [feature.name for feature in features if feature.is_double]
        others = {*self.categories, *self.doubles}
        self.numbers = [feature.name for feature in features if feature.name not in others]
        known = [feature.categories or [] for feature in signature.features if feature.kind == "category"]
        self.vocabularies = [
            np.array([*(value for value in values if value != MISSING_CATEGORY), MISSING_CATEGORY], dtype=object)
            for values in known
        ]
        self.missing = np.array([len(vocabulary) - 1 for vocabulary in self.vocabularies], dtype=np.int32)

    def joined(self, parts: Sequence[Inputs]) -> Inputs:
        """The rows of several requests, one after the other."""
        if len(parts) == 1:
            return parts[0]
        numbers = _joined([part.numbers for part in parts])
        codes = _joined([part.codes for part in parts])
        doubles = _joined([part.doubles for part in parts])
        unseen = self._join_unseen(parts, codes) if any(part.unseen for part in parts) else ()
        return Inputs(sum(part.rows for part in parts), numbers, codes, unseen, doubles)

    def texts(self, inputs: Inputs, place: int) -> Array:
        """The values of a category column, as text in an object array of shape (rows,)."""
        known, unseen = self.vocabularies[place], inputs.unseen[place] if inputs.unseen else ()
        values = np.concatenate([known, np.array(unseen, dtype=object)]) if unseen else known
        return values[inputs.codes[place]]

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
