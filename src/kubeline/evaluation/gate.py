"""The gate: from the evidence to promote, hold or inconclusive, with a sentence for every check.

Each check has one of three outcomes: pass when the whole interval is on the right side of what is required, fail when
the whole interval is on the wrong side, and inconclusive when the interval contains the requirement. One failed check
holds the model; without a failed one, an inconclusive check makes the verdict inconclusive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kubeline.errors import counted
from kubeline.evaluation.bootstrap import Interval
from kubeline.evaluation.comparison import Comparison
from kubeline.evaluation.metrics import Metric
from kubeline.evaluation.rows import FEW_CLUSTERS, Clusters
from kubeline.evaluation.scoring import Agreement
from kubeline.evaluation.slices import Slice
from kubeline.model_package.blessing import Verdict
from kubeline.printable import rounded

_NARROW = "more test rows would narrow it"

GateOutcome = Literal["pass", "fail", "inconclusive"]
ChampionRule = Literal["non_inferior", "superior"]


@dataclass(frozen=True)
class GateCheck:
    """One requirement, its outcome, and a sentence with the figures."""

    name: str
    outcome: GateOutcome
    sentence: str


@dataclass(frozen=True)
class GateDecision:
    """The verdict, the sentences that decided it, and every check."""

    verdict: Verdict
    reasons: list[str]
    checks: list[GateCheck]


def decide(checks: Sequence[GateCheck]) -> GateDecision:
    """The verdict over all checks; its reasons are the sentences of the checks that decided it."""
    outcomes = [check.outcome for check in checks]
    verdict: Verdict = "hold" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "promote"
    deciding = {"hold": "fail", "inconclusive": "inconclusive", "promote": "pass"}[verdict]
    return GateDecision(verdict, [check.sentence for check in checks if check.outcome == deciding], list(checks))


def reach(gain: Interval, required: float) -> GateOutcome:
    """Whether a gain (above zero is better) surely reaches what is required, surely does not, or may."""
    if gain.lower is None or gain.upper is None:
        return "inconclusive"
    return "pass" if gain.lower >= required else "fail" if gain.upper < required else "inconclusive"


def rows_check(rows: int, min_rows: int) -> GateCheck:
    """Too few rows decide nothing."""
    if rows >= min_rows:
        return GateCheck("rows", "pass", f"{rows:,} labelled test rows are enough to judge (at least {min_rows:,})")
    return GateCheck(
        "rows", "inconclusive", f"{rows:,} labelled test rows are too few to judge; give at least {min_rows:,}"
    )


def undefined_check(metric: Metric, reason: str, of: str = "the model") -> GateCheck:
    """The metric has no value on these rows."""
    return GateCheck(
        f"{metric.spoken} of {of}",
        "inconclusive",
        f"{metric.spoken} of {of} is not defined on these test rows: {reason}",
    )


def parity_check(agreement: Agreement) -> GateCheck:
    """The model must answer here as it did in training."""
    if not agreement.rows:
        return GateCheck("parity", "inconclusive", str(agreement))
    return GateCheck("parity", "fail" if agreement.beyond else "pass", str(agreement))


def dummy_check(comparison: Comparison) -> GateCheck:
    """The model must beat the constant guess, beyond noise."""
    outcome, words = _beats(comparison)
    return GateCheck("beats a constant guess", outcome, words)


def proper_check(comparison: Comparison) -> GateCheck:
    """The same by a proper score, which rewards nothing but probabilities that come true."""
    outcome, words = _beats(comparison)
    if outcome == "fail":
        words += "; its probabilities are too sure or not those of the table: calibrate them, or train without balanced"
    elif outcome == "inconclusive":
        words += "; give more test rows, or calibrate the probabilities"
    return GateCheck(f"beats a constant guess by {comparison.metric.name}", outcome, words)


def _beats(comparison: Comparison) -> tuple[GateOutcome, str]:
    gain = comparison.gain
    outcome: GateOutcome = (
        "pass" if (gain.lower or 0) > 0 else "fail" if gain.upper is not None and gain.upper <= 0 else "inconclusive"
    )
    words = {"pass": "beats", "fail": "does not beat", "inconclusive": "may or may not beat"}[outcome]
    return outcome, (
        f"{comparison.metric.spoken} {rounded(comparison.model)} {words} the {rounded(comparison.other)} of a constant "
        f"guess: a gain of {signed(gain)}"
    )


def clusters_check(clusters: Clusters) -> GateCheck | None:
    """Too few clusters decide nothing; None where every row stands for itself."""
    if clusters.codes is None:
        return None
    if clusters.few:
        return GateCheck(
            "clusters",
            "inconclusive",
            f"{clusters.assumed}, and the test rows have {clusters.number} of them, too few for an interval; "
            f"give rows of at least {FEW_CLUSTERS}",
        )
    return GateCheck("clusters", "pass", f"{clusters.assumed}; the test rows have {clusters.number:,} of them")


def unfair_check(reason: str) -> GateCheck:
    """The champion cannot be compared on these rows."""
    return GateCheck("champion", "inconclusive", reason)


def champion_check(comparison: Comparison, rule: ChampionRule, margin: float) -> GateCheck:
    """The model against the champion: `margin` is the share of the champion's value that may be lost."""
    gain, allowed = comparison.gain, margin * abs(comparison.other)
    margin_words = f"the margin of {rounded(allowed)}"
    if gain.lower is None or gain.upper is None:
        outcome: GateOutcome = "inconclusive"
    elif rule == "superior":
        outcome = "pass" if gain.lower > 0 else "fail" if gain.upper <= 0 else "inconclusive"
    else:
        outcome = "pass" if gain.lower >= -allowed else "fail" if gain.upper < 0 else "inconclusive"
    words = {
        ("superior", "pass"): "which is better beyond chance",
        ("superior", "fail"): "which is no better",
        ("superior", "inconclusive"): "which may be chance",
        ("non_inferior", "pass"): f"which is no worse than {margin_words} allows",
        ("non_inferior", "fail"): f"which is worse beyond chance, and may be by more than {margin_words}",
        ("non_inferior", "inconclusive"): f"which may be worse by more than {margin_words}; {_NARROW}",
    }[(rule, outcome)]
    name = comparison.metric.spoken
    return GateCheck(
        f"champion: {rule}",
        outcome,
        f"{name} is {rounded(comparison.model)} against the champion's {rounded(comparison.other)}, a gain of "
        f"{signed(gain)} ({comparison.method}, {comparison.p_words}), {words}",
    )


