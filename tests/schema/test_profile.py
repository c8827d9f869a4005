"""What a profile counts, in any batches: each figure beside what it should be."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.data.dataset import open_dataset
from kubeline.schema.profile import COUNTED_VALUES, EXACT_ROWS, TableProfile, open_queries, profile_table

TIMES = pa.array([5, None, 3, 5], pa.timestamp("us", "UTC"))
TABLE = pa.table(
    {
        "whole": pa.array([3, None, -1, 3]),
        "number": pa.array([0.0, -0.0, float("nan"), None]),
        "infinite": pa.array([1.0, float("inf"), float("-inf"), 2.5]),
        "half": pa.array(np.array([1, 2, 2, np.nan], dtype=np.float16)),
        "exact": pa.array([Decimal("1.50"), Decimal("2.25"), None, Decimal("1.50")]),
        "word": pa.array(["b", "a", None, "b"]),
        "code": pa.array(["b", "a", None, "b"]).dictionary_encode(),
        "truth": pa.array([True, False, True, True]),
        "time": TIMES,
        "nothing": pa.nulls(4, pa.float64()),
        "list": pa.array([[1], None, [], [2]]),
        "Word": pa.array([1, 1, 1, 1]),
    }
)


def profiled(folder: Path, table: pa.Table, rows: int = 65_536) -> TableProfile:
    folder.mkdir()
    pq.write_table(table, folder / "part-00000.parquet", row_group_size=rows)
    with open_queries(open_dataset(folder)) as queries:
        return profile_table(queries)


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_every_figure_of_a_column_is_counted_in_any_batches(rows: int, tmp_path: Path) -> None:
    columns = profiled(tmp_path / "t", TABLE, rows).columns
    assert list(columns) == TABLE.schema.names
    figures = {name: (c.missing, c.infinite, c.distinct, c.min, c.max, c.counts) for name, c in columns.items()}
    times = [each.as_py() for each in TIMES]
    assert figures == {
        "whole": (1, 0, 2, -1, 3, {3: 2, -1: 1}),
        "number": (2, 0, 1, 0.0, 0.0, {0.0: 2}),
        "infinite": (0, 2, 4, 1.0, 2.5, {float("-inf"): 1, 1.0: 1, 2.5: 1, float("inf"): 1}),
        "half": (1, 0, 2, 1.0, 2.0, {2.0: 2, 1.0: 1}),
        "exact": (1, 0, 2, Decimal("1.50"), Decimal("2.25"), {Decimal("1.50"): 2, Decimal("2.25"): 1}),
        "word": (1, 0, 2, None, None, {"b": 2, "a": 1}),
        "code": (1, 0, 2, None, None, {"b": 2, "a": 1}),
        "truth": (0, 0, 2, None, None, {True: 3, False: 1}),
        "time": (1, 0, 2, times[2], times[0], {times[0]: 2, times[2]: 1}),
        "nothing": (4, 0, 0, None, None, None),
        "list": (1, 0, None, None, None, None),
        "Word": (0, 0, 1, 1, 1, {1: 4}),
    }


@pytest.mark.parametrize("last", [2**60 + 1, 2**60])
def test_rows_that_differ_beyond_a_double_are_no_copies(last: int, tmp_path: Path) -> None:
    table = pa.table({"id": [2**60, last, 5], "t": pa.array([1, 1, 2], pa.timestamp("ns"))})
    assert profiled(tmp_path / "t", table).copies == (last == 2**60)


def test_more_values_than_are_counted_one_by_one_are_still_counted(tmp_path: Path) -> None:
    values = np.arange(3 * COUNTED_VALUES) % (2 * COUNTED_VALUES)
    found = profiled(tmp_path / "t", pa.table({"x": values, "y": values.astype(str)}), 150).columns
    assert [(each.distinct, each.counts) for each in found.values()] == [(2 * COUNTED_VALUES, None)] * 2


def test_of_many_rows_few_values_are_counted_and_many_are_estimated(tmp_path: Path) -> None:
    rows = EXACT_ROWS + 1
    table = pa.table({"few": np.arange(rows) % 7, "many": np.arange(rows)})
    found = profiled(tmp_path / "t", table)
    assert found.columns["few"].distinct == 7
    assert sum(found.columns["few"].counts.values()) == rows
    assert found.columns["many"].distinct == pytest.approx(rows, rel=0.1)
    assert found.copies == 0
