"""What the parameter `thresholds` asks of a model, and whether the model has it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from kubeline.errors import UserError, listed
from kubeline.evaluation.bootstrap import Bootstrap, Interval
from kubeline.evaluation.comparison import Comparison, compare
from kubeline.evaluation.gate import GateCheck, reach, signed, undefined_check
from kubeline.evaluation.metrics import METRICS, Metric
from kubeline.evaluation.scored import Scored
from kubeline.numbers import Number
from kubeline.printable import rounded
from kubeline.task import Task

OF_ONE_CLASS = ("precision", "recall", "f1", "average_precision", "roc_auc", "brier")  # against all others


class MetricThreshold(BaseModel, frozen=True, extra="forbid", populate_by_name=True):
    """What one metric must reach, in MLflow's vocabulary.

    `threshold` is absolute: a floor, or a ceiling where smaller is better. `min_absolute_change` and
    `min_relative_change` say how much better than the champion the model must be, in the metric's unit and as a share
    of the champion's value. `greater_is_better` is known for every metric and may be left out. `class` names the class
    that the metric is of, against all others.
    """

    threshold: Number | None = None
    min_absolute_change: Number | None = None
    min_relative_change: Number | None = None
    greater_is_better: bool | None = None
    label: str | None = Field(default=None, alias="class")


@dataclass(frozen=True)
class Requirement:
    """One metric, of all classes or of one, and what it must reach."""

    metric: Metric
    asked: MetricThreshold


def parse(given: Mapping[str, Any], task: Task, classes: list[str] | None = None) -> list[Requirement]:
    """Read the `thresholds` parameter: metric names with a number (the threshold), fields, or a list of such.

    Args:
        given: The parameter.
        task: The task.
        classes: Those that the model knows; None where they are not known yet, and then any may be named.

    Raises:
        UserError: when a metric, a class or a field is unknown, a number is not one, or the direction is wrong.
    """
    found = []
    for name, values in given.items():
        for value in values if isinstance(values, list) else [values]:
            asked = _read(name, value)
            found.append(Requirement(_metric(name, task, asked.label, classes), asked))
            _require_direction(found[-1].metric, asked)
    return found


def _read(name: str, value: Any) -> MetricThreshold:
    try:
        return MetricThreshold.model_validate(value if isinstance(value, Mapping) else {"threshold": value})
    except ValidationError as error:
        fields = [field.alias or key for key, field in MetricThreshold.model_fields.items()]
        raise UserError(
            f"the threshold of '{name}' is {value!r}; expected a number, or a mapping with some of: {listed(fields)}"
        ) from error


def _metric(name: str, task: Task, label: str | None, classes: list[str] | None) -> Metric:
    if label is None:
        if name not in METRICS[task]:
            raise UserError(
                f"thresholds name '{name}', which is not a metric of a {task} task"
                + (" without a class" if task == "multiclass" and name in OF_ONE_CLASS else "")
                + f"; it has: {listed(METRICS[task])}"
            )
        return METRICS[task][name]
    if task == "regression" or (classes is not None and label not in classes):
        raise UserError(
            f"the threshold of '{name}' is of class '{label}', which the model does not have; it has: "
            f"{listed(classes) if classes else 'none, for it is a regression'}"
        )
    if name not in OF_ONE_CLASS:
        raise UserError(f"'{name}' is not a metric of one class; those are: {listed(OF_ONE_CLASS)}")
    return replace(METRICS["binary"][name], of=label)


def _require_direction(metric: Metric, asked: MetricThreshold) -> None:
    if asked.greater_is_better not in (None, metric.greater_is_better):
        raise UserError(
            f"the threshold of '{metric.name}' says greater_is_better={asked.greater_is_better}, but for {metric.name} "
            f"{'greater' if metric.greater_is_better else 'smaller'} is better; correct it or leave it out"
        )


def checks(
    requirements: list[Requirement],
    model: Scored,
    rival: Scored | None,
    bootstrap: Bootstrap,
    confidence: float,
    *,
    champion: bool,
) -> list[GateCheck]:
    """One check for each figure that is asked for; changes only where there is a champion.

    Args:
        requirements: As :func:`parse` gives them.
        model: The model on the rows judged.
        rival: The champion on the same rows; None when there is none, or none that can be compared.
        bootstrap: Of these rows.
        confidence: Of the intervals.
        champion: Whether there is a champion.
    """
    found = []
    for one in requirements:
        label, metric = one.asked.label, one.metric if one.asked.label else one.metric.about(model)
        scored = model if label is None else model.against_rest(label)
        other = rival if rival is None or label is None else rival.against_rest(label)
        reason = metric.undefined(scored)
        if reason:
            found.append(undefined_check(metric, reason))
            continue
        if one.asked.threshold is not None:
            found.append(threshold_check(metric, metric.interval(scored, bootstrap, confidence), one.asked.threshold))
        if champion:
            comparable = other is not None and not metric.undefined(other)
            beside = compare(metric, scored, other, bootstrap, confidence) if other and comparable else None
            found += change_checks(metric, one.asked, beside)
    return found


def threshold_check(metric: Metric, found: Interval, required: float) -> GateCheck:
    """Whether the whole interval is on the right side of what is required."""
    sign = 1 if metric.greater_is_better else -1
    outcome = reach(found if metric.greater_is_better else found.negated(), sign * required)
    side = "above" if metric.greater_is_better else "below"
    words = {
        "pass": f"is {side} the threshold of {required:g} over its whole interval",
        "fail": f"is not {side} the threshold of {required:g} anywhere in its interval",
        "inconclusive": f"is too near the threshold of {required:g} to decide; more test rows would narrow it",
    }
    return GateCheck(f"{metric.spoken} threshold", outcome, f"{metric.spoken} {found} {words[outcome]}")


def change_checks(metric: Metric, asked: MetricThreshold, comparison: Comparison | None) -> list[GateCheck]:
    """Whether the model beats the champion by the change asked for; inconclusive where they cannot be compared."""
    changes = {"min_absolute_change": asked.min_absolute_change, "min_relative_change": asked.min_relative_change}
    found = []
    for name, change in changes.items():
        if change is None:
            continue
        title = f"{metric.spoken} {name}"
        if comparison is None:
            sentence = f"{metric.spoken} cannot be compared with the champion's on these test rows"
            found.append(GateCheck(title, "inconclusive", sentence))
            continue
        least = change * abs(comparison.other) if name == "min_relative_change" else change
        outcome = reach(comparison.gain, least)
        words = {"pass": "reaches", "fail": "does not reach", "inconclusive": "may or may not reach"}[outcome]
        gain = signed(comparison.gain)
        sentence = f"the gain of {metric.spoken}, {gain}, {words} {name} {change:g} ({rounded(least)})"
        found.append(GateCheck(title, outcome, sentence))
    return found
