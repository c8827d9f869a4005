"""KServe's controller in Knative mode: a Knative Service for each InferenceService, and its status from that.

`traffic_targets` and `propagated_status` follow KServe's createKnativeService and PropagateStatus, with what comes of
them: a first deployment ignores the canary's percentage; an unchanged model that is sent with a percentage after its
promotion gives most traffic back to the model before. What Knative makes of the Service is in `knative_serving`.
"""

import dataclasses
import time
import uuid
from collections.abc import Mapping
from typing import Any

from embedded_kserve.controllers.controller import Controller
from embedded_kserve.controllers.knative_serving import Serving
from embedded_kserve.controllers.knative_state import VISIBILITY, KnativeObjects, KnativeWorkload, Targets
from embedded_kserve.controllers.manifests import (
    InvalidSpecError,
    cluster_local,
    local_hosts,
    owner,
    predictor_name,
    runtime_name,
    template,
)
from embedded_kserve.controllers.model_status import model_status
from embedded_kserve.data_plane.gateway import Backend
from embedded_kserve.data_plane.pods import PodSet, Template
from embedded_kserve.kubernetes.conditions import Conditions, Status
from embedded_kserve.kubernetes.resources import KNATIVE_SERVICE
from embedded_kserve.kubernetes.store import Document

TAG_ANNOTATION = "serving.kserve.io/enable-tag-routing"
_AUTOSCALING = "autoscaling.knative.dev"
_REFUSED_SECONDS = 0.15  # between two tries of what the webhook refuses


