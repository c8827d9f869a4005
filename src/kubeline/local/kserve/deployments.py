"""Deployments of Standard mode: replicas of one pod template, replaced by rolling update when it changes."""

import math
from collections.abc import Callable
from typing import Any

from kubeline.local.kserve.conditions import Conditions
from kubeline.local.kserve.pods import PodSet, Template

_MAX_UNAVAILABLE = 0.25


class Deployment:
    """One Deployment; the newest of its sets is the wanted one, the others are on their way out.

    Args:
        name: of the Deployment and its Service.
        new_set: makes a set of a template.
    """

    def __init__(self, name: str, new_set: Callable[[str, Template], PodSet]) -> None:
        self.name = name
        self.sets: list[PodSet] = []
        self.replicas = 0
        self._new_set = new_set
        self._made = 0
        self._rolled_out = False  # the newest template has been complete once

    def want(self, template: Template, replicas: int) -> None:
        """Have this many pods of this template; pods of others stay until they are replaced."""
        self.replicas = replicas
        if not self.sets or self.sets[-1].template != template:
            self._made += 1
            self.sets.append(self._new_set(f"{self.name}-{self._made:03}", template))
            self._rolled_out = False
        self.sets[-1].scale(replicas)
        missing = max(replicas - self.sets[-1].ready_replicas, 0)
        for old in self.sets[:-1]:
            old.scale(min(len(old.pods), missing))
        if self.sets[-1].complete and not any(old.pods for old in self.sets[:-1]):
            self._rolled_out = True

    def scale_down(self) -> None:
        """Let every pod go: the Deployment is deleted."""
        for one in self.sets:
            one.scale(0)

    @property
    def available(self) -> int:
        """Replicas that answer, of whatever template."""
        return min(sum(one.ready_replicas for one in self.sets), max(self.replicas, self.sets[-1].ready_replicas))

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the pods answer."""
        return tuple(port for one in self.sets for port in one.ports)

    def status(self, before: dict[str, Any], generation: int) -> dict[str, Any]:
        """The status of the Deployment, as Kubernetes has it."""
        conditions = Conditions(before.get("conditions", []))
        if self.available >= self.replicas - math.floor(self.replicas * _MAX_UNAVAILABLE):
            conditions.set("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        else:
            message = "Deployment does not have minimum availability."
            conditions.set("Available", "False", "MinimumReplicasUnavailable", message)
        done = "NewReplicaSetAvailable" if self._rolled_out else "ReplicaSetUpdated"
        conditions.set("Progressing", "True", done)
        conditions.clear("ReplicaFailure")
        if self.sets[-1].over_quota:
            conditions.set("ReplicaFailure", "True", "FailedCreate", "pods are forbidden: exceeded quota")
        return {
            "observedGeneration": generation,
            "replicas": sum(one.wanted for one in self.sets),
            "updatedReplicas": self.sets[-1].wanted,
            "readyReplicas": self.available,
            "availableReplicas": self.available,
            "conditions": conditions.listed(),
        }


def predictor_ready(conditions: list[dict[str, Any]]) -> tuple[Any, str, str]:
    """PredictorReady by the stable Deployment's conditions: Unknown while it rolls out, although it serves."""
    by_type = {condition["type"]: condition for condition in conditions}
    available, progressing = by_type["Available"], by_type["Progressing"]
    failure = by_type.get("ReplicaFailure")
    if failure is not None:
        return "False", failure["reason"], failure["message"]
    if available["status"] == "False":
        return "False", available["reason"], available["message"]
    if progressing["reason"] == "NewReplicaSetAvailable":
        return "True", "", ""
    return "Unknown", progressing["reason"], ""
