"""Pods: a model server process each, started, probed, restarted when it ends, and drained before it is stopped."""

import copy
import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from kubeline.local.kserve.faults import WorkloadFault
from kubeline.local.kserve.nursery import Server
from kubeline.ports import free_ports

CONTAINER = "kserve-container"
INITIALIZER = "storage-initializer"

DRAIN_SECONDS = 0.5  # between leaving the routes and SIGTERM
_PROBE_SECONDS = 0.1
_STARTING_SECONDS = 0.02  # between the probes of a pod that is not ready yet
_BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
_LAST_LINES = 5  # of the log, as the message of a termination

Phase = Literal["pulling", "downloading", "starting", "ready", "backing-off", "leaving"]


@dataclass(frozen=True)
class Template:
    """What a pod is made from; pods of equal templates are the same version.

    Attributes:
        labels: of the pod.
        annotations: of the pod.
        container: image, args, env and resources as Kubernetes has them.
        storage_uri: where the package comes from.
        model_name: name that the server gives its model.
        rest: the remaining pod specification.
    """

    labels: dict[str, str]
    annotations: dict[str, str]
    container: dict[str, Any]
    storage_uri: str
    model_name: str
    rest: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The pod template as Kubernetes has it."""
        containers = [{"name": CONTAINER, **self.container}]
        meta = {"labels": self.labels, "annotations": self.annotations}
        return copy.deepcopy({"metadata": meta, "spec": {**self.rest, "containers": containers}})


class Pod:
    """One pod; its life is a thread.

    Args:
        name: its name.
        template: what it is made from.
        logs: folder for its log.
        fault: what is wrong with it at the moment.
        changed: called after each step of its life.
    """

    def __init__(
        self,
        name: str,
        template: Template,
        logs: Path,
        fault: Callable[[], WorkloadFault | None],
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.template = template
        self.phase: Phase = "pulling"
        self.restarts = 0
        self.exit_code = 0
        self.message = ""
        self.failed_in = ""  # the container that ended last, empty while nothing has
        self.http_port, self.grpc_port = free_ports(2)
        self._log = logs / f"{name}.log"
        self._fault = fault
        self._changed = changed
        self._ending = threading.Event()
        self._drain = 0.0
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether it answers requests."""
        return self.phase == "ready"

    @property
    def _pause(self) -> float:
        """Seconds between two probes."""
        return _PROBE_SECONDS if self.ready else _STARTING_SECONDS

    def stop(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Begin to end it: after the drain, in which it still answers, it is stopped."""
        self._drain = drain_seconds
        self._step("leaving")
        self._ending.set()

    def _live(self) -> None:
        try:
            while not self._ending.is_set():
                if self._fault() == "bad-image" or _unpullable(self.template.container.get("image", "")):
                    self._step("pulling")
                    self._ending.wait(_PROBE_SECONDS)
                elif package := self._download():
                    self._run(package)
        finally:
            self.ended.set()
            self._changed()

    def _download(self) -> Path | None:
        """What the storage initializer does: only ``file://`` can be read."""
        if self.phase == "pulling":
            self._step("downloading")
        uri = urlsplit(self.template.storage_uri)
        package = Path(unquote(uri.path))
        if uri.scheme == "file" and package.is_dir():
            return package
        reason = "it is no folder" if uri.scheme == "file" else "the embedded KServe reads file:// only"
        self._fail(INITIALIZER, 1, f"cannot download {self.template.storage_uri}: {reason}")
        return None

    def _run(self, package: Path) -> None:
        self._step("starting")
        if self.restarts:
            self.http_port, self.grpc_port = free_ports(2)
        environment = {v["name"]: v["value"] for v in self.template.container.get("env", []) if "value" in v}
        server = Server(["serving", *self._arguments(package)], self._log, environment)
        try:
            while (code := server.exit_code()) is None and not self._ending.wait(self._pause):
                if self.phase == "starting":
                    if self._fault() != "never-ready" and _answers(self.http_port, self.template.model_name):
                        self._step("ready")
                elif self._fault() == "never-ready":
                    self._step("starting")
            if self._ending.is_set():
                time.sleep(self._drain)
        finally:
            server.stop()
        if code is not None and not self._ending.is_set():
            words = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]
            self._fail(CONTAINER, code, "\n".join(words))

    def _arguments(self, package: Path) -> list[str]:
        """The container's arguments, of which the last ones count: the package and ports are this machine's."""
        given = [str(a).replace("{{.Name}}", self.template.model_name) for a in self.template.container.get("args", [])]
        ports = ["--host=127.0.0.1", f"--http_port={self.http_port}", f"--grpc_port={self.grpc_port}"]
        return [*given, f"--model_dir={package}", *ports]

    def _fail(self, container: str, code: int, message: str) -> None:
        self.failed_in, self.exit_code, self.message = container, code, message
        self._step("backing-off")
        self._ending.wait(_BACK_OFF_SECONDS[min(self.restarts, len(_BACK_OFF_SECONDS) - 1)])
        self.restarts += 1

    def _step(self, phase: Phase) -> None:
        if self.phase not in {phase, "leaving"}:
            self.phase = phase
            self._changed()

    def spec(self) -> dict[str, Any]:
        """The pod's specification, with the ports that it really listens on."""
        spec: dict[str, Any] = self.template.document()["spec"]
        ports = (("http", self.http_port), ("grpc", self.grpc_port))
        spec["containers"][0]["ports"] = [{"name": name, "containerPort": port} for name, port in ports]
        return spec

    def status(self) -> dict[str, Any]:
        """The pod's status as Kubernetes has it."""
        ready = self.ready
        terminated: dict[str, Any] = {
            "terminated": {"reason": "Error", "exitCode": self.exit_code, "message": self.message}
        }
        waiting: dict[str, Any] = {
            "waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}
        }
        running: dict[str, Any] = {"running": {}}
        if self.phase == "pulling":
            state: dict[str, Any] = {
                "waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{self.image}"'}
            }
        elif self.phase == "backing-off":
            state = waiting if self.restarts else terminated
        else:
            state = running
        last = terminated if self.failed_in else {}
        failed_early = self.failed_in == INITIALIZER
        main = {
            "name": CONTAINER,
            "image": self.image,
            "ready": ready,
            "restartCount": 0 if failed_early else self.restarts,
        }
        first = {"name": INITIALIZER, "ready": not failed_early, "restartCount": self.restarts if failed_early else 0}
        creating = {"waiting": {"reason": "PodInitializing"}}
        done = {"terminated": {"reason": "Completed", "exitCode": 0}}
        return {
            "phase": "Running" if self.phase in {"starting", "ready", "leaving"} else "Pending",
            "podIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "initContainerStatuses": [
                {**first, "state": state, "lastState": last} if failed_early else {**first, "state": done}
            ],
            "containerStatuses": [
                {**main, "state": creating} if failed_early else {**main, "state": state, "lastState": last}
            ],
        }

    @property
    def image(self) -> str:
        """The container's image."""
        return str(self.template.container.get("image", ""))


