"""Columns of numbers that are read one after the other into the same memory."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from kubeline.training.doubles import Doubles


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()])
def test_numbers_of_every_type_are_doubles_and_missing_ones_nan(kind: pa.DataType) -> None:
    column = pa.chunked_array([pa.array(np.array(part), kind, mask=mask) for part, mask in PARTS])
    read = Doubles(5).read(column)
    assert read is not None
    np.testing.assert_array_equal(read, [1, np.nan, 3, 4, 5])


PARTS = [(np.array([1, 2, 3], "f2"), np.array([False, True, False])), (np.array([4, 5], "f2"), np.zeros(2, bool))]


@pytest.mark.parametrize("values", [[True, False], [Decimal("1.5"), None], ["1", "2"]])
def test_what_is_no_number_of_64_bits_is_left_to_others(values: list[object]) -> None:
    assert Doubles(2).read(pa.chunked_array([values])) is None


def test_the_next_column_is_read_into_the_same_memory_and_that_of_another_thread_is_not() -> None:
    doubles = Doubles(2)
    one, other = (doubles.read(pa.chunked_array([[number, number]])) for number in (1.0, 2.0))
    with ThreadPoolExecutor(1) as thread:
        beside = thread.submit(doubles.read, pa.chunked_array([[3.0, 3.0]])).result()
    assert one is other
    assert beside is not None
    assert [*beside, *other] == [3, 3, 2, 2]  # type: ignore[misc]
