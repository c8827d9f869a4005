"""Reading stored columns as the types of a schema."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from kubeline.columns import type_of
from kubeline.schema.types import is_readable, read_column, series_of, target_type


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (pa.int8(), "integer"),
        (pa.uint64(), "integer"),
        (pa.float32(), "number"),
        (pa.decimal128(9, 2), "number"),
        (pa.bool_(), "boolean"),
        (pa.large_string(), "string"),
        (pa.dictionary(pa.int32(), pa.string()), "string"),
        (pa.date32(), "datetime"),
        (pa.timestamp("ns", "Europe/Berlin"), "datetime"),
        (pa.list_(pa.int64()), "any"),
        (pa.time32("s"), "any"),
        (pa.null(), "any"),
    ],
)
def test_every_stored_type_has_a_schema_type(stored: pa.DataType, expected: str) -> None:
    assert type_of(stored) == expected


@pytest.mark.parametrize(
    ("values", "wanted", "read", "bad"),
    [
        (["1", " 2.5 ", "x", None, ""], "number", [1.0, 2.5, None, None, None], [2, 4]),
        (["1", "9007199254740993", "2.0", "2.5", "x"], "integer", [1, 9007199254740993, 2, None, None], [3, 4]),
        (["true", "FALSE", "1", "0", "maybe"], "boolean", [True, False, True, False, None], [4]),
        ([1, 0, 2, None], "boolean", [True, False, None, None], [2]),
        ([1.0, 2.5, float("nan"), float("inf")], "integer", [1.0, 2.5, None, float("inf")], [1]),
        (["2024-01-02", "soon"], "datetime", [dt.datetime(2024, 1, 2), None], [1]),  # noqa: DTZ001
        (["2024-01-02T00:00:00+02:00"], "datetime", [dt.datetime(2024, 1, 1, 22)], []),  # noqa: DTZ001
        ([1, 2], "number", [1, 2], []),
        (["a", None], "string", ["a", None], []),
        ([10115, None], "string", ["10115", None], []),
        ([7.0, 2.5, float("nan"), 2.0**53], "string", ["7", None, None, None], [1, 3]),
        ([Decimal(7), Decimal(8)], "string", ["7", "8"], []),
        (["9007199254740993", "1234567890123456789", "7.0"], "integer", [2**53 + 1, 1234567890123456789, 7], []),
    ],
)
def test_values_are_read_as_the_type_and_the_others_are_reported(
    values: list[Any], wanted: Any, read: list[Any], bad: list[int]
) -> None:
    found, mask = read_column(pa.array(values), wanted)
    assert found.to_pylist() == read
    assert mask.nonzero()[0].tolist() == bad


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (pa.bool_(), "string"),
        (pa.timestamp("s"), "string"),
        (pa.int64(), "datetime"),
        (pa.bool_(), "number"),
        (pa.timestamp("s"), "integer"),
    ],
)
def test_a_type_that_changes_the_meaning_is_not_read(stored: pa.DataType, wanted: Any) -> None:
    assert not is_readable(stored, wanted)


def test_a_stored_type_is_kept_unless_values_are_converted() -> None:
    assert target_type(pa.int8(), "number") == pa.int8()
    assert target_type(pa.string(), "number") == pa.float64()
    assert target_type(pa.int8(), "boolean") == pa.bool_()


def test_checks_see_decimals_dates_and_zoned_times_as_numbers_and_times() -> None:
    assert series_of(pa.array([Decimal("1.5")])).tolist() == [1.5]
    assert str(series_of(pa.array([dt.date(2024, 1, 2)]))[0]) == "2024-01-02 00:00:00"
    zoned = pa.array([dt.datetime(2024, 1, 2, tzinfo=dt.UTC)], pa.timestamp("us", "Asia/Tokyo"))
    assert str(series_of(zoned)[0]) == "2024-01-02 00:00:00"
    assert series_of(pa.array([2**60 + 1, None])).tolist()[0] == 2**60 + 1
    assert series_of(pa.array([2**64 - 1, None], pa.uint64())).tolist()[0] == 2**64 - 1