class PodSet:
    """The pods of one template: of a revision, or of a ReplicaSet.

    Args:
        name: of the revision or ReplicaSet.
        template: what its pods are made from.
        logs: folder for their logs.
        fault: what is wrong with pods of this name at the moment.
        changed: called when a pod has changed.
    """

    LARGEST = 2  # processes; more replicas than that are counted, and not run

    def __init__(
        self,
        name: str,
        template: Template,
        logs: Path,
        fault: Callable[[str], WorkloadFault | None],
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.template = template
        self.wanted = 0
        self.pods: list[Pod] = []
        self.leaving: list[Pod] = []  # out of the endpoints; stopped by `release`
        self.created = time.monotonic()
        self._logs = logs
        self._fault = fault
        self._changed = changed

    def scale(self, wanted: int) -> None:
        """Have this many pods. What is too many leaves the endpoints, and is stopped by `release`."""
        self.wanted = wanted
        processes = min(wanted, self.LARGEST)
        while len(self.pods) > processes:
            worst = next((pod for pod in reversed(self.pods) if not pod.ready), self.pods[-1])
            self.pods.remove(worst)
            self.leaving.append(worst)
        while len(self.pods) < processes and self._fault(self.name) != "quota":
            name = f"{self.name}-{uuid.uuid4().hex[:5]}"
            self.pods.append(Pod(name, self.template, self._logs, lambda: self._fault(self.name), self._changed))

    def release(self) -> list[Pod]:
        """Stop the pods that have left; to be called when nothing is routed to them. Returns those pods."""
        gone, self.leaving = self.leaving, []
        for pod in gone:
            pod.stop()
        return gone

    @property
    def over_quota(self) -> bool:
        """Whether pods are missing because none may be created."""
        return len(self.pods) < min(self.wanted, self.LARGEST)

    @property
    def ready_replicas(self) -> int:
        """How many replicas answer; a process stands for the ones that are not run."""
        ready = sum(pod.ready for pod in self.pods)
        return self.wanted if ready and ready == min(self.wanted, self.LARGEST) else ready

    @property
    def complete(self) -> bool:
        """Whether every wanted replica answers."""
        return self.ready_replicas == self.wanted

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the ready pods answer."""
        return tuple(pod.http_port for pod in self.pods if pod.ready)


def _unpullable(image: str) -> bool:
    """Images are not pulled; one of a registry that can never exist (RFC 2606) is missing, as it is everywhere."""
    return image.partition("/")[0].partition(":")[0].endswith(".invalid")


def _answers(port: int, model: str) -> bool:
    """The readiness probe of the serving runtime."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", f"/v2/models/{model}/ready")
        response = connection.getresponse()
        text = response.read()
        return response.status == 200 and (not text or json.loads(text).get("ready", True) is True)
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return False
    finally:
        connection.close()
