"""What is read of the cluster, what follows from it for a rollout, and what the routers share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubeline.deployment.inference_service import PACKAGE_DIGEST
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.status import Versions
from kubeline.serving_platform.endpoint_view import DIGEST_VARIABLE


@dataclass(frozen=True)
class ClusterSnapshot:
    """What was read of the cluster.

    Attributes:
        service: the InferenceService; None when there is none.
        routes: its HTTPRoutes, or its Route on OpenShift; None where there is no such API, or they were not read.
        pods: its pods; None when they were not read.
        ingress: its Ingress, which KServe makes where it is not to make HTTPRoutes; None where it was not read.
        deployment: Deployment of the candidate in Standard mode; None when there is none, or it was not read.
        events: warnings about any object of the namespace; empty where they were not read.
    """

    service: Manifest | None
    routes: Sequence[Manifest] | None = None
    pods: Sequence[Manifest] | None = None
    ingress: Manifest | None = None
    deployment: Manifest | None = None
    events: Sequence[Manifest] = ()


@dataclass(frozen=True)
class Observation:
    """The state of the traffic and of both models, as far as the cluster reports it.

    Attributes:
        ready: the newest pods of the candidate answer.
        share: per cent of the traffic that the candidate gets; None when that is not known.
        stable_share: the same of everything else.
        ready_pods: pods of the candidate that are ready; None where pods were not read.
        wanted_pods: pods of the candidate that the specification asks for.
        stable_pods: pods of the stable model that are ready; None where pods were not read.
        revision: name of what runs the candidate.
        restored: the stable predictor is back in the specification and its pods answer.
        candidate_url: address of the candidate alone; empty until there is one.
        problem: what the cluster reports to be wrong; empty when nothing is.
        current: the status is of the specification as it is now, and not of the one before.
        unreachable: what shows that the service is not reached from outside the cluster; empty when it is, or when
            that is not known.
        replaced: the stable model's pods serve the candidate's package, while the candidate is beside them.
    """

    ready: bool = False
    share: int | None = None
    stable_share: int | None = None
    ready_pods: int | None = None
    wanted_pods: int = 1
    stable_pods: int | None = None
    revision: str = ""
    restored: bool = False
    candidate_url: str = ""
    problem: str = ""
    current: bool = True
    unreachable: str = ""
    replaced: bool = False


def predictor_digest(predictor: Mapping[str, Any] | None, service: Mapping[str, Any] | None = None) -> str:
    """Digest of the package that a predictor serves; empty when it names none."""
    model = (predictor or {}).get("model") or {}
    for variable in model.get("env") or []:
        if variable.get("name") == DIGEST_VARIABLE:
            return str(variable.get("value", ""))
    own = (predictor or {}).get("annotations") or {}
    outer = (service or {}).get("metadata", {}).get("annotations") or {}
    return str(own.get(PACKAGE_DIGEST) or outer.get(PACKAGE_DIGEST) or "")


def canary_of(service: Mapping[str, Any], versions: Versions) -> Mapping[str, Any]:
    """The candidate's entry of the live specification; one with an empty predictor when there is none."""
    canaries = (service.get("spec") or {}).get("canary") or []
    return next((c for c in canaries if c["predictor"].get("name") == versions.candidate.name), {"predictor": {}})


def pod_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is ready, and not being deleted."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    deleted = pod["metadata"].get("deletionTimestamp")
    return not deleted and any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def serves(pod: Mapping[str, Any], predictor: Mapping[str, Any]) -> bool:
    """Whether a pod serves the package of a predictor, or does not name one."""
    containers = (pod.get("spec") or {}).get("containers") or []
    variables = [variable for container in containers for variable in container.get("env") or []]
    named = {variable.get("value") for variable in variables if variable.get("name") == DIGEST_VARIABLE}
    return not named or predictor_digest(predictor) in named
