"""Columns of which a model's numbers and texts are made where they are asked for."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kubeline.training.categories import Categories
from kubeline.training.encoded import Encoded, StoredNumbers
from kubeline.typing import Array

LENGTHS = [3, 0, 1, 40, 7]
ROWS = sum(LENGTHS)
RANDOM = np.random.default_rng(0)
POSITIONS = {
    "all": np.arange(ROWS),
    "some": np.flatnonzero(RANDOM.random(ROWS) < 0.3),
    "of one part": np.arange(10, 20),
    "the last": np.array([ROWS - 1]),
    "none": np.arange(0),
    "in any order": RANDOM.permutation(ROWS),
    "some twice": RANDOM.integers(0, ROWS, 60),
}


def parts(values: Array) -> pa.ChunkedArray:
    return pa.chunked_array(np.split(values, np.cumsum(LENGTHS)[:-1]))


@pytest.mark.parametrize("rows", POSITIONS.values(), ids=POSITIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["f8", "f4", "i8", "u1"])
def test_numbers_at_positions_are_those_of_the_column(kind: str, dtype: type, rows: Array) -> None:
    given = (RANDOM.normal(size=ROWS) * 100).astype(kind)
    numbers = StoredNumbers.of(parts(given), dtype)
    assert numbers is not None
    np.testing.assert_array_equal(numbers.values, given.astype(dtype), strict=True)
    np.testing.assert_array_equal(numbers.at(rows), given.astype(dtype)[rows], strict=True)


@pytest.mark.parametrize("values", [[1.5, None], [True, False], ["1", "2"], [None, None]])
def test_columns_with_missing_values_and_of_other_types_do_not_stay_where_they_are(values: list[object]) -> None:
    assert StoredNumbers.of(pa.chunked_array([values]), np.float32) is None


@pytest.mark.parametrize("rows", POSITIONS.values(), ids=POSITIONS)
def test_rows_are_those_of_the_whole_frame(rows: Array) -> None:
    one, other = (
        StoredNumbers.of(parts(RANDOM.normal(size=ROWS)), np.float32),
        StoredNumbers.of(pa.chunked_array([np.arange(ROWS)]), np.float64),
    )
    assert one is not None
    assert other is not None
    texts = Categories(RANDOM.integers(0, 2, ROWS).astype(np.int32), np.array(["a", "b"], dtype=object))
    encoded = Encoded({"one": one, "other": other, "text": texts, "made": np.arange(ROWS) / 3})

    whole = encoded.whole()
    pd.testing.assert_frame_equal(encoded.rows(rows), whole.iloc[rows])
    assert {name: encoded.dtype(name) for name in whole} == dict(whole.dtypes)
    found = np.zeros((len(rows), 3))
    encoded.write(["one", "other", "made"], rows, found)
    np.testing.assert_array_equal(found, whole[["one", "other", "made"]].to_numpy(np.float64)[rows])
