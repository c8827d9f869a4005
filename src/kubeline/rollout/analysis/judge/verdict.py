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
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from kubeline.drift.statistics import MIN_EXPECTED, Bin, divergence
from kubeline.errors import listed
from kubeline.printable import rounded
from kubeline.rollout.analysis.judge import statistics
from kubeline.rollout.analysis.judge.evidence import (
    BusinessMetric,
    CheckOutcome,
    CheckResult,
    Evidence,
    Judgement,
    SampleStatistics,
    Side,
)
from kubeline.rollout.analysis.judge.rules import Rules
from kubeline.rollout.analysis.judge.spending import level

_MIN = 20  # values from which the approximate tests hold their level


@dataclass(frozen=True)
class _Check:
    """A measured effect before it is known at which level it fails."""

    name: str
    canary: float
    stable: float | None
    limit: float
    effect: float
    p_value: float
    sentence: str

    def decided(self, at: float) -> CheckResult:
        beyond = self.effect > self.limit
        outcome = CheckOutcome.PASS
        if beyond:
            outcome = CheckOutcome.FAIL if self.p_value <= at else CheckOutcome.INCONCLUSIVE
        reason = {
            CheckOutcome.PASS: "",
            CheckOutcome.FAIL: f" Chance does not explain it (p = {self.p_value:.2g}, level {at:.2g}).",
            CheckOutcome.INCONCLUSIVE: f" Chance may explain it (p = {self.p_value:.2g}, level {at:.2g}).",
        }[outcome]
        return CheckResult(
            name=self.name,
            outcome=outcome,
            canary=_finite(self.canary),
            stable=_finite(self.stable),
            limit=self.limit,
            p_value=self.p_value,
            effect=_finite(self.effect),
            sentence=self.sentence + reason,
        )


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
    checks: list[_Check] = []
    for each in (*_objectives(evidence.canary, rules), *_comparisons(evidence, rules)):
        if isinstance(each, _Check):
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
    return any(limit is not None for limit in asked) or evidence.business is not None


def _objectives(canary: Side, rules: Rules) -> Iterator[_Check | CheckResult]:
    if rules.max_error_rate is not None:
        yield _error_rate(canary, rules.max_error_rate)
    for name, q, seconds in (("p95", 0.95, rules.max_p95_seconds), ("p99", 0.99, rules.max_p99_seconds)):
        if seconds is not None:
            yield _quantile(name, canary, q, seconds)


def _error_rate(canary: Side, limit: float) -> _Check | CheckResult:
    if not canary.requests:
        return _few("error_rate", "The canary has no requests whose errors could be counted.")
    rate = canary.errors / canary.requests
    p = statistics.share_above(canary.errors, canary.requests, limit)
    sentence = f"{rate:.2%} of the canary's requests failed; {limit:.2%} may."
    return _Check("error_rate", rate, None, limit, rate, p, sentence)


def _quantile(name: str, canary: Side, q: float, seconds: float) -> _Check | CheckResult:
    if missing := _without_latency(name, canary):
        return missing
    found, n = canary.latency.quantile(q), canary.latency.total
    p = statistics.share_above(canary.latency.surely_above(seconds), n, 1 - q)
    took = f"over {_seconds(canary.latency.bounds[-1])}" if math.isinf(found) else _seconds(found)
    sentence = f"{q:.0%} of the canary's requests took up to {took}; {_seconds(seconds)} are allowed."
    return _Check(name, found, None, seconds, found, p, sentence)


_Compare = Callable[[Evidence, Side, Side, float], _Check | CheckResult]


def _comparisons(evidence: Evidence, rules: Rules) -> Iterator[_Check | CheckResult]:
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
            yield _impossible(name, evidence.incomparable)
        elif not canary.requests or not stable.requests:
            who = "stable version" if canary.requests else "canary"
            yield _few(name, f"The {who} has no requests to compare yet.")
        else:
            yield compare(evidence, canary, stable, limit)
    if evidence.business is not None:
        yield _business(evidence.business, rules.max_business_loss)


def _error_increase(_: Evidence, canary: Side, stable: Side, limit: float) -> _Check:
    mine, theirs = canary.errors / canary.requests, stable.errors / stable.requests
    p = statistics.share_increase(canary.errors, canary.requests, stable.errors, stable.requests, limit)
    sentence = (
        f"{mine:.2%} of the canary's and {theirs:.2%} of the stable version's requests failed; "
        f"{100 * limit:.2g} percentage points more are allowed."
    )
    return _Check("error_increase", mine, theirs, limit, mine - theirs, p, sentence)


