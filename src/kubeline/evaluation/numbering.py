"""The group or day of each row as a number, some rows at a time: no more is kept than one number of each."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat
from numpy.typing import NDArray

ValueKeys = NDArray[np.uint64]

_SECONDS = 86_400  # of a day
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # of a second


class Numbering:
    """The same number for the same key, from 0 on in the order in which they come, as ``pandas.factorize`` does."""

    def __init__(self) -> None:
        self._keys: ValueKeys = np.empty(0, dtype=np.uint64)  # rising
        self._numbers: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._keys)

    def of(self, keys: ValueKeys) -> NDArray[np.int32]:
        """(n,) the numbers of some keys."""
        found, first, places = np.unique(keys, return_index=True, return_inverse=True)
        at = np.searchsorted(self._keys, found)
        is_new = np.ones(len(found), dtype=np.bool_)
        inside = at < len(self)
        is_new[inside] = self._keys[at[inside]] != found[inside]
        numbers = np.empty(len(found), dtype=np.int32)
        numbers[~is_new] = self._numbers[at[~is_new]]
        new = np.flatnonzero(is_new)
        in_order = new[np.argsort(first[new])]
        numbers[in_order] = len(self) + np.arange(len(new), dtype=np.int32)
        self._keys = np.insert(self._keys, at[new], found[new])
        self._numbers = np.insert(self._numbers, at[new], numbers[new])
        return numbers[places]


def has_keys(kind: pa.DataType, *, by_day: bool) -> bool:
    """Whether :func:`keys_of` knows values of this type."""
    if pat.is_timestamp(kind) or pat.is_date(kind):
        return True
    is_number = pat.is_integer(kind) or pat.is_floating(kind)
    return is_number or (not by_day and (pat.is_string(kind) or pat.is_large_string(kind)))


def present(column: pa.Array) -> pa.Array:
    """The values that are not missing; NaN is."""
    column = column.drop_null()
    if not pat.is_floating(column.type):
        return column
    return column.filter(pa.array(~np.isnan(column.to_numpy(zero_copy_only=False))))


def keys_of(column: pa.Array, *, by_day: bool) -> ValueKeys:
    """(n,) 64 bits of each value, the same where values are equal; of times their UTC day, where that is asked for.

    Two different texts are taken for one with a chance of 1 in 2**64; of the other types, none are.

    Args:
        column: Without missing values, of a type that :func:`has_keys`.
        by_day: Whether times are taken by their days.
    """
    kind = column.type
    if pat.is_string(kind) or pat.is_large_string(kind):
        texts = column.dictionary_encode()
        of_text: ValueKeys = pd.util.hash_array(texts.dictionary.to_numpy(zero_copy_only=False), categorize=False)
        return np.asarray(of_text[texts.indices.to_numpy()])
    if pat.is_floating(kind):
        numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return np.asarray(numbers + 0.0).view(np.uint64)  # minus zero is zero
    if pat.is_uint64(kind):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    if pat.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    values = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    if by_day and not pat.is_integer(kind):
        values = values // (_SECONDS * _UNITS[column.type.unit])
    return np.asarray(values).view(np.uint64)
