"""How a run ended and what it decided, read from what the platform says of it. Pure functions of their answers.

KFP fills the final status in from MLMD: a success is ``COMPLETE``, and ``RUNNING`` stands for a run that was cancelled,
for a pod that died, and for a success whose last event was a branch not taken or a step from the cache.
"""

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

RunState = Literal["SUCCEEDED", "FAILED", "CANCELLED", "UNKNOWN"]

# Of MLMD, of the API server, of Argo and of Vertex; every other word leaves it open.
_STATES: dict[str, RunState] = {
    "COMPLETE": "SUCCEEDED",
    "SUCCEEDED": "SUCCEEDED",
    "FAILED": "FAILED",
    "ERROR": "FAILED",
    "CANCELED": "CANCELLED",
    "CANCELLED": "CANCELLED",
    "CANCELING": "CANCELLED",
}
_PREFIX = re.compile(r"^main: Error \(exit code \d+\)(?:: )?")
_NODE = "workflows.argoproj.io/node-name"
_ITERATION = re.compile(r"\(\d+(?::\d+)?\)$")
_GROUP = re.compile(r"^(condition|for-loop|iteration)\b|\)$")  # names that KFP gives to what holds tasks


@dataclass(frozen=True)
class Said:
    """What one task said: a failure's sentence, or what was decided."""

    task: str
    text: str

    def __str__(self) -> str:
        return f"{self.task}: {self.text}"


@dataclass(frozen=True)
class Ending:
    """How a run ended, the steps that failed, and what was decided, in the order in which they ended."""

    state: RunState
    failures: tuple[Said, ...] = ()
    decisions: tuple[Said, ...] = ()


def state_of(word: str | None) -> RunState:
    """What a platform's word for a state means."""
    return _STATES.get((word or "").upper(), "UNKNOWN")


def of_workflow(workflow: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], handler: str) -> Ending:
    """The ending by Argo's workflow and its pods.

    Args:
        workflow: the object; its nodes may be compressed.
        pods: of the workflow; their termination messages are what Kubernetes shows of a step.
        handler: the task whose end the exit handler waits for.
    """
    nodes = _nodes(workflow.get("status", {}))
    said = {node: words for pod in pods for node, words in _last_words(pod)}
    spec = workflow.get("spec", {})
    cancelled = bool(spec.get("shutdown")) or spec.get("activeDeadlineSeconds") == 0
    state: RunState = "UNKNOWN"
    for node in nodes.values():
        if node.get("displayName") == handler and not node.get("nodeFlag", {}).get("hooked"):
            state = state_of(node.get("phase"))
    if cancelled and state != "SUCCEEDED":
        state = "CANCELLED"
    failures = tuple(
        Said(_task(node["name"]), said.get(node["name"], ("", ""))[1] or _PREFIX.sub("", node.get("message") or ""))
        for node in sorted(nodes.values(), key=lambda node: str(node.get("finishedAt")))
        if _is_final_failure(node, nodes)
    )
    decisions = sorted((at, name, text) for name, (at, text) in said.items() if text and _ended_well(name, nodes, pods))
    return Ending(state, failures, tuple(Said(_task(name), text) for _, name, text in decisions))


def of_run(run: Mapping[str, Any], handler: str) -> Ending:
    """The ending by the API server's answer for a run, which is still running while its exit handler is.

    Task details lag behind, and are incomplete for ever where Argo compresses the workflow: what is not known to have
    ended leaves the state unknown.
    """
    history = [str(entry.get("state", "")) for entry in run.get("state_history", [])]
    if "CANCELING" in history or state_of(run.get("state")) == "CANCELLED":
        return Ending("CANCELLED")
    tasks = run.get("run_details", {}).get("task_details", [])
    own = [state_of(task.get("state")) for task in tasks if task.get("display_name") == handler]
    failed = {str(task.get("display_name")) for task in tasks if task.get("state") == "FAILED"}
    pods = {str(child.get("pod_name")) for task in tasks for child in task.get("child_tasks", [])}
    run_names = {pod.rpartition("-")[0] for pod in pods}
    groups = {handler, "root", "executor", *run_names, *(name for name in failed if _GROUP.search(name))}
    ended = own[0] if own and own[0] != "UNKNOWN" else state_of(run.get("state"))
    return Ending(ended, tuple(Said(name, "") for name in sorted(failed - groups)))


def _nodes(status: Mapping[str, Any]) -> dict[str, Any]:
    if packed := status.get("compressedNodes"):
        return dict(json.loads(gzip.decompress(base64.b64decode(packed))))
    return dict(status.get("nodes") or {})


def _last_words(pod: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    """The pod's node with the time of its end and its termination message."""
    node = pod.get("metadata", {}).get("annotations", {}).get(_NODE, "")
    for container in pod.get("status", {}).get("containerStatuses") or []:
        ended = container.get("state", {}).get("terminated") or {}
        if container.get("name") == "main" and node:
            yield node, (str(ended.get("finishedAt", "")), str(ended.get("message") or "").strip())


def _ended_well(name: str, nodes: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> bool:
    if ".onExit" in name:
        return False
    phases = [node.get("phase") for node in nodes.values() if node.get("name") == name]
    phases = phases or [
        pod["status"].get("phase") for pod in pods if pod["metadata"].get("annotations", {}).get(_NODE) == name
    ]
    return phases[:1] == ["Succeeded"]


def _is_final_failure(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> bool:
    """Whether a pod failed, outside the exit handler, and was not run again with success."""
    if node.get("type") != "Pod" or node.get("phase") not in {"Failed", "Error"} or ".onExit" in node["name"]:
        return False
    attempts = _ITERATION.sub("", node["name"])
    return not any(other["name"] == attempts and other.get("phase") == "Succeeded" for other in nodes.values())


def _task(node: str) -> str:
    """The task of a node such as ``training-x(0).root(0).exit-handler-1(0).load(0).executor(0)``."""
    parts = [_ITERATION.sub("", part) for part in node.split(".")]
    return parts[-2] if parts[-1] == "executor" and len(parts) > 1 else parts[-1]
