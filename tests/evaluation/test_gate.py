"""From evidence to verdict: the truth tables of the gate."""

import numpy as np
import pytest

from kubeline.errors import UserError
from kubeline.evaluation import gate, thresholds
from kubeline.evaluation.bootstrap import Bootstrap, Interval
from kubeline.evaluation.comparison import Comparison
from kubeline.evaluation.gate import GateCheck
from kubeline.evaluation.metrics import METRICS
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.scoring import Agreement
from kubeline.evaluation.slices import Slice
from kubeline.model_package.manifest import Parity

AUC, LOSS = METRICS["binary"]["roc_auc"], METRICS["binary"]["log_loss"]


def gain(lower: float | None, upper: float | None, other: float = 0.8) -> Comparison:
    """A comparison by AUC against a champion of 0.8; a margin of 0.05 is then 0.04."""
    value = 0.0 if lower is None or upper is None else (lower + upper) / 2
    return Comparison(AUC, other + value, other, Interval(value, lower, upper), 0.5, "DeLong")


@pytest.mark.parametrize(
    ("rule", "lower", "upper", "outcome"),
    [
        ("non_inferior", 0.01, 0.03, "pass"),  # better
        ("non_inferior", -0.01, 0.03, "pass"),  # as good
        ("non_inferior", -0.03, -0.01, "pass"),  # worse, but surely by less than the margin
        ("non_inferior", 0.0, 0.0, "pass"),  # the champion itself
        ("non_inferior", -0.06, 0.02, "inconclusive"),
        ("non_inferior", -0.06, -0.01, "fail"),  # worse, and maybe by more than the margin
        ("non_inferior", -0.09, -0.06, "fail"),
        ("non_inferior", None, None, "inconclusive"),
        ("superior", 0.01, 0.03, "pass"),
        ("superior", -0.01, 0.03, "inconclusive"),
        ("superior", 0.0, 0.0, "fail"),  # the champion itself
        ("superior", -0.03, -0.01, "fail"),
        ("superior", None, None, "inconclusive"),
    ],
)
def test_the_rule_reads_the_interval_of_the_gain(rule: str, lower: float, upper: float, outcome: str) -> None:
    assert gate.champion_check(gain(lower, upper), rule, margin=0.05).outcome == outcome  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcomes", "verdict", "reasons"),
    [
        (["pass", "pass"], "promote", ["0", "1"]),
        (["pass", "inconclusive"], "inconclusive", ["1"]),
        (["fail", "inconclusive", "pass"], "hold", ["0"]),
        (["fail", "fail"], "hold", ["0", "1"]),
    ],
)
def test_one_failed_check_holds_and_one_inconclusive_check_is_inconclusive(
    outcomes: list[gate.GateOutcome], verdict: str, reasons: list[str]
) -> None:
    decision = gate.decide([GateCheck(str(place), outcome, str(place)) for place, outcome in enumerate(outcomes)])
    assert (decision.verdict, decision.reasons) == (verdict, reasons)


@pytest.mark.parametrize(
    ("metric", "lower", "upper", "outcome"),
    [
        ("roc_auc", 0.71, 0.73, "pass"),
        ("roc_auc", 0.69, 0.73, "inconclusive"),
        ("roc_auc", 0.66, 0.69, "fail"),
        ("log_loss", 0.66, 0.69, "pass"),
        ("log_loss", 0.69, 0.73, "inconclusive"),
        ("log_loss", 0.71, 0.73, "fail"),
    ],
)
def test_a_threshold_is_a_floor_or_where_smaller_is_better_a_ceiling(
    metric: str, lower: float, upper: float, outcome: str
) -> None:
    found = Interval((lower + upper) / 2, lower, upper)
    assert thresholds.threshold_check(METRICS["binary"][metric], found, 0.7).outcome == outcome


