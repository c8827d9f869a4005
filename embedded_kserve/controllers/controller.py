"""What the controllers of both modes share: a step over every InferenceService, traffic, pods and statuses."""

import abc
import dataclasses
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from embedded_kserve.controllers.manifests import SERVICE_LABEL, InvalidSpecError, owner
from embedded_kserve.controllers.model_status import invalid_model
from embedded_kserve.data_plane.gateway import Backend, Gateway, Traffic
from embedded_kserve.data_plane.pods import PodSet, Template
from embedded_kserve.delays import Alarm, Late, Pace, Timers
from embedded_kserve.faults import FaultBook, WorkloadFault
from embedded_kserve.kubernetes.admission import deployment_mode
from embedded_kserve.kubernetes.conditions import Conditions, Status
from embedded_kserve.kubernetes.resources import INFERENCE_SERVICE, POD, Kind
from embedded_kserve.kubernetes.statuses import StatusError
from embedded_kserve.kubernetes.store import Document, Store

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Workload:
    """What became of one InferenceService.

    Attributes:
        sets: its pods by template, in order of their creation.
        made: number of sets made so far.
        endpoints: its part of the gateway's endpoints.
        status: what is to be written into it.
        others: statuses of further objects, by kind and name.
        owners: the reference of its pods to it.
    """

    sets: list[PodSet] = dataclasses.field(default_factory=list)
    made: int = 0
    endpoints: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    status: Status = dataclasses.field(default_factory=dict)
    others: dict[tuple[Kind, str], Status] = dataclasses.field(default_factory=dict)
    owners: list[dict[str, Any]] = dataclasses.field(default_factory=list)


W = TypeVar("W", bound=Workload)


