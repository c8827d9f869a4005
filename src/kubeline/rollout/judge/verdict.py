"""From evidence to a verdict: docs/judge.md explains it.

Every check measures an effect, holds it against a limit, and asks whether chance explains what is beyond it:

- pass: the effect is within the limit, and there were enough requests to say so;
- fail: the effect is beyond the limit, and chance explains that with a probability of at most the look's level;
- inconclusive: beyond the limit, but chance may explain it; or too few requests;
- error: the source lacks what it must have, such as a canary without requests next to a busy stable version.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kubeline.drift.statistics import Bin, divergence
from kubeline.rollout.judge import statistics
from kubeline.rollout.judge.evidence import BusinessMetric, Evidence, Finding, Judgement, Outcome, Sample, Side
from kubeline.rollout.judge.rules import Rules
from kubeline.rollout.judge.spending import level

_LEAST = 20  # values from which the approximate tests hold their level


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

    def decided(self, at: float) -> Finding:
        beyond = self.effect > self.limit
        outcome = Outcome.PASS
        if beyond:
            outcome = Outcome.FAIL if self.p_value <= at else Outcome.INCONCLUSIVE
        reason = {
            Outcome.PASS: "",
            Outcome.FAIL: f" Chance does not explain it (p = {self.p_value:.2g}, level {at:.2g}).",
            Outcome.INCONCLUSIVE: f" Chance may explain it (p = {self.p_value:.2g}, level {at:.2g}).",
        }[outcome]
        return Finding(
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
    """Judge one look.

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
    findings: list[Finding] = list(_samples(evidence, rules))
    checks: list[_Check] = []
    if evidence.canary.requests:
        for each in (*_objectives(evidence.canary, rules), *_comparisons(evidence, rules)):
            if isinstance(each, _Check):
                checks.append(each)
            else:
                findings.append(each)
    at /= max(len(checks), 1)
    findings += [check.decided(at) for check in checks]
    outcomes = {finding.outcome for finding in findings}
    order = (Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.PASS)
    worst = next((each for each in order if each in outcomes), Outcome.ERROR)
    return Judgement(worst, tuple(findings), at)


def _samples(evidence: Evidence, rules: Rules) -> Iterator[Finding]:
    canary, stable = evidence.canary.requests, evidence.stable.requests if evidence.stable else None
    both = f"{canary:,}" + ("" if stable is None else f" and {stable:,}")
    few = min(canary, canary if stable is None else stable) < rules.min_requests
    outcome, sentence = Outcome.PASS, f"There were {both} requests."
    if not canary and stable is not None and stable >= rules.min_requests:
        outcome = Outcome.ERROR
        sentence = f"The canary has no requests while the stable version has {stable:,}: see its routes and metrics."
    elif few:
        outcome = Outcome.INCONCLUSIVE
        sentence = f"There were {both} requests, but {rules.min_requests:,} of each version are needed."
    if outcome is Outcome.PASS and not _any_check(evidence, rules):
        outcome, sentence = Outcome.ERROR, "The rules check nothing that the evidence has: set an objective."
    yield Finding("samples", outcome, canary, stable, rules.min_requests, None, None, sentence)


def _any_check(evidence: Evidence, rules: Rules) -> bool:
    objectives = (rules.max_error_rate, rules.max_p95_seconds, rules.max_p99_seconds)
    comparisons = (rules.max_error_increase, rules.max_latency_shift, rules.max_prediction_drift)
    asked = [*objectives, *(comparisons if evidence.stable else ())]
    return any(limit is not None for limit in asked) or evidence.business is not None


def _objectives(canary: Side, rules: Rules) -> Iterator[_Check | Finding]:
    if rules.max_error_rate is not None:
        limit, rate = rules.max_error_rate, canary.errors / canary.requests
        p = statistics.share_above(canary.errors, canary.requests, limit)
        sentence = f"{rate:.2%} of the canary's requests failed; {limit:.2%} may."
        yield _Check("error_rate", rate, None, limit, rate, p, sentence)
    for name, q, seconds in (("p95", 0.95, rules.max_p95_seconds), ("p99", 0.99, rules.max_p99_seconds)):
        if seconds is None:
            continue
        if missing := _without_latency(name, canary):
            yield missing
            continue
        found, n = canary.latency.quantile(q), canary.latency.total
        p = statistics.share_above(canary.latency.surely_above(seconds), n, 1 - q)
        took = f"over {_seconds(canary.latency.bounds[-1])}" if math.isinf(found) else _seconds(found)
        sentence = f"{q:.0%} of the canary's requests took up to {took}; {_seconds(seconds)} are allowed."
        yield _Check(name, found, None, seconds, found, p, sentence)