def no_champion_check(reference: str, policy: Literal["promote", "hold"]) -> GateCheck:
    """What to do when there is nothing to compare with."""
    missing = f"the champion '{reference}' does not exist yet" if reference else "no champion was given"
    if policy == "promote":
        return GateCheck(
            "champion", "pass", f"{missing}, and no_champion=promote lets the first model pass without one"
        )
    return GateCheck("champion", "fail", f"{missing}, and no_champion=hold asks for one")


def slices_check(slices: Sequence[Slice], metric: Metric) -> GateCheck | None:
    """No slice may be worse than the champion beyond the margin and chance; None when no slice was compared."""
    compared = [part for part in slices if part.gain is not None]
    lost = [part for part in compared if part.regression]
    if not compared:
        return None
    if not lost:
        return GateCheck(
            "slices",
            "pass",
            f"in none of {counted(len(compared), 'slice')} is {metric.spoken} worse than the champion's beyond margin "
            "and chance",
        )
    first = [f"{part.name}: {part.estimate} against {rounded(part.champion)}" for part in lost[:3] if part.champion]
    named = "; ".join(first)
    return GateCheck(
        "slices",
        "fail",
        f"in {len(lost)} of {counted(len(compared), 'slice')} {metric.spoken} is worse than the champion's beyond "
        f"margin and chance ({named}{'; …' if len(lost) > 3 else ''})",
    )


def signed(gain: Interval) -> str:
    """An interval with the sign of its numbers."""
    return gain.written(sign=True)
