"""Counting and sampling chunk by chunk."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kubeline.drift.profile import MAX_CATEGORIES, column
from kubeline.drift.window import CategoryCounter, NumberCounter, RowSample, evenly


def test_of_very_many_unseen_categories_the_same_are_kept_in_any_order() -> None:
    profile = column(pd.Series(["a", "b"]), "category")
    names = pd.Series([f"new {i % 31_000}" for i in range(50_000)])
    kept = []
    for order in (names, names[::-1], names.sample(frac=1, random_state=0)):
        counter = CategoryCounter(profile)  # type: ignore[arg-type]
        for start in range(0, len(order), 4_000):
            counter.add(order.iloc[start : start + 4_000])
        kept.append(counter.finish())
    assert kept[0] == kept[1] == kept[2]
    assert kept[0].unlisted_rows == kept[0].rows == 50_000
    assert len(kept[0].unlisted) == MAX_CATEGORIES
    assert not kept[0].named


def test_the_moments_of_a_window_are_those_of_its_values_even_far_from_zero() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=1_000)
    counter = NumberCounter(column(pd.Series(values + 1), "number"))  # type: ignore[arg-type]
    for part in np.array_split(values, 7):
        counter.add(pd.Series([*part, np.nan]))
    mean, std = counter.moments
    assert mean == pytest.approx(values.mean(), abs=1)
    assert std == pytest.approx(values.std(), rel=1e-6)
    assert counter.missing == 7


def batch(start: int, stop: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"row": list(range(start, stop))})


@pytest.mark.parametrize("cuts", [[0, 1_000], [0, 1, 50, 51, 300, 999, 1_000], list(range(0, 1_001, 10))])
def test_a_sample_is_the_same_however_the_rows_come_in_chunks(cuts: list[int]) -> None:
    sample, whole = RowSample(50), RowSample(50)
    whole.add(batch(0, 1_000))
    for start, stop in pairwise(cuts):
        sample.add(batch(start, stop))
    found, expected = sample.frame(), whole.frame()
    assert found is not None
    assert expected is not None
    assert found["row"].tolist() == expected["row"].tolist() == sorted(expected["row"])
    assert len(found) == 50
    assert sample.rows == 1_000


def test_of_a_table_of_known_length_each_day_has_as_large_a_share_of_the_sample_as_of_all() -> None:
    """What the classifier and the report of Evidently are given, however the rows come in chunks."""
    days = np.repeat(np.arange(5), [10_000, 200, 30_000, 5_000, 54_800])
    sample, whole = RowSample(10_000, expected=len(days)), RowSample(10_000, expected=len(days))
    rows = pa.RecordBatch.from_pydict({"day": days, "row": np.arange(len(days))})
    whole.add(rows)
    for start, stop in pairwise([0, 1, 9_999, 10_100, 60_000, 100_000]):
        sample.add(rows.slice(start, stop - start))
    found, expected = sample.frame(), whole.frame()
    assert found is not None
    assert expected is not None
    pd.testing.assert_frame_equal(found, expected)
    assert found["row"].is_monotonic_increasing
    assert not found["row"].duplicated().any()
    for kept, of in ((found, 10), (evenly(found, 5_000), 20)):
        shares = np.bincount(kept["day"]) - np.bincount(days) / of
        assert abs(shares).max() <= 1, shares


def test_every_row_is_as_likely_to_be_sampled() -> None:
    means = []
    for seed in range(200):
        sample = RowSample(20, seed)
        for start in range(0, 1_000, 100):
            sample.add(batch(start, start + 100))
        frame = sample.frame()
        assert frame is not None
        means.append(frame["row"].mean())
    assert np.mean(means) == pytest.approx(499.5, abs=4 * 1_000 / np.sqrt(12 * 20 * 200))


def test_a_sample_of_fewer_rows_than_its_size_is_all_of_them() -> None:
    sample = RowSample(50)
    assert sample.frame() is None
    sample.add(batch(0, 30))
    frame = sample.frame()
    assert frame is not None
    assert frame["row"].tolist() == list(range(30))
