"""Shifts that must not pass."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.power import CORRELATION, RULE, SHIFTS, reference_of, share
from tests.drift.helpers import KINDS, at_most, categories, drift, drift_of, table


@pytest.mark.parametrize("rows", [500, 5_000])
def test_a_shift_of_half_a_sigma_is_found(rows: int) -> None:
    rng = np.random.default_rng(0)
    found = [drift_of(rng.normal(size=5_000), rng.normal(0.5, size=rows)) for _ in range(60)]
    share = np.mean([column.verdict == "drift" for column in found])
    print(
        f"{rows:,} rows: found in {share:.2f} of 60, mean effect {np.mean([c.effect for c in found]):.3f} (true 0.25)"
    )
    assert share == 1.0
    assert np.mean([column.effect for column in found]) == pytest.approx(0.25, abs=0.03)


def test_a_shift_is_found_beside_an_outlier_of_a_thousand_million() -> None:
    rng = np.random.default_rng(1)
    current = rng.normal(1, size=1_000)
    without = drift_of(rng.normal(size=5_000), current).effect
    current[0] = 1e9
    found = drift_of(rng.normal(size=5_000), current)
    assert found.verdict == "drift"
    assert found.effect == pytest.approx(without, rel=0.1)


def test_an_outlier_in_the_reference_hides_nothing_either() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(size=5_000)
    reference[0] = 1e9
    assert drift_of(reference, rng.normal(1, size=1_000)).verdict == "drift"


def test_half_of_a_column_turning_missing_is_found() -> None:
    rng = np.random.default_rng(2)
    current = rng.normal(size=1_000)
    current[::2] = np.nan
    found = drift_of(rng.normal(size=5_000), current)
    assert found.verdict == "drift"
    assert found.current.missing_share == 0.5


def test_a_column_that_is_all_missing_is_found() -> None:
    rng = np.random.default_rng(2)
    assert drift_of(rng.normal(size=5_000), np.full(500, np.nan)).verdict == "drift"
    assert drift_of(["a", "b"] * 500, [None] * 500, "category").verdict == "drift"


@pytest.mark.parametrize("reference_rows", [1_000, 100_000])
def test_a_new_category_in_one_row_of_ten_is_found_and_named(reference_rows: int) -> None:
    rng = np.random.default_rng(3)
    draw = categories(50, 1)
    current = draw(rng, 500)
    current[:50] = "new"
    found = drift_of(draw(rng, reference_rows), current, "category")
    assert found.verdict == "drift"
    assert found.unseen is not None
    assert found.unseen.most_frequent["new"] == 50
    assert found.unseen.certain


def test_many_new_categories_of_a_few_rows_each_are_found_together() -> None:
    rng = np.random.default_rng(4)
    current = categories(50, 0)(rng, 1_000)
    current[:200] = [f"new {i}" for i in range(200)]
    found = drift_of(categories(50, 0)(rng, 50_000), current, "category")
    assert found.verdict == "drift"
    assert any(share.label == "(unseen)" and share.current == 0.2 for share in found.shares)


def test_a_category_that_vanishes_is_found() -> None:
    rng = np.random.default_rng(5)
    reference = categories(20, 0)(rng, 5_000)
    kept = reference[~np.isin(reference, ["c00000", "c00001", "c00002"])]
    assert drift_of(reference, kept[:1_000], "category").verdict == "drift"


def test_half_of_2000_categories_vanishing_is_found() -> None:
    rng = np.random.default_rng(6)
    found = drift_of(categories(2_000, 0)(rng, 100_000), categories(1_000, 0)(rng, 5_000), "category")
    print(f"effect {found.effect:.3f} in {found.bins} bins")
    assert found.verdict == "drift"


def test_a_constant_that_changes_in_either_direction_is_found() -> None:
    for now in (2.9, 3.1):
        assert drift_of([3.0] * 500, [now] * 500).verdict == "drift"


def test_a_month_that_the_reference_does_not_have_is_found_whether_before_or_after() -> None:
    reference = np.random.default_rng(0).integers(3, 10, 5_000)
    for month in (2, 10):
        assert drift_of(reference, [month] * 500).verdict == "drift"


def test_a_flag_that_doubles_is_found() -> None:
    rng = np.random.default_rng(7)
    assert drift_of(rng.random(5_000) < 0.2, rng.random(1_000) < 0.4, "boolean").verdict == "drift"


def test_a_time_is_compared_but_not_judged() -> None:
    hours = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(1_000), unit="h")
    found = drift_of(hours, hours + pd.Timedelta(days=90), "datetime")
    assert found.effect > 1
    assert found.verdict == "not_judged"
    assert found.adjusted_p is None


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    reference, current = table(rng, 2_000), table(rng, 1_000)
    assert drift(reference[::-1], current[::-1], KINDS) == drift(reference, current, KINDS)


@pytest.mark.parametrize("pieces", [2, 37])
def test_how_the_rows_come_in_chunks_does_not_matter(pieces: int) -> None:
    rng = np.random.default_rng(9)
    reference, current = table(rng, 2_000), table(rng, 1_000)
    assert drift(reference, current, KINDS, pieces) == drift(reference, current, KINDS)


@pytest.mark.parametrize("rows", [1_000, 100_000])
def test_200_windows_drawn_as_the_reference_was_alarm_no_more_often_than_stated(rows: int) -> None:
    (none, *_), parameter = SHIFTS["mean, in standard deviations"]
    assert 200 * share(reference_of(), parameter, none, rows, windows=200) <= at_most(RULE.max_p, 200)


@pytest.mark.parametrize(
    ("name", "power"),
    [
        ("mean, in standard deviations", [0, 1]),
        ("standard deviation, times", [0, 1]),
        ("share of a category of 1 %", [0, 1]),
        (CORRELATION, [0, 0]),  # columns are compared one by one
    ],
)
def test_the_least_and_the_greatest_shift_of_the_figure_are_found_as_it_shows(name: str, power: list[int]) -> None:
    shifts, parameter = SHIFTS[name]
    found = [share(reference_of(), parameter, shift, 1_000, windows=20) for shift in (shifts[0], shifts[-1])]
    assert found == power


def test_the_classifier_finds_what_moves_between_columns_alone() -> None:
    shifts, parameter = SHIFTS[CORRELATION]
    ends = (shifts[0], shifts[-1])
    assert [share(reference_of(), parameter, shift, 1_000, windows=4, classifier=True) for shift in ends] == [0, 1]
