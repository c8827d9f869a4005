"""The actions of the state machine, and the context that each is chosen in."""

from dataclasses import dataclass
from enum import Enum

from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers import Observation, TrafficRouter, router_of
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import RolloutStatus


class Probe(Enum):
    """Measure what the cluster's objects do not show: see :class:`kubeline.rollout.probes.Probes`."""

    SMOKE_TEST = "smoke test"
    SHADOW = "shadow comparison"
    METRICS_SNAPSHOT = "snapshot of the metrics"
    ANALYSIS = "analysis"
    REQUEST_COUNTS = "request counts"


@dataclass(frozen=True)
class Wait:
    """Observe again a little later."""


@dataclass(frozen=True)
class Transition:
    """Record another status, of the same state or of another one; `sentence` says why."""

    status: RolloutStatus
    sentence: str


@dataclass(frozen=True)
class Patch:
    """Write to the InferenceService: a merge patch, or the whole object where there is none yet."""

    body: Manifest
    sentence: str


Action = Wait | Transition | Patch | Probe


@dataclass(frozen=True)
class Context:
    """Everything that a decision is made from.

    Attributes:
        status: as stored.
        spec: of the rollout.
        service: the live InferenceService; None when there is none.
        observed: the traffic and the pods.
        time: Unix seconds.
        request: of an operator: promote, abort or nothing.
    """

    status: RolloutStatus
    spec: RolloutSpec
    service: Manifest | None
    observed: Observation
    time: float
    request: str = ""

    @property
    def written(self) -> bool:
        """Whether the write of this state was completed."""
        return self.status.write.completed == self.status.key

    @property
    def live(self) -> Manifest:
        """The live InferenceService, where there must be one.

        Raises:
            ValueError: when there is none.
        """
        if self.service is None:
            raise ValueError(f"there is no InferenceService {self.status.where} in state {self.status.state}")
        return self.service

    @property
    def router(self) -> TrafficRouter:
        """Of the mode of KServe, which is known from the first state on in which it matters.

        Raises:
            ValueError: when it is not known.
        """
        if self.status.mode is None:
            raise ValueError(f"the mode of {self.status.where} is not known in state {self.status.state}")
        return router_of(self.status.mode)

    def late(self, seconds: float) -> bool:
        """Whether this state has taken too long."""
        return self.time - self.status.entered > seconds

    @property
    def followed(self) -> bool:
        """Whether KServe has reconciled the specification; not waited for any longer when it never reports so."""
        return self.observed.current or self.late(self.spec.settle_seconds)

    @property
    def unreachable(self) -> str:
        """What shows that a service which the rollout has hidden is not reached from outside; empty when nothing does.

        Unlike :attr:`followed`, no time makes up for it: what users do not reach is not promoted.
        """
        return self.observed.unreachable if self.status.hidden else ""

    def explained(self, sentence: str) -> str:
        """The sentence with what the cluster reports to be wrong."""
        return f"{sentence}: {self.observed.problem}" if self.observed.problem else sentence
