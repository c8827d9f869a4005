"""The moves of the state machine, and the situation that each is chosen in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kubeline.kubernetes.resources import Manifest
from kubeline.rollout import routers as modes
from kubeline.rollout.routers import Observed, Sides
from kubeline.rollout.spec import Plan
from kubeline.rollout.status import Record, State

Question = Literal["smoke", "shadow", "snapshot", "evidence", "arrivals"]


@dataclass(frozen=True)
class Wait:
    """Look again a little later."""


@dataclass(frozen=True)
class Go:
    """Enter another state; `changes` are fields of the record."""

    state: State
    sentence: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """Write to the InferenceService: a merge patch, or the whole object where there is none yet."""

    body: Manifest
    sentence: str


@dataclass(frozen=True)
class Ask:
    """Find something out, which :func:`answered` judges."""

    question: Question


Move = Wait | Go | Change | Ask


@dataclass(frozen=True)
class Situation:
    """Everything that a decision is made from.

    Attributes:
        record: as read.
        plan: of the rollout.
        service: the live InferenceService; None when there is none.
        observed: how things really are.
        now: Unix seconds.
        request: of a person: promote, abort or nothing.
    """

    record: Record
    plan: Plan
    service: Manifest | None
    observed: Observed
    now: float
    request: str = ""

    @property
    def wrote(self) -> bool:
        """Whether this state's write has been done."""
        return self.record.wrote == self.record.key

    @property
    def sides(self) -> Sides:
        """Who is who."""
        return sides(self.record)

    @property
    def mode(self) -> Any:
        """The functions of the mode."""
        return modes.module(self.record.mode)

    def late(self, seconds: float) -> bool:
        """Whether this state has taken too long."""
        return self.now - self.record.entered > seconds

    @property
    def followed(self) -> bool:
        """Whether KServe has seen the specification; one that never says so is not waited for any longer."""
        return self.observed.current or self.late(self.plan.settle_seconds)

    @property
    def unreached(self) -> str:
        """What shows that a service which the rollout has hidden is not reached from outside; empty when nothing does.

        Unlike :attr:`followed`, no time makes up for it: what users do not reach is not promoted.
        """
        return self.observed.unreached if self.record.hidden else ""

    def tell(self, sentence: str) -> str:
        """The sentence with what the cluster says is wrong."""
        return f"{sentence}: {self.observed.trouble}" if self.observed.trouble else sentence


def sides(record: Record) -> Sides:
    """Who is stable and who is the candidate."""
    return Sides(
        candidate=record.candidate,
        stable=record.stable,
        stable_revision=record.stable_revision,
        candidate_revision=record.candidate_revision,
        candidate_name=record.candidate_name,
        replaced=record.replaced,
        busy=record.busy,
    )