class KnativeController(Controller[KnativeWorkload]):
    """Reconciles InferenceServices by Knative Services."""

    mode = "Knative"

    def new_workload(self) -> KnativeWorkload:
        """Nothing there yet."""
        return KnativeWorkload()

    def hosts(self) -> Mapping[str, tuple[Backend, ...]]:
        """Those of Knative's Ingresses, whose revisions answer."""
        there = [state for state in self._workloads.values() if state.status]
        return {host: split for state in there for host, split in state.hosts.items()}

    def reconcile(self, service: Document, state: KnativeWorkload) -> None:
        """One step: status of the last one is written upwards, then the specification goes down."""
        namespace, name = service["metadata"]["namespace"], predictor_name(service["metadata"]["name"])
        before: Mapping[str, Any] = service.get("status", {}).get("components", {}).get("predictor", {})
        status = self._status(service, state, before)
        Serving(self, state, KnativeObjects(self.store, namespace, name, owner(service))).step()
        try:
            pods = _revision_template(template(self.store, service, service["spec"]["predictor"]), service)
        except InvalidSpecError as error:
            self.refuse(service, state, error)
            return
        percent = service["spec"]["predictor"].get("canaryTrafficPercent")
        tagged = service["metadata"].get("annotations", {}).get(TAG_ANNOTATION) == "true"
        refused = self._write_service(service, state, pods, traffic_targets(before, percent, tagged))
        state.status = _refused(service.get("status", {}), state.refusal) if refused else status

    def _write_service(self, service: Document, state: KnativeWorkload, pods: Template, targets: Targets) -> bool:
        """Write the Knative Service, unless its webhook refuses it, as a quota makes it do. Returns whether it does."""
        meta = service["metadata"]
        name = predictor_name(meta["name"])
        labels = {VISIBILITY: "cluster-local"} if cluster_local(service, self.mode) else {}
        identity = {"name": name, "namespace": meta["namespace"], "labels": labels, "ownerReferences": owner(service)}
        spec = {"template": pods.document(), "traffic": targets}
        live = self.store.find(KNATIVE_SERVICE, meta["namespace"], name)
        if live is None or live["spec"] != spec:
            newer = not state.revisions or state.revisions[-1].template != pods
            revision = state.next_name(name) if newer else state.revisions[-1].name
            if self.fault_of(f"{meta['namespace']}/{revision}") == "quota":
                if self.timers.settled((meta["uid"], "refused"), state.refusal, _REFUSED_SECONDS):
                    state.refusal = uuid.uuid4().hex[:5]
                return True
        self.store.apply(KNATIVE_SERVICE, {"metadata": identity, "spec": spec})
        state.wanted = pods
        return False

    def _status(self, service: Document, state: KnativeWorkload, before: Mapping[str, Any]) -> Status:
        """The status by that of the Knative Service, as KServe saw it last."""
        old: Status = service.get("status", {})
        seen = self._observe(service, state)
        conditions = Conditions(old.get("conditions", []))
        knative = Conditions(seen.get("conditions", []))
        for kind, part in (
            ("PredictorConfigurationReady", "ConfigurationsReady"),
            ("PredictorRouteReady", "RoutesReady"),
        ):
            if seen:
                conditions.set(kind, *knative.about(part), "Info")
        for kind, part in (
            ("LatestDeploymentReady", "PredictorConfigurationReady"),
            ("RoutesReady", "PredictorRouteReady"),
        ):
            truth = conditions.status(part)
            conditions.set(kind, truth, "" if truth == "True" else f"{part} not ready", severity="Info")
        conditions.set("PredictorReady", *knative.about("Ready"))
        if conditions.status("IngressReady") != "True":
            conditions.set("IngressReady", "True" if knative.status("Ready") == "True" else "Unknown")
        conditions.conclude("Ready", "PredictorReady", "IngressReady")
        conditions.set("Stopped", "False", severity="Info")
        newest = state.revisions[-1] if state.revisions else None
        was_ready = Conditions(old.get("conditions", [])).status("Ready") == "True"
        serves = was_ready and newest is not None and newest.name == before.get("latestReadyRevision")
        status = {
            **old,
            "deploymentMode": self.mode,
            "conditions": conditions.listed(),
            "modelStatus": model_status(
                old.get("modelStatus", {}),
                newest.pods if newest else [],
                serves,
                knative.status("ConfigurationsReady") == "False",
            ),
        }
        if newest is not None:
            status["servingRuntimeName"] = runtime_name(newest.template)
        if not seen:
            return status
        status["observedGeneration"] = seen["observedGeneration"]  # of the Knative Service, not of this object
        created, ready = seen.get("latestCreatedRevisionName", ""), seen.get("latestReadyRevisionName", "")
        component = propagated_status(before, created, ready, seen.get("traffic", []))
        if conditions.status("IngressReady") == "True" and knative.status("Ready") == "True":
            inside = local_hosts(predictor_name(service["metadata"]["name"]), service["metadata"]["namespace"])[-1]
            component |= {"url": seen["url"], "address": {"url": f"http://{inside}"}}
            status |= {"url": seen["url"], "address": {"url": f"http://{inside}"}}
        status["components"] = {"predictor": component}
        return status

    def _observe(self, service: Document, state: KnativeWorkload) -> Status:
        """KServe sees a new revision that is ready at once, before there is a route to it, and all else later."""
        namespace, name = service["metadata"]["namespace"], predictor_name(service["metadata"]["name"])
        live: Status = (self.store.find(KNATIVE_SERVICE, namespace, name) or {}).get("status", {})
        if live == state.seen:
            state.differs_since = 0.0
            return state.seen
        now = time.monotonic()
        state.differs_since = state.differs_since or now
        ready = live.get("latestReadyRevisionName", "") != state.seen.get("latestReadyRevisionName", "")
        if ready or now >= state.differs_since + self.pace.status:
            state.seen, state.differs_since = live, 0.0
        else:
            self.alarm.at(state.differs_since + self.pace.status)
        return state.seen

    def pod_labels(self, one: PodSet) -> dict[str, str]:
        """Pods are found by the name of their revision."""
        return {"serving.knative.dev/revision": one.name.rpartition("-deployment-")[0]}


def _refused(old: Status, refusal: str) -> Status:
    """The status that KServe writes again and again while Knative's webhook refuses the Service."""
    message = (
        "fails to reconcile predictor: fails to reconcile knative service: admission webhook "
        '"validation.webhook.serving.knative.dev" denied the request: validation callback failed: dry run failed with '
        f'pods "dry-run-validation{refusal}" is forbidden: exceeded quota: pods, requested: pods=1: spec.template'
    )
    conditions = Conditions(old.get("conditions", []))
    for kind in ("PredictorReady", "Ready"):
        conditions.set(kind, "False", "ReconcileFailed", message)
    return {**old, "conditions": conditions.listed()}


def traffic_targets(before: Mapping[str, Any], percent: int | None, tagged: bool) -> Targets:
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


def propagated_status(before: Mapping[str, Any], created: str, ready: str, traffic: Targets) -> Status:
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
