"""KServe's controller in Knative mode: revisions, and traffic split between them.

The rules of `_targets` and `_propagated` are KServe's (createKnativeService and PropagateStatus), with what follows
from them: a first deployment ignores the canary's percentage; an unchanged model that is sent with a percentage after
its promotion gives most traffic back to the model before.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kubeline.local.kserve.conditions import Conditions, Status, Truth, model_status
from kubeline.local.kserve.controller import Controller, Workload
from kubeline.local.kserve.gateway import Backend
from kubeline.local.kserve.manifests import (
    DOMAIN,
    InvalidSpecError,
    cluster_local,
    local_hosts,
    owner,
    predictor_name,
    template,
)
from kubeline.local.kserve.pods import PodSet, Template
from kubeline.local.kserve.resources import KNATIVE_SERVICE, REVISION
from kubeline.local.kserve.store import Document

TAG_ANNOTATION = "serving.kserve.io/enable-tag-routing"
_AUTOSCALING = "autoscaling.knative.dev"

Targets = list[dict[str, Any]]


@dataclasses.dataclass
class _Service(Workload):
    """What became of one InferenceService.

    Attributes:
        latest_ready: name of the newest revision that has ever been ready.
        targets: what the traffic is wanted to be.
        traffic: what it is: targets with the names of their revisions.
        hidden: whether it has no hosts outside the cluster.
    """

    latest_ready: str = ""
    targets: Targets = dataclasses.field(default_factory=list)
    traffic: Targets = dataclasses.field(default_factory=list)
    hidden: bool = False

    @property
    def latest_created(self) -> PodSet | None:
        return self.sets[-1] if self.sets else None

    def revision(self, name: str) -> PodSet:
        return next(revision for revision in self.sets if revision.name == name)


class KnativeController(Controller[_Service]):
    """Reconciles InferenceServices by revisions."""

    mode = "Knative"

    def new_workload(self) -> _Service:
        """Nothing there yet."""
        return _Service()

    def reconcile(self, service: Document, state: _Service) -> None:
        """One step towards what is wanted: revisions, routes, and the status to be written."""
        status: Status = service.get("status", {})
        before: Mapping[str, Any] = status.get("components", {}).get("predictor", {})
        try:
            self._reconcile_revisions(service, state)
        except InvalidSpecError as error:
            self.refuse(service, state, error)
            return
        percent = service["spec"]["predictor"].get("canaryTrafficPercent")
        tagged = service["metadata"].get("annotations", {}).get(TAG_ANNOTATION) == "true"
        state.targets = _targets(before, percent, tagged)
        self._route(service, state)
        self._write_objects(service, state)
        self._keep_pods(service, state, before)
        state.status = self._status(service, state, before)

    def _reconcile_revisions(self, service: Document, state: _Service) -> None:
        wanted = _revision_template(template(self.store, service, service["spec"]["predictor"]), service)
        if state.latest_created is None or state.latest_created.template != wanted:
            state.made += 1
            name = f"{predictor_name(service['metadata']['name'])}-{state.made:05}"
            state.sets.append(self.new_set(name, wanted))
            state.sets[-1].scale(_scale(service))
        for revision in reversed(state.sets):
            if revision.name == state.latest_ready:
                break
            if revision.complete and revision.wanted:
                state.latest_ready = revision.name
                break

    def _route(self, service: Document, state: _Service) -> None:
        """Point the hosts at the revisions, as soon as those that get requests for the first time answer."""
        resolved = [{**t, "revisionName": t.get("revisionName") or state.latest_ready} for t in state.targets]
        routed = {target["revisionName"] for target in state.traffic}
        for target in resolved:
            if not target["revisionName"]:
                return
            new = target["percent"] and target["revisionName"] not in routed
            if new and not state.revision(target["revisionName"]).ready_replicas:
                return
        meta = service["metadata"]
        name, namespace = predictor_name(meta["name"]), meta["namespace"]
        state.hidden = cluster_local(service, self.mode)
        shares: dict[str, int] = {}
        hosts: dict[str, tuple[Backend, ...]] = {}
        for target in resolved:
            shares[target["revisionName"]] = shares.get(target["revisionName"], 0) + target["percent"]
            if tag := target.get("tag"):
                tagged = _hosts(f"{tag}-{name}", namespace, state.hidden)
                target["url"] = f"http://{tagged[0]}"
                hosts |= dict.fromkeys(tagged, (Backend(f"{namespace}/{target['revisionName']}", 1),))
        split = tuple(Backend(f"{namespace}/{revision}", share) for revision, share in shares.items())
        for base in (meta["name"], name):
            hosts |= dict.fromkeys(_hosts(base, namespace, state.hidden), split)
        state.traffic, state.hosts = resolved, hosts

    def _keep_pods(self, service: Document, state: _Service, before: Mapping[str, Any]) -> None:
        """Revisions that nothing points at have no pods; the one before the last promotion keeps its own."""
        pointed = {target.get("revisionName") or state.latest_ready for target in (*state.targets, *state.traffic)}
        pointed |= {before.get("latestRolledoutRevision", ""), before.get("previousRolledoutRevision", "")}
        for revision in state.sets:
            kept = revision.name in pointed or revision is state.latest_created
            revision.scale(_template_scale(revision.template) if kept else 0)
        namespace = service["metadata"]["namespace"]
        state.endpoints = {f"{namespace}/{revision.name}": revision.ports for revision in state.sets}

    def _write_objects(self, service: Document, state: _Service) -> None:
        meta = service["metadata"]
        newest = state.latest_created
        assert newest is not None  # noqa: S101 - made just before
        name = predictor_name(meta["name"])
        identity = {"name": name, "namespace": meta["namespace"], "ownerReferences": owner(service)}
        spec = {"template": newest.template.document(), "traffic": state.targets}
        self.store.apply(KNATIVE_SERVICE, {"metadata": identity, "spec": spec})
        for revision in state.sets:
            about = {**identity, "name": revision.name, "labels": {"serving.knative.dev/service": name}}
            self.store.apply(REVISION, {"metadata": about, "spec": revision.template.document()["spec"]})
            ready, reason, message = _revision_ready(revision)
            conditions = Conditions(
                (self.store.get(REVISION, meta["namespace"], revision.name).get("status") or {}).get("conditions", [])
            )
            conditions.set("Ready", ready, reason, message)
            told = {
                "conditions": conditions.listed(),
                "actualReplicas": revision.ready_replicas,
                "desiredReplicas": revision.wanted,
            }
            self.store.set_status(REVISION, meta["namespace"], revision.name, told)

    def _status(self, service: Document, state: _Service, before: Mapping[str, Any]) -> Status:
        meta = service["metadata"]
        old: Status = service.get("status", {})
        newest = state.latest_created
        assert newest is not None  # noqa: S101
        component = _propagated(before, newest.name, state.latest_ready, state.traffic)
        knative = self.store.get(KNATIVE_SERVICE, meta["namespace"], predictor_name(meta["name"]))
        conditions = Conditions(old.get("conditions", []))
        made, reason, message = _revision_ready(newest)
        if newest.name == state.latest_ready:
            made, reason, message = "True", "", ""
        elif made == "False":
            reason, message = "RevisionFailed", f'Revision "{newest.name}" failed with message: {message}.'
        routed: Truth = "True" if state.traffic else "Unknown"
        conditions.set("PredictorConfigurationReady", made, reason, message)
        conditions.set("PredictorRouteReady", routed, "" if state.traffic else "RevisionMissing")
        conditions.conclude("PredictorReady", "PredictorConfigurationReady", "PredictorRouteReady")
        conditions.conclude("LatestDeploymentReady", "PredictorConfigurationReady")
        conditions.conclude("RoutesReady", "PredictorRouteReady")
        conditions.set("IngressReady", routed)
        conditions.conclude("Ready", "PredictorReady", "IngressReady")
        if state.traffic:
            component["url"] = f"http://{_hosts(predictor_name(meta['name']), meta['namespace'], state.hidden)[0]}"
        ready = conditions.status("Ready") == "True" and newest.name == state.latest_ready
        status = {
            **old,
            "deploymentMode": self.mode,
            "observedGeneration": knative["metadata"]["generation"],  # of the Knative Service, not of this object
            "components": {"predictor": component},
            "conditions": conditions.listed(),
            "modelStatus": model_status(old.get("modelStatus", {}), newest.pods, ready, made == "False"),
        }
        if state.traffic:
            status["url"] = f"http://{_hosts(meta['name'], meta['namespace'], state.hidden)[0]}"
            status["address"] = {"url": f"http://{meta['name']}.{meta['namespace']}.svc.cluster.local"}
        told = {
            "observedGeneration": knative["metadata"]["generation"],
            "latestCreatedRevisionName": newest.name,
            "latestReadyRevisionName": state.latest_ready,
            "traffic": state.traffic,
        }
        state.others[(KNATIVE_SERVICE, predictor_name(meta["name"]))] = told
        return status


def _hosts(name: str, namespace: str, hidden: bool) -> tuple[str, ...]:
    """The names under which something is reached; its address has the first one."""
    inside = local_hosts(name, namespace)
    return inside[::-1] if hidden else (f"{name}.{namespace}.{DOMAIN}", *inside)


def _targets(before: Mapping[str, Any], percent: int | None, tagged: bool) -> Targets:
    """What KServe asks Knative for, given the predictor's status so far."""
    rolled_out = before.get("latestRolledoutRevision", "")
    split = percent is not None and rolled_out
    latest: dict[str, Any] = {"latestRevision": True, "percent": percent if split else 100}
    if tagged:
        latest["tag"] = "latest"
    if not split or percent == 100:
        return [latest]
    rest = 100 - int(percent or 0)
    return [latest, {"latestRevision": False, "revisionName": rolled_out, "percent": rest, "tag": "prev"}]


