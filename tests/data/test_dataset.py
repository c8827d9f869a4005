"""A dataset on disk: its fingerprint is of the content, and its files do not depend on how rows came."""

import datetime
import decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeline.data.dataset import (
    CHUNK_ROWS,
    PART_ROWS,
    DatasetWriter,
    Fingerprint,
    chunk_rows,
    fingerprint,
    iter_batches,
    read_frame,
)
from kubeline.drift.values import plain
from kubeline.errors import UserError

TABLE = pa.table({"i": range(200_000), "s": [f"text {n % 1000}" if n % 7 else None for n in range(200_000)]})


def digest(table: pa.Table) -> str:
    """The fingerprint of a table in memory."""
    total = Fingerprint(table.schema)
    for batch in table.to_batches():
        total.update(batch)
    return total.hexdigest()


@pytest.mark.parametrize("rows", [1_000, 65_536, 77_777, 200_000])
def test_files_and_fingerprint_do_not_depend_on_the_batches(rows: int, tmp_path: Path) -> None:
    written = []
    for name, size in (("one", 200_000), ("other", rows)):
        with DatasetWriter(tmp_path / name, TABLE.schema) as writer:
            for batch in TABLE.to_batches(max_chunksize=size):
                writer.write(batch)
        files = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        written.append((files, writer.metadata("test")))
    assert written[0] == written[1]
    assert written[0][1]["fingerprint"] == fingerprint(tmp_path / "one") == digest(TABLE)
    pd.testing.assert_frame_equal(read_frame(tmp_path / "other"), TABLE.to_pandas())


VALUES = st.lists(st.none() | st.text(max_size=3), max_size=8)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_equal_fingerprints_mean_equal_text(first: Any, second: Any) -> None:
    one, other = (pa.table({"a": pa.array(values, pa.string())}) for values in (first, second))
    assert (digest(one) == digest(other)) == (first == second)


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(-2, 2), min_size=1, max_size=6), st.integers(0, 5))
def test_the_fingerprint_does_not_see_slices_and_what_stands_under_a_null(values: Any, start: Any) -> None:
    array = pa.array(values, pa.int64())
    filler = pa.array([9] * start, pa.int64())
    sliced = pa.concat_arrays([filler, array]).slice(start)
    hidden = pa.Array.from_buffers(
        pa.int64(),
        len(values),
        [array.buffers()[0], pa.array([7 if value is None else value for value in values], pa.int64()).buffers()[1]],
    )
    assert digest(pa.table({"a": sliced})) == digest(pa.table({"a": array})) == digest(pa.table({"a": hidden}))


def test_names_types_order_and_missing_values_are_part_of_the_fingerprint() -> None:
    tables = [
        pa.table({"a": [1, 2]}),
        pa.table({"b": [1, 2]}),
        pa.table({"a": [2, 1]}),
        pa.table({"a": [1.0, 2.0]}),
        pa.table({"a": ["1", "2"]}),
        pa.table({"a": ["12", ""]}),
        pa.table({"a": pa.array([1, 2, None])}),
        pa.table({"a": [True, False]}),
        pa.table({"a": [[1], [2]]}),
        pa.table({"a": [b"1", b"2"]}),
        pa.table({"a": [decimal.Decimal(1), decimal.Decimal(2)]}),
        pa.table({"a": [datetime.date(2013, 1, 1), datetime.date(2013, 1, 2)]}),
        pa.table({"a": [1, 2], "b": [1, 2]}),
    ]
    assert len({digest(table) for table in tables}) == len(tables)


def test_wide_tables_have_smaller_chunks() -> None:
    assert chunk_rows(pa.schema([("a", pa.int64())])) == CHUNK_ROWS
    assert chunk_rows(pa.schema([(f"c{n}", pa.int64()) for n in range(1_000)])) == 4_194
    assert chunk_rows(pa.schema([(f"c{n}", pa.int64()) for n in range(100_000)])) == 1_024


def test_what_is_read_of_a_file_with_many_row_groups_is_not_held(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(10, 400_000))
    table = pa.table({f"n{place}": column for place, column in enumerate(numbers)})
    pq.write_table(table, tmp_path / "part-00000.parquet", row_group_size=20_000)
    del table
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in iter_batches(tmp_path, most=20_000)]
    assert len(held) == 20
    assert max(held) < 10_000_000  # of 32 MB


