"""McNemar, Holm, and paired differences."""

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.comparison import compare, compare_all, holm, mcnemar
from kubeline.evaluation.metrics import METRICS
from kubeline.evaluation.scored import Scored


def right(only_first: int, only_second: int, both: int = 50) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, False, True], [only_first, only_second, both])
    second = np.repeat([False, True, True], [only_first, only_second, both])
    return first, second


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (3, 1), (10, 2), (40, 75)])
def test_mcnemar_is_the_exact_binomial_test_of_the_rows_on_which_one_is_right(
    only_first: int, only_second: int
) -> None:
    total = only_first + only_second
    expected = binomtest(only_first, total).pvalue if total else 1.0
    assert mcnemar(*right(only_first, only_second)) == pytest.approx(expected)


def test_mcnemar_agrees_with_the_corrected_chi_squared_form_on_large_counts() -> None:
    statistic = (abs(5_100 - 4_900) - 1) ** 2 / 10_000
    assert mcnemar(*right(5_100, 4_900)) == pytest.approx(chi2.sf(statistic, 1), rel=0.01)


def test_holm_steps_down_and_keeps_the_order_of_its_input() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert not len(holm([]))


def noisy(target: np.ndarray, noise: float, seed: int) -> Scored:
    return Scored("regression", (), target, target + noise * np.random.default_rng(seed).normal(size=len(target)))


def test_pairing_makes_the_difference_of_alike_models_far_narrower_than_their_intervals() -> None:
    target = np.random.default_rng(0).normal(size=3_000)
    model = noisy(target, 1.0, 1)
    other = Scored("regression", (), target, model.prediction + 0.05 * np.random.default_rng(2).normal(size=3_000))
    bootstrap = Bootstrap(3_000)
    alone = METRICS["regression"]["rmse"].interval(model, bootstrap, 0.95)
    difference = compare(METRICS["regression"]["rmse"], model, other, bootstrap, 0.95).difference
    assert (difference.upper - difference.lower) < 0.2 * (alone.upper - alone.lower)


def test_a_gain_points_to_better_whichever_way_the_metric_does() -> None:
    target = np.random.default_rng(0).normal(size=1_000)
    found = compare_all(noisy(target, 0.5, 1), noisy(target, 1.0, 2), Bootstrap(1_000), 0.95)
    assert found["rmse"].difference.value < 0 < found["rmse"].gain.lower
    assert found["r2"].difference.value > 0
    assert found["r2"].gain.lower > 0
    assert found["rmse"].p_value < 0.01


def test_equal_errors_are_distinguished_in_about_5_of_100_samples() -> None:
    rng = np.random.default_rng(0)
    metric, reported = METRICS["regression"]["mae"], 0
    for seed in range(300):
        target = rng.normal(size=200)
        one, other = (Scored("regression", (), target, target + rng.normal(size=200)) for _ in range(2))
        reported += compare(metric, one, other, Bootstrap(200, 300, seed=seed), 0.95).p_value < 0.05
    assert 0.02 <= reported / 300 <= 0.09
