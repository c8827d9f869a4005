"""Where the metrics pages of a service's pods are, and which process answers at each."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.analysis.metrics import Addresses

_ANNOTATION = "prometheus.kserve.io/"
# Istio's injector writes into a pod with prometheus.io/scrape where its agent serves the page of the model server, in
# plain text also under strict mTLS.
_SIDECAR, _MERGED = "sidecar.istio.io/status", "prometheus.io/"
_FIRST_READY = 5.0  # seconds; a pod that was not ready so long after its start, and never changed, was never ready


def addresses(pods: Sequence[Manifest], namespace: str, canary: str, stable: str) -> Addresses:
    """The pages of all pods that run.

    Args:
        pods: of the InferenceService.
        namespace: of the InferenceService.
        canary: see :class:`kubeline.rollout.analysis.metrics.Addresses`.
        stable: likewise.
    """
    ready, unready, processes = [], [], {}
    for pod in pods:
        if not (url := _url(pod)):
            continue
        processes[url] = _process(pod)
        if _condition(pod).get("status") == "True":
            ready.append(url)
        elif _may_have_been_ready(pod):
            unready.append(url)
    return Addresses(tuple(sorted(ready)), tuple(sorted(unready)), processes, namespace, canary, stable)


def _url(pod: Mapping[str, Any]) -> str:
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        return ""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    ports = [port["containerPort"] for port in _container(pod).get("ports") or [] if "containerPort" in port] or [8080]
    merged = _SIDECAR in annotations and annotations.get(f"{_MERGED}scrape") == "true"
    prefix = _MERGED if merged else _ANNOTATION
    port = annotations.get(f"{prefix}port", ports[0])
    host = f"[{address}]" if ":" in address else address
    scheme = annotations.get(f"{prefix}scheme", "http")
    return f"{scheme}://{host}:{port}{annotations.get(f'{prefix}path', '/metrics')}"


def _container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one of the model server, which KServe puts first."""
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    return dict(containers[0])


def _process(pod: Mapping[str, Any]) -> str:
    """The pod, and how often its model server has been started again: an address can go to another pod."""
    meta, name = pod.get("metadata") or {}, _container(pod).get("name", "")
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    restarts = next((status.get("restartCount", 0) for status in statuses if status.get("name") == name), 0)
    return f"{meta.get('uid') or meta.get('name', '')}/{restarts}"


def _condition(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (pod.get("status") or {}).get("conditions") or []
    return next((condition for condition in found if condition.get("type") == "Ready"), {})


def _may_have_been_ready(pod: Mapping[str, Any]) -> bool:
    changed, started = _condition(pod).get("lastTransitionTime"), (pod.get("status") or {}).get("startTime")
    try:
        return (_time(str(changed)) - _time(str(started))).total_seconds() > _FIRST_READY
    except ValueError:
        return True


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
