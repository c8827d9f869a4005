"""From evidence to a verdict: docs/judge.md explains it.

Every check measures an effect, compares it with a limit, and asks whether chance explains what is beyond it:

- pass: the effect is within the limit, and there were enough requests to say so;
- fail: the effect is beyond the limit, and chance explains that with a probability of at most the look's level;
- inconclusive: beyond the limit, but chance may explain it; or too few requests;
- not possible: the source does not measure what the check compares;
- error: the evidence lacks what it must have, such as a canary without requests next to a busy stable version; or a
  check is not possible, and not optional.

Every check that the rules ask for is among the findings. Without a stable version there is nothing to compare with.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from kubeline.drift.statistics import MIN_EXPECTED, Bin, divergence
from kubeline.errors import listed
from kubeline.printable import rounded
from kubeline.rollout.analysis.judge import statistics
from kubeline.rollout.analysis.judge.checks import MIN_VALUES, Check, few, impossible, nothing
from kubeline.rollout.analysis.judge.evidence import CheckOutcome, CheckResult, Evidence, Judgement, Side
from kubeline.rollout.analysis.judge.outcomes import outcome_checks
from kubeline.rollout.analysis.judge.rules import Rules
from kubeline.rollout.analysis.judge.spending import level


def judge(evidence: Evidence, rules: Rules, look: int, looks: int) -> Judgement:
    """Judge one look (interim analysis).

    Args:
        evidence: what was observed since the step, or the rollout, began.
        rules: limits.
        look: its number in the rollout, from 1; looks that had too few requests count as well.
        looks: the most looks that the rollout may take, on which the level of each depends.

    Returns:
        The worst outcome of the checks, in the order fail, error, inconclusive, pass, and all of them. Never pass
        without a check that passed.
    """
    at = level(rules.alpha, look, looks, rules.spending)
    findings: list[CheckResult] = list(_samples(evidence, rules))
    checks: list[Check] = []
    for each in (*_objectives(evidence.canary, rules), *_comparisons(evidence, rules)):
        if isinstance(each, Check):
            checks.append(each)
        else:
            findings.append(each)
    at /= max(len(checks), 1)
    findings += [check.decided(at) for check in checks]
    return Judgement(_worst(findings, rules), tuple(findings), at)


def _worst(findings: list[CheckResult], rules: Rules) -> CheckOutcome:
    outcomes = {
        CheckOutcome.ERROR if finding.outcome is CheckOutcome.NOT_POSSIBLE else finding.outcome
        for finding in findings
        if not (finding.outcome is CheckOutcome.NOT_POSSIBLE and finding.name in rules.optional)
    }
    if (
        outcomes == {CheckOutcome.PASS}
        and len(findings) > 1
        and not any(f.outcome is CheckOutcome.PASS for f in findings[1:])
    ):
        return CheckOutcome.ERROR  # there were requests, and nothing was checked
    order = (CheckOutcome.FAIL, CheckOutcome.ERROR, CheckOutcome.INCONCLUSIVE, CheckOutcome.PASS)
    return next((each for each in order if each in outcomes), CheckOutcome.ERROR)


def _samples(evidence: Evidence, rules: Rules) -> Iterator[CheckResult]:
    canary, stable = evidence.canary.requests, evidence.stable.requests if evidence.stable else None
    both = f"{canary:,}" + ("" if stable is None else f" and {stable:,}")
    few = min(canary, canary if stable is None else stable) < rules.min_requests
    outcome, sentence = CheckOutcome.PASS, f"There were {both} requests."
    if not canary and stable is not None and stable >= rules.min_requests:
        outcome = CheckOutcome.ERROR
        sentence = f"The canary has no requests while the stable version has {stable:,}: see its routes and metrics."
    elif few:
        outcome = CheckOutcome.INCONCLUSIVE
        sentence = f"There were {both} requests, but {rules.min_requests:,} of each version are needed."
    if outcome is CheckOutcome.PASS and not _any_check(evidence, rules):
        outcome, sentence = CheckOutcome.ERROR, "The rules check nothing that the evidence has: set an objective."
    yield CheckResult("samples", outcome, canary, stable, rules.min_requests, None, None, sentence)


def _any_check(evidence: Evidence, rules: Rules) -> bool:
    objectives = (rules.max_error_rate, rules.max_p95_seconds, rules.max_p99_seconds)
    comparisons = (rules.max_error_increase, rules.max_latency_shift, rules.max_prediction_drift)
    asked = [*objectives, *(comparisons if evidence.stable or evidence.incomparable else ())]
    by_labels = evidence.labels is not None and rules.max_label_loss is not None
    return any(limit is not None for limit in asked) or by_labels or evidence.business is not None


def _objectives(canary: Side, rules: Rules) -> Iterator[Check | CheckResult]:
    if rules.max_error_rate is not None:
        yield _error_rate(canary, rules.max_error_rate)
    for name, q, seconds in (("p95", 0.95, rules.max_p95_seconds), ("p99", 0.99, rules.max_p99_seconds)):
        if seconds is not None:
            yield _quantile(name, canary, q, seconds)


def _error_rate(canary: Side, limit: float) -> Check | CheckResult:
    if not canary.requests:
        return few("error_rate", "The canary has no requests whose errors could be counted.")
    rate = canary.errors / canary.requests
    p = statistics.share_above(canary.errors, canary.requests, limit)
    sentence = f"{rate:.2%} of the canary's requests failed; {limit:.2%} may."
    return Check("error_rate", rate, None, limit, rate, p, sentence)


def _quantile(name: str, canary: Side, q: float, seconds: float) -> Check | CheckResult:
    if missing := _without_latency(name, canary):
        return missing
    found, n = canary.latency.quantile(q), canary.latency.total
    p = statistics.share_above(canary.latency.surely_above(seconds), n, 1 - q)
    took = f"over {_seconds(canary.latency.bounds[-1])}" if math.isinf(found) else _seconds(found)
    sentence = f"{q:.0%} of the canary's requests took up to {took}; {_seconds(seconds)} are allowed."
    return Check(name, found, None, seconds, found, p, sentence)


_Compare = Callable[[Evidence, Side, Side, float], Check | CheckResult]


def _comparisons(evidence: Evidence, rules: Rules) -> Iterator[Check | CheckResult]:
    asked: tuple[tuple[str, float | None, _Compare], ...] = (
        ("error_increase", rules.max_error_increase, _error_increase),
        ("latency_shift", rules.max_latency_shift, partial(_latency_shift, rules.latency_tolerance_seconds)),
        ("prediction_drift", rules.max_prediction_drift, _prediction_drift),
    )
    canary, stable = evidence.canary, evidence.stable
    for name, limit, compare in asked:
        if limit is None:
            continue
        if stable is None and not evidence.incomparable:
            continue  # there is no stable version
        if stable is None:
            yield impossible(name, evidence.incomparable)
        elif not canary.requests or not stable.requests:
            who = "stable version" if canary.requests else "canary"
            yield few(name, f"The {who} has no requests to compare yet.")
        else:
            yield compare(evidence, canary, stable, limit)
    yield from outcome_checks(evidence, rules)


def _error_increase(_: Evidence, canary: Side, stable: Side, limit: float) -> Check:
    mine, theirs = canary.errors / canary.requests, stable.errors / stable.requests
    p = statistics.share_increase(canary.errors, canary.requests, stable.errors, stable.requests, limit)
    sentence = (
        f"{mine:.2%} of the canary's and {theirs:.2%} of the stable version's requests failed; "
        f"{100 * limit:.2g} percentage points more are allowed."
    )
    return Check("error_increase", mine, theirs, limit, mine - theirs, p, sentence)


def _latency_shift(tolerance: float, _: Evidence, canary: Side, stable: Side, limit: float) -> Check | CheckResult:
    name = "latency_shift"
    if missing := _without_latency(name, canary) or _without_latency(name, stable, "stable version"):
        return missing
    if not set(canary.latency.bounds) & set(stable.latency.bounds):
        return nothing(name, "The latency histograms of the two versions have no bound in common.")
    if statistics.blurred(canary.latency, stable.latency):
        return impossible(name, "The latency histograms of the two versions have too few bounds in common.")
    shift = statistics.latency_shift(canary.latency, stable.latency, tolerance)
    mine, theirs = canary.latency.quantile(0.5), stable.latency.quantile(0.5)
    by = f" over {_seconds(tolerance)}" if tolerance else ""
    sentence = (
        f"A request to the canary is{by} slower than one to the stable version in {50 + 50 * shift.delta:.0f} of 100 "
        f"pairs (Cliff's delta {shift.delta:+.2f}, {limit:.2f} is allowed)."
    )
    return Check(name, mine, theirs, limit, shift.delta, shift.p_value, sentence)


def _prediction_drift(evidence: Evidence, canary: Side, stable: Side, limit: float) -> Check | CheckResult:
    name = "prediction_drift"
    if evidence.incomparable:
        return impossible(name, evidence.incomparable)
    for side, whose in ((canary, "canary"), (stable, "stable version")):
        rows = sum((side.predictions or {}).values())
        if side.requests > side.errors and not rows:
            return nothing(name, f"The {whose} answered requests, but there are no metrics of its predictions.")
        if (known := int(side.independent)) < MIN_VALUES:
            alone = "" if known == round(rows) else f" in requests that say as much as {known} of one size"
            return few(name, f"There are {rows:.0f} predictions of the {whose}{alone}, but {MIN_VALUES} are needed.")
    found = divergence(_bins(_independent(canary), _independent(stable)))
    effect = float(found.effect)
    p = statistics.drift_beyond(found.psi, canary.independent, stable.independent, found.bins, limit)
    sentence = f"The distributions of the predictions differ by a PSI of {effect:.3f}; {limit:.3f} is allowed."
    if new := sorted((canary.predictions or {}).keys() ^ (stable.predictions or {}).keys()):
        sentence += f" Only one of the versions knows {listed(new)}."
    return Check(name, effect, None, limit, effect, p, sentence)


def _independent(side: Side) -> dict[str, float]:
    """Its predictions as of so many independent rows."""
    counts = side.predictions or {}
    share = side.independent / sum(counts.values())
    return {label: count * share for label, count in counts.items()}


def _bins(canary: Mapping[str, float], stable: Mapping[str, float]) -> list[Bin]:
    """Neighbours together until each bin has or expects enough rows of the smaller sample for the chi-squared test."""
    n, m = sum(stable.values()), sum(canary.values())
    share = min(n, m) / (n + m)

    def enough(bin_: "_Group") -> bool:
        fewer = bin_.current if m <= n else bin_.reference
        return max(fewer, (bin_.reference + bin_.current) * share) >= MIN_EXPECTED

    bins: list[_Group] = []
    for label in dict.fromkeys((*stable, *canary)):
        each = _Group(label, stable.get(label, 0.0), canary.get(label, 0.0))
        if bins and not enough(bins[-1]):
            bins[-1] = _joined(bins[-1], each)
        else:
            bins.append(each)
    if len(bins) > 1 and not enough(bins[-1]):
        bins[-2:] = [_joined(*bins[-2:])]
    return [Bin(each.label, round(each.reference), round(each.current)) for each in bins]


class _Group(NamedTuple):
    """A bin of parts of rows."""

    label: str
    reference: float
    current: float


def _joined(first: _Group, second: _Group) -> _Group:
    return _Group(second.label, first.reference + second.reference, first.current + second.current)


def _without_latency(name: str, side: Side, whose: str = "canary") -> CheckResult | None:
    """Why nothing can be said of a side's latency; None when it can."""
    if side.latency.total >= MIN_VALUES:
        return None
    if side.requests - side.errors >= MIN_VALUES:
        return nothing(name, f"The {whose} answered requests, but there are no metrics of how long they took.")
    return few(name, f"{side.latency.total:.0f} latencies of the {whose} were measured, but {MIN_VALUES} are needed.")


def _seconds(value: float) -> str:
    return f"{rounded(value, 3)} s" if value >= 1 else f"{rounded(1000 * value, 3)} ms"