def test_a_long_table_has_several_parts_which_are_read_in_order(tmp_path: Path) -> None:
    batch = pa.record_batch({"a": pa.nulls(PART_ROWS, pa.bool_())})
    last = pa.record_batch({"a": pa.array([True])})
    with DatasetWriter(tmp_path / "long", batch.schema) as writer:
        for item in (batch, last):
            writer.write(item)
    assert sorted(path.name for path in (tmp_path / "long").iterdir()) == ["part-00000.parquet", "part-00001.parquet"]
    batches = list(iter_batches(tmp_path / "long"))
    assert max(item.num_rows for item in batches) <= CHUNK_ROWS
    assert batches[-1]["a"][-1].as_py() is True


def test_whole_numbers_and_times_are_written_in_the_form_that_takes_least(tmp_path: Path) -> None:
    rows, draw = 20_000, np.random.default_rng(0)
    far_apart = draw.integers(-(2**62), 2**62, 10)
    columns = {
        "few": far_apart[draw.integers(0, 10, rows)],
        "consecutive": np.arange(rows) + 2**60,
        "random": draw.integers(-(2**63), 2**63 - 1, rows),
    }
    table = pa.table(columns | {"fractions": draw.normal(size=rows)})
    table = table.append_column("minutes", pa.array(np.arange(rows) * 60, pa.timestamp("s")).cast(pa.timestamp("us")))
    table = table.append_column("missing", pa.array([None, 7] * (rows // 2), pa.uint64()))
    with DatasetWriter(tmp_path / "table", table.schema) as writer:
        for batch in table.to_batches():
            writer.write(batch)
    file = tmp_path / "table" / "part-00000.parquet"
    assert pq.read_table(file).equals(table)
    assert duckdb.read_parquet(str(file)).to_arrow_table().equals(table)
    group = pq.read_metadata(file).row_group(0)
    forms = {name: set(group.column(place).encodings) for place, name in enumerate(table.schema.names)}
    kinds = {name: form & {"DELTA_BINARY_PACKED", "RLE_DICTIONARY"} for name, form in forms.items()}
    assert kinds["consecutive"] == kinds["minutes"] == {"DELTA_BINARY_PACKED"}
    assert kinds["few"] == {"RLE_DICTIONARY"}
    assert kinds["random"] == kinds["fractions"] == set()


def test_a_dataset_without_rows_has_columns(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "empty", pa.schema([("a", pa.string())])) as writer:
        pass
    assert writer.metadata("test")["rows"] == 0
    assert read_frame(tmp_path / "empty").columns.tolist() == ["a"]


def test_what_is_no_dataset_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no dataset at '.*none'; expected a folder of part-\*.parquet files"):
        read_frame(tmp_path / "none")
    pq.write_table(TABLE, tmp_path / "part-0.parquet")
    with pytest.raises(UserError, match="column 'x' is not a column of this table; it has: i, s"):
        list(iter_batches(tmp_path, ["x"]))
    (tmp_path / "part-0.parquet").write_bytes(b"junk")
    with pytest.raises(UserError, match="is damaged and cannot be read as Parquet; load it again"):
        read_frame(tmp_path)


def test_whole_numbers_beyond_a_double_stay_whole_beside_missing_values(tmp_path: Path) -> None:
    """2**53 + 1 became 2**53, so that two account numbers were one."""
    table = pa.table(
        {"a": [2**53, 2**53 + 1, None], "u": pa.array([2**64 - 1, None, 0], pa.uint64()), "s": [1, None, 2]}
    )
    pq.write_table(table, tmp_path / "part-00000.parquet")
    frame = read_frame(tmp_path)
    assert frame["a"].tolist()[:2] == [2**53, 2**53 + 1]
    assert frame["u"].tolist()[::2] == [2**64 - 1, 0]
    assert frame.isna().sum().tolist() == [1, 1, 1]
    assert frame["s"].dtype == float


def test_texts_as_dictionaries_say_what_the_texts_do(tmp_path: Path) -> None:
    table = TABLE.append_column("different", pa.array([f"text {n}" for n in range(len(TABLE))]))
    with DatasetWriter(tmp_path / "table", table.schema) as writer:
        for batch in table.to_batches():
            writer.write(batch)
    batches = list(iter_batches(tmp_path / "table", ["different", "s", "i"], coded=True))
    assert [pa.types.is_dictionary(kind) for kind in batches[0].schema.types] == [True, True, False]
    assert pa.Table.from_batches(map(plain, batches)).equals(table.select(["different", "s", "i"]))
