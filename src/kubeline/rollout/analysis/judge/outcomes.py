"""The checks of what became of the requests: labels that have come, and what the predictions are for."""

from collections.abc import Iterator

from kubeline.printable import rounded
from kubeline.rollout.analysis.judge import statistics
from kubeline.rollout.analysis.judge.checks import Check, few, impossible, nothing
from kubeline.rollout.analysis.judge.evidence import (
    BusinessMetric,
    CheckResult,
    Evidence,
    LabelEvidence,
    Side,
)
from kubeline.rollout.analysis.judge.rules import CheckName, Rules

MIN_INTERVALS = 10  # of a business metric; docs/judge.md says when the t-test of their differences holds its level


def outcome_checks(evidence: Evidence, rules: Rules) -> Iterator[Check | CheckResult]:
    """The checks that the plan's outcomes allow; none at a first deployment, which nothing is compared with."""
    if evidence.stable is None and not evidence.incomparable:
        return
    if evidence.labels is not None and rules.max_label_loss is not None:
        yield label_loss(evidence.labels, rules, evidence)
    if evidence.business is not None:
        yield _business(evidence.business, rules, evidence)


def label_loss(labels: LabelEvidence, rules: Rules, evidence: Evidence | None = None) -> Check | CheckResult:
    """Whether the canary's answers were worse than the stable version's, by the labels that have come.

    Args:
        labels: that have come.
        rules: limits; `max_label_loss` is set.
        evidence: what else was observed, where the two versions answered users.
    """
    name: CheckName = "label_loss"
    if problem := labels.problem or (evidence and _unlogged(labels, evidence, rules)):
        return nothing(name, problem)
    if evidence and evidence.stable is None:
        return impossible(name, evidence.incomparable)
    canary, stable = labels.canary, labels.stable
    if min(canary.n, stable.n) < rules.min_outcomes:
        return _too_few(name, "Labels have come", canary.n, stable.n, rules, rules.min_outcomes)
    limit = (rules.max_label_loss or 0.0) * stable.mean
    if labels.difference is None:
        effect, error, freedom = statistics.mean_difference(canary, stable)
    else:
        effect, error, freedom = statistics.paired_difference(labels.difference)
    low, high = statistics.interval(effect, error, freedom)
    sentence = (
        f"The {labels.metric.replace('_', ' ')} by labels of {canary.n:,} and {stable.n:,} requests is "
        f"{rounded(canary.mean)} for the canary and {rounded(stable.mean)} for the stable version, a difference of "
        f"{rounded(effect, sign=True)} ({rounded(low, sign=True)} to {rounded(high, sign=True)} with 95 %); "
        f"{rules.max_label_loss:.1%} worse is allowed."
    )
    p = statistics.beyond(effect, limit, error, freedom)
    return Check(name, canary.mean, stable.mean, limit, effect, p, sentence)


def _business(metric: BusinessMetric, rules: Rules, evidence: Evidence) -> Check | CheckResult:
    name: CheckName = "business"
    canary, stable = metric.canary, metric.stable
    if metric.problem:
        return nothing(name, metric.problem)
    if evidence.stable is None:
        return impossible(name, evidence.incomparable)
    least = rules.min_outcomes if metric.difference is None else MIN_INTERVALS
    if min(canary.n, stable.n) < least:
        return _too_few(name, f"Values of {metric.name} have come", canary.n, stable.n, rules, least, metric.samples)
    allowed = rules.max_business_loss * abs(stable.mean)
    if metric.difference is None:
        difference, error, freedom = statistics.mean_difference(canary, stable)
    else:
        difference, error, freedom = statistics.paired_difference(metric.difference)
    loss = -difference if metric.higher_is_better else difference
    low, high = statistics.interval(difference, error, freedom)
    sentence = (
        f"{metric.name} is {rounded(canary.mean)} for the canary and {rounded(stable.mean)} for the stable version by "
        f"{canary.n:,} and {stable.n:,} {metric.samples}, a difference of {rounded(difference, sign=True)} "
        f"({rounded(low, sign=True)} to {rounded(high, sign=True)} with 95 %); {rules.max_business_loss:.1%} worse is "
        "allowed."
    )
    p = statistics.beyond(loss, allowed, error, freedom)
    return Check(name, canary.mean, stable.mean, allowed, loss, p, sentence)


def _unlogged(labels: LabelEvidence, evidence: Evidence, rules: Rules) -> str:
    """Which version has answered requests and logged none: with it alone no label can ever count."""
    sides = (("canary", evidence.canary, labels.logged[0]), ("stable version", evidence.stable, labels.logged[1]))
    for whose, side, logged in sides:
        answered = _answered(side)
        if not logged and answered >= rules.min_requests:
            return (
                f"The {whose} has answered {answered:,} requests, but the payload log has none of them: see the "
                "--payload_log of its server, and outcomes.payload_log of the plan."
            )
    return ""


def _answered(side: Side | None) -> int:
    return side.requests - side.errors if side else 0


def _too_few(
    name: CheckName, what: str, canary: int, stable: int, rules: Rules, least: int, samples: str = "requests"
) -> CheckResult:
    sentence = (
        f"{what} for {canary:,} {samples} of the canary and {stable:,} of the stable version, but {least:,} of each "
        "are needed."
    )
    return impossible(name, sentence) if name in rules.optional else few(name, sentence)
