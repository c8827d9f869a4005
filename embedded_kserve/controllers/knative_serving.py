"""Knative: Configuration, Revisions, Route and Ingress of a Knative Service, each behind the one that it follows.

In one step, statuses are told upwards first, by what the objects said after the step before; then specifications go
down. So each object is seen to lag behind another, as where every kind has a controller of its own.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from embedded_kserve.controllers.controller import Workload
from embedded_kserve.controllers.deployments import Deployment
from embedded_kserve.controllers.manifests import DOMAIN, local_hosts
from embedded_kserve.data_plane.gateway import Backend
from embedded_kserve.data_plane.pods import CONTAINER, Pod, Template, unpullable
from embedded_kserve.kubernetes.conditions import Conditions, Status, Truth
from embedded_kserve.kubernetes.resources import (
    CONFIGURATION,
    DEPLOYMENT,
    KNATIVE_INGRESS,
    KNATIVE_SERVICE,
    REVISION,
    ROUTE,
    Kind,
)
from embedded_kserve.kubernetes.store import Document

if TYPE_CHECKING:
    from embedded_kserve.controllers.controller import Controller

VISIBILITY = "networking.knative.dev/visibility"
_MIN_SCALE = "autoscaling.knative.dev/min-scale"
_STATE = "serving.knative.dev/routingState"

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
        refusal: what tells one refusal of Knative's webhook from the next.
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


class Serving:
    """One step of Knative for one Knative Service.

    Args:
        cluster: the controller, with its store, pace, timers and faults.
        state: what became of the InferenceService so far.
        namespace: of the Service.
        name: of the Service, and so of its Configuration, Route and Ingress.
        owners: the reference of all of them to the InferenceService.
    """

    def __init__(
        self, cluster: "Controller[KnativeWorkload]", state: KnativeWorkload, namespace: str, name: str, owners: Any
    ) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._state = state
        self._namespace = namespace
        self._name = name
        self._owners = owners

    def step(self) -> None:
        """Tell what came of the step before, then do what follows from what was written in it."""
        service = self._store.find(KNATIVE_SERVICE, self._namespace, self._name)
        if service is None:
            return
        self._tell_service(service)
        self._tell_route()
        self._tell_ingress()
        self._tell_configuration()
        for revision in self._state.revisions:
            self._step_revision(revision)
        self._state.sets = [one for revision in self._state.revisions for one in revision.deployment.sets]
        self._write_ingress()
        self._write(ROUTE, self._name, self._route_spec(service), service["metadata"].get("labels", {}))
        self._write(CONFIGURATION, self._name, {"template": service["spec"]["template"]})

    def _route_spec(self, service: Document) -> dict[str, Any]:
        return {"traffic": [{**target, "configurationName": self._name} for target in service["spec"]["traffic"]]}

    def _tell_service(self, service: Document) -> None:
        """By Configuration and Route, unless those have yet to see what the Service wants."""
        conditions = Conditions(service.get("status", {}).get("conditions", []))
        configuration, route = self._find(CONFIGURATION), self._find(ROUTE)
        told: Status = {"observedGeneration": service["metadata"]["generation"]}
        for kind, which, part, wanted in (
            ("ConfigurationsReady", "Configuration", configuration, {"template": service["spec"]["template"]}),
            ("RoutesReady", "Route", route, self._route_spec(service)),
        ):
            if part.get("spec") != wanted or not _observed(part):
                message = f"The {which} is still working to reflect the latest desired specification."
                conditions.set(kind, "Unknown", "OutOfDate", message)
            else:
                own = Conditions(part["status"].get("conditions", []))
                conditions.set(kind, own.status("Ready"), own.reason("Ready"), own.message("Ready"))
        ready = configuration.get("status", {}).get("latestReadyRevisionName", "")
        traffic = route.get("status", {}).get("traffic", [])
        latest = {target["revisionName"] for target in traffic if target["latestRevision"]}
        if conditions.status("RoutesReady") == "True" and latest != {ready}:
            message = "Traffic is not yet migrated to the latest revision."
            conditions.set("RoutesReady", "Unknown", "TrafficNotMigrated", message)
        conditions.conclude("Ready", "RoutesReady", "ConfigurationsReady")
        for name in ("latestCreatedRevisionName", "latestReadyRevisionName"):
            told[name] = configuration.get("status", {}).get(name)
        told |= {"traffic": traffic, "url": route.get("status", {}).get("url"), "conditions": conditions.listed()}
        self._tell(KNATIVE_SERVICE, self._name, {key: value for key, value in told.items() if value})

    def _tell_route(self) -> None:
        """By its Ingress, once that has been written as the Route wants it."""
        route, ingress = self._find(ROUTE), self._find(KNATIVE_INGRESS)
        if not route:
            return
        if ingress and ingress["spec"] != self._ingress_spec(route):
            return
        conditions = Conditions(route.get("status", {}).get("conditions", []))
        host = _hosts(self._name, self._namespace, self._hidden(route))[0]
        told: Status = {"observedGeneration": route["metadata"]["generation"], "url": f"http://{host}"}
        not_yet: tuple[Truth, str, str] = ("Unknown", "IngressNotConfigured", "Ingress has not yet been reconciled.")
        if not ingress:
            message = f'Configuration "{self._name}" is waiting for a Revision to become ready.'
            conditions.set("AllTrafficAssigned", "Unknown", "RevisionMissing", message)
            conditions.set("CertificateProvisioned", "Unknown")
            conditions.set("IngressReady", *not_yet)
        else:
            conditions.set("AllTrafficAssigned", "True")
            conditions.set("CertificateProvisioned", "True", "TLSNotEnabled", "external-domain-tls is not enabled")
            own = Conditions(ingress.get("status", {}).get("conditions", []))
            state = (own.status("Ready"), own.reason("Ready"), own.message("Ready"))
            conditions.set("IngressReady", *(state if _observed(ingress) else not_yet))
            told["traffic"] = self._resolved(route)
        conditions.conclude("Ready", "AllTrafficAssigned", "IngressReady")
        self._tell(ROUTE, self._name, {**told, "conditions": conditions.listed()})

    def _tell_ingress(self) -> None:
        """The gateway has it some time after it was written, and says so once it has."""
        ingress = self._find(KNATIVE_INGRESS)
        if not ingress:
            return
        generation = ingress["metadata"]["generation"]
        conditions = Conditions(ingress.get("status", {}).get("conditions", []))
        conditions.set("NetworkConfigured", "True")
        key = (ingress["metadata"]["uid"], "programmed")
        waited = self._cluster.timers.settled(key, generation, self._cluster.pace.programming)
        seen = ingress.get("status", {}).get("observedGeneration") == generation
        if seen and waited and self._cluster.leads_to(self._state.hosts) and self._state.hosts == self._split(ingress):
            conditions.set("LoadBalancerReady", "True")
        elif not seen:
            message = "Waiting for load balancer to be ready"
            conditions.set("LoadBalancerReady", "Unknown", "Uninitialized", message)
        conditions.conclude("Ready", "NetworkConfigured", "LoadBalancerReady")
        told = {"observedGeneration": generation, "conditions": conditions.listed()}
        self._tell(KNATIVE_INGRESS, self._name, told)

    def _tell_configuration(self) -> None:
        """By its newest revision; a template that is new makes one."""
        configuration = self._find(CONFIGURATION)
        if not configuration:
            return
        state = self._state
        wanted = state.wanted
        current = wanted is not None and configuration["spec"]["template"] == wanted.document()
        if wanted is not None and current and (not state.revisions or state.revisions[-1].template != wanted):
            name = state.next_name(self._name)
            new_set = functools.partial(self._cluster.new_set, self._namespace)
            state.revisions.append(Revision(name, wanted, Deployment(f"{name}-deployment", new_set)))
            labels = {"serving.knative.dev/service": self._name, _STATE: "active"}
            self._write(REVISION, name, wanted.document()["spec"], labels)
            return
        if not state.revisions:
            return
        newest = state.revisions[-1]
        conditions = Conditions(configuration.get("status", {}).get("conditions", []))
        revision = Conditions(self._find(REVISION, newest.name).get("status", {}).get("conditions", []))
        truth = revision.status("Ready")
        if truth == "False":
            message = f'Revision "{newest.name}" failed with message: {revision.message("Ready")}.'
            conditions.set("Ready", "False", "RevisionFailed", message)
        else:
            conditions.set("Ready", truth)
        told = {
            "observedGeneration": configuration["metadata"]["generation"],
            "latestCreatedRevisionName": newest.name,
            "conditions": conditions.listed(),
        }
        was = [revision.name for revision in state.revisions if revision.was_ready]
        if was:
            told["latestReadyRevisionName"] = was[-1]
        self._tell(CONFIGURATION, self._name, told)

    def _step_revision(self, revision: Revision) -> None:
        """Its pods, and what it says of them."""
        routed = {target["revisionName"] for target in self._find(ROUTE).get("status", {}).get("traffic", [])}
        revision.reached = revision.name in routed or revision is self._state.revisions[-1]
        labels = {"serving.knative.dev/service": self._name, _STATE: "active" if revision.reached else "reserve"}
        written = self._write(REVISION, revision.name, revision.template.document()["spec"], labels)
        conditions = Conditions(written.get("status", {}).get("conditions", []))
        uid = written["metadata"]["uid"]
        if not self._cluster.timers.settled((uid, "digest"), True, self._cluster.pace.digest):
            conditions.set("ContainerHealthy", "Unknown")
            for kind in ("Ready", "ResourcesAvailable"):
                conditions.set(kind, "Unknown", "ResolvingDigests")
        elif self._cluster.fault_of(f"{self._namespace}/{revision.name}") == "bad-image" or unpullable(
            revision.template
        ):
            image = revision.template.container.get("image", "")
            message = f'Unable to fetch image "{image}": failed to resolve image to digest: unexpected status code 404'
            for kind in ("ContainerHealthy", "Ready"):
                conditions.set(kind, "False", "ContainerMissing", message)
        else:
            self._scale(revision, uid)
            self._judge(revision, conditions)
        told = {
            "observedGeneration": 1,
            "conditions": conditions.listed(),
            "actualReplicas": revision.deployment.available if revision.deployment.sets else 0,
            "desiredReplicas": revision.deployment.replicas,
        }
        self._tell(REVISION, revision.name, told)
        self._state.endpoints[f"{self._namespace}/{revision.name}"] = revision.deployment.ports

    def _scale(self, revision: Revision, uid: str) -> None:
        """One pod first, then as many as it is to have; when no route names it, one again, and after a while none."""
        pace, timers = self._cluster.pace, self._cluster.timers
        short = timers.settled((uid, "reached"), revision.reached, pace.scaling if revision.reached else pace.unreached)
        if revision.reached:
            replicas = revision.smallest if short else max(revision.deployment.replicas, 1)
        elif timers.settled((uid, "left"), revision.reached, pace.to_zero) and revision.deployment.replicas <= 1:
            replicas = 0
        else:
            replicas = 1 if short else revision.deployment.replicas
        if revision.reached:
            timers.settled((uid, "left"), revision.reached, 0.0)
        revision.deployment.want(revision.template, replicas)
        spec = {"replicas": replicas, "template": revision.template.document()}
        name = revision.deployment.name
        written = self._write(DEPLOYMENT, name, spec, {"serving.knative.dev/revision": revision.name})
        status = revision.deployment.status(written.get("status", {}), written["metadata"]["generation"])
        self._tell(DEPLOYMENT, name, status)

    def _judge(self, revision: Revision, conditions: Conditions) -> None:
        """Its conditions by its pods. One that has been ready stays so, also without pods."""
        deployment = revision.deployment
        complete = deployment.replicas == revision.smallest and deployment.sets[-1].complete
        revision.was_ready = revision.was_ready or complete
        failed = next((pod for pod in revision.pods if pod.failed_in == CONTAINER and not pod.ready), None)
        if revision.was_ready:
            for kind in ("ContainerHealthy", "ResourcesAvailable", "Ready"):
                conditions.set(kind, "True")
        elif failed is not None:
            for kind in ("ContainerHealthy", "Ready"):
                message = f"Container failed with: {failed.message}"
                conditions.set(kind, "False", f"ExitCode{failed.exit_code}", message)
        else:
            started = conditions.reason("Ready") == "Deploying"
            conditions.set("ContainerHealthy", "Unknown", "" if started else "Deploying")
            for kind in ("ResourcesAvailable", "Ready"):
                conditions.set(kind, "Unknown", "Deploying")
        conditions.set("Active", *_active(revision, conditions), severity="Info")

    def _write_ingress(self) -> None:
        """The hosts of the Route, as soon as a revision has been ready; the gateway gets those that have pods."""
        route = self._find(ROUTE)
        if not route or not (targets := self._resolved(route)):
            return
        if all(target["revisionName"] for target in targets):
            self._write(KNATIVE_INGRESS, self._name, self._ingress_spec(route))
        ingress = self._find(KNATIVE_INGRESS)
        answering = {revision.name for revision in self._state.revisions if revision.deployment.ports}
        if ingress:
            split = self._split(ingress)
            cold = {backend.cluster for backends in split.values() for backend in backends if backend.weight}
            if {name.partition("/")[2] for name in cold} <= answering:
                self._state.hosts = split

    def _resolved(self, route: Document) -> Targets:
        """The targets of the Route with the names of their revisions, and the addresses of their tags."""
        ready = self._find(CONFIGURATION).get("status", {}).get("latestReadyRevisionName", "")
        found = []
        for target in route["spec"]["traffic"]:
            own = {key: value for key, value in target.items() if key != "configurationName"}
            own["revisionName"] = own.get("revisionName") or ready
            if tag := own.get("tag"):
                own["url"] = f"http://{_hosts(f'{tag}-{self._name}', self._namespace, self._hidden(route))[0]}"
            found.append(own)
        return found

    def _ingress_spec(self, route: Document) -> dict[str, Any]:
        """The hosts of a Route: inside the cluster, and outside of it unless it is hidden; for each tag, too."""
        targets = self._resolved(route)
        shares: dict[str, int] = {}
        for target in targets:
            shares[target["revisionName"]] = shares.get(target["revisionName"], 0) + target["percent"]
        splits = [(self._name, {name: share for name, share in shares.items() if share})]
        splits += [(f"{t['tag']}-{self._name}", {t["revisionName"]: 100}) for t in targets if "tag" in t]
        rules = []
        for base, split in splits:
            told = [{"serviceName": name, "percent": percent} for name, percent in split.items()]
            paths = {"paths": [{"splits": told}]}
            inside = list(local_hosts(base, self._namespace))
            rules.append({"hosts": inside, "visibility": "ClusterLocal", "http": paths})
            if not self._hidden(route):
                outside = [f"{base}.{self._namespace}.{DOMAIN}"]
                rules.append({"hosts": outside, "visibility": "ExternalIP", "http": paths})
        return {"rules": rules}

    def _split(self, ingress: Document) -> dict[str, tuple[Backend, ...]]:
        return {
            host: tuple(
                Backend(f"{self._namespace}/{split['serviceName']}", split["percent"])
                for split in rule["http"]["paths"][0]["splits"]
            )
            for rule in ingress["spec"]["rules"]
            for host in rule["hosts"]
        }

    def _hidden(self, route: Document) -> bool:
        return bool(route["metadata"].get("labels", {}).get(VISIBILITY) == "cluster-local")

    def _find(self, kind: Kind, name: str = "") -> Document:
        """An object; an empty one when there is none."""
        return self._store.find(kind, self._namespace, name or self._name) or {}

    def _write(self, kind: Kind, name: str, spec: Any, labels: dict[str, str] | None = None) -> Document:
        meta = {"name": name, "namespace": self._namespace, "labels": labels or {}, "ownerReferences": self._owners}
        return self._store.apply(kind, {"metadata": meta, "spec": spec})

    def _tell(self, kind: Kind, name: str, status: Status) -> None:
        self._store.set_status(kind, self._namespace, name, status)


def _observed(part: Document) -> bool:
    """Whether a controller has seen the specification as it is."""
    return bool(part) and part.get("status", {}).get("observedGeneration") == part["metadata"]["generation"]


def _active(revision: Revision, conditions: Conditions) -> tuple[Truth, str, str]:
    deployment = revision.deployment
    if deployment.replicas == 0:
        return "False", "NoTraffic", "The target is not receiving traffic."
    if deployment.sets[-1].complete:
        return "True", "", ""
    if conditions.status("Active") == "Unknown" and not conditions.reason("Active"):
        return "Unknown", "Deploying", ""
    return "Unknown", "Queued", "Requests to the target are being buffered as resources are provisioned."


def _hosts(name: str, namespace: str, hidden: bool) -> tuple[str, ...]:
    """The names under which something is reached; its address has the first one."""
    inside = local_hosts(name, namespace)
    return inside[::-1] if hidden else (f"{name}.{namespace}.{DOMAIN}", *inside)
