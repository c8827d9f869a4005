"""A cluster without pods that lies: an API server, a KServe that follows at once, and a liar that stands between.

A rollout is recorded once, with what is there when it enters each state; from each of those it can be gone on with.
"""

import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from embedded_kserve.controllers.knative import propagated_status, traffic_targets
from embedded_kserve.controllers.manifests import MODES, install_defaults
from embedded_kserve.kubernetes import resources
from embedded_kserve.kubernetes.admission import review
from embedded_kserve.kubernetes.api_server import ApiServer
from embedded_kserve.kubernetes.store import Store
from kubeline.deployment.inference_service import Service, render
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.actions import Context
from kubeline.rollout.clock import Clock
from kubeline.rollout.driver import Driver
from kubeline.rollout.routers.standard import workload_name
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.start import start
from kubeline.rollout.status import (
    Analysis,
    AnalysisOutcome,
    RequestCounts,
    RolloutStatus,
    ShadowResult,
    SmokeTestResult,
    State,
)
from kubeline.rollout.store import StatusStore, StoredStatus, config_map_name, dump, load
from tests.rollout.liar import NAME, NAMESPACE, Liar
from tests.support.kubernetes_api import kubeconfig_of

PLAN: dict[str, Any] = {
    "steps": [10, 100],
    "bake_seconds": 0,
    "max_bake_seconds": 0.2,
    "verify_seconds": 0,
    "drain_seconds": 0,
    "outage_seconds": 0,
    "poll_seconds": 0.001,
    "ready_seconds": 60,
    "settle_seconds": 60,
    "lease_seconds": 600,
    "smoke": {"rows": 1},
    "bootstrap": "direct",
}


@dataclass
class GoodCandidate:
    """The probes of a candidate that is as good as it can be."""

    def smoke_test(self, now: Context) -> SmokeTestResult:
        del now
        return SmokeTestResult(passed=True, sentence="answered as recorded")

    def compare_shadow(self, now: Context) -> ShadowResult:
        raise NotImplementedError

    def snapshot_metrics(self, now: Context) -> dict[str, Any]:
        del now
        return {"begun": True}

    def analyze(self, now: Context) -> Analysis:
        return Analysis(now.status.step.index, now.observed.share, AnalysisOutcome.PASS, "as good as stable")

    def count_requests(self, now: Context) -> RequestCounts:
        del now
        return RequestCounts()


@dataclass
class Follower:
    """KServe in Knative mode, whose revisions are ready as soon as they are made."""

    store: Store
    templates: list[Any] = field(default_factory=list)
    mode: ClassVar[str] = "knative"

    def follow(self) -> None:
        for service in self.store.every(resources.INFERENCE_SERVICE):
            spec = service["spec"]["predictor"]
            template = {key: value for key, value in spec.items() if key != "canaryTrafficPercent"}
            if not self.templates or self.templates[-1] != template:
                self.templates.append(template)
            newest = f"{NAME}-predictor-{len(self.templates):05}"
            before = service.get("status", {}).get("components", {}).get("predictor", {})
            targets = traffic_targets(before, spec.get("canaryTrafficPercent"), True)
            for target in targets:
                target["revisionName"] = target.get("revisionName") or newest
                target["url"] = f"http://{target.get('tag', '')}-{NAME}.example.com"
            ready = [{"type": "Ready", "status": "True"}]
            status = {
                "deploymentMode": "Knative",
                "url": f"http://{NAME}.example.com",
                "conditions": ready,
                "components": {"predictor": propagated_status(before, newest, newest, targets)},
            }
            self.store.set_status(resources.INFERENCE_SERVICE, NAMESPACE, NAME, status)