def _comparisons(evidence: Evidence, rules: Rules) -> Iterator[_Check | Finding]:
    canary, stable = evidence.canary, evidence.stable
    if stable is not None and stable.requests:
        if rules.max_error_increase is not None:
            yield _error_increase(canary, stable, rules.max_error_increase)
        if rules.max_latency_shift is not None:
            yield _latency_shift(canary, stable, rules.max_latency_shift)
        if rules.max_prediction_drift is not None and (canary.predictions, stable.predictions) != (None, None):
            yield _prediction_drift(canary, stable, rules.max_prediction_drift)
    if evidence.business is not None:
        yield _business(evidence.business, rules.max_business_loss)


def _error_increase(canary: Side, stable: Side, limit: float) -> _Check:
    mine, theirs = canary.errors / canary.requests, stable.errors / stable.requests
    p = statistics.share_increase(canary.errors, canary.requests, stable.errors, stable.requests, limit)
    sentence = (
        f"{mine:.2%} of the canary's and {theirs:.2%} of the stable version's requests failed; "
        f"{100 * limit:.2g} percentage points more are allowed."
    )
    return _Check("error_increase", mine, theirs, limit, mine - theirs, p, sentence)


def _latency_shift(canary: Side, stable: Side, limit: float) -> _Check | Finding:
    name = "latency_shift"
    if missing := _without_latency(name, canary) or _without_latency(name, stable, "stable version"):
        return missing
    if not set(canary.latency.bounds) & set(stable.latency.bounds):
        return _nothing(name, "The latency histograms of the two versions have no bound in common.")
    shift = statistics.latency_shift(canary.latency, stable.latency)
    mine, theirs = canary.latency.quantile(0.5), stable.latency.quantile(0.5)
    sentence = (
        f"A request to the canary is slower than one to the stable version in {50 + 50 * shift.delta:.0f} of 100 pairs "
        f"(Cliff's delta {shift.delta:+.2f}, {limit:.2f} is allowed)."
    )
    return _Check(name, mine, theirs, limit, shift.delta, shift.p_value, sentence)


def _prediction_drift(canary: Side, stable: Side, limit: float) -> _Check | Finding:
    name = "prediction_drift"
    for side, whose in ((canary, "canary"), (stable, "stable version")):
        rows = sum((side.predictions or {}).values())
        if side.requests > side.errors and not rows:
            return _nothing(name, f"The {whose} answered requests, but there are no metrics of its predictions.")
        if rows < _LEAST:
            return _few(name, f"There are {rows:.0f} predictions of the {whose}, but {_LEAST} are needed.")
    bins = _bins(canary.predictions or {}, stable.predictions or {})
    found = divergence(bins)
    effect = float(found.effect)
    sentence = f"The distributions of the predictions differ by a PSI of {effect:.3f}; {limit:.3f} is allowed."
    return _Check(name, effect, None, limit, effect, found.p_value, sentence)


def _bins(canary: Mapping[str, float], stable: Mapping[str, float]) -> list[Bin]:
    labels = dict.fromkeys((*stable, *canary))
    return [Bin(label, round(stable.get(label, 0)), round(canary.get(label, 0))) for label in labels]


def _business(metric: BusinessMetric, tolerance: float) -> _Check | Finding:
    canary, stable = metric.canary, metric.stable
    if min(canary.n, stable.n) < _LEAST:
        return _few("business", f"{metric.name} has {canary.n} and {stable.n} values, but {_LEAST} are needed.")
    allowed = tolerance * abs(stable.mean)
    if metric.higher_is_better:
        loss, p = stable.mean - canary.mean, statistics.mean_loss(canary, stable, allowed)
    else:
        loss, p = canary.mean - stable.mean, statistics.mean_loss(_negative(canary), _negative(stable), allowed)
    sentence = (
        f"{metric.name} is {canary.mean:.4g} for the canary and {stable.mean:.4g} for the stable version; "
        f"{tolerance:.1%} worse is allowed."
    )
    return _Check("business", canary.mean, stable.mean, allowed, loss, p, sentence)


def _negative(sample: Sample) -> Sample:
    return replace(sample, mean=-sample.mean)


def _without_latency(name: str, side: Side, whose: str = "canary") -> Finding | None:
    """Why nothing can be said of a side's latency; None when it can."""
    if side.latency.total >= _LEAST:
        return None
    if side.requests - side.errors >= _LEAST:
        return _nothing(name, f"The {whose} answered requests, but there are no metrics of how long they took.")
    return _few(name, f"{side.latency.total:.0f} latencies of the {whose} were measured, but {_LEAST} are needed.")


def _nothing(name: str, sentence: str) -> Finding:
    return Finding(name, Outcome.ERROR, None, None, None, None, None, sentence)


def _few(name: str, sentence: str) -> Finding:
    return Finding(name, Outcome.INCONCLUSIVE, None, None, None, None, None, sentence)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
