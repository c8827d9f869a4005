"""What the judge makes of labels and business values that come during a rollout."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from kubeline.rollout.analysis.judge import (
    BusinessMetric,
    CheckOutcome,
    CheckResult,
    Evidence,
    Histogram,
    LabelEvidence,
    Rules,
    SampleStatistics,
    Side,
    judge,
)
from kubeline.rollout.analysis.judge import statistics as tests

RNG = np.random.default_rng(0)


def side(errors: int = 10) -> Side:
    """A version with 2,000 requests, most of them fast."""
    return Side(2000, errors, Histogram((0.01, 0.02), (1000.0, 900.0, 100.0)), {"no": 1400.0, "yes": 600.0})


def sample(mean: float, n: int = 400, deviation: float = 0.3) -> SampleStatistics:
    return SampleStatistics(mean, deviation**2, n)


def judged(labels: LabelEvidence, **rules: Any) -> CheckResult:
    """The finding by labels, beside requests of which nothing else is wrong."""
    judgement = judge(Evidence(side(), side(), 60, labels=labels), Rules(**rules), 1, 4)
    (finding,) = [one for one in judgement.findings if one.name == "label_loss"]
    counts = finding.outcome is not CheckOutcome.NOT_POSSIBLE or "label_loss" not in Rules(**rules).optional
    assert judgement.outcome is (finding.outcome if counts else CheckOutcome.PASS)
    return finding


def labels(canary: SampleStatistics, stable: SampleStatistics, **more: Any) -> LabelEvidence:
    return LabelEvidence("log_loss", canary, stable, (2000, 2000), **more)


def test_a_canary_whose_answers_are_as_right_passes_and_the_interval_is_reported() -> None:
    finding = judged(labels(sample(0.41), sample(0.40)))
    assert finding.outcome is CheckOutcome.PASS
    assert "The log loss by labels of 400 and 400 requests is 0.41 for the canary and 0.4" in finding.sentence
    assert "+0.01 (-0.03164 to +0.05164 with 95 %); 5.0% worse is allowed" in finding.sentence


def test_a_canary_whose_answers_are_more_often_wrong_fails() -> None:
    assert judged(labels(sample(0.7), sample(0.4))).outcome is CheckOutcome.FAIL


def test_what_chance_may_explain_is_inconclusive() -> None:
    assert judged(labels(sample(0.45, 100), sample(0.4, 100))).outcome is CheckOutcome.INCONCLUSIVE


@pytest.mark.parametrize(("canary", "stable"), [(0, 0), (0, 400), (400, 0), (99, 400)])
def test_no_labels_or_those_of_one_version_are_inconclusive_and_never_a_pass(canary: int, stable: int) -> None:
    finding = judged(labels(sample(0.4, canary), sample(0.4, stable)))
    assert finding.outcome is CheckOutcome.INCONCLUSIVE
    assert (
        f"Labels have come for {canary} requests of the canary and {stable} of the stable version" in finding.sentence
    )


def test_labels_that_are_optional_hold_nothing_up_and_count_when_they_come() -> None:
    optional = {"optional": frozenset({"label_loss"})}
    assert judged(labels(sample(0.4, 10), sample(0.4)), **optional).outcome is CheckOutcome.NOT_POSSIBLE
    assert judged(labels(sample(0.7), sample(0.4)), **optional).outcome is CheckOutcome.FAIL


def test_labels_that_cannot_be_read_are_an_error_and_outweighed_by_a_failure() -> None:
    unread = LabelEvidence("log_loss", problem="The outcomes are not known: the store refuses.")
    assert judged(unread).outcome is CheckOutcome.ERROR
    assert judge(Evidence(side(errors=400), side(), 60, labels=unread), Rules(), 1, 4).outcome is CheckOutcome.FAIL


def test_a_canary_that_answers_and_logs_nothing_is_an_error() -> None:
    finding = judged(replace(labels(sample(0, 0), sample(0.4)), logged=(0, 2000)))
    assert finding.outcome is CheckOutcome.ERROR
    assert "The canary has answered 1,990 requests, but the payload log has none of them" in finding.sentence


def test_differences_of_the_same_requests_find_what_two_samples_do_not() -> None:
    apart = labels(sample(0.43), sample(0.4))
    assert judged(apart).outcome is CheckOutcome.INCONCLUSIVE
    assert judged(replace(apart, difference=sample(0.03, deviation=0.02))).outcome is CheckOutcome.FAIL


@pytest.mark.parametrize(("canary", "outcome"), [(10.0, "pass"), (8.0, "fail")])
def test_a_business_value_is_held_to_its_own_limit(canary: float, outcome: str) -> None:
    metric = BusinessMetric("revenue", sample(canary, deviation=2), sample(10, deviation=2))
    assert judge(Evidence(side(), side(), 60, metric), Rules(), 1, 4).outcome == outcome
    few = BusinessMetric("revenue", sample(canary, 50), sample(10))
    assert judge(Evidence(side(), side(), 60, few), Rules(), 1, 4).outcome is CheckOutcome.INCONCLUSIVE
    unread = BusinessMetric("revenue", problem="The outcomes are not known.")
    assert judge(Evidence(side(), side(), 60, unread), Rules(), 1, 4).outcome is CheckOutcome.ERROR


def test_a_business_metric_by_intervals_is_compared_interval_by_interval() -> None:
    """What both versions had in a busy interval is no difference; ten intervals are the fewest."""
    metric = BusinessMetric("revenue", sample(9.5, 12, 2), sample(10, 12, 2), samples="intervals")
    evidence = Evidence(side(), side(), 60, replace(metric, difference=sample(-0.5, 12, 0.1)))
    judgement = judge(evidence, Rules(), 1, 4)
    assert judgement.outcome is CheckOutcome.FAIL
    assert "by 12 and 12 intervals, a difference of -0.5 (-0.5635 to -0.4365 with 95 %)" in judgement.sentence
    fewer = replace(metric, canary=sample(9.5, 9), stable=sample(10, 9), difference=sample(-0.5, 9, 0.1))
    judgement = judge(replace(evidence, business=fewer), Rules(), 1, 4)
    assert judgement.outcome is CheckOutcome.INCONCLUSIVE
    assert "for 9 intervals of the canary and 9 of the stable version, but 10 of each are needed" in judgement.sentence


def test_rows_of_one_request_count_as_one_sample() -> None:
    alone = RNG.normal(size=200)
    once = tests.of_clusters(alone, np.ones(200))
    assert (once.mean, once.variance) == pytest.approx((alone.mean(), alone.var(ddof=1)))
    thrice = tests.of_clusters(3 * alone, np.full(200, 3.0))
    assert (thrice.mean, thrice.variance, thrice.n) == pytest.approx((once.mean, once.variance, 200))


def test_p_values_and_intervals_are_those_of_scipy() -> None:
    first, second = RNG.normal(1, 2, 30), RNG.normal(0, 1, 50)
    a, b = (SampleStatistics(x.mean(), x.var(ddof=1), len(x)) for x in (first, second))
    found = tests.mean_difference(a, b)
    welch = stats.ttest_ind(first, second, equal_var=False, alternative="greater")
    assert tests.beyond(found[0], 0.0, *found[1:]) == pytest.approx(welch.pvalue)
    both = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    assert tests.interval(*found) == pytest.approx(tuple(both))
    paired = tests.paired_difference(SampleStatistics(first.mean(), first.var(ddof=1), 30))
    assert tests.beyond(paired[0], 0.5, *paired[1:]) == pytest.approx(
        stats.ttest_1samp(first, 0.5, alternative="greater").pvalue
    )


def test_alike_canaries_with_late_labels_fail_no_more_often_than_alpha_says() -> None:
    failed = 0
    for _ in range(400):
        losses = [RNG.exponential(0.4, 300) for _ in range(2)]
        one, other = (tests.of_clusters(each, np.ones(300)) for each in losses)
        failed += judged(labels(one, other), max_label_loss=0.0).outcome is CheckOutcome.FAIL
    assert failed / 400 <= 0.05