@dataclass
class StandardFollower:
    """KServe in Standard mode with a gateway, whose pods are ready as soon as they are asked for."""

    store: Store
    templates: list[Any] = field(default_factory=list)
    mode: ClassVar[str] = "standard"

    def follow(self) -> None:
        for service in self.store.every(resources.INFERENCE_SERVICE):
            spec, canaries = service["spec"], service["spec"].get("canary") or []
            predictors = [spec["predictor"], *(canary["predictor"] for canary in canaries)]
            workloads = {workload_name(NAME, predictor.get("name", "")): predictor for predictor in predictors}
            self._run(workloads)
            shares = [canary.get("trafficPercent", 0) for canary in canaries]
            weights = dict(zip(workloads, [100 - sum(shares), *shares], strict=True))
            for route in (NAME, f"{NAME}-predictor"):
                self._route(route, weights)
            status = {
                "deploymentMode": "Standard",
                "url": f"http://{NAME}.example.com",
                "conditions": [{"type": kind, "status": "True"} for kind in ("PredictorReady", "Ready")],
                "canaryStatuses": [
                    {"name": one["predictor"]["name"], "ready": True, "trafficPercent": one.get("trafficPercent", 0)}
                    for one in canaries
                ],
            }
            self.store.set_status(resources.INFERENCE_SERVICE, NAMESPACE, NAME, status)

    def _run(self, workloads: Mapping[str, Any]) -> None:
        wanted = {
            f"{name}-{number}": (name, predictor)
            for name, predictor in workloads.items()
            for number in range(predictor.get("minReplicas", 1))
        }
        there = {pod["metadata"]["name"]: pod for pod in self.store.every(resources.POD)}
        for name in there.keys() - wanted.keys():
            self.store.delete(resources.POD, NAMESPACE, name)
        for name, (workload, predictor) in wanted.items():
            labels = {"serving.kserve.io/inferenceservice": NAME}
            container = {"name": "kserve-container", "image": "server", "env": predictor["model"].get("env", [])}
            pod = {"metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}}
            self.store.apply(resources.POD, {**pod, "spec": {"containers": [container]}})
            ready = {"conditions": [{"type": "Ready", "status": "True"}], "podIP": "127.0.0.1"}
            self.store.set_status(resources.POD, NAMESPACE, name, ready)
            self.store.apply(resources.DEPLOYMENT, {"metadata": {"name": workload, "namespace": NAMESPACE}, "spec": {}})

    def _route(self, name: str, weights: Mapping[str, int]) -> None:
        backends = [{"name": backend, "weight": weight} for backend, weight in weights.items()]
        route = {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"rules": [{"backendRefs": backends}]}}
        generation = self.store.apply(resources.HTTP_ROUTE, route)["metadata"]["generation"]
        accepted = {"type": "Accepted", "status": "True", "observedGeneration": generation}
        parent = {"conditions": [accepted], "controllerName": "gateway", "parentRef": {"name": "gateway"}}
        self.store.set_status(resources.HTTP_ROUTE, NAMESPACE, name, {"parents": [parent]})


@dataclass
class Moment:
    """What is there when a rollout has entered a state."""

    record: RolloutStatus
    service: Manifest
    templates: list[Any]


