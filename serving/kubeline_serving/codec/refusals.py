"""Error messages about a value that a column does not take."""

import reprlib
from typing import Any

import numpy as np

from kubeline.errors import UserError
from kubeline.masking import form_of
from kubeline.model_package.signature import Feature

_EXPECTED = {
    "number": "numbers",
    "boolean": "true and false",
    "category": "text",
    "datetime": "dates or times as ISO 8601 text",
}
_SHOWN = 60  # characters of a refused value that an error repeats


def refusal(feature: Feature, row: int, value: Any) -> UserError:
    """What to say of a value of another type than a column takes."""
    return UserError(f"column '{feature.name}' takes {_EXPECTED[feature.kind]}, but row {row} holds {form_of(value)}")


def show(value: Any) -> str:
    """A refused value as an error repeats it: short, and on one line."""
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:  # printing it could take long, or be refused by Python
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, (list, dict)):  # nested so deep, perhaps, that Python cannot print it
        return reprlib.repr(value)
    words = repr(value.item() if isinstance(value, np.generic) else value)
    return words if len(words) <= _SHOWN else words[:_SHOWN] + "…"
