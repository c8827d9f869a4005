"""Why a model is not served: what the status, the Deployment, the gateway and the pods say, in one line.

Each tells of some failures only. Of a quota, in Standard mode, the Deployment alone; of an init container that fails,
the pod, where it stands as `terminated` nearly all the time; in Knative mode the InferenceService, with the log of the
container, whose last words are the error.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers.observation import World

_LONGEST = 300  # letters of one saying
_BEGINNING = 120  # of those
_MOST = 900  # letters of them all
_STARTING = {None, "PodInitializing", "ContainerCreating"}


def trouble(world: World, workload: str = "") -> str:
    """What is said to be wrong; of pods, first those of this workload. Empty when nothing is."""
    pods = sorted(world.pods or [], key=lambda pod: not pod["metadata"]["name"].startswith(f"{workload}-"))
    told = dict.fromkeys(
        _clipped(line)
        for line in (
            *_of_service(world.service or {}),
            *_of_deployment(world.deployment or {}),
            *filter(None, map(unprogrammed, world.routes or [])),
            *(line for pod in pods for line in _of_pod(pod)),
        )
    )
    return "; ".join(told)[:_MOST]


def unprogrammed(route: Mapping[str, Any]) -> str:
    """What shows that no gateway follows this HTTPRoute as it is now; empty when nothing does."""
    meta, parents = route["metadata"], (route.get("status") or {}).get("parents") or []
    if not parents:
        return f"no gateway has taken up the HTTPRoute {meta['name']}"
    for parent in parents:
        conditions = {c.get("type"): c for c in parent.get("conditions") or []}
        for kind, done in (("Accepted", "accepted"), ("ResolvedRefs", "resolved")):
            condition = conditions.get(kind, {"status": "True"} if kind == "ResolvedRefs" else {})
            if condition.get("observedGeneration", meta.get("generation", 0)) < meta.get("generation", 0):
                return f"the gateway has not looked at the HTTPRoute {meta['name']} as it is now"
            if condition.get("status") != "True":
                why = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ") or "it says nothing"
                return f"the gateway has not {done} the HTTPRoute {meta['name']} ({why})"
    return ""


def _of_service(service: Mapping[str, Any]) -> Iterator[str]:
    status = service.get("status") or {}
    failure = (status.get("modelStatus") or {}).get("lastFailureInfo") or {}
    if failure.get("message") or failure.get("reason"):
        yield f"{failure.get('reason', '')}: {failure.get('message', '')}".strip(": ")
    seen = set()
    for condition in status.get("conditions") or []:
        message = condition.get("message")
        if condition.get("status") == "False" and message and message not in seen:  # several repeat the first one
            seen.add(message)
            yield f"{condition['type']}: {message}"


def _of_deployment(deployment: Mapping[str, Any]) -> Iterator[str]:
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if (condition.get("type"), condition.get("status")) in {("ReplicaFailure", "True"), ("Progressing", "False")}:
            name = deployment["metadata"]["name"]
            yield f"Deployment {name}: {condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")


def _of_pod(pod: Manifest) -> Iterator[str]:
    status, name = pod.get("status") or {}, pod["metadata"]["name"]
    if pod["metadata"].get("deletionTimestamp"):
        return
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield f"pod {name}: {condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        now = container.get("state") or {}
        waiting = now.get("waiting") or {}
        if waiting.get("reason") not in _STARTING:
            yield f"pod {name}: {waiting['reason']} {waiting.get('message', '')}".strip()
        ended = now.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("exitCode") and not container.get("ready"):
            times = f" (restarts: {container['restartCount']})" if container.get("restartCount") else ""
            code = f"{container.get('name', 'a container')} ended with exit code {ended['exitCode']}{times}"
            yield f"pod {name}: {code}: {ended.get('message') or ended.get('reason') or ''}".rstrip(": ")


def _clipped(line: str) -> str:
    """A long saying without its middle: it begins with who says it, and an error is at its end."""
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else f"{line[:_BEGINNING]} … {line[_BEGINNING + 3 - _LONGEST :]}"
