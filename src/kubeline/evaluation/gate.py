"""The gate: from the evidence to promote, hold or inconclusive, with a sentence for every check.

Each check has one of three outcomes. It passes when the whole interval is on the right side of what is required, fails
when the whole interval is on the wrong side, and is unclear when the interval holds the requirement. One failed check
holds the model; without one, an unclear check makes the verdict inconclusive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kubeline.errors import UserError, listed
from kubeline.evaluation.bootstrap import Interval
from kubeline.evaluation.comparison import Comparison
from kubeline.evaluation.metrics import METRICS, Metric
from kubeline.evaluation.scoring import Agreement
from kubeline.evaluation.slices import Slice
from kubeline.model_package.blessing import Verdict
from kubeline.task import Task

Outcome = Literal["pass", "fail", "unclear"]
Rule = Literal["non_inferior", "superior"]


class MetricThreshold(BaseModel):
    """What one metric must reach, in MLflow's vocabulary.

    `threshold` is absolute: a floor, or a ceiling where smaller is better. `min_absolute_change` and
    `min_relative_change` say how much better than the champion the model must be, in the metric's unit and as a share
    of the champion's value. `greater_is_better` is known for every metric and may be left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float | None = None
    min_absolute_change: float | None = None
    min_relative_change: float | None = None
    greater_is_better: bool | None = None


@dataclass(frozen=True)
class Check:
    """One requirement, its outcome, and a sentence with the figures."""

    name: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True)
class Decision:
    """The verdict, the sentences that decided it, and every check."""

    verdict: Verdict
    reasons: list[str]
    checks: list[Check]


def parse_thresholds(given: Mapping[str, Any], task: Task) -> dict[str, MetricThreshold]:
    """Read the `thresholds` parameter: metric names with a number (the threshold) or MLflow's fields.

    Raises:
        UserError: when a metric or a field is unknown, a number is not one, or the direction is the wrong one.
    """
    found = {}
    for name, value in given.items():
        metric = METRICS[task].get(name)
        if metric is None:
            raise UserError(
                f"thresholds name '{name}', which is not a metric of a {task} task; it has: {listed(METRICS[task])}"
            )
        try:
            threshold = MetricThreshold.model_validate(value if isinstance(value, Mapping) else {"threshold": value})
        except ValidationError as error:
            raise UserError(
                f"the threshold of '{name}' is {value!r}; expected a number, or a mapping with some of: "
                f"{listed(MetricThreshold.model_fields)}"
            ) from error
        if threshold.greater_is_better not in (None, metric.greater_is_better):
            raise UserError(
                f"the threshold of '{name}' says greater_is_better={threshold.greater_is_better}, but for {name} "
                f"{'greater' if metric.greater_is_better else 'smaller'} is better; correct it or leave it out"
            )
        found[name] = threshold
    return found


def decide(checks: Sequence[Check]) -> Decision:
    """The verdict over all checks; its reasons are the sentences of the checks that decided it."""
    outcomes = [check.outcome for check in checks]
    verdict: Verdict = "hold" if "fail" in outcomes else "inconclusive" if "unclear" in outcomes else "promote"
    deciding = {"hold": "fail", "inconclusive": "unclear", "promote": "pass"}[verdict]
    return Decision(verdict, [check.sentence for check in checks if check.outcome == deciding], list(checks))


def reach(gain: Interval, required: float) -> Outcome:
    """Whether a gain (above zero is better) surely reaches what is required, surely does not, or may."""
    if gain.lower is None or gain.upper is None:
        return "unclear"
    return "pass" if gain.lower >= required else "fail" if gain.upper < required else "unclear"


def rows_check(rows: int, min_rows: int) -> Check:
    """Too few rows decide nothing."""
    if rows >= min_rows:
        return Check("rows", "pass", f"{rows:,} labelled test rows are enough to judge (at least {min_rows:,})")
    return Check("rows", "unclear", f"{rows:,} labelled test rows are too few to judge; give at least {min_rows:,}")


def undefined_check(metric: Metric, reason: str, of: str = "the model") -> Check:
    """The metric has no value on these rows."""
    return Check(
        f"{metric.name} of {of}", "unclear", f"{metric.name} of {of} is not defined on these test rows: {reason}"
    )


def parity_check(agreement: Agreement) -> Check:
    """Both forms of the model must agree on every test row."""
    return Check("parity", "fail" if agreement.beyond else "pass", str(agreement))


def dummy_check(comparison: Comparison) -> Check:
    """The model must beat the constant guess, beyond noise."""
    gain = comparison.gain
    outcome: Outcome = (
        "pass" if (gain.lower or 0) > 0 else "fail" if gain.upper is not None and gain.upper <= 0 else "unclear"
    )
    words = {"pass": "beats", "fail": "does not beat", "unclear": "may or may not beat"}[outcome]
    name = comparison.metric.name
    return Check(
        "beats a constant guess",
        outcome,
        f"{name} {comparison.model:.4g} {words} the {comparison.other:.4g} of a constant guess: a gain of "
        f"{_signed(gain)}",
    )


