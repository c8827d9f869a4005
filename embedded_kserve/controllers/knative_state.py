"""What a Knative Service is made of: its revisions, and the objects that Knative keeps for it."""

import dataclasses
from typing import Any

from embedded_kserve.controllers.controller import Controller, Workload
from embedded_kserve.controllers.deployments import Deployment
from embedded_kserve.data_plane.gateway import Backend
from embedded_kserve.data_plane.pods import Pod, Template
from embedded_kserve.kubernetes.conditions import Status
from embedded_kserve.kubernetes.resources import Kind
from embedded_kserve.kubernetes.store import Document, Store

VISIBILITY = "networking.knative.dev/visibility"
_MIN_SCALE = "autoscaling.knative.dev/min-scale"

Targets = list[dict[str, Any]]


@dataclasses.dataclass
class Revision:
    """One revision: its pods, and what has been seen of them.

    Attributes:
        name: of the revision.
        template: what it is made from.
        deployment: its pods; none before the digest of the image is known.
        reached: whether a route names it, or it is the newest one.
        was_ready: whether it has ever been ready.
    """

    name: str
    template: Template
    deployment: Deployment
    reached: bool = True
    was_ready: bool = False

    @property
    def pods(self) -> list[Pod]:
        """Its pods."""
        return self.deployment.sets[-1].pods if self.deployment.sets else []

    @property
    def smallest(self) -> int:
        """Pods that it is to have while it is reached; scaling to zero by load is not modelled."""
        return max(int(self.template.annotations[_MIN_SCALE]), 1)


@dataclasses.dataclass
class KnativeWorkload(Workload):
    """What became of one InferenceService.

    Attributes:
        revisions: in order of their creation.
        wanted: template of the Knative Service.
        hosts: of its Ingress, as far as its revisions have pods.
        seen: status of the Knative Service, as KServe saw it last.
        differs_since: since when it says something else, in monotonic seconds; 0 when it does not.
        refusal: suffix that makes each refusal of Knative's webhook unique.
    """

    revisions: list[Revision] = dataclasses.field(default_factory=list)
    wanted: Template | None = None
    hosts: dict[str, tuple[Backend, ...]] = dataclasses.field(default_factory=dict)
    seen: Status = dataclasses.field(default_factory=dict)
    differs_since: float = 0.0
    refusal: str = ""

    def next_name(self, service: str) -> str:
        """Name of the next revision."""
        return f"{service}-{len(self.revisions) + 1:05}"


@dataclasses.dataclass(frozen=True)
class KnativeObjects:
    """The objects of one Knative Service; most have its name.

    Attributes:
        store: where they are.
        namespace: of all of them.
        name: of the Service, and so of its Configuration, Route and Ingress.
        owners: the reference of all of them to the InferenceService.
    """

    store: Store
    namespace: str
    name: str
    owners: list[dict[str, Any]]

    def find(self, kind: Kind, name: str = "") -> Document:
        """An object; an empty one when there is none."""
        return self.store.find(kind, self.namespace, name or self.name) or {}

    def write(self, kind: Kind, name: str, spec: Any, labels: dict[str, str] | None = None) -> Document:
        """Create an object, or replace its specification."""
        meta = {"name": name, "namespace": self.namespace, "labels": labels or {}, "ownerReferences": self.owners}
        return self.store.apply(kind, {"metadata": meta, "spec": spec})

    def set_status(self, kind: Kind, name: str, status: Status) -> None:
        """Replace the status of an object."""
        self.store.set_status(kind, self.namespace, name, status)


class KnativePart:
    """One step for a part of one Knative Service.

    Args:
        controller: with its store, pace, timers, faults and what the gateway does.
        workload: what became of the InferenceService so far.
        objects: of the Knative Service.
    """

    def __init__(
        self, controller: Controller[KnativeWorkload], workload: KnativeWorkload, objects: KnativeObjects
    ) -> None:
        self._controller = controller
        self._workload = workload
        self._objects = objects


def observed(part: Document) -> bool:
    """Whether a controller has seen the specification as it is."""
    return bool(part) and part.get("status", {}).get("observedGeneration") == part["metadata"]["generation"]
