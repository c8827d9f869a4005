"""OpenShift AI: Standard mode behind a Route, whose `alternateBackends` split by weights of 0 to 256.

Read in odh-model-controller (kserve_raw_route_reconciler.go, July 2026): of a service with the label
``networking.kserve.io/visibility: exposed`` it makes one Route, and copies the canaries' shares into it, whether their
pods are ready or not. The stable backend is the Service ``NAME-predictor``; where there is none, because the stable
predictor has a name, it is any predictor's, the canary's too. So a predictor never gets a name here: while the
candidate has everything, the stable pods take up its package, and then the canary goes.

The router admits a Route once, and does not say which weights it follows: it loads them some seconds later.
"""

from collections.abc import Mapping
from typing import Any

from kubeline.kubernetes.merge import merge, replacing
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers.diagnosis import problem, unprogrammed
from kubeline.rollout.routers.interface import LiveService
from kubeline.rollout.routers.observation import ClusterSnapshot, Observation, canary_of, predictor_digest
from kubeline.rollout.routers.standard import (
    REPLICAS,
    StandardRouter,
    count,
    fewest,
    is_current,
    is_ready,
    replicas_of,
    unready_beside,
    workload_name,
)
from kubeline.rollout.status import Versions

EXPOSED = {"networking.kserve.io/visibility": "exposed"}  # the label of which a Route is made
_AUTHENTICATES = "security.opendatahub.io/enable-auth"  # a proxy in front of the model asks for a token
_AUTHENTICATING_PORT = 8443
_DEFAULT_WEIGHT = 100


class OpenShiftRouter(StandardRouter):
    """Routes by the weights of a Route, which Kubeline observes."""

    def observe(self, snapshot: ClusterSnapshot, versions: Versions) -> Observation:
        """What the Route does, and whether the candidate's pods answer, wherever they are."""
        service = snapshot.service or {}
        spec, status, meta = service.get("spec") or {}, service.get("status") or {}, service.get("metadata") or {}
        alone, beside = workload_name(meta.get("name", "")), bool(canary_of(service, versions)["predictor"])
        taken_up = _takes_up(spec.get("predictor") or {}, versions)
        promoted = taken_up and not beside
        workload = alone if promoted else workload_name(meta.get("name", ""), versions.candidate.name)
        wanted = fewest(spec.get("predictor", {}) if promoted else canary_of(service, versions)["predictor"])
        replicas = count(snapshot, workload, versions.candidate.predictor)
        share = _share(snapshot, workload)
        owner = versions.candidate if promoted else versions.before
        if not beside and count(snapshot, alone, owner.predictor) != count(snapshot, alone):
            share = None  # some pods serve the other model still
        return Observation(
            ready=is_ready(status, "" if promoted else versions.candidate.name)
            and (replicas is None or replicas >= wanted),
            share=share,
            stable_share=None if share is None else 100 - share,
            ready_pods=replicas,
            wanted_pods=wanted,
            stable_pods=count(snapshot, alone),
            revision=workload,
            restored=not spec.get("canary") and not taken_up,
            candidate_url=_address(meta, workload),
            problem=problem(snapshot, workload),
            current=is_current(spec, status),
            unreachable=_unreachable(snapshot),
            replaced=beside and taken_up and _taken_up(snapshot, versions, alone),
        )

    def refusal(self, snapshot: ClusterSnapshot, versions: Versions) -> str:
        """Why traffic cannot be split here; empty when it can."""
        spec = (snapshot.service or {}).get("spec") or {}
        if snapshot.routes is None:
            return (
                "the service has OpenShift's label networking.kserve.io/visibility: exposed, but this cluster has no "
                "Route API (route.openshift.io); on another platform take the label away"
            )
        if not snapshot.routes:
            return "the service has no Route, which the controller of OpenShift AI (odh-model-controller) makes of it"
        if unadmitted := unprogrammed(snapshot.routes[0]):
            return unadmitted
        if spec.get("transformer"):
            return "the Route leads to the transformer of the service, so that a canary's share would go past it"
        if name := (spec.get("predictor") or {}).get("name"):
            return (
                f"the stable predictor has the name '{name}', with which the controller of OpenShift AI may lead the "
                "Route to a canary whatever its share is; deploy the service anew, with a predictor without a name"
            )
        return unready_beside(snapshot, versions)

    def replace(self, service: LiveService, versions: Versions) -> Manifest:
        """The stable predictor takes up the candidate's package, with the pods of all of the traffic.

        KServe takes the canary's pods off the stable predictor's until it is gone.
        """
        wanted = versions.candidate.predictor
        replicas = replicas_of(versions, 100, 0) + fewest(canary_of(service, versions)["predictor"])
        room = {"maxReplicas": max(replicas, int(wanted["maxReplicas"]))} if wanted.get("maxReplicas") else {}
        predictor = _unnamed({**wanted, "minReplicas": replicas, **room})
        return {"spec": {"predictor": replacing(service["spec"]["predictor"], predictor)}}

    def promote(self, service: LiveService, versions: Versions) -> Manifest:
        """The canary is gone, and with it the pods that the stable predictor had beside it."""
        wanted = _unnamed(versions.candidate.predictor)
        return {"spec": {"canary": None, "predictor": replacing(service["spec"]["predictor"], wanted)}}

    def restore(self, service: LiveService, versions: Versions) -> Manifest:
        """Drop the canary, and take its package out of the stable predictor, if that has it."""
        before = replacing(service["spec"]["predictor"], versions.before.predictor)
        return {"spec": {"canary": None, "predictor": before}}