class World:
    """One service in such a cluster."""

    def __init__(self, server: ApiServer, liar: Liar, follower: Follower | StandardFollower, folder: Path) -> None:
        self.server, self.liar, self.follower = server, liar, follower
        url = f"http://127.0.0.1:{liar.server_port}"
        self.kubeconfig = kubeconfig_of(url, folder, token=server.token)
        self.cluster = self.client(60)
        self.store = StatusStore(self.cluster, NAMESPACE, NAME)

    def client(self, seconds: float) -> Cluster:
        return Cluster.connect(self.kubeconfig, timeout_seconds=seconds, waits=())

    def manifest(self, digest: str) -> Manifest:
        return render(Service(NAME, NAMESPACE, storage_uri=f"s3://models/{digest}", package_digest=digest * 64))

    def restore(self, moment: Moment) -> StoredStatus:
        """Everything as it was then."""
        self.liar.lie, self.liar.lies, self.liar.method = None, 0, ""
        self.delete_service()
        self.delete_record()
        self.follower.templates = list(moment.templates)
        made = self.server.store.create(resources.INFERENCE_SERVICE, copy.deepcopy(moment.service))
        self.server.store.set_status(resources.INFERENCE_SERVICE, NAMESPACE, NAME, moment.service["status"])
        uid = moment.record.write.uid and made["metadata"]["uid"]
        write = replace(moment.record.write, generation=made["metadata"]["generation"], uid=uid)
        record = replace(moment.record, write=write)
        kept: Manifest = {"metadata": {"name": config_map_name(NAME), "namespace": NAMESPACE}}
        kept["data"] = {"record": dump(record)}
        version = self.server.store.create(resources.CONFIG_MAP, kept)["metadata"]["resourceVersion"]
        return StoredStatus(record, version)

    def delete_service(self) -> None:
        self._delete(resources.INFERENCE_SERVICE, NAME)

    def delete_record(self) -> None:
        self._delete(resources.CONFIG_MAP, config_map_name(NAME))

    def _delete(self, kind: resources.Kind, name: str) -> None:
        if self.server.store.find(kind, NAMESPACE, name) is not None:
            self.server.store.delete(kind, NAMESPACE, name)

    def service(self) -> Manifest:
        return self.server.store.get(resources.INFERENCE_SERVICE, NAMESPACE, NAME)

    def stored(self) -> StoredStatus:
        found = self.store.read()
        assert found is not None
        return found

    def record(self) -> RolloutStatus:
        found = self.server.store.get(resources.CONFIG_MAP, NAMESPACE, config_map_name(NAME))
        return load(json.loads(found["data"]["record"]))

    def share(self) -> int | None:
        """Per cent that the specification gives the candidate; None when there is none beside the stable model."""
        spec = self.service()["spec"]
        canaries = [canary["trafficPercent"] for canary in spec.get("canary") or []]
        percent = next(iter(canaries), spec["predictor"].get("canaryTrafficPercent"))
        return None if percent is None else int(percent)

    def create_anew(self) -> None:
        """What someone else does who deletes the service and applies it once more."""
        old = self.service()
        kept = {key: old["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
        self.delete_service()
        self.follower.templates = []
        self.server.store.create(resources.INFERENCE_SERVICE, {"metadata": kept, "spec": old["spec"]})

    def drive(
        self,
        kept: StoredStatus,
        listen: Callable[[RolloutStatus], None] = lambda record: None,
        clock: Clock | None = None,
        cluster: Cluster | None = None,
        **plan: Any,
    ) -> RolloutStatus:
        cluster = cluster or self.cluster
        driver = Driver(
            cluster=cluster,
            store=StatusStore(cluster, NAMESPACE, NAME),
            spec=RolloutSpec.read({**PLAN, **plan}),
            probes=GoodCandidate(),
            clock=clock or Clock(),
            on_change=listen,
        )
        return driver.run(kept)

    def begin(self, digest: str, **plan: Any) -> StoredStatus:
        return start(self.cluster, self.manifest(digest), RolloutSpec.read({**PLAN, **plan}), "me", 1e9).stored

    def moments(self) -> dict[State, Moment]:
        """What is there when a rollout enters each of its states, and each of those of the way back."""
        found: dict[State, Moment] = {}

        def listen(record: RolloutStatus) -> None:
            if record.state not in found and not record.ended:
                service = self.service()
                for field_of_the_server in ("resourceVersion", "uid", "generation", "creationTimestamp"):
                    service["metadata"].pop(field_of_the_server, None)
                found[record.state] = Moment(record, service, list(self.follower.templates))

        assert self.drive(self.begin("b"), listen).outcome == "promoted"
        waiting: dict[str, Any] = {"approval": True, "approval_seconds": 0}
        assert self.drive(self.begin("c", **waiting), listen, **waiting).outcome == "held"
        held = self.store.read()
        assert held is not None
        assert self.drive(replace(held, request="abort"), listen).outcome == "rolled_back"
        return found


@contextmanager
def world(folder: Path, mode: str = "knative") -> Iterator[World]:
    """The service with a stable model."""
    store = Store(resources.installed(mode), lambda new, old: review(new, old, MODES[mode]))
    install_defaults(store, mode)
    follower = Follower(store) if mode == "knative" else StandardFollower(store)
    with ApiServer(store) as server, Liar(server, follower.follow) as liar:
        threading.Thread(target=liar.serve_forever, args=(0.05,), daemon=True).start()
        made = World(server, liar, follower, folder)
        made.cluster.apply(made.manifest("a"))
        follower.follow()
        yield made
        liar.shutdown()