class Controller(abc.ABC, Generic[W]):
    """Brings the cluster to what InferenceServices specify, a step at a time.

    Args:
        store: the API server's objects.
        gateway: where routes are put.
        faults: what becomes of pods.
        logs: folder for the pods' logs.
        pace: how long things take.
        changed: called when a pod has changed, so that a step is due.
    """

    mode: str

    def __init__(
        self, store: Store, gateway: Gateway, faults: FaultBook, logs: Path, pace: Pace, changed: Callable[[], None]
    ) -> None:
        self.store = store
        self._gateway = gateway
        self._faults = faults
        self._logs = logs
        self._changed = changed
        self.pace = pace
        self.alarm = Alarm()
        self.timers = Timers(self.alarm)
        self._routed: Late[Traffic] = Late(self.alarm)
        self._known = Traffic({}, {})  # what the gateway does
        self._seen: dict[str, Late[Document]] = {}  # by uid
        self._workloads: dict[tuple[str, str, str], W] = {}  # by namespace, name and uid

    @abc.abstractmethod
    def new_workload(self) -> W:
        """The state of an InferenceService that has just been seen."""

    @abc.abstractmethod
    def reconcile(self, service: Document, state: W) -> None:
        """One step for one InferenceService: change `state`, and the objects it owns."""

    def step(self) -> None:
        """One step for all: what other controllers do, objects and pods, what the gateway knows, and statuses."""
        self.others()
        seen = {}
        for service in self._visible(self.store.every(INFERENCE_SERVICE)):
            meta = service["metadata"]
            if deployment_mode(service, self.mode) != self.mode:
                self._reject(service)
                continue
            key = (meta["namespace"], meta["name"], meta["uid"])
            seen[key] = service
            state = self._workloads.setdefault(key, self.new_workload())
            state.owners = owner(service)
            try:
                self.reconcile(service, state)
            except StatusError:
                if self.store.find(INFERENCE_SERVICE, key[0], key[1]) is not None:  # else it was deleted meanwhile
                    raise
        for key in set(self._workloads) - set(seen):
            self._forget(key)
        self._update_gateway()
        for key, state in list(self._workloads.items()):
            self._write(key, state)
            if key not in seen and not any(one.pods or one.leaving for one in state.sets):
                del self._workloads[key]

    def _visible(self, live: Sequence[Document]) -> Iterator[Document]:
        """The objects as a controller sees them: late, while a fault makes its watch slow; with the status it wrote."""
        self._seen = {d["metadata"]["uid"]: self._seen.get(d["metadata"]["uid"]) or Late(self.alarm) for d in live}
        for document in live:
            meta = document["metadata"]
            delay = self._faults.watch_delay(INFERENCE_SERVICE.plural, meta["name"])
            if (seen := self._seen[meta["uid"]].delayed(document, delay)) is not None:
                yield {**seen, "status": document.get("status", {})}

    def _update_gateway(self) -> None:
        """Apply hosts and endpoints to the gateway, as they were some time ago."""
        hosts = dict(self.hosts())
        ends = {name: ports for state in self._workloads.values() for name, ports in state.endpoints.items()}
        behind = self._faults.of_gateway()
        traffic = Traffic(hosts, ends, self._faults.token())
        known = self._routed.delayed(traffic, self.pace.gateway if behind is None else behind)
        if known is not None:
            self._gateway.apply(known)
            if known != self._known:
                self._known = known
                self._changed()  # what waits for the gateway is due

    def leads_to(self, hosts: Mapping[str, tuple[Backend, ...]]) -> bool:
        """Whether the gateway routes these hosts so."""
        return all(self._known.hosts.get(host) == backends for host, backends in hosts.items())

    @property
    def gateway_is_stuck(self) -> bool:
        """Whether the gateway follows nothing."""
        return self._faults.of_gateway() == math.inf

    def others(self) -> None:
        """What controllers do that are not KServe's, with what was written in the step before."""

    @abc.abstractmethod
    def hosts(self) -> Mapping[str, tuple[Backend, ...]]:
        """What is to be routed, by host."""

    def stop(self) -> None:
        """End every pod, and wait for them."""
        sets = [one for state in self._workloads.values() for one in state.sets]
        for one in sets:
            one.scale(0)
        for pod in [pod for one in sets for pod in one.leaving]:
            pod.ended.wait(20)

    def new_set(self, namespace: str, name: str, template: Template) -> PodSet:
        """A set without pods yet."""
        return PodSet(
            name, template, self._logs, self.pace, lambda: self.fault_of(f"{namespace}/{name}"), self._changed
        )

    def fault_of(self, component: str) -> WorkloadFault | None:
        """What becomes of the pods of a revision or Deployment, given with its namespace."""
        return self._faults.of_pod(component)

    def refuse(self, service: Document, state: W, error: InvalidSpecError) -> None:
        """Say in the status that there can be no pods; what serves already goes on."""
        old: Status = service.get("status", {})
        conditions = Conditions(old.get("conditions", []))
        for kind in ("PredictorReady", "Ready"):
            if not state.sets:
                conditions.set(kind, "Unknown")
        model = invalid_model(old.get("modelStatus", {}), error.reason, str(error))
        state.status = {**old, "deploymentMode": self.mode, "conditions": conditions.listed(), "modelStatus": model}

    def _reject(self, service: Document) -> None:
        """An InferenceService of another mode than what is installed is left alone."""
        conditions = Conditions.of(service)
        message = f"this cluster deploys in {self.mode} mode only"
        conditions.set("PredictorReady", "False", "ModeRejected", message)
        conditions.set("Ready", "False", "ModeRejected", message)
        meta = service["metadata"]
        status = {**service.get("status", {}), "conditions": conditions.listed()}
        self.store.set_status(INFERENCE_SERVICE, meta["namespace"], meta["name"], status)

    def _forget(self, key: tuple[str, str, str]) -> None:
        state = self._workloads[key]
        state.endpoints, state.status, state.others = {}, {}, {}
        for one in state.sets:
            one.scale(0)
        self.store.collect(key[2])

    def _write(self, key: tuple[str, str, str], state: W) -> None:
        namespace, name, uid = key
        for (kind, other), status in state.others.items():
            self.store.set_status(kind, namespace, other, status)
        self._write_pods(namespace, name, uid, state)
        live = self.store.find(INFERENCE_SERVICE, namespace, name)
        if state.status and live is not None and live["metadata"]["uid"] == uid:
            self._record_events(live, state.status)
            self.store.set_status(INFERENCE_SERVICE, namespace, name, state.status)

    def _write_pods(self, namespace: str, name: str, uid: str, state: W) -> None:
        pods = {pod.name: pod for one in state.sets for pod in (*one.pods, *one.leaving)}
        there = {d["metadata"]["name"]: d for d in self.store.every(POD, namespace)}
        for pod_name, document in there.items():
            owners = document["metadata"].get("ownerReferences", [])
            if pod_name not in pods and any(one["uid"] == uid for one in owners):
                self.store.delete(POD, namespace, pod_name)
        if not state.owners or self.store.find(INFERENCE_SERVICE, namespace, name) is None:
            return
        for one in state.sets:
            labels = {**one.template.labels, SERVICE_LABEL: name, **self.pod_labels(one)}
            for pod in (*one.pods, *one.leaving):
                meta = {"name": pod.name, "namespace": namespace, "labels": labels, "ownerReferences": state.owners}
                made: Document = {**meta, "annotations": dict(one.template.annotations)}
                if pod.phase == "leaving":
                    made["deletionTimestamp"] = pod.leaving_since
                with self.store.changed:  # nobody sees a pod without a status
                    self.store.apply(POD, {"metadata": made, "spec": pod.spec()})
                    self.store.set_status(POD, namespace, pod.name, pod.status())
                for reason, message in pod.new_warnings():
                    self.store.event({"kind": "Pod", "metadata": made}, reason, message, warning=True)

    def pod_labels(self, one: PodSet) -> dict[str, str]:
        """The labels by which the pods of a set are found."""
        return {"serving.knative.dev/revision": one.name}

    def _record_events(self, live: Document, status: Status) -> None:
        """Events that operators read when a model does not come up."""
        failure = status.get("modelStatus", {}).get("lastFailureInfo")
        if failure and failure != live.get("status", {}).get("modelStatus", {}).get("lastFailureInfo"):
            self.store.event(live, failure["reason"], failure["message"], warning=True)
        now_ready = Conditions(status.get("conditions", [])).status("Ready") == "True"
        if now_ready and Conditions.of(live).status("Ready") != "True":
            self.store.event(live, "InferenceServiceReady", f"InferenceService [{live['metadata']['name']}] is Ready")
