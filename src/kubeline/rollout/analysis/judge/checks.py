"""One check of the judge: a measured effect and its limit, or why there is none."""

import math
from dataclasses import dataclass

from kubeline.printable import p_words
from kubeline.rollout.analysis.judge.evidence import CheckOutcome, CheckResult

MIN_VALUES = 20  # from which on the approximate tests hold their level


@dataclass(frozen=True)
class Check:
    """A measured effect before it is known at which level it fails."""

    name: str
    canary: float
    stable: float | None
    limit: float
    effect: float
    p_value: float
    sentence: str

    def decided(self, at: float) -> CheckResult:
        """What it came to, where a p-value of at most `at` makes an effect beyond its limit a failure."""
        beyond = self.effect > self.limit
        outcome = CheckOutcome.PASS
        if beyond:
            outcome = CheckOutcome.FAIL if self.p_value <= at else CheckOutcome.INCONCLUSIVE
        reason = {
            CheckOutcome.PASS: "",
            CheckOutcome.FAIL: f" Chance does not explain it ({p_words(self.p_value)}, level {at:.2g}).",
            CheckOutcome.INCONCLUSIVE: f" Chance may explain it ({p_words(self.p_value)}, level {at:.2g}).",
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


def nothing(name: str, sentence: str) -> CheckResult:
    """The evidence lacks what it must have."""
    return CheckResult(name, CheckOutcome.ERROR, None, None, None, None, None, sentence)


def impossible(name: str, sentence: str) -> CheckResult:
    """The source does not have what is compared."""
    return CheckResult(name, CheckOutcome.NOT_POSSIBLE, None, None, None, None, None, sentence)


def few(name: str, sentence: str) -> CheckResult:
    """There is too little yet to say anything."""
    return CheckResult(name, CheckOutcome.INCONCLUSIVE, None, None, None, None, None, sentence)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
