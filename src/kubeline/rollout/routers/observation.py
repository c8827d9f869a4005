"""What a rollout sees of the cluster, and what both modes share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubeline.deployment.inference_service import DIGEST_VARIABLE, PACKAGE_DIGEST
from kubeline.kubernetes.resources import Manifest


@dataclass(frozen=True)
class World:
    """What was read of the cluster.

    Attributes:
        service: the InferenceService; None when there is none.
        routes: its HTTPRoutes; None where the cluster has no Gateway API, or it was not asked.
        pods: its pods; None when they were not asked for.
        ingress: its Ingress, which KServe makes where it is not to make HTTPRoutes; None where it was not seen.
        deployment: Deployment of the candidate in Standard mode; None when there is none, or it was not asked for.
    """

    service: Manifest | None
    routes: Sequence[Manifest] | None = None
    pods: Sequence[Manifest] | None = None
    ingress: Manifest | None = None
    deployment: Manifest | None = None


@dataclass(frozen=True)
class Sides:
    """Who is stable and who is the candidate.

    Attributes:
        candidate: the full predictor of the candidate.
        stable: the full predictor before; None at a first deployment.
        stable_revision: Knative revision of the stable one.
        candidate_revision: Knative revision of the candidate; empty until it is known.
        candidate_name: Standard mode's name of the candidate's predictor.
        replaced: Knative revision that was the newest one before the candidate's; empty when the candidate is in it.
        busy: pods that the stable model had when the rollout began; 0 where they were not looked at.
    """

    candidate: Manifest
    stable: Manifest | None = None
    stable_revision: str = ""
    candidate_revision: str = ""
    candidate_name: str = ""
    replaced: str = ""
    busy: int = 0


@dataclass(frozen=True)
class Observed:
    """How things really are, as far as the cluster tells.

    Attributes:
        ready: the newest pods of the candidate answer.
        share: per cent of the traffic that the candidate really gets; None when that cannot be told.
        stable_share: the same of everything else.
        replicas: pods of the candidate that are ready; None where pods are not looked at.
        wanted: pods of the candidate that the specification asks for.
        stable_replicas: pods of the stable model that are ready; None where pods are not looked at.
        revision: name of what runs the candidate.
        restored: the stable predictor is back in the specification and its pods answer.
        candidate_url: address of the candidate alone; empty until there is one.
        trouble: what the cluster says is wrong; empty when nothing is.
        current: the status speaks of the specification as it is now, and not of the one before.
        unreached: what shows that the service is not reached from outside the cluster; empty when it is, or when
            nothing can tell.
    """

    ready: bool = False
    share: int | None = None
    stable_share: int | None = None
    replicas: int | None = None
    wanted: int = 1
    stable_replicas: int | None = None
    revision: str = ""
    restored: bool = False
    candidate_url: str = ""
    trouble: str = ""
    current: bool = True
    unreached: str = ""


def predictor_digest(predictor: Mapping[str, Any] | None, service: Mapping[str, Any] | None = None) -> str:
    """Digest of the package that a predictor serves; empty when nothing tells."""
    model = (predictor or {}).get("model") or {}
    for variable in model.get("env") or []:
        if variable.get("name") == DIGEST_VARIABLE:
            return str(variable.get("value", ""))
    own = (predictor or {}).get("annotations") or {}
    outer = (service or {}).get("metadata", {}).get("annotations") or {}
    return str(own.get(PACKAGE_DIGEST) or outer.get(PACKAGE_DIGEST) or "")


def pod_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod answers, and is not leaving."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    leaving = pod["metadata"].get("deletionTimestamp")
    return not leaving and any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def holds(pod: Mapping[str, Any], predictor: Mapping[str, Any]) -> bool:
    """Whether a pod serves the package of a predictor, or does not tell which."""
    containers = (pod.get("spec") or {}).get("containers") or []
    variables = [variable for container in containers for variable in container.get("env") or []]
    told = {variable.get("value") for variable in variables if variable.get("name") == DIGEST_VARIABLE}
    return not told or predictor_digest(predictor) in told
