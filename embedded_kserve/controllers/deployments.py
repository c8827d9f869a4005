"""Deployments of Standard mode: replicas of one pod template, replaced by rolling update when it changes."""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

from embedded_kserve.data_plane.pods import PodSet, Template
from embedded_kserve.kubernetes.conditions import Conditions, Truth

_MAX_UNAVAILABLE = 0.25


class Deployment:
    """One Deployment; the newest of its sets is the wanted one, the others are on their way out.

    Args:
        name: of the Deployment and its Service.
        new_set: makes a set of a template.

    Attributes:
        reported: replicas that answer, in its last status.
    """

    def __init__(self, name: str, new_set: Callable[[str, Template], PodSet]) -> None:
        self.name = name
        self.sets: list[PodSet] = []
        self.replicas = 0
        self.reported = 0
        self._new_set = new_set
        self._made = 0
        self._rolled_out = False  # the newest template has been complete once

    def want(self, template: Template, replicas: int) -> None:
        """Have this many pods of this template; pods of others stay until they are replaced."""
        self.replicas = replicas
        if not self.sets or self.sets[-1].template != template:
            self._made += 1
            digest = hashlib.sha256(f"{self._made} {template}".encode()).hexdigest()[:10]
            self.sets.append(self._new_set(f"{self.name}-{digest}", template))
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
        newest = self.sets[-1]
        conditions = Conditions(before.get("conditions", []))
        self.reported = 0 if self._is_news(newest, conditions) else self.available
        reason, message = self._progress(newest, conditions)
        conditions.set("Progressing", "True", reason, message)
        if before.get("conditions"):  # the first condition says that there is a ReplicaSet
            conditions.set("Available", *self._availability())
        conditions.clear("ReplicaFailure")
        if newest.over_quota:
            missing = f'pods "{newest.name}-" is forbidden: exceeded quota: pods, requested: pods=1, limited: pods=0'
            conditions.set("ReplicaFailure", "True", "FailedCreate", missing)
        counts = {
            "observedGeneration": generation,
            "replicas": sum(one.made for one in self.sets),
            "updatedReplicas": newest.made,
            "readyReplicas": self.reported,
            "availableReplicas": self.reported,
            "unavailableReplicas": max(self.replicas - self.reported, 0),
        }
        return {**{key: value for key, value in counts.items() if value}, "conditions": conditions.listed()}

    def _is_news(self, newest: PodSet, conditions: Conditions) -> bool:
        """Whether its first pods have yet to be reported: however soon they answer, first they are missing."""
        created = conditions.reason("Progressing") in {"", "NewReplicaSetCreated"}
        return bool(newest.pods) and created and conditions.status("Available") != "True"

    def _progress(self, newest: PodSet, conditions: Conditions) -> tuple[str, str]:
        shown = newest.name in conditions.message("Progressing")
        updated = shown and conditions.reason("Progressing") != "NewReplicaSetCreated"
        if self._rolled_out and (updated or not newest.pods):
            return "NewReplicaSetAvailable", f'ReplicaSet "{newest.name}" has successfully progressed.'
        if shown and conditions.reason("Available") and newest.pods:
            return "ReplicaSetUpdated", f'ReplicaSet "{newest.name}" is progressing.'
        return "NewReplicaSetCreated", f'Created new replica set "{newest.name}"'

    def _availability(self) -> tuple[Truth, str, str]:
        if self.reported >= self.replicas - math.floor(self.replicas * _MAX_UNAVAILABLE):
            return "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
        return "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."


def predictor_ready(status: Mapping[str, Any]) -> tuple[Truth, str, str]:
    """PredictorReady by the stable Deployment's status: True while enough pods answer, also while it rolls out."""
    conditions = Conditions(status.get("conditions", []))
    if conditions.status("Available") != "True":
        return "False", conditions.reason("Available"), conditions.message("Available")
    source = "Progressing" if conditions.reason("Progressing") == "NewReplicaSetAvailable" else "Available"
    return "True", conditions.reason(source), conditions.message(source)
