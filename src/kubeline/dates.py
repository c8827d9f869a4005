"""The parts of a moment, by arithmetic that NumPy and an ONNX graph both do exactly."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

DATE_PARTS = ("year", "month", "day", "weekday", "hour")


class _Number(Protocol):
    """Arithmetic that NumPy arrays and nodes of an ONNX graph have in common."""

    def __add__(self, other: Any) -> Any: ...
    def __sub__(self, other: Any) -> Any: ...
    def __rmul__(self, other: Any) -> Any: ...
    def __truediv__(self, other: Any) -> Any: ...


N = TypeVar("N", bound=_Number)


def date_parts(seconds: N, floor: Callable[[N], N]) -> dict[str, N]:
    """The parts of a moment given in seconds since 1970-01-01 UTC, in the proleptic Gregorian calendar.

    Written once for NumPy and for ONNX, with nothing but floor and the four operations, all exact in float64; NaN
    gives NaN. The calendar is "civil_from_days" of Howard Hinnant, https://howardhinnant.github.io/date_algorithms.html
    (years begin in March, so that the leap day comes last).

    Returns:
        year, month (1 to 12), day (1 to 31), weekday (Monday is 0), hour (0 to 24, minutes as a fraction).
    """
    days = floor(seconds / 86400.0)
    hour = (seconds - 86400.0 * days) / 3600.0
    weekday = (days + 3.0) - 7.0 * floor((days + 3.0) / 7.0)
    shifted = days + 719468.0
    era = floor(shifted / 146097.0)
    day_of_era = shifted - 146097.0 * era
    leap_days = floor(day_of_era / 1460.0) - floor(day_of_era / 36524.0) + floor(day_of_era / 146096.0)
    year_of_era = floor((day_of_era - leap_days) / 365.0)
    day_of_year = day_of_era - (365.0 * year_of_era + floor(year_of_era / 4.0) - floor(year_of_era / 100.0))
    march_month = floor((5.0 * day_of_year + 2.0) / 153.0)  # 0 is March, 11 is February
    day = day_of_year - floor((153.0 * march_month + 2.0) / 5.0) + 1.0
    new_year = floor(march_month / 10.0)  # 1 in January and February
    month = march_month + 3.0 - 12.0 * new_year
    year = year_of_era + 400.0 * era + new_year
    return {"year": year, "month": month, "day": day, "weekday": weekday, "hour": hour}
