"""A package knows which rows it was trained on, whatever the table looks like later."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from kubeline.data.row_hash import hash_rows, salted
from kubeline.model_package.training_rows import Filter, TrainingRows


def table(rows: int, start: int = 0) -> pa.Table:
    numbers = np.arange(start, start + rows)
    return pa.table({"n": numbers, "x": numbers / 7, "city": [f"city {number % 50}" for number in numbers]})


def test_every_row_of_the_training_is_known_and_of_others_hardly_one_is_taken_for_one() -> None:
    rows = TrainingRows.of(table(20_000), ["x", "city"])
    assert rows.seen(table(20_000)).all()
    assert rows.seen(table(100_000, start=20_000)).sum() < 10


def test_it_takes_three_bytes_a_row_and_says_the_same_when_read_again() -> None:
    rows = TrainingRows.of(table(100_000), ["n", "x", "city"], group="city")
    content = rows.to_bytes()
    assert len(content) < 3 * 100_000 + 5_000
    again = TrainingRows.from_bytes(content)
    later = table(5_000, start=97_000)
    assert (again.seen(later) == rows.seen(later)).all()
    assert again.seen_groups(later, "city").all()
    assert again.seen_groups(later, "n") is None


def test_hashes_that_are_known_already_give_the_same_file() -> None:
    rows = pa.concat_tables([table(1_000), table(10)])  # with copies
    afresh, known = (TrainingRows.of(rows, ["x"], hashes=hashes) for hashes in (None, hash_rows(rows)))
    assert afresh.to_bytes() == known.to_bytes()


def test_rows_are_known_without_the_columns_that_a_later_table_lacks_and_with_those_it_has_more() -> None:
    rows = TrainingRows.of(table(1_000), ["x", "city"])
    later = table(1_000)
    assert rows.seen(later.drop_columns("n")).all()
    assert rows.seen(later.append_column("new", pa.array(range(1_000)))).all()
    with pytest.raises(KeyError):
        rows.seen(later.drop_columns("x"))


def test_a_row_is_the_same_however_it_is_stored() -> None:
    plain = pa.table(
        {
            "whole": [1, 2, None],
            "flag": [True, False, None],
            "text": ["a", "b", None],
            "day": [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1), None],
        }
    )
    other = pa.table(
        {
            "day": plain["day"].cast(pa.timestamp("ns")),
            "text": plain["text"].dictionary_encode(),
            "flag": pa.array([1.0, 0.0, float("nan")]),
            "whole": plain["whole"].cast(pa.decimal128(21, 2)),
        }
    )
    assert (hash_rows(plain) == hash_rows(other)).all()
    assert (hash_rows(plain) == hash_rows(pa.Table.from_pandas(plain.to_pandas(), preserve_index=False))).all()
    assert len(set(hash_rows(plain).tolist())) == 3


def test_a_hash_never_changes_between_versions_so_that_champions_are_known_later() -> None:
    row = pa.table({"a": [1.5], "b": ["x"], "c": [True], "d": pa.array([datetime.date(2020, 1, 2)])})
    assert hash_rows(row).tolist() == [5_330_681_899_150_552_718]
    assert salted(hash_rows(row), 7).tolist() == [10_601_495_969_626_684_424]


def test_values_of_lists_and_records_are_distinguished_too() -> None:
    rows = pa.table({"list": [[1, 2], [1], None], "record": [{"a": 1}, {"a": 1}, {"a": 2}], "empty": [None] * 3})
    assert len(set(hash_rows(rows).tolist())) == 3


def test_an_empty_table_has_an_empty_filter() -> None:
    assert not Filter.of(table(0), ["n"]).holds(table(100)).any()
