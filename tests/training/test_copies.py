"""Which rows of a table are copies of each other."""

import numpy as np
import pyarrow as pa
import pytest

from kubeline.training.copies import DIFFERENT_ROWS, RowHashes, equal

ROWS = 4 * DIFFERENT_ROWS


def found(**columns: object) -> tuple[list[int], bool]:
    """Equal numbers for copies, and whether all columns were asked."""
    hashes = RowHashes(pa.table(columns))
    return equal(hashes).tolist(), "values" in vars(hashes)


@pytest.mark.parametrize("kind", [float, "datetime64[us]", int, str])
def test_a_column_of_its_own_value_in_each_row_says_that_there_are_no_copies(kind: type | str) -> None:
    same = np.zeros(ROWS, dtype=bool)
    assert found(a=same, b=same, c=same, d=np.arange(ROWS).astype(kind)) == (
        list(range(ROWS)),
        kind is str,  # is none of those that are asked first
    )


def test_rows_are_copies_only_where_all_columns_are_equal() -> None:
    half = np.repeat(np.arange(ROWS // 2), 2)
    few = dict.fromkeys("abc", half / 2)
    assert found(**few, k=half.astype(str)) == (half.tolist(), True)
    assert found(**few, k=np.arange(ROWS).astype(str)) == (list(range(ROWS)), True)


def test_the_rows_of_a_table_of_few_different_ones_are_no_copies() -> None:
    assert found(a=np.arange(ROWS) % (DIFFERENT_ROWS - 1), b=np.zeros(ROWS)) == (list(range(ROWS)), True)
