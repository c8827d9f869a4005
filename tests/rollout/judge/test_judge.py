"""What the judge makes of evidence."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from kubeline.rollout.analysis.judge import (
    BusinessMetric,
    CheckOutcome,
    Evidence,
    Histogram,
    Judgement,
    Rules,
    SampleStatistics,
    Side,
    judge,
)
from kubeline.rollout.analysis.judge import statistics as tests
from kubeline.rollout.analysis.judge.spending import level

BOUNDS = (0.01, 0.02, 0.05, 0.1)
FAST = (0.3, 0.5, 0.15, 0.05, 0.0)
SLOW = (0.1, 0.3, 0.4, 0.2, 0.0)
RULES = Rules()


def side(requests: int = 2000, errors: int = 10, shape: tuple[float, ...] = FAST, yes: float = 0.3) -> Side:
    """A version with as many latencies of a shape, and as many predictions."""
    counts = tuple(float(round(requests * share)) for share in shape)
    return Side(requests, errors, Histogram(BOUNDS, counts), {"no": requests * (1 - yes), "yes": requests * yes})


def outcomes(judgement: Judgement) -> dict[str, CheckOutcome]:
    return {finding.name: finding.outcome for finding in judgement.findings}


def test_two_alike_versions_pass_every_check() -> None:
    judgement = judge(Evidence(side(), side(), 60), RULES, 1, 4)
    assert judgement.outcome is CheckOutcome.PASS
    assert set(outcomes(judgement)) == {"samples", "error_rate", "error_increase", "latency_shift", "prediction_drift"}


@pytest.mark.parametrize(
    ("canary", "name"),
    [
        (side(errors=60), "error_increase"),
        (side(errors=200), "error_rate"),
        (side(shape=SLOW), "latency_shift"),
        (side(yes=0.7), "prediction_drift"),
    ],
)
def test_a_clear_regression_fails_and_names_its_check(canary: Side, name: str) -> None:
    judgement = judge(Evidence(canary, side(), 60), RULES, 1, 4)
    assert judgement.outcome is CheckOutcome.FAIL
    assert outcomes(judgement)[name] is CheckOutcome.FAIL
    assert "Chance does not explain it" in judgement.sentence


@pytest.mark.parametrize("name", ["p95", "p99"])
def test_a_canary_slower_than_its_objective_fails_without_a_stable_version(name: str) -> None:
    rules = Rules.model_validate({f"max_{name}_seconds": 0.05})
    assert outcomes(judge(Evidence(side(shape=SLOW), None, 60), rules, 1, 4))[name] is CheckOutcome.FAIL
    kept = Rules.model_validate({f"max_{name}_seconds": 0.1})
    assert judge(Evidence(side(shape=SLOW), None, 60), kept, 1, 4).outcome is CheckOutcome.PASS


def test_durations_above_the_last_bin_do_not_keep_an_objective() -> None:
    beyond = side(shape=(0.5, 0.3, 0.1, 0.0, 0.1))
    judgement = judge(Evidence(beyond, None, 60), Rules(max_p95_seconds=5), 1, 4)
    assert outcomes(judgement)["p95"] is CheckOutcome.INCONCLUSIVE


def test_a_regression_that_chance_explains_is_inconclusive() -> None:
    judgement = judge(Evidence(side(200, errors=3), side(2000, errors=10), 60), RULES, 1, 4)
    assert outcomes(judgement)["error_increase"] is CheckOutcome.INCONCLUSIVE
    assert judgement.outcome is CheckOutcome.INCONCLUSIVE


def test_too_few_requests_never_pass() -> None:
    judgement = judge(Evidence(side(90, errors=0), side(), 60), RULES, 1, 4)
    assert judgement.outcome is CheckOutcome.INCONCLUSIVE
    assert "90 and 2,000 requests, but 100 of each" in judgement.sentence


def test_few_requests_that_all_fail_are_enough_to_fail() -> None:
    broken = Side(30, 30, Histogram(BOUNDS, (0, 0, 0, 0, 0)), None)
    assert judge(Evidence(broken, side(), 60), RULES, 1, 4).outcome is CheckOutcome.FAIL


def test_a_canary_without_requests_beside_a_busy_stable_version_is_an_error() -> None:
    nothing = Side(0, 0, Histogram(BOUNDS, (0, 0, 0, 0, 0)))
    assert judge(Evidence(nothing, side(), 60), RULES, 1, 4).outcome is CheckOutcome.ERROR
    assert judge(Evidence(nothing, nothing, 60), RULES, 1, 4).outcome is CheckOutcome.INCONCLUSIVE
    assert judge(Evidence(nothing, None, 60), RULES, 1, 4).outcome is CheckOutcome.INCONCLUSIVE


def test_a_metric_that_only_one_version_has_is_an_error() -> None:
    unmeasured = replace(side(), latency=Histogram(BOUNDS, (0, 0, 0, 0, 0)))
    assert outcomes(judge(Evidence(unmeasured, side(), 60), RULES, 1, 4))["latency_shift"] is CheckOutcome.ERROR
    unpredicted = replace(side(), predictions=None)
    assert outcomes(judge(Evidence(unpredicted, side(), 60), RULES, 1, 4))["prediction_drift"] is CheckOutcome.ERROR
    elsewhere = replace(side(), latency=Histogram((0.03,), (1000, 1000)))
    assert outcomes(judge(Evidence(elsewhere, side(), 60), RULES, 1, 4))["latency_shift"] is CheckOutcome.ERROR


def test_rules_that_check_nothing_never_pass() -> None:
    nothing = Rules(max_error_rate=None)
    assert judge(Evidence(side(), None, 60), nothing, 1, 4).outcome is CheckOutcome.ERROR


@pytest.mark.parametrize(
    ("better", "canary", "outcome"), [(True, 8.0, "fail"), (False, 8.0, "pass"), (False, 12.0, "fail")]
)
def test_a_business_metric_fails_in_its_bad_direction_only(better: bool, canary: float, outcome: str) -> None:
    metric = BusinessMetric(
        "revenue", SampleStatistics(canary, 4.0, 500), SampleStatistics(10.0, 4.0, 5000), higher_is_better=better
    )
    assert outcomes(judge(Evidence(side(), side(), 60, metric), RULES, 1, 4))["business"] == outcome


def test_a_failure_outweighs_missing_data() -> None:
    canary = replace(side(errors=400), predictions=None)
    judgement = judge(Evidence(canary, side(), 60), RULES, 1, 4)
    assert {CheckOutcome.FAIL, CheckOutcome.ERROR} <= set(outcomes(judgement).values())
    assert judgement.outcome is CheckOutcome.FAIL


def test_a_judgement_and_its_evidence_are_json_without_infinities() -> None:
    beyond = Evidence(side(shape=(0.5, 0.3, 0.1, 0.0, 0.1)), side(), 60)
    judgement = judge(beyond, Rules(max_p99_seconds=1), 1, 4)
    again = json.loads(json.dumps([asdict(beyond), asdict(judgement)], allow_nan=False))
    assert again[1]["outcome"] == judgement.outcome


def test_unknown_or_impossible_rules_are_refused() -> None:
    for wrong in ({"max_error_rat": 0.1}, {"alpha": 0}, {"spending": "bonferroni"}, {"max_error_rate": float("nan")}):
        with pytest.raises(ValidationError):
            Rules.model_validate(wrong)


@pytest.mark.parametrize("spending", ["pocock", "obrien-fleming"])
@pytest.mark.parametrize("looks", [1, 3, 8])
def test_the_looks_together_spend_exactly_alpha(spending: str, looks: int) -> None:
    levels = [level(0.05, look, looks, spending) for look in range(1, looks + 1)]  # type: ignore[arg-type]
    assert sum(levels) == pytest.approx(0.05)
    assert all(each > 0 for each in levels)


def test_obrien_fleming_is_far_stricter_at_first_and_pocock_about_even() -> None:
    early, late = (level(0.05, look, 4, "obrien-fleming") for look in (1, 4))
    assert early < late / 100
    first, last = (level(0.05, look, 4, "pocock") for look in (1, 4))
    assert first > last > first / 3


def test_looking_more_often_than_planned_keeps_the_last_level() -> None:
    assert level(0.05, 9, 4, "pocock") == level(0.05, 4, 4, "pocock")
    with pytest.raises(ValueError, match="counted from 1"):
        level(0.05, 0, 4, "pocock")


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=5, max_size=5))
def test_the_latency_test_is_mann_and_whitneys_on_the_bins(pairs: list[tuple[int, int]]) -> None:
    first, second = (tuple(float(n) for n in counts) for counts in zip(*pairs, strict=True))
    shift = tests.latency_shift(Histogram(BOUNDS, first), Histogram(BOUNDS, second))
    values = [np.repeat(np.arange(5), np.array(counts, dtype=int)) for counts in (first, second)]
    if not all(len(each) for each in values) or len({*values[0], *values[1]}) < 2:
        assert shift == tests.LatencyShift(0.0, 1.0)
        return
    expected = stats.mannwhitneyu(*values, alternative="greater", method="asymptotic")
    assert shift.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    assert shift.delta == pytest.approx(2 * expected.statistic / (len(values[0]) * len(values[1])) - 1, abs=1e-9)


MILLISECONDS = tuple(step * 10.0**power for power in (-4, -3, -2) for step in (1, 2.5, 5))  # as the server's


def in_bins(seconds: np.ndarray) -> Histogram:
    counts = np.histogram(seconds, (0, *MILLISECONDS, np.inf))[0]
    return Histogram(MILLISECONDS, tuple(counts.astype(float).tolist()))


def slower_by(seconds: float, median: float, rules: Rules) -> CheckOutcome:
    took = median * np.exp(np.random.default_rng(0).normal(scale=0.3, size=(2, 5000)))
    canary, stable = (replace(side(5000), latency=in_bins(each)) for each in (took[0] + seconds, took[1]))
    return outcomes(judge(Evidence(canary, stable, 60), rules, 1, 4))["latency_shift"]


def test_fractions_of_a_millisecond_that_a_colder_pod_takes_are_tolerated_and_no_more() -> None:
    assert slower_by(0.0005, 0.0006, RULES) is CheckOutcome.PASS  # 0.6 and 1.1 ms: nearly always slower
    assert slower_by(0.0005, 0.0006, Rules(latency_tolerance_seconds=0)) is CheckOutcome.FAIL
    assert slower_by(0.0025, 0.0006, RULES) is CheckOutcome.FAIL
    assert slower_by(0.004, 0.004, RULES) is CheckOutcome.FAIL
    assert slower_by(0.004, 0.004, Rules(latency_tolerance_seconds=0.005)) is CheckOutcome.PASS


def test_the_tolerance_shortens_the_canarys_durations_as_if_its_bins_were_evenly_filled() -> None:
    even = np.linspace(0, 0.05, 100_001)[1:]
    shift = tests.latency_shift(in_bins(even), in_bins(even), 0.01)
    exact = tests.latency_shift(in_bins(np.clip(even - 0.01, 0.00005, None)), in_bins(even))
    assert shift.delta == pytest.approx(exact.delta, abs=1e-3)
    assert shift.delta < -0.05
    above = Histogram((0.01,), (50, 50))
    assert tests.latency_shift(above, above, 1.0).delta == 0.0  # half of them are above every bound, by who knows what


def test_histograms_with_other_bounds_are_compared_on_those_they_share() -> None:
    fine = Histogram((0.01, 0.02, 0.05, 0.1), (10, 20, 30, 40, 50))
    coarse = Histogram((0.02, 0.07, 0.1), (1, 2, 3, 4))
    assert [each.tolist() for each in tests.aligned(fine, coarse)] == [[30, 70, 50], [1, 5, 4]]


@given(st.integers(1, 300), st.integers(0, 300), st.floats(0.001, 0.5))
def test_the_objective_of_a_share_is_the_exact_binomial_test(n: int, errors: int, limit: float) -> None:
    count = min(errors, n)
    expected = stats.binomtest(count, n, limit, alternative="greater").pvalue
    assert tests.share_above(count, n, limit) == pytest.approx(expected, abs=1e-9)


def test_rare_errors_are_never_surer_than_fishers_exact_test() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        n, m = rng.integers(20, 2000, 2).tolist()
        x, y = int(rng.binomial(n, 0.01)), int(rng.binomial(m, 0.01))
        exact = stats.fisher_exact([[x, n - x], [y, m - y]], alternative="greater").pvalue
        assert tests.share_increase(x, n, y, m, 0.005) >= exact - 1e-9


def test_counts_beyond_all_bounds_are_judged_as_quickly_as_others() -> None:
    many = Side(2 * 10**15, 10**15, Histogram(BOUNDS, (0, 0, 0, 0, 1e15)))
    judgement = judge(Evidence(many, many, 60), RULES, 1, 4)
    assert judgement.outcome is CheckOutcome.FAIL  # half of the requests failed
    assert outcomes(judgement)["error_increase"] is CheckOutcome.PASS
    for errors in (0, 7, 10**6, 2**53):
        assert 0 <= tests.share_increase(errors, 2**53, 7, 2**53, 0.005) <= 1
        assert 0 <= tests.share_increase(7, 1000, errors, 2**53, 0.005) <= 1


def test_a_check_that_is_not_possible_stands_in_the_evidence_and_is_no_pass_unless_the_rules_say_so() -> None:
    unknown = Evidence(replace(side(), predictions=None), replace(side(), predictions=None), 60, None, "no predictions")
    judgement = judge(unknown, RULES, 1, 4)
    assert outcomes(judgement)["prediction_drift"] is CheckOutcome.NOT_POSSIBLE
    assert judgement.outcome is CheckOutcome.ERROR
    assert judgement.sentence == "no predictions"
    wanted = Rules.model_validate({"optional": ["prediction_drift"]})
    assert judge(unknown, wanted, 1, 4).outcome is CheckOutcome.PASS
    assert outcomes(judge(unknown, wanted, 1, 4))["prediction_drift"] is CheckOutcome.NOT_POSSIBLE
    without = judge(unknown, Rules.model_validate({"max_prediction_drift": "off"}), 1, 4)
    assert without.outcome is CheckOutcome.PASS
    assert "prediction_drift" not in outcomes(without)


def test_a_stable_version_of_which_nothing_is_known_makes_every_comparison_not_possible() -> None:
    judgement = judge(Evidence(side(), None, 60, None, "its digest is not known"), RULES, 1, 4)
    impossible = {name for name, outcome in outcomes(judgement).items() if outcome is CheckOutcome.NOT_POSSIBLE}
    assert impossible == {"error_increase", "latency_shift", "prediction_drift"}
    assert judgement.outcome is CheckOutcome.ERROR


def test_latencies_whose_common_bins_hide_what_each_ones_own_show_are_not_compared() -> None:
    fine = Histogram((0.01, 0.02, 0.05, 10.0), (500, 500, 500, 500, 0))
    coarse = Histogram((0.03, 10.0), (0, 2000, 0))
    judgement = judge(Evidence(replace(side(), latency=fine), replace(side(), latency=coarse), 60), RULES, 1, 4)
    assert outcomes(judgement)["latency_shift"] is CheckOutcome.NOT_POSSIBLE


def test_every_default_check_stands_in_the_evidence_however_little_there_is() -> None:
    nothing = Side(0, 0, Histogram((), (0,)))
    for canary, stable in ((nothing, nothing), (nothing, side()), (side(), nothing), (side(), side())):
        found = outcomes(judge(Evidence(canary, stable, 60), RULES, 1, 4))
        assert set(found) == {"samples", "error_rate", "error_increase", "latency_shift", "prediction_drift"}


@pytest.mark.parametrize("off", ["off", False, None])
def test_off_switches_a_check_off(off: object) -> None:
    assert Rules.model_validate({"max_error_rate": off, "max_p95_seconds": off}) == Rules(max_error_rate=None)
    with pytest.raises(ValidationError):
        Rules.model_validate({"optional": ["samples"]})


def test_the_score_test_keeps_its_level_on_the_edge_of_the_tolerance() -> None:
    rng = np.random.default_rng(0)
    canary, stable = rng.binomial(500, 0.015, 4000), rng.binomial(5000, 0.01, 4000)
    p = [tests.share_increase(x, 500, y, 5000, 0.005) for x, y in zip(canary.tolist(), stable.tolist(), strict=True)]
    assert stats.binomtest(sum(each <= 0.05 for each in p), 4000, 0.05, alternative="greater").pvalue > 1e-3
    assert sum(each <= 0.05 for each in p) > 40


def test_a_mean_is_compared_by_welchs_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(9.8, 1, 60), rng.normal(10, 3, 90)
    canary, stable = (SampleStatistics(float(x.mean()), float(x.var(ddof=1)), len(x)) for x in (a, b))
    expected = stats.ttest_ind(a + 0.1, b, equal_var=False, alternative="less").pvalue
    difference, error, freedom = tests.mean_difference(canary, stable)
    assert tests.beyond(-difference, 0.1, error, freedom) == pytest.approx(expected)


def test_a_quantile_is_interpolated_within_its_bin() -> None:
    histogram = Histogram((1.0, 2.0), (50, 50, 0))
    assert histogram.quantile(0.75) == pytest.approx(1.5)
    assert np.isnan(Histogram((1.0,), (0, 0)).quantile(0.5))


@pytest.mark.parametrize(
    ("bounds", "counts"), [((2, 1), (1, 1, 1)), ((1,), (1,)), ((1,), (1, -1)), ((float("inf"),), (1, 1))]
)
def test_a_histogram_that_is_none_is_refused(bounds: tuple[float, ...], counts: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"histogram|bins"):
        Histogram(bounds, counts)