def _latency_shift(tolerance: float, _: Evidence, canary: Side, stable: Side, limit: float) -> _Check | CheckResult:
    name = "latency_shift"
    if missing := _without_latency(name, canary) or _without_latency(name, stable, "stable version"):
        return missing
    if not set(canary.latency.bounds) & set(stable.latency.bounds):
        return _nothing(name, "The latency histograms of the two versions have no bound in common.")
    if statistics.blurred(canary.latency, stable.latency):
        return _impossible(name, "The latency histograms of the two versions have too few bounds in common.")
    shift = statistics.latency_shift(canary.latency, stable.latency, tolerance)
    mine, theirs = canary.latency.quantile(0.5), stable.latency.quantile(0.5)
    by = f" over {_seconds(tolerance)}" if tolerance else ""
    sentence = (
        f"A request to the canary is{by} slower than one to the stable version in {50 + 50 * shift.delta:.0f} of 100 "
        f"pairs (Cliff's delta {shift.delta:+.2f}, {limit:.2f} is allowed)."
    )
    return _Check(name, mine, theirs, limit, shift.delta, shift.p_value, sentence)


def _prediction_drift(evidence: Evidence, canary: Side, stable: Side, limit: float) -> _Check | CheckResult:
    name = "prediction_drift"
    if evidence.incomparable:
        return _impossible(name, evidence.incomparable)
    for side, whose in ((canary, "canary"), (stable, "stable version")):
        rows = sum((side.predictions or {}).values())
        if side.requests > side.errors and not rows:
            return _nothing(name, f"The {whose} answered requests, but there are no metrics of its predictions.")
        if (known := int(side.independent)) < _MIN:
            alone = "" if known == round(rows) else f" in requests that say as much as {known} of one size"
            return _few(name, f"There are {rows:.0f} predictions of the {whose}{alone}, but {_MIN} are needed.")
    found = divergence(_bins(_independent(canary), _independent(stable)))
    effect = float(found.effect)
    p = statistics.drift_beyond(found.psi, canary.independent, stable.independent, found.bins, limit)
    sentence = f"The distributions of the predictions differ by a PSI of {effect:.3f}; {limit:.3f} is allowed."
    if new := sorted((canary.predictions or {}).keys() ^ (stable.predictions or {}).keys()):
        sentence += f" Only one of the versions knows {listed(new)}."
    return _Check(name, effect, None, limit, effect, p, sentence)


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


def _business(metric: BusinessMetric, tolerance: float) -> _Check | CheckResult:
    canary, stable = metric.canary, metric.stable
    if min(canary.n, stable.n) < _MIN:
        return _few("business", f"{metric.name} has {canary.n} and {stable.n} values, but {_MIN} are needed.")
    allowed = tolerance * abs(stable.mean)
    if metric.higher_is_better:
        loss, p = stable.mean - canary.mean, statistics.mean_loss(canary, stable, allowed)
    else:
        loss, p = canary.mean - stable.mean, statistics.mean_loss(_negative(canary), _negative(stable), allowed)
    sentence = (
        f"{metric.name} is {rounded(canary.mean)} for the canary and {rounded(stable.mean)} for the stable version; "
        f"{tolerance:.1%} worse is allowed."
    )
    return _Check("business", canary.mean, stable.mean, allowed, loss, p, sentence)


def _negative(sample: SampleStatistics) -> SampleStatistics:
    return replace(sample, mean=-sample.mean)


def _without_latency(name: str, side: Side, whose: str = "canary") -> CheckResult | None:
    """Why nothing can be said of a side's latency; None when it can."""
    if side.latency.total >= _MIN:
        return None
    if side.requests - side.errors >= _MIN:
        return _nothing(name, f"The {whose} answered requests, but there are no metrics of how long they took.")
    return _few(name, f"{side.latency.total:.0f} latencies of the {whose} were measured, but {_MIN} are needed.")


def _nothing(name: str, sentence: str) -> CheckResult:
    return CheckResult(name, CheckOutcome.ERROR, None, None, None, None, None, sentence)


def _impossible(name: str, sentence: str) -> CheckResult:
    return CheckResult(name, CheckOutcome.NOT_POSSIBLE, None, None, None, None, None, sentence)


def _few(name: str, sentence: str) -> CheckResult:
    return CheckResult(name, CheckOutcome.INCONCLUSIVE, None, None, None, None, None, sentence)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _seconds(value: float) -> str:
    return f"{rounded(value, 3)} s" if value >= 1 else f"{rounded(1000 * value, 3)} ms"
