"""A column of categories as codes: what is asked of all its rows is asked of numbers, and of each text once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat

from kubeline.columns import MISSING_CATEGORY
from kubeline.errors import UserError
from kubeline.masking import form_of
from kubeline.task import MAX_WHOLE_NUMBER_CLASSES
from kubeline.typing import Array

_CACHED = 32_768  # rows


@dataclass(frozen=True)
class Categories:
    """A column of text.

    Attributes:
        codes: int32 positions in `texts`, shape (rows,).
        texts: object array of different texts, of which rows need not have all; ``""`` is a missing value.
    """

    codes: Array
    texts: Array

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Self:
        """Of a column of strings, or of a dictionary of them."""
        is_coded = pat.is_dictionary(column.type)
        whole = (column.unify_dictionaries() if is_coded else column.dictionary_encode()).combine_chunks()
        codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
        return cls._different(codes, whole.dictionary.to_numpy(zero_copy_only=False))

    @classmethod
    def _different(cls, codes: Array, texts: Array) -> Self:
        """With a text for missing values, and each text once."""
        given = [MISSING_CATEGORY if text is None else text for text in texts]
        places, different = pd.factorize(np.array([*given, MISSING_CATEGORY], dtype=object))
        if not np.array_equal(places[:-1], np.arange(len(given))) or (codes < 0).any():
            codes = places.astype(np.int32)[codes]  # the last is of code -1
        return cls(codes, different)

    @property
    def values(self) -> Array:
        """The texts themselves, an object array of shape (rows,)."""
        found: Array = self.texts[self.codes]
        return found

    def at(self, rows: Array) -> Array:
        """The texts at some positions, an object array of shape (positions,)."""
        found: Array = self.texts[self.codes[rows]]
        return found

    def counts(self, rows: Array | None = None) -> Array:
        """How many rows have each of `texts`; of those at these positions, or of all."""
        found = np.zeros(len(self.texts), dtype=np.int64)
        size = max(_CACHED, len(self.texts))
        for start in range(0, len(self.codes if rows is None else rows), size):
            some = slice(start, start + size) if rows is None else rows[start : start + size]
            found += np.bincount(self.codes[some], minlength=len(self.texts))
        return found

    def frequent(self, rows: Array, most: int) -> list[Any]:
        """The `most` frequent values of some rows; see :func:`frequent`."""
        counts = self.counts(rows)
        return _first(((self.texts[code], int(counts[code])) for code in np.flatnonzero(counts)), most)

    def places(self, categories: Sequence[str], other: float) -> Array:
        """Of each code, float32, the position of its text in `categories`; `other` of a text that is not there."""
        known = {text: place for place, text in enumerate(categories)}
        return np.array([known.get(text, other) for text in self.texts], dtype=np.float32)


def refuse_numbers_as_text(name: str, values: Categories) -> None:
    """Refuse a column of numbers that a stray text made a column of text, which would learn every number by heart.

    Raises:
        UserError: names the first stray text and its row.
    """
    distinct = pd.Series(values.texts, dtype=object)[values.counts() > 0]
    distinct = distinct[distinct.str.strip() != ""]
    if len(distinct) <= MAX_WHOLE_NUMBER_CLASSES:
        return
    strays = distinct[pd.to_numeric(distinct, errors="coerce").isna()]
    if 0 < len(strays) <= 0.1 * len(distinct):
        row = int(np.isin(values.codes, strays.index).argmax())
        raise UserError(
            f"column '{name}' holds numbers as text and, in row {row}, {form_of(values.texts[values.codes[row]])}; "
            "make such values missing and the column numbers, or exclude it"
        )


def frequent(values: pd.Series, most: int) -> list[Any]:
    """The `most` frequent values, most frequent first, and by name where equal."""
    return _first(values.value_counts(sort=False).items(), most)


def _first(counted: Any, most: int) -> list[Any]:
    ordered = sorted(counted, key=lambda item: (-item[1], item[0]))
    return [name for name, _ in ordered[:most]]
