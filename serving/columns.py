"""JSON and tensor values to the inputs of a model, one column at a time, without a DataFrame."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import NoneType
from typing import Any

import numpy as np
import pandas as pd

from kubeline.errors import UserError, listed
from kubeline.model_package.signature import MISSING_CATEGORY, Feature, Signature, encode_column

Array = np.ndarray[Any, np.dtype[Any]]
Values = Sequence[Any] | Array

_NUMBERS = frozenset({int, float, bool, NoneType})
_TEXTS = frozenset({str, NoneType})
_TYPES = {"number": _NUMBERS, "boolean": _NUMBERS, "category": _TEXTS, "datetime": _TEXTS}
_EXPECTED = {
    "number": "numbers",
    "boolean": "true and false",
    "category": "text",
    "datetime": "dates or times as ISO 8601 text",
}
_SHOWN = 60  # characters of a refused value that an error repeats


def encode(columns: Mapping[str, Values], signature: Signature) -> dict[str, Array]:
    """The ONNX inputs of a request, each of shape (rows, 1); see :meth:`Signature.encode`, which they equal.

    Args:
        columns: the values of each column, all of the same length. None, NaN and (for text) ``""`` are missing.
            A column that the model does not know is ignored.
        signature: the columns that the model reads.

    Raises:
        UserError: names the column that is absent, or the column and row of a value of another type.
    """
    require(columns, signature)
    return {feature.name: _column(feature, columns[feature.name])[:, None] for feature in signature.features}


def require(given: Mapping[str, Any], signature: Signature, where: str = "") -> None:
    """Refuse when a column of the model is absent; `where` says in which row.

    An absent column is never taken as missing values: a misspelt name would change predictions in silence.
    """
    for name in signature.names:
        if name not in given:
            close = get_close_matches(name, [other for other in given if other not in signature.names], n=1)
            found = f"did you write '{close[0]}' for it?" if close else f"given: {listed(given) or 'none'}"
            raise UserError(f"column '{name}' is absent{where}; send null where its value is not known; {found}")


def _column(feature: Feature, values: Values) -> Array:
    if isinstance(values, np.ndarray) and values.dtype.kind not in "fiub":
        values = values.tolist()
    if not isinstance(values, np.ndarray) and not set(map(type, values)) <= _TYPES[feature.kind]:
        values = [_value(feature, row, value) for row, value in enumerate(values)]
    if feature.kind in ("number", "boolean"):
        return _number(feature, values)
    if isinstance(values, np.ndarray):
        raise _refusal(feature, 0, values[0])
    if feature.kind == "category":
        return np.array([MISSING_CATEGORY if value is None else value for value in values], dtype=object)
    times = [value or None for value in values]  # tensors of text have no null
    return encode_column(pd.Series(times, name=feature.name, dtype=object), feature.kind)


def _value(feature: Feature, row: int, value: Any) -> Any:
    """The value when its type fits; None for a NaN, which stands for a missing value in every kind of column."""
    if type(value) in _TYPES[feature.kind]:
        return value
    if isinstance(value, float) and np.isnan(value):
        return None
    raise _refusal(feature, row, value)


def _number(feature: Feature, values: Values) -> Array:
    try:
        wide = np.array(values, dtype=np.float64)
    except OverflowError:
        wide = np.array([np.nan if value is None else _wide(value) for value in values])
    with np.errstate(over="ignore"):  # what is too large for float32 is told as infinite below
        numbers = wide.astype(np.float32)
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        row = int(infinite[0])
        raise UserError(f"column '{feature.name}' holds {_show(values[row])} in row {row}, which is no finite float32")
    if feature.kind == "boolean":
        wrong = np.flatnonzero(~(np.isnan(numbers) | (numbers == 0) | (numbers == 1)))
        if len(wrong):
            raise _refusal(feature, int(wrong[0]), values[int(wrong[0])])
    return numbers


def _wide(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return np.inf


def _refusal(feature: Feature, row: int, value: Any) -> UserError:
    return UserError(f"column '{feature.name}' takes {_EXPECTED[feature.kind]}, but row {row} holds {_show(value)}")


def _show(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:  # printing it could take long, or be refused by Python
        return f"a whole number of {value.bit_length()} bits"
    words = repr(value.item() if isinstance(value, np.generic) else value)
    return words if len(words) <= _SHOWN else words[:_SHOWN] + "…"
