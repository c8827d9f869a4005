"""DeLong's test against its definition, and against simulated truth."""

import numpy as np
import pytest

from kubeline.evaluation.delong import auc_covariance, auc_of, compare_auc
from kubeline.evaluation.tally import tally


def reference(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The definition, in quadratic time: placements by the Mann-Whitney kernel."""
    of_positives, of_negatives = [], []
    for score in scores:
        one, other = score[positive][:, None], score[~positive][None, :]
        kernel = (one > other) + 0.5 * (one == other)
        of_positives.append(kernel.mean(axis=1))
        of_negatives.append(kernel.mean(axis=0))
    covariance = np.cov(of_positives) / positive.sum() + np.cov(of_negatives) / (~positive).sum()
    return np.mean(of_positives, axis=1), covariance


def two_scores(rng: np.random.Generator, rows: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlated scores of equal quality."""
    positive = rng.random(rows) < 0.4
    shared = rng.normal(size=rows) + positive
    first, second = (shared + rng.normal(size=rows) for _ in range(2))
    return (positive, np.round(first), np.round(second)) if ties else (positive, first, second)


@pytest.mark.parametrize("ties", [False, True])
def test_the_fast_algorithm_gives_what_the_definition_gives(ties: bool) -> None:
    positive, first, second = two_scores(np.random.default_rng(0), 300, ties)
    scores = np.stack([first, second])
    aucs, covariance = auc_covariance(positive, [first, second])
    expected_aucs, expected_covariance = reference(positive, scores)
    assert aucs == pytest.approx(expected_aucs)
    assert covariance == pytest.approx(expected_covariance)
    assert auc_of(tally(first, positive, size=2)) == pytest.approx(expected_aucs[0])


def test_equal_models_are_distinguished_in_about_5_of_100_samples() -> None:
    rng = np.random.default_rng(0)
    found = [compare_auc(*two_scores(rng, 200)) for _ in range(1_000)]
    assert np.mean([one.p_value < 0.05 for one in found]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([one.difference.lower <= 0 <= one.difference.upper for one in found]) > 0.93


def test_a_better_model_is_found_with_a_small_p() -> None:
    rng = np.random.default_rng(0)
    positive, first, _ = two_scores(rng, 2_000)
    found = compare_auc(positive, first, first + 2 * rng.normal(size=2_000))
    assert found.p_value < 1e-6
    assert found.difference.lower > 0


def test_a_model_beside_itself_differs_by_exactly_nothing() -> None:
    positive, first, _ = two_scores(np.random.default_rng(0), 100)
    found = compare_auc(positive, first, first)
    assert (found.difference.lower, found.difference.upper, found.p_value) == (0, 0, 1)


def test_one_positive_row_gives_a_difference_without_an_interval() -> None:
    positive = np.arange(50) == 7
    score = np.random.default_rng(0).random(50)
    assert compare_auc(positive, score, 1 - score).difference.lower is None