def _takes_up(predictor: Mapping[str, Any], versions: Versions) -> bool:
    """Whether the stable predictor names the candidate's package; of two with one package, all that it asks for."""
    if predictor_digest(predictor) != versions.candidate.digest:
        return False
    asked = {key: value for key, value in _unnamed(versions.candidate.predictor).items() if key not in REPLICAS}
    return versions.before.digest != versions.candidate.digest or merge(predictor, asked) == predictor


def _unnamed(predictor: Manifest) -> Manifest:
    return {key: value for key, value in predictor.items() if key not in {"name", "canaryTrafficPercent"}}


def _taken_up(snapshot: ClusterSnapshot, versions: Versions, workload: str) -> bool:
    """Whether all pods of the stable predictor serve the candidate's package, and there are as many as asked for."""
    service = snapshot.service or {}
    wanted = fewest(service["spec"]["predictor"]) - fewest(canary_of(service, versions)["predictor"])
    replicas = count(snapshot, workload, versions.candidate.predictor)
    return replicas is not None and replicas == count(snapshot, workload) and replicas >= max(wanted, 1)


def _share(snapshot: ClusterSnapshot, workload: str) -> int | None:
    """Per cent of the requests that go to a workload; None when that is not known."""
    route = next(iter(snapshot.routes or []), None)
    if route is None or unprogrammed(route):
        return None
    spec: Mapping[str, Any] = route.get("spec") or {}
    backends = [spec.get("to") or {}, *(spec.get("alternateBackends") or [])]
    weights = [(one.get("name"), one.get("weight", _DEFAULT_WEIGHT)) for one in backends]
    total = sum(weight for _, weight in weights)
    return round(100 * sum(weight for name, weight in weights if name == workload) / total) if total else None


def _address(meta: Mapping[str, Any], workload: str) -> str:
    """Of a workload's Service, which is asked through its own proxy where the service asks for a token."""
    host = f"{workload}.{meta.get('namespace', '')}.svc.cluster.local"
    authenticates = str((meta.get("annotations") or {}).get(_AUTHENTICATES, "")).lower() == "true"
    return f"https://{host}:{_AUTHENTICATING_PORT}" if authenticates else f"http://{host}"


def _unreachable(snapshot: ClusterSnapshot) -> str:
    route = next(iter(snapshot.routes or []), None)
    return "there is no Route" if route is None else unprogrammed(route)
