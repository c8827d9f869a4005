"""Bins of predicted numbers are fine for each model, and comparable between any two."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from kubeline.rollout.analysis.judge import CheckOutcome, Rules, judge
from kubeline.rollout.analysis.metrics.sides import evidence_of
from kubeline_serving.observability.number_bins import number_bounds

ROWS = 4_000
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=ROWS)
SHAPES: dict[str, Any] = {
    "around 100": 100 + 10 * NORMAL,
    "around 0": NORMAL,
    "far from zero": 3e6 + NORMAL,
    "farther": 1e12 + NORMAL,
    "tiny": 1e-9 * (5 + NORMAL),
    "huge": 1e100 * (5 + NORMAL),
    "negative": -300 + NORMAL,
    "skewed": np.exp(12 + 0.6 * NORMAL),
    "mostly 0": np.where(NORMAL < 0.3, 0.0, 50 * NORMAL),
    "whole numbers": np.round(5 + 2 * NORMAL),
}


def quantiles(values: Any) -> list[float]:
    return np.quantile(values, np.linspace(0, 1, 101)).tolist()


def counted(values: Any, recorded: Any) -> dict[str, dict[str, float]]:
    """What the page of a model counts, whose training recorded these quantiles, after such predictions."""
    bounds = [*number_bounds(recorded), float("inf")]
    found = {str(float(floatToGoString(bound))): float((values <= bound).sum()) for bound in bounds}
    n = float(len(values))
    return {"requests": {"200": n}, "latency": {"0.1": n, "inf": n}, "numbers": found}


def drift(canary: Any, stable: Any) -> CheckOutcome:
    """Of a canary and a stable model, each with bins by its own predictions."""
    counts = [counted(values, quantiles(values)) for values in (canary, stable)]
    judgement = judge(evidence_of(counts[0], counts[1], "5..", 1.0, 60.0), Rules(), 1, 4)
    return next(finding.outcome for finding in judgement.findings if finding.name == "prediction_drift")


@pytest.mark.parametrize("name", SHAPES)
def test_a_regression_that_predicts_alike_passes_and_one_that_predicts_otherwise_fails(name: str) -> None:
    stable, spread = SHAPES[name], float(np.std(SHAPES[name]))
    again = RNG.permutation(stable)[:1000]
    assert drift(again, stable) is CheckOutcome.PASS
    assert drift(again + 1.5 * spread, stable) is CheckOutcome.FAIL
    assert drift(again - 1.5 * spread, stable) is CheckOutcome.FAIL


def test_three_times_as_much_fails() -> None:
    stable = SHAPES["around 100"]
    assert drift(3 * stable[:200], stable) is CheckOutcome.FAIL
    assert drift(stable[:200], 3 * stable) is CheckOutcome.FAIL


@pytest.mark.parametrize("factor", [1 / 1000, 1 / 20, 1 / 3, 3, 20, 1000, -1])
@pytest.mark.parametrize("name", ["around 100", "skewed", "far from zero", "tiny"])
def test_another_scale_fails(name: str, factor: float) -> None:
    assert drift(factor * SHAPES[name][:1000], SHAPES[name]) is CheckOutcome.FAIL


def test_scales_without_a_common_bound_are_never_a_pass() -> None:
    assert drift(1e-60 * SHAPES["around 100"], 1e60 * SHAPES["around 100"]) is not CheckOutcome.PASS


def test_a_model_whose_training_recorded_nothing_is_compared_on_powers_of_four() -> None:
    stable = counted(SHAPES["skewed"], quantiles(SHAPES["skewed"]))
    for factor, outcome in ((1.0, CheckOutcome.PASS), (3.0, CheckOutcome.FAIL)):
        judgement = judge(evidence_of(counted(factor * SHAPES["skewed"], []), stable, "5..", 1.0, 60.0), Rules(), 1, 4)
        assert {finding.name: finding.outcome for finding in judgement.findings}["prediction_drift"] is outcome


def test_bins_by_percentiles_of_each_model_are_not_comparable_and_no_pass() -> None:
    def by_percentiles(values: Any) -> dict[str, dict[str, float]]:
        bounds = [float(f"{value:.6g}") for value in np.percentile(values, (1, 5, 10, 20, 50, 80, 90, 99))]
        numbers = {str(bound): float((values <= bound).sum()) for bound in [*bounds, float("inf")]}
        return {**counted(values, []), "numbers": numbers}

    sides = by_percentiles(3 * SHAPES["around 100"]), by_percentiles(SHAPES["around 100"])
    judgement = judge(evidence_of(*sides, "5..", 1.0, 60.0), Rules(), 1, 4)
    assert judgement.outcome is CheckOutcome.ERROR
    assert "no bound in common" in judgement.sentence


@pytest.mark.parametrize("name", SHAPES)
def test_there_are_some_dozens_of_bins_of_which_none_holds_much_but_equal_numbers(name: str) -> None:
    values = SHAPES[name]
    bounds = number_bounds(quantiles(values))
    assert 20 <= len(bounds) <= 110
    shares = np.bincount(np.searchsorted(bounds, values), minlength=len(bounds) + 1) / len(values)
    commonest = np.unique(values, return_counts=True)[1].max() / len(values)
    assert shares.max() <= max(1 / 12, commonest + 0.01)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBERS, max_size=101).map(sorted))
def test_any_quantiles_make_bounds_that_rise_and_are_cuts_of_one_tree(recorded: list[float]) -> None:
    bounds = number_bounds(recorded)
    assert 10 <= len(bounds) <= 200
    assert bounds == sorted(set(bounds))
    assert all(float(floatToGoString(bound)) == bound for bound in bounds)
    json.dumps(bounds, allow_nan=False)
    assert 0.0 in bounds
