"""From evidence to a verdict."""

from kubeline.rollout.judge.evidence import Evidence, Judgement
from kubeline.rollout.judge.rules import Rules


def judge(evidence: Evidence, rules: Rules, look: int, looks: int) -> Judgement:
    """Judge one look; being written."""
    raise NotImplementedError
