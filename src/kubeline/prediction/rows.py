"""Rows of any table in the form of a model's inputs, and why some of them cannot have it."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.columns import NOUN, TYPE_OF_KIND, type_of
from kubeline.data.dataset import to_frame
from kubeline.errors import UserError, listed
from kubeline.model_package.encoding import encode_column, encode_exactly
from kubeline.model_package.signature import Feature, Signature
from kubeline.schema.types import is_readable, read_column
from kubeline.typing import Array, Mask


def require_features(schema: pa.Schema, signature: Signature) -> None:
    """Refuse a table of which no row could be predicted.

    Raises:
        UserError: names the features that are missing, or the one whose type no value of it could be read as.
    """
    absent = [name for name in signature.names if name not in schema.names]
    if absent:
        raise UserError(
            f"the model needs {listed(absent)}, which the table does not have; it has: {listed(schema.names)}"
        )
    for feature in signature.features:
        found = schema.field(feature.name).type
        if not is_readable(found, TYPE_OF_KIND[feature.kind]):
            raise UserError(
                f"column '{feature.name}' is {found}, but the model needs {NOUN[feature.kind]} there; load the table "
                "with types_from the model"
            )


def inputs_of(batch: pa.RecordBatch, signature: Signature) -> tuple[dict[str, Array], dict[str, Mask]]:
    """The model's inputs for a chunk, and by reason a mask of the rows that no input can hold.

    A value is read as another type where that does not change it: postal codes that were loaded as numbers are text to
    a model that knows them as text. Where a row is at fault, its input is a missing value.

    Returns:
        Each feature with shape (rows, 1), as :meth:`Signature.encode` gives it, and the masks, each of shape (rows,).
    """
    columns, broken = {}, {}
    for feature in signature.features:
        column = batch.column(batch.schema.get_field_index(feature.name))
        if (type_of(column.type) == "string") != (feature.kind == "category"):
            column, unread = read_column(column, TYPE_OF_KIND[feature.kind])
            broken[f"{feature.name}: not {NOUN[feature.kind]}"] = unread
        columns[feature.name] = column
    frame = to_frame(pa.table(columns))
    inputs = {}
    for feature in signature.features:
        values, unfit = _encoded(frame[feature.name], feature)
        inputs[feature.name] = values[:, None]
        broken[f"{feature.name}: {_limits(feature)}"] = unfit
    return inputs, {reason: bad for reason, bad in broken.items() if bad.any()}


def _limits(feature: Feature) -> str:
    """What a value of the right type may still not be."""
    if feature.kind == "number":
        return "not a finite float32" if feature.dtype == "float32" else "not exact and finite as float64"
    return f"not {NOUN[feature.kind]}"


def _encoded(column: pd.Series, feature: Feature) -> tuple[Array, Mask]:
    """A column as the model reads it, and a mask of the values that it cannot read; they are missing.

    One attempt at the whole column is the usual case; only where it fails are the distinct values tried one by one.
    """

    def encode(values: pd.Series) -> Array:
        return encode_exactly(values) if feature.dtype == "float64" else encode_column(values, feature.kind)

    def fits(value: Any) -> bool:
        try:
            encode(pd.Series([value], name=column.name))
        except UserError:
            return False
        return True

    try:
        return encode(column), np.zeros(len(column), dtype=np.bool_)
    except UserError:
        codes, distinct = pd.factorize(column)
        unfit = np.array([*(not fits(value) for value in distinct), False])[codes]  # missing has the code -1
        return encode(column.mask(unfit)), unfit
