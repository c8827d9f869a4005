"""How a rollout moves traffic: the interface of KServe's modes and of Vertex AI."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers.observation import ClusterSnapshot, Observation, canary_of
from kubeline.rollout.status import Versions

LiveService = Mapping[str, Any]
"""A live InferenceService, or endpoint of Vertex AI as an object."""


class TrafficRouter(ABC):
    """Pure functions between live objects, merge patches and observations; one subclass for each mode.

    What is not abstract is of a mode that has nothing to do there: its pods scale by themselves, and those of the
    candidate go on as the stable ones.

    Attributes:
        needs_routes: the traffic is observed in routes.
        scales: the pods of a share are asked for before it is given.
        routes_lag: the gateway follows its routes a moment later, and KServe does not wait for it.
    """

    needs_routes: bool
    scales: bool
    routes_lag: bool

    @abstractmethod
    def observe(self, snapshot: ClusterSnapshot, versions: Versions) -> Observation:
        """The traffic and the pods as they are, whatever the specification says."""

    @abstractmethod
    def stable_revision(self, service: LiveService) -> str:
        """What serves now."""

    def newest_revision(self, service: LiveService) -> str:
        """The revision that was made last, whether it serves or not; empty where there are none."""
        return ""

    @abstractmethod
    def refusal(self, snapshot: ClusterSnapshot, versions: Versions) -> str:
        """Why traffic cannot be split here; empty when it can."""

    def specified(self, service: LiveService, versions: Versions) -> int | None:
        """Per cent that the specification gives the candidate; None when it is not beside the stable model."""
        entry = canary_of(service, versions)
        return int(entry.get("trafficPercent") or 0) if entry["predictor"] else None

    @abstractmethod
    def add_candidate(self, service: LiveService, versions: Versions, share: int, stable_pods: int) -> Manifest:
        """The patch that puts the candidate beside the stable model, without traffic.

        Args:
            service: live.
            versions: candidate and stable model.
            share: per cent of the first step.
            stable_pods: pods that the stable model has now.
        """

    def scale(self, service: LiveService, versions: Versions, share: int, stable_pods: int) -> Manifest:
        """The patch that gives the candidate the pods of a share, while the traffic stays where it is."""
        return {}

    @abstractmethod
    def shift(self, service: LiveService, versions: Versions, share: int) -> Manifest:
        """The patch that gives the candidate this share."""

    def replace(self, service: LiveService, versions: Versions) -> Manifest:
        """The patch that brings the candidate's package into the stable pods, at 100 %; empty where none is due."""
        return {}

    @abstractmethod
    def promote(self, service: LiveService, versions: Versions) -> Manifest:
        """The patch that makes the candidate, which has 100 %, the stable model."""

    @abstractmethod
    def restore(self, service: LiveService, versions: Versions) -> Manifest:
        """The patch that takes the candidate, which has 0 %, out of the specification."""

    def settle(self, service: LiveService, versions: Versions) -> Manifest:
        """The patch that finishes the return; empty where nothing is left to do."""
        return {}
