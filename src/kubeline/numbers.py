"""Types of the numbers that people give, for Pydantic models: no true or false, and nothing infinite; their units."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from kubeline.options import is_number

_MAX_SECONDS = 366 * 86_400  # what can be slept, and added to any date


def _number(value: Any) -> Any:
    """Others than numbers are left to Pydantic, which reads a text that is one."""
    if isinstance(value, bool | float) and not is_number(value):
        raise ValueError(f"is {str(value).lower()}; expected a finite number")
    return value


def _finite(value: float) -> float:
    if not is_number(value):
        raise ValueError(f"is {value}; expected a finite number")
    return value


def _exact(value: int) -> int:
    if not is_number(value, whole=True):
        raise ValueError("is too large for a whole number")
    return value


def _bearable(value: float) -> float:
    if _finite(value) > _MAX_SECONDS:
        raise ValueError(f"is {value:g}; expected a year at most ({_MAX_SECONDS} seconds)")
    return value


def power_of_two(value: float) -> float:
    """The power of two at or below a positive number: divided by it, a number keeps all its digits."""
    return 2.0 ** min(max(math.floor(math.log2(value)), -1020), 1020)


Number = Annotated[float, BeforeValidator(_number), AfterValidator(_finite)]
Whole = Annotated[int, BeforeValidator(_number), AfterValidator(_exact)]
Seconds = Annotated[float, BeforeValidator(_number), AfterValidator(_bearable)]
