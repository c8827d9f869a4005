"""Requests of a payload log as Arrow tables: matched by their keys, drawn by a hash, their values as numbers."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from kubeline.errors import UserError
from kubeline.typing import Array, Mask

if TYPE_CHECKING:
    import pyarrow as pa


def requests_of(column: "pa.ChunkedArray") -> Array:
    """(n,) int64: equal numbers for equal values of a column, and for no others."""
    import pyarrow as pa

    one = column.combine_chunks()
    encoded = one if pa.types.is_dictionary(one.type) else one.dictionary_encode(null_encoding="encode")
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def positions(one: "pa.Table", other: "pa.Table") -> tuple[Array, Array]:
    """(n,) and (m,) int64: numbers that are equal where the keys of a row of either table are.

    Keys are texts, and whole numbers beside them, in whatever types each table has for them.
    """
    import pyarrow as pa

    found = np.zeros(len(one) + len(other), np.int64)
    for name in one.column_names:
        kind = pa.int64() if pa.types.is_integer(one[name].type) else pa.string()
        codes = requests_of(pa.chunked_array([*one[name].cast(kind).chunks, *other[name].cast(kind).chunks], kind))
        _, found = np.unique(found * (codes.max(initial=0) + 1) + codes, return_inverse=True)
    return found[: len(one)], found[len(one) :]


def distinct(keys: Array, values: Array) -> tuple[Array, Array, int]:
    """The keys whose rows all have one value.

    Args:
        keys: (n,) of the rows.
        values: (n,) codes of their values.

    Returns:
        The keys in ascending order, the first row of each, and how many keys have several values.
    """
    found, first, row = np.unique(keys, return_index=True, return_inverse=True)
    several = np.zeros(len(found), bool)
    several[row[values != values[first][row]]] = True
    return found[~several], first[~several], int(several.sum())


def sampled(ids: "pa.Array", share: float) -> Mask:
    """(n,) whether a request is drawn: by a hash of its id, other than the one by which the server draws."""
    if share >= 1:
        return np.ones(len(ids), bool)
    limit = share * 2**32
    texts = [str(given).encode("utf-8", "replace") for given in ids.to_pylist()]
    digests = [hashlib.blake2b(text, digest_size=4, person=b"rollout").digest() for text in texts]
    chosen: Mask = np.frombuffer(b"".join(digests), ">u4") < limit
    return chosen


def numbers(values: "pa.Array", name: str) -> Array:
    """(n,) float64 of numbers, or of true and false.

    Raises:
        UserError: when they are something else, or one is infinite.
    """
    import pyarrow as pa

    kind = values.type
    if not any(
        of(kind) for of in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    ):
        raise UserError(f"column '{name}' of the outcomes holds {kind} where a number is expected")
    found: Array = np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    if np.isinf(found).any():
        raise UserError(f"column '{name}' of the outcomes holds an infinite number; make it finite or missing")
    return found
