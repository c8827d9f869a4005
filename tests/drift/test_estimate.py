"""Performance without labels: against labels that are drawn, NannyML's own figure, and the flights of each month."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.estimated import months_of, trained
from examples.flights.prepare import flights
from kubeline.drift.estimate import EstimatedAuc, expected_auc
from kubeline.drift.profile import Calibration

EXACT = Calibration(scores=[0.0, 1.0], rates=[0.0, 1.0], rows=10**9, positives=3e8)  # scores are chances


def test_the_estimate_is_the_auc_of_labels_that_are_drawn_by_the_chances_and_its_interval_holds_them() -> None:
    rng, inside, found = np.random.default_rng(0), 0, []
    for _ in range(300):
        chances = np.sort(rng.beta(1.5, 4, 1_000))
        estimate = expected_auc(chances, np.ones(1_000), EXACT)
        realised = roc_auc_score(rng.random(1_000) < chances, chances)
        inside += abs(realised - estimate.value) <= 1.96 * estimate.error
        found.append(realised - estimate.value)
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)
    assert 0.93 <= inside / 300 <= 0.99


def test_the_estimate_is_that_of_nannyml() -> None:
    """What `estimate_roc_auc` of NannyML 0.13.1 gives for these scores, and for other chances of the same scores."""
    scores = np.sort(np.random.default_rng(0).beta(2, 5, 2_000))
    chances = np.clip(1.3 * scores - 0.05, 0.01, 0.99)
    assert expected_auc(scores, np.ones(2_000), EXACT).value == pytest.approx(0.720314625527477, abs=1e-7)
    assert expected_auc(chances, np.ones(2_000), EXACT).value == pytest.approx(0.7662164559738972, abs=1e-7)


def test_few_held_out_rows_make_the_interval_wide() -> None:
    few = EXACT.model_copy(update={"rows": 200, "positives": 60.0})
    chances = np.sort(np.random.default_rng(0).beta(1.5, 4, 100_000))
    assert expected_auc(chances, np.ones(100_000), few).error > 0.03
    assert expected_auc(chances, np.ones(100_000), EXACT).error < 0.003


def test_counts_do_not_depend_on_order_or_chunks_and_keep_the_figure() -> None:
    scores = np.random.default_rng(0).beta(1.5, 4, 10_000)
    whole, parts = EstimatedAuc(EXACT), EstimatedAuc(EXACT)
    whole.add(scores)
    for chunk in np.array_split(np.random.default_rng(1).permutation(scores), 7):
        parts.add(chunk)
    one, other = whole.performance(0.99), parts.performance(0.99)
    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(other.value, abs=1e-12)
    assert one.value == pytest.approx(expected_auc(np.sort(scores), np.ones(10_000), EXACT).value, abs=1e-4)
    assert one.worse  # than 0.99
    assert EstimatedAuc(EXACT).performance(0.9) is None


def test_the_estimate_of_a_month_is_the_realised_one_within_their_interval_but_where_the_outcome_changed(
    tmp_path: Path,
) -> None:
    """In October and November fewer flights were late than their columns tell, which takes labels to know."""
    table = flights()
    months = [table[table["month"] == month] for month in range(1, 13)]
    found = months_of(trained(months, tmp_path, rows=30_000, iterations=40), months)
    outside = []
    for month in found:
        real, guess = month.realised, month.estimated
        assert real.lower is not None
        assert guess.lower is not None
        reach = np.hypot(real.value - real.lower, guess.value - guess.lower)  # of the difference of the two
        if abs(real.value - guess.value) > reach:
            outside.append(month.number)
    assert outside == [10, 11]
