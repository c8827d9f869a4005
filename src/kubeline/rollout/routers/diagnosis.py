"""Why a model is not served: what the status, the Deployment, the gateway, the pods and the events say, in one line.

Each reports some failures only. Of a quota, in Standard mode, the Deployment alone; of an init container that fails,
the pod, where it stands as `terminated` nearly all the time; in Knative mode the InferenceService, with the log of the
container, whose termination message is the error.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers.observation import ClusterSnapshot, pod_ready

_MAX_LINE = 300  # characters of one message
_BEGINNING = 120  # of those
_MAX_TOTAL = 900  # characters of all of them
_MAX_EVENTS = 4
_RUNNING = {"Pod", "ReplicaSet", "Deployment", "Revision"}
_STARTING = {None, "PodInitializing", "ContainerCreating"}


def problem(snapshot: ClusterSnapshot, workload: str = "") -> str:
    """What is reported to be wrong; of pods, first those of this workload. Empty when nothing is."""
    pods = sorted(snapshot.pods or [], key=lambda pod: not pod["metadata"]["name"].startswith(f"{workload}-"))
    lines = dict.fromkeys(
        _clipped(line)
        for line in (
            *_of_service(snapshot.service or {}),
            *_of_deployment(snapshot.deployment or {}),
            *filter(None, map(unprogrammed, snapshot.routes or [])),
            *(line for pod in pods for line in _of_pod(pod)),
        )
    )
    events = "; ".join(map(_clipped, _of_events(snapshot, workload)))[: _MAX_TOTAL // 2]
    statuses = "; ".join(lines)[: _MAX_TOTAL - len(events)]
    return "; ".join(filter(None, (statuses, events)))


def unprogrammed(route: Mapping[str, Any]) -> str:
    """What shows that nothing follows this HTTPRoute as it is now, or this Route; empty when nothing shows it."""
    if route.get("kind") == "Route":
        return _unadmitted(route)
    meta, parents = route["metadata"], (route.get("status") or {}).get("parents") or []
    if not parents:
        return f"no gateway has taken up the HTTPRoute {meta['name']}"
    for parent in parents:
        conditions = {c.get("type"): c for c in parent.get("conditions") or []}
        for kind, done in (("Accepted", "accepted"), ("ResolvedRefs", "resolved")):
            condition = conditions.get(kind, {"status": "True"} if kind == "ResolvedRefs" else {})
            if condition.get("observedGeneration", meta.get("generation", 0)) < meta.get("generation", 0):
                return f"the gateway has not reconciled the HTTPRoute {meta['name']} as it is now"
            if condition.get("status") != "True":
                why = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ") or "it says nothing"
                return f"the gateway has not {done} the HTTPRoute {meta['name']} ({why})"
    return ""


def _unadmitted(route: Mapping[str, Any]) -> str:
    """Of OpenShift's Route, whose status names no generation."""
    name = route["metadata"]["name"]
    for ingress in (route.get("status") or {}).get("ingress") or []:
        conditions = {c.get("type"): c for c in ingress.get("conditions") or []}
        admitted = conditions.get("Admitted") or {}
        if admitted.get("status") == "True":
            return ""
        if admitted.get("status") == "False":
            why = f"{admitted.get('reason', '')}: {admitted.get('message', '')}".strip(": ") or "it says nothing"
            return f"the router has not admitted the Route {name} ({why})"
    return f"no router has admitted the Route {name}"


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
            yield f"{condition.get('type', '')}: {message}"


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


def _of_events(snapshot: ClusterSnapshot, workload: str) -> Iterator[str]:
    """The most detailed warning of each reason about what runs the workload and is not ready; the newest reasons first.

    Those of an autoscaler, or of pods that have gone or have become ready, are not why the workload is not ready. A
    kubelet repeats "Error: ErrImagePull" after the one warning that says what could not be pulled.
    """
    unready = {pod["metadata"]["name"] for pod in snapshot.pods or [] if not pod_ready(pod)}
    found: dict[tuple[str, str], Manifest] = {}
    for event in sorted(snapshot.events, key=_time):
        about, reason = event.get("involvedObject") or {}, event.get("reason", "")
        kind, name = about.get("kind", ""), about.get("name", "")
        mine = bool(workload) and (name == workload or name.startswith(f"{workload}-"))
        if event.get("type") != "Warning" or kind not in _RUNNING or not mine:
            continue
        if kind == "Pod" and snapshot.pods is not None and name not in unready:
            continue
        before = found.pop((kind, reason), event)
        found[kind, reason] = max(event, before, key=lambda one: len(one.get("message", "")))
    for event in [*found.values()][: -_MAX_EVENTS - 1 : -1]:
        about = event["involvedObject"]
        count = event.get("count") or (event.get("series") or {}).get("count") or 1
        times = f" ({count} times)" if count > 1 else ""
        what = f"event of {about['kind']} {about['name']}: {event.get('reason', '')}{times}"
        yield f"{what}: {event.get('message', '')}".rstrip(": ")


def _time(event: Manifest) -> str:
    """When it was seen last; the newer API leaves the times of the older one empty."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def _clipped(line: str) -> str:
    """A long message without its middle: it begins with its source, and an error is at its end."""
    line = " ".join(line.split())
    return line if len(line) <= _MAX_LINE else f"{line[:_BEGINNING]} … {line[_BEGINNING + 3 - _MAX_LINE :]}"
