"""Whether two versions' predictions differ by more than is allowed: noise of few rows is no reason to roll back."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.judge import PREDICTED, PREDICTIONS, World, shifted, simulate
from kubeline.rollout.analysis.judge import CheckOutcome, CheckResult, Evidence, Histogram, Rules, Side, judge
from kubeline.rollout.analysis.metrics.counts import Counts
from kubeline.rollout.analysis.metrics.sides import evidence_of

LIMIT = 0.25
LOOKS = 300


def side(counts: np.ndarray, rows: int = 1) -> Side:
    """A version that answered one request for each count, each of `rows` alike rows."""
    requests = int(counts.sum())
    return Side(requests, 0, Histogram((1.0,), (requests, 0)), dict(enumerate(map(float, counts * rows))))  # type: ignore[arg-type]


def drift(canary: Side, stable: Side) -> CheckResult:
    found = judge(
        Evidence(canary, stable, 60), Rules(max_latency_shift=None, max_prediction_drift=LIMIT), 1, 1
    ).findings
    return next(each for each in found if each.name == "prediction_drift")


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize(("canary", "stable"), [(100, 100), (40, 160), (100, 900), (2000, 8000)])
def test_predictions_on_the_edge_of_what_is_allowed_fail_no_more_often_than_the_level_says(
    canary: int, stable: int, rows: int
) -> None:
    rng = np.random.default_rng(0)
    there = shifted(LIMIT)
    p = [
        drift(side(rng.multinomial(canary, there), rows), side(rng.multinomial(stable, PREDICTIONS), rows)).p_value
        for _ in range(LOOKS)
    ]
    failed = sum(each is not None and each <= 0.05 for each in p)
    assert binomtest(failed, LOOKS, 0.06, alternative="greater").pvalue > 1e-3  # the distribution is an approximation


def test_35_requests_of_8_rows_do_not_roll_back_a_model_whose_predictions_are_allowed() -> None:
    rng = np.random.default_rng(0)
    there = shifted(0.2)
    outcomes = [
        drift(side(rng.multinomial(35, there), 8), side(rng.multinomial(140, PREDICTIONS), 8)).outcome
        for _ in range(LOOKS)
    ]
    assert outcomes.count(CheckOutcome.FAIL) <= 0.05 * LOOKS
    assert CheckOutcome.INCONCLUSIVE in outcomes  # the rollout waits for more


def test_a_large_change_of_the_predictions_fails_however_large_the_requests_are() -> None:
    rng = np.random.default_rng(0)
    there = shifted(2.0)
    for _ in range(20):
        found = drift(side(rng.multinomial(100, there), 8), side(rng.multinomial(400, PREDICTIONS), 8))
        assert found.outcome is CheckOutcome.FAIL


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 8])
def test_a_rollout_with_an_allowed_change_is_stopped_at_most_as_often_as_alpha_says(rows: int) -> None:
    stopped = simulate(World(drift=0.2, rows=rows, requests=1_000), PREDICTED, LOOKS).stopped
    assert binomtest(round(stopped * LOOKS), LOOKS, PREDICTED.alpha, alternative="greater").pvalue > 1e-4


def test_one_huge_request_among_many_small_ones_counts_as_one() -> None:
    def counts(sizes: list[int], predicted: dict[str, float]) -> Counts:
        bounds = [2**power for power in range(18)]
        cumulative = {str(float(bound)): float(sum(size <= bound for size in sizes)) for bound in bounds}
        return {
            "requests": {"200": float(len(sizes))},
            "labels": predicted,
            "sizes": cumulative | {"inf": float(len(sizes))},
        }

    small = counts([1] * 100, {"no": 50.0, "yes": 50.0})
    huge = counts([1] * 99 + [10_000], {"no": 49.0, "yes": 10_050.0})
    evidence = evidence_of(huge, small, "5..", 1.0, 60.0)
    assert evidence.canary.independent == pytest.approx(1, abs=0.1)
    assert evidence.stable is not None
    assert evidence.stable.independent == 100
    found = drift(evidence.canary, evidence.stable)
    assert found.outcome is CheckOutcome.INCONCLUSIVE
    assert found.sentence == (
        "There are 10099 predictions of the canary in requests that say as much as 1 of one size, but 20 are needed."
    )
    assert drift(
        evidence_of(counts([8] * 100, {"no": 400.0, "yes": 400.0}), small, "5..", 1.0, 60.0).canary, evidence.stable
    ).outcome is (CheckOutcome.PASS)


def test_a_server_that_does_not_say_how_large_its_requests_are_is_taken_to_answer_alike_ones() -> None:
    old = side(np.array([20, 20]), 8)
    assert old.independent == 40
    assert replace(old, errors=10).independent == 30
    assert replace(old, alike=1e9).independent == 320
