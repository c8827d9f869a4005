"""Numbers that float32 would merge: as float64, each exactly as it was sent, or refused."""

from collections.abc import Sequence
from math import inf, nan
from typing import Any

import numpy as np

from kubeline.errors import UserError
from kubeline.masking import form_of
from kubeline.model_package.signature import Feature
from kubeline.typing import Array
from kubeline_serving.codec.refusals import refusal

_EXACT = 2**53  # whole numbers up to here are float64
_NOT_READ_EXACTLY = 2.0**64  # from here on, JSON readers make floats of whole numbers
_BITS = 1023  # of an integer that is no infinite float64
_LARGEST = float(np.finfo(np.float32).max)
_NAMES = {"float32": "FP32", "float16": "FP16"}


def doubles(feature: Feature, values: Sequence[Any] | Array) -> Array:
    """A column of a request as float64, shape (rows,); missing: NaN.

    Raises:
        UserError: names the column and the row of a value that is no number, infinite as a float32, or a whole number
            that float64 does not hold exactly; or the datatype, when it cannot hold the column's values.
    """
    if not isinstance(values, np.ndarray):
        found = np.array([_double(feature, row, value) for row, value in enumerate(values)])
    elif values.dtype.name in _NAMES:
        raise UserError(
            f"column '{feature.name}' has values that {_NAMES[values.dtype.name]} cannot distinguish; send FP64, or a "
            "datatype of whole numbers"
        )
    else:
        found = values.astype(np.float64)
        if values.dtype.kind in "iu":
            for large in np.flatnonzero(np.abs(found) >= _EXACT).tolist():
                _double(feature, large, int(values[large]))
    too_large = np.flatnonzero(np.abs(found) > _LARGEST)
    if len(too_large):
        row = int(too_large[0])
        raise UserError(
            f"column '{feature.name}' holds {form_of(float(found[row]))} in row {row}, which is no finite float32"
        )
    return found


def _double(feature: Feature, row: int, value: Any) -> float:
    if value is None:
        return nan
    if type(value) is float:
        if _NOT_READ_EXACTLY <= abs(value) <= _LARGEST:
            raise UserError(
                f"column '{feature.name}' holds {form_of(value)} in row {row}, and JSON does not keep whole numbers "
                "beyond 64 bits; send it in an FP64 tensor, or load the column as text where the model is trained"
            )
        return value
    if type(value) not in (int, bool):
        raise refusal(feature, row, value)
    found = float(value) if value.bit_length() <= _BITS else inf  # refused as too large
    if -_EXACT <= value <= _EXACT or found == inf or int(found) == value:
        return found
    raise UserError(
        f"column '{feature.name}' holds {form_of(value)} in row {row}, which float64 does not hold exactly; send a "
        "whole number up to 2**53, or load the column as text where the model is trained, if it is an identifier"
    )
