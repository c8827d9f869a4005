"""Two samples of the same distribution, at sizes from 500 to 1,000,000 rows: how often each limit is crossed."""

import numpy as np
import pytest

from kubeline.drift.profile import BINS
from tests.drift.helpers import KINDS, RULE, at_most, categories, drift, drift_of, table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference_rows", "current_rows", "draws"),
    [(500, 500, 40), (5_000, 5_000, 12), (5_000, 500, 20), (100_000, 500, 6), (500, 5_000, 15), (100_000, 100_000, 2)],
)
def test_two_draws_of_the_same_distribution_alarm_no_more_often_than_stated(
    reference_rows: int, current_rows: int, draws: int
) -> None:
    rng = np.random.default_rng(1)
    found = [drift(table(rng, reference_rows), table(rng, current_rows), KINDS) for _ in range(draws)]
    columns = [column for window in found for column in window.values()]
    crossings = sum(column.p_value <= 0.05 for column in columns)
    alarms = sum(any(column.verdict == "drift" for column in window.values()) for window in found)
    greatest = max(column.effect for column in columns)
    print(
        f"{reference_rows:,} and {current_rows:,} rows, {len(columns)} comparisons: p <= 0.05 in {crossings}, "
        f"alarms in {alarms} of {draws} windows, greatest effect {greatest:.3f}"
    )
    assert crossings <= at_most(0.05, len(columns))
    assert alarms <= at_most(RULE.max_p, draws)


def test_the_p_value_and_the_bias_of_a_number_are_those_of_the_chi_squared_distribution() -> None:
    rng = np.random.default_rng(2)
    found = [drift_of(rng.normal(size=500), rng.normal(size=400)) for _ in range(400)]
    share = np.mean([column.p_value <= 0.05 for column in found])
    psi = np.mean([column.psi for column in found])
    bias = (BINS - 1) * (1 / 500 + 1 / 400)
    print(f"p <= 0.05 in {share:.3f} of 400 comparisons; mean PSI {psi:.4f}, bias {bias:.4f}")
    assert 0.025 <= share <= 0.08
    assert abs(psi / bias - 1) < 0.06


def test_a_hundred_categories_at_500_rows_exceed_psi_0_1_but_for_the_bias() -> None:
    rng = np.random.default_rng(3)
    found = [drift(table(rng, 500), table(rng, 500), KINDS)["100 equal categories"] for _ in range(5)]
    print([f"PSI {column.psi:.3f}, effect {column.effect:.3f}" for column in found])
    assert all(column.psi > 0.1 for column in found)
    assert all(column.effect < 0.1 and column.verdict == "stable" for column in found)


def test_categories_that_chance_made_frequent_in_the_reference_are_no_drift() -> None:
    rng = np.random.default_rng(6)
    draw = categories(2_000, 0)  # ten rows each: about half have bins of their own
    found = [drift_of(draw(rng, 20_000), draw(rng, 20_000), "category") for _ in range(4)]
    print([f"p {column.p_value:.3f}, effect {column.effect:.4f}, {column.bins} bins" for column in found])
    assert np.mean([column.effect for column in found]) < 0.001
    assert min(column.p_value for column in found) > 0.01


@pytest.mark.slow
def test_a_shift_of_a_hundredth_sigma_at_a_million_rows_does_not_alarm_although_it_is_no_chance() -> None:
    rng = np.random.default_rng(4)
    found = drift_of(rng.normal(size=1_000_000), rng.normal(0.01, size=1_000_000))
    print(f"effect {found.effect:.5f}, p {found.p_value:.2g}")
    assert found.adjusted_p is not None
    assert found.adjusted_p < 0.01
    assert found.verdict == "stable"


def test_one_outlier_alone_does_not_alarm() -> None:
    rng = np.random.default_rng(5)
    current = rng.normal(size=1_000)
    current[:3] = 1e9
    assert drift_of(rng.normal(size=5_000), current).verdict == "stable"
