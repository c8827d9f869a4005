"""Intervals cover what they claim to, at any number of rows."""

import numpy as np
import pytest

from kubeline.evaluation.bootstrap import Bootstrap, Interval, Terms, interval
from kubeline.evaluation.metrics import METRICS
from kubeline.evaluation.scored import Scored


def simulated(rows: int, rng: np.random.Generator) -> Scored:
    """Two normal scores, one apart: the true AUC is Phi(1 / sqrt 2) = 0.7602."""
    target = (np.arange(rows) < rows // 2).astype(int)
    score = 1 / (1 + np.exp(-(rng.normal(size=rows) + target)))
    return Scored("binary", ("no", "yes"), target, (score > 0.5).astype(int), np.column_stack([1 - score, score]))


@pytest.mark.parametrize(("rows", "buckets"), [(300, 2048), (2_000, 250)])
def test_95_percent_intervals_of_auc_hold_the_truth_in_about_95_of_100_samples(rows: int, buckets: int) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(150):
        scored = simulated(rows, rng)
        bootstrap = Bootstrap(rows, replicates=200, buckets=buckets, seed=seed)
        found = METRICS["binary"]["roc_auc"].interval(scored, bootstrap, 0.95)
        held += found.lower <= 0.76025 <= found.upper
    assert 0.9 <= held / 150 <= 0.99


def test_95_percent_intervals_of_a_mean_hold_the_truth_in_about_95_of_100_samples() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(300):
        error = rng.normal(size=400)
        scored = Scored("regression", (), error, np.zeros(400))
        found = METRICS["regression"]["rmse"].interval(scored, Bootstrap(400, 300, seed=seed), 0.95)
        held += found.lower <= 1 <= found.upper
    assert 0.91 <= held / 300 <= 0.98


def test_rows_in_order_get_the_same_interval_as_shuffled_rows() -> None:
    error = np.sort(np.abs(np.random.default_rng(2).normal(size=20_000)))
    found = METRICS["regression"]["mae"].replicates(
        Scored("regression", (), error, np.zeros(20_000)), Bootstrap(20_000)
    )
    assert found.std() == pytest.approx(error.std() / np.sqrt(20_000), rel=0.15)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    scored = simulated(500, np.random.default_rng(0))
    metric = METRICS["binary"]["roc_auc"]
    first, again, other = (metric.interval(scored, Bootstrap(500, seed=seed), 0.95) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    replicates = np.random.default_rng(0).normal(size=1000)
    narrow, wide = interval(0, replicates, 0.8), interval(0, replicates, 0.99)
    assert wide.lower < narrow.lower < narrow.upper < wide.upper


def test_buckets_hold_every_row_once() -> None:
    bootstrap = Bootstrap(10_001, replicates=50, buckets=64)
    total = bootstrap.sums(Terms(values=np.ones((10_001, 1))))[0][:, 0]
    counted = bootstrap.sums(Terms(codes=((np.zeros(10_001, dtype=int), 1),)))[0][:, 0]
    assert total == pytest.approx(counted)
    assert total.mean() == pytest.approx(10_001, rel=0.05)


def test_an_interval_is_written_to_the_precision_it_has() -> None:
    assert str(Interval(0.67202, 0.66725, 0.67653)) == "0.6720 [0.6673, 0.6765]"
    assert Interval(12345.6, 12000.1, 12700.2).written(sign=True) == "+12,346 [+12,000, +12,700]"
    assert str(Interval(0.5, 0.5, 0.5)) == "0.5 [0.5, 0.5]"
    assert Interval(1, 0, 3).negated() == Interval(-1, -3, 0)