@pytest.mark.parametrize(
    ("threshold", "outcome"),
    [
        ({"min_absolute_change": 0.01}, "pass"),
        ({"min_absolute_change": 0.03}, "inconclusive"),
        ({"min_absolute_change": 0.05}, "fail"),
        ({"min_relative_change": 0.02}, "pass"),  # 0.016 of 0.8
        ({"min_relative_change": 0.04}, "inconclusive"),
        ({"min_relative_change": 0.06}, "fail"),
    ],
)
def test_a_required_change_is_compared_with_the_gain_on_the_champion(threshold: dict[str, float], outcome: str) -> None:
    (required,) = thresholds.parse({"roc_auc": threshold}, "binary", ["no", "yes"])
    assert [one.outcome for one in thresholds.change_checks(AUC, required.asked, gain(0.02, 0.04))] == [outcome]
    (check,) = thresholds.change_checks(AUC, required.asked, None)  # a champion that cannot be compared
    assert check.outcome == "inconclusive"


def test_a_threshold_on_an_undefined_metric_is_inconclusive_and_says_why() -> None:
    required = thresholds.parse({"recall": 0.5}, "binary", ["no", "yes"])
    target = np.zeros(100, dtype=np.int64)
    model = Scored("binary", ("no", "yes"), target, target, np.full((100, 2), 0.5))
    (check,) = thresholds.checks(required, model, None, Bootstrap(100), 0.95, champion=False)
    assert check.outcome == "inconclusive"
    assert "no row is labelled 'yes'" in check.sentence


@pytest.mark.parametrize(
    ("lower", "upper", "outcome"),
    [(0.1, 0.2, "pass"), (-0.1, 0.2, "inconclusive"), (-0.2, 0.0, "fail"), (None, None, "inconclusive")],
)
def test_a_model_must_beat_the_constant_guess_with_its_whole_interval(lower: float, upper: float, outcome: str) -> None:
    assert gate.dummy_check(gain(lower, upper, other=0.5)).outcome == outcome


def test_without_a_champion_the_policy_decides() -> None:
    assert gate.no_champion_check("", "promote").outcome == "pass"
    held = gate.no_champion_check("models:/flights@champion", "hold")
    assert held.outcome == "fail"
    assert held.sentence.startswith("the champion 'models:/flights@champion' does not exist yet")


def test_one_lost_slice_fails_and_is_named() -> None:
    fine = Slice("carrier", "UA", 200, estimate=Interval(0.8, 0.7, 0.9), champion=0.8, gain=Interval(0, -0.1, 0.1))
    lost = Slice(
        "carrier",
        "AA",
        200,
        estimate=Interval(0.6, 0.5, 0.7),
        champion=0.8,
        gain=Interval(-0.2, -0.3, -0.1),
        regression=True,
    )
    assert gate.slices_check([fine], AUC).outcome == "pass"
    check = gate.slices_check([fine, lost], AUC)
    assert check is not None
    assert check.outcome == "fail"
    assert "in 1 of 2 slices" in check.sentence
    assert "carrier=AA" in check.sentence
    assert gate.slices_check([], AUC) is None


def test_answers_other_than_in_training_fail_with_the_count_and_the_row() -> None:
    trained = Parity(rows=50, max_difference=0.0, tolerance=1e-5)
    check = gate.parity_check(Agreement(20, 0.8, tolerance=1e-5, beyond=3, worst_row=4, trained=trained))
    assert check.outcome == "fail"
    assert "answers 3 of 20 golden rows otherwise than in training, by up to 0.8 in row 4" in check.sentence
    nothing = gate.parity_check(Agreement(0, 0.0, tolerance=1e-5, beyond=0, worst_row=0, trained=trained))
    assert nothing.outcome == "inconclusive"  # no data is no pass
    assert "has no golden rows" in nothing.sentence


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"auc": 0.7}, "thresholds name 'auc', which is not a metric of a binary task; it has: roc_auc"),
        ({"roc_auc": "high"}, "the threshold of 'roc_auc' is 'high'; expected a number"),
        ({"roc_auc": True}, "the threshold of 'roc_auc' is True; expected a number"),
        ({"roc_auc": -float("inf")}, "the threshold of 'roc_auc' is -inf; expected a number"),
        ({"roc_auc": {"floor": 0.7}}, "expected a number, or a mapping with some of: threshold, min_absolute_change"),
        ({"log_loss": {"threshold": 0.7, "greater_is_better": True}}, "for log_loss smaller is better"),
    ],
)
def test_a_threshold_that_cannot_be_meant_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        thresholds.parse(given, "binary", ["no", "yes"])
    assert message in str(error.value)
