"""The judge's error rates over whole rollouts, by a small version of benchmarks/judge.py."""

import pytest
from scipy.stats import binomtest

from benchmarks.judge import BARE, LATE, World, simulate
from kubeline.rollout.analysis.judge import Rules

ROLLOUTS = 300
SURE = 1e-4  # of a false alarm of these tests


@pytest.mark.slow
@pytest.mark.parametrize("rules", [BARE, LATE, Rules()], ids=["pocock", "obrien-fleming", "default"])
@pytest.mark.parametrize("world", [World(errors=0.001), World(errors=0.01, load=0.4)], ids=["rare", "load"])
def test_an_identical_version_is_stopped_at_most_as_often_as_alpha_says(world: World, rules: Rules) -> None:
    stopped = round(simulate(world, rules, ROLLOUTS).stopped * ROLLOUTS)
    assert binomtest(stopped, ROLLOUTS, rules.alpha, alternative="greater").pvalue > SURE


@pytest.mark.slow
def test_without_tolerances_the_level_is_used_and_not_only_kept() -> None:
    stopped = round(simulate(World(errors=0.01), BARE, ROLLOUTS).stopped * ROLLOUTS)
    assert binomtest(stopped, ROLLOUTS, BARE.alpha / 5, alternative="less").pvalue > SURE


@pytest.mark.slow
@pytest.mark.parametrize("world", [World(more_errors=0.02), World(slower=1.2)], ids=["errors", "latency"])
def test_a_regression_is_found_before_it_has_all_traffic(world: World) -> None:
    outcomes = simulate(world, Rules(), ROLLOUTS)
    assert binomtest(round(outcomes.stopped * ROLLOUTS), ROLLOUTS, 0.95, alternative="less").pvalue > SURE
    assert outcomes.at < 1
