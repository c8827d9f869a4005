"""The judge of a canary: evidence in, verdict out, and nothing else; so its error rates can be simulated."""

from kubeline.rollout.analysis.judge.evidence import (
    BusinessMetric,
    CheckOutcome,
    CheckResult,
    Evidence,
    Histogram,
    Judgement,
    LabelEvidence,
    SampleStatistics,
    Side,
)
from kubeline.rollout.analysis.judge.rules import Rules
from kubeline.rollout.analysis.judge.verdict import judge

__all__ = [
    "BusinessMetric",
    "CheckOutcome",
    "CheckResult",
    "Evidence",
    "Histogram",
    "Judgement",
    "LabelEvidence",
    "Rules",
    "SampleStatistics",
    "Side",
    "judge",
]