def threshold_checks(
    thresholds: Mapping[str, MetricThreshold],
    metrics: Mapping[str, Interval],
    undefined: Mapping[str, str],
    comparisons: Mapping[str, Comparison] | None,
    task: Task,
) -> list[Check]:
    """The checks of the `thresholds` parameter; changes are checked only where there is a champion."""
    checks = []
    for name, required in thresholds.items():
        metric = METRICS[task][name]
        if name in undefined:
            checks.append(undefined_check(metric, undefined[name]))
            continue
        if required.threshold is not None:
            checks.append(_threshold(metric, metrics[name], required.threshold))
        if comparisons is not None:
            checks += _changes(metric, required, comparisons.get(name))
    return checks


def _threshold(metric: Metric, found: Interval, required: float) -> Check:
    sign = 1 if metric.greater_is_better else -1
    outcome = reach(found if metric.greater_is_better else found.negated(), sign * required)
    side = "above" if metric.greater_is_better else "below"
    words = {
        "pass": f"is {side} the threshold of {required:g} over its whole interval",
        "fail": f"is not {side} the threshold of {required:g} anywhere in its interval",
        "unclear": f"is too near the threshold of {required:g} to tell; more test rows would narrow the interval",
    }
    return Check(f"{metric.name} threshold", outcome, f"{metric.name} {found} {words[outcome]}")


def _changes(metric: Metric, required: MetricThreshold, comparison: Comparison | None) -> list[Check]:
    asked = {"min_absolute_change": required.min_absolute_change, "min_relative_change": required.min_relative_change}
    checks = []
    for name, change in asked.items():
        if change is None:
            continue
        title = f"{metric.name} {name}"
        if comparison is None:
            checks.append(Check(title, "unclear", f"{metric.name} is not defined for the champion on these test rows"))
            continue
        least = change * abs(comparison.other) if name == "min_relative_change" else change
        outcome = reach(comparison.gain, least)
        words = {"pass": "reaches", "fail": "does not reach", "unclear": "may or may not reach"}[outcome]
        checks.append(
            Check(
                title,
                outcome,
                f"the gain of {metric.name}, {_signed(comparison.gain)}, {words} {name} {change:g} ({least:.4g})",
            )
        )
    return checks


def champion_check(comparison: Comparison, rule: Rule, margin: float) -> Check:
    """The model against the champion: `margin` is the share of the champion's value that may be lost."""
    gain, allowed = comparison.gain, margin * abs(comparison.other)
    if gain.lower is None or gain.upper is None:
        outcome: Outcome = "unclear"
    elif rule == "superior":
        outcome = "pass" if gain.lower > 0 else "fail" if gain.upper <= 0 else "unclear"
    else:
        outcome = "pass" if gain.lower >= -allowed else "fail" if gain.upper < 0 else "unclear"
    words = {
        ("superior", "pass"): "which is better beyond chance",
        ("superior", "fail"): "which is no better",
        ("superior", "unclear"): "which may be chance",
        ("non_inferior", "pass"): f"which is no worse than the margin of {allowed:.4g} allows",
        ("non_inferior", "fail"): f"which is worse beyond chance, and may be by more than the margin of {allowed:.4g}",
        ("non_inferior", "unclear"): f"which may be worse by more than the margin of {allowed:.4g}; more test rows "
        "would narrow it",
    }[(rule, outcome)]
    name = comparison.metric.name
    return Check(
        f"champion: {rule}",
        outcome,
        f"{name} is {comparison.model:.4g} against the champion's {comparison.other:.4g}, a gain of "
        f"{_signed(gain)} ({comparison.method}, {comparison.p_words}), {words}",
    )


def no_champion_check(reference: str, policy: Literal["promote", "hold"]) -> Check:
    """What to do when there is nothing to compare with."""
    missing = f"the champion '{reference}' does not exist yet" if reference else "no champion was given"
    if policy == "promote":
        return Check("champion", "pass", f"{missing}, and no_champion=promote lets the first model pass without one")
    return Check("champion", "fail", f"{missing}, and no_champion=hold asks for one")


def slices_check(slices: Sequence[Slice], metric: Metric) -> Check | None:
    """No slice may be worse than the champion beyond the margin and chance; None when no slice was compared."""
    compared = [part for part in slices if part.gain is not None]
    lost = [part for part in compared if part.regression]
    if not compared:
        return None
    if not lost:
        return Check(
            "slices",
            "pass",
            f"in none of {len(compared)} slices is {metric.name} worse than the champion's beyond margin and chance",
        )
    named = "; ".join(f"{part.name}: {part.estimate} against {part.champion:.4g}" for part in lost[:3])
    return Check(
        "slices",
        "fail",
        f"in {len(lost)} of {len(compared)} slices {metric.name} is worse than the champion's beyond margin and "
        f"chance ({named}{'; …' if len(lost) > 3 else ''})",
    )


def _signed(gain: Interval) -> str:
    return gain.written(sign=True)
