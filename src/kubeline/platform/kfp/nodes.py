"""The steps of a run, found in its task details.

The API names tasks as Argo shows them ("executor(0)", several of them), and gives the identifiers of those that follow.
An identifier is the workflow's name and the FNV-1a hash of the node's full name, which is the path to it:
``W(0).root(0).condition-1(0).train(0).executor(0)`` is the first try of the step `train`. So full names are tried out,
and those whose identifiers the API reports are the right ones. Where task details are missing (they freeze when Argo
compresses a workflow above 1 MiB), the names come from the pipeline's specification.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from kubeline.platform.compiled import Json, graphs
from kubeline.platform.following import STATES, StepState

_TRIES = 10
_ITERATION = re.compile(r"\((\d+):\d+\)")
_WITHIN_LOOP = re.compile(r"\.iteration-iterations\(\d+:\d+\)\(0\)\.iteration-item\(0\)")
_LONGEST = 243  # characters of a pod's name before its hash


@dataclass(frozen=True)
class RunStep:
    """A task that runs something.

    Attributes:
        name: the task's name, with the iteration's number in a loop, such as ``train 3``.
        path: the full name of its node, without the number of its try.
        state: what became of it.
        ended: when, as the API says it; empty while it is not.
        driver_failed: it never started, because its driver failed.
        tries: how many there were.
        workflow: that it belongs to.
    """

    name: str
    path: str
    state: StepState
    ended: str
    driver_failed: bool
    tries: int
    workflow: str

    def pods(self) -> Iterator[str]:
        """Names that its pod may have, the latest try first; of its driver where that failed."""
        if self.driver_failed:
            yield self._pod(f"{self.path}-driver(0)", "system-container-driver")
            return
        for number in range(max(1, self.tries) - 1, -1, -1):
            for template in ("system-container-impl", "retry-system-container-impl"):
                yield self._pod(f"{self.path}(0).executor({number})", template)

    def _pod(self, node: str, template: str) -> str:
        return f"{self.workflow}-{template}"[:_LONGEST].rstrip("-") + f"-{_hash(node)}"


def steps(details: Sequence[Json], specification: Mapping[str, Any]) -> list[RunStep]:
    """The steps of a run, each behind those that it waits for; those in loops as far as the API reports them.

    Args:
        details: ``run_details.task_details`` of the API.
        specification: the pipeline's.
    """
    children = [child for detail in details for child in _children(detail)]
    if not children:
        return []
    workflow = children[0].rpartition("-")[0]
    reported = set(children)
    tree = _Tree(workflow, reported, details)
    tasks = list(_tasks(specification, specification["root"], f"{workflow}(0).root(0)"))
    order = {path: position for position, (_, path) in enumerate(tasks)}
    paths = dict.fromkeys([*_outside_loops(specification, order), *tree.paths({name for name, _ in tasks})])

    def place(path: str) -> tuple[int, list[int]]:
        return order.get(_WITHIN_LOOP.sub("", path), len(order)), [int(one) for one in _ITERATION.findall(path)]

    return [tree.step(path) for path in sorted(paths, key=place)]


class _Tree:
    def __init__(self, workflow: str, reported: set[str], details: Sequence[Json]) -> None:
        self._workflow = workflow
        self._reported = reported
        self._names = {name for detail in details if (name := detail.get("display_name"))}
        self._parents: dict[str, Json] = {}  # of each node, its detail, where it is known
        for detail in details:
            for child in _children(detail):
                self._parents.setdefault(child, detail)
                if not detail.get("display_name", ")").endswith(")"):
                    self._parents[child] = detail  # what holds its tries, not what came before it

    def is_reported(self, node: str) -> bool:
        return f"{self._workflow}-{_hash(node)}" in self._reported

    def paths(self, executors: set[str]) -> Iterator[str]:
        """Full names of all steps that the API reports, at any depth."""
        groups = [name for name in self._names if not name.endswith(("(0)", "-driver")) and name != "executor"]
        waiting = [f"{self._workflow}(0)"]
        while waiting:
            around = waiting.pop()
            for name in executors:
                node = f"{around}.{name}"
                if any(map(self.is_reported, (node, f"{node}(0)", f"{node}-driver", f"{node}-driver(0)"))):
                    yield node
            for name in groups:
                node = f"{around}.{name}"
                if name not in executors and (self.is_reported(node) or self.is_reported(f"{node}(0)")):
                    waiting.append(f"{node}(0)")

    def step(self, path: str) -> RunStep:
        """What the API reports of a step."""
        tries = sum(self.is_reported(f"{path}(0).executor({number})") for number in range(_TRIES))
        detail = self._detail(f"{path}(0)")
        driver = self._detail(f"{path}-driver(0)")
        driver_failed = driver.get("state") == "FAILED"
        state: StepState = "failed" if driver_failed else STATES.get(detail.get("state", ""), "waiting")
        ended = driver if driver_failed else detail
        return RunStep(_label(path), path, state, ended.get("end_time", ""), driver_failed, tries, self._workflow)

    def _detail(self, first_try: str) -> Json:
        return self._parents.get(f"{self._workflow}-{_hash(first_try)}", {})


def _children(detail: Json) -> Iterator[str]:
    """Identifiers of the nodes that follow one."""
    return (child["pod_name"] for child in detail.get("child_tasks", []) if child.get("pod_name"))


def _label(path: str) -> str:
    iterations = _ITERATION.findall(path)
    return " ".join([path.rpartition(".")[2], *iterations])


def _tasks(specification: Mapping[str, Any], graph: Mapping[str, Any], around: str = "") -> Iterator[tuple[str, str]]:
    """Name and full name of every task that runs something, behind those it waits for, loops gone through once."""
    tasks = graph["dag"]["tasks"]  # by their names, as the compiler sorts them
    waits = {name: [one for one in task.get("dependentTasks", ()) if one in tasks] for name, task in tasks.items()}
    for name in TopologicalSorter(waits).static_order():
        task = tasks[name]
        component = specification["components"].get(task["componentRef"]["name"], {})
        hooked = _hooked(graph, task)
        if "dag" in component:
            yield from _tasks(specification, component, f"{around}.{name}(0)")
        elif hooked:
            yield name, f"{around}.{hooked}.onExit(0).{name}"
        else:
            yield name, f"{around}.{name}"


def _hooked(graph: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    """The task after whose end, good or bad, a task of an exit handler runs; empty for the others."""
    if task.get("triggerPolicy", {}).get("strategy") != "ALL_UPSTREAM_TASKS_COMPLETED":
        return ""
    first = next(iter(task.get("dependentTasks", [])), "")
    return first if first in graph["dag"]["tasks"] else ""


def _outside_loops(specification: Mapping[str, Any], paths: Iterable[str]) -> list[str]:
    """Full names of the steps outside loops."""
    loops = {f".{name}(0)" for graph in graphs(specification) for name in _loops(graph)}
    return [path for path in paths if not any(loop in path for loop in loops)]


def _loops(graph: Mapping[str, Any]) -> list[str]:
    tasks = graph["dag"]["tasks"].items()
    return [name for name, task in tasks if "parameterIterator" in task or "artifactIterator" in task]


def _hash(name: str) -> int:
    """FNV-1a, 32 bits, as Argo has it."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value
