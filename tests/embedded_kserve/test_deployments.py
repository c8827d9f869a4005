"""What a Deployment reports of its pods, step by step."""

from dataclasses import dataclass, field
from typing import Any

from embedded_kserve.controllers.deployments import Deployment
from embedded_kserve.data_plane.pods import Template
from embedded_kserve.kubernetes.conditions import Conditions


@dataclass
class AtOnce:
    """Pods that answer as soon as they are there, as where a step of the controller is late."""

    name: str
    template: Template
    pods: list[int] = field(default_factory=list)
    over_quota = False

    def scale(self, replicas: int) -> None:
        self.pods = list(range(replicas))

    @property
    def ready_replicas(self) -> int:
        return len(self.pods)

    made = ready_replicas
    complete = True


def reported(replicas: int) -> list[Any]:
    """Availability, progress and ready replicas in each of the first steps."""
    deployment = Deployment("flights", AtOnce)  # type: ignore[arg-type]
    status: dict[str, Any] = {}
    found: list[Any] = []
    for _ in range(5):
        deployment.want(Template({}, {}, {}, "file:///nowhere", "flights"), replicas)
        status = deployment.status(status, 1)
        conditions = Conditions(status["conditions"])
        found.append((conditions.status("Available"), conditions.reason("Progressing"), status.get("readyReplicas", 0)))
    return found


def test_pods_that_answer_at_once_are_reported_to_be_missing_first() -> None:
    assert reported(replicas=2) == [
        ("Unknown", "NewReplicaSetCreated", 0),
        ("False", "NewReplicaSetCreated", 0),
        ("False", "ReplicaSetUpdated", 0),
        ("True", "NewReplicaSetAvailable", 2),
        ("True", "NewReplicaSetAvailable", 2),
    ]


def test_a_deployment_without_pods_lacks_none() -> None:
    assert reported(replicas=0)[1:] == [("True", "NewReplicaSetAvailable", 0)] * 4