def _propagated(before: Mapping[str, Any], created: str, ready: str, traffic: Targets) -> Status:
    """The predictor's status, given Knative's."""
    after = {**before, "latestCreatedRevision": created, "traffic": traffic}
    shares: dict[str, int] = {}
    for target in traffic:
        shares[target["revisionName"]] = shares.get(target["revisionName"], 0) + target["percent"]
    for target in traffic:
        if target["revisionName"] != ready or not target["latestRevision"]:
            continue
        if before.get("latestRolledoutRevision", "") != ready:
            if target["percent"] == 100:
                after["previousRolledoutRevision"] = before.get("latestRolledoutRevision", "")
                after["latestRolledoutRevision"] = ready
        elif ready == created and target["percent"] < 100 and shares[ready] == 100:
            # Rolled out in full, and then given a percentage: back to the one before.
            after["latestRolledoutRevision"] = before.get("previousRolledoutRevision") or ready
    if ready:
        after["latestReadyRevision"] = ready
    return {key: value for key, value in after.items() if value}


def _revision_template(pods: Template, service: Document) -> Template:
    """The template of a revision: the autoscaler's settings are annotations of it, and so make new revisions."""
    predictor = service["spec"]["predictor"]
    scaling = {
        f"{_AUTOSCALING}/class": f"kpa.{_AUTOSCALING}",
        f"{_AUTOSCALING}/min-scale": str(predictor.get("minReplicas", 1)),
    }
    for field, key in (("maxReplicas", "max-scale"), ("scaleTarget", "target"), ("scaleMetric", "metric")):
        if predictor.get(field):
            scaling[f"{_AUTOSCALING}/{key}"] = str(predictor[field])
    rest = {key: predictor[key] for key in ("containerConcurrency", "timeout") if key in predictor}
    return dataclasses.replace(pods, annotations={**scaling, **pods.annotations, **scaling}, rest={**pods.rest, **rest})


def _scale(service: Document) -> int:
    return max(int(service["spec"]["predictor"].get("minReplicas", 1)), 1)  # scale to zero is not modelled


def _template_scale(revision: Template) -> int:
    return max(int(revision.annotations[f"{_AUTOSCALING}/min-scale"]), 1)


def _revision_ready(revision: PodSet) -> tuple[Truth, str, str]:
    if revision.wanted == 0:
        return "True", "NoTraffic", "The target is not receiving traffic."
    if revision.complete:
        return "True", "", ""
    if revision.over_quota:
        return "False", "FailedCreate", "pods are forbidden: exceeded quota"
    for pod in revision.pods:
        if pod.phase == "pulling":
            return "False", "ImagePullBackOff", f'Back-off pulling image "{pod.image}"'
        if pod.failed_in and not pod.ready:
            return "False", f"ExitCode{pod.exit_code}", f"Container failed with: {pod.message}"
    return "Unknown", "Deploying", ""
