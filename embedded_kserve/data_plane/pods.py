"""Pods: a model server process each, started, probed, restarted when it ends, and drained before it is stopped."""

import copy
import http.client
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from embedded_kserve.data_plane.model_servers import Server
from embedded_kserve.delays import Pace
from embedded_kserve.faults import WorkloadFault
from embedded_kserve.kubernetes.conditions import Conditions, timestamp
from kubeline.ports import free_ports

CONTAINER = "kserve-container"
INITIALIZER = "storage-initializer"

MAX_PODS = 4  # of one revision or Deployment that are run; more fit on no laptop
_PROBE_SECONDS = 0.1
_STARTING_SECONDS = 0.02  # between the probes of a pod that is not ready yet
_LAST_LINES = 5  # of the log, as the message of a termination

Phase = Literal["created", "downloading", "pulling", "starting", "ready", "failed", "backing-off", "leaving"]


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
        of: the set that it is one of.
    """

    def __init__(self, name: str, of: "PodSet") -> None:
        self.name = name
        self.template = of.template
        self.phase: Phase = "created"
        self.restarts = 0
        self.exit_code = 0
        self.message = ""
        self.leaving_since = ""  # when it was asked to end
        self.failed_in = ""  # the container that ended last, empty while nothing has
        self.http_port, self.grpc_port = free_ports(2)
        self._warned: set[str] = set()
        self._set = of
        self._log = of.logs / f"{name}.log"
        self._ending = threading.Event()
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

    def stop(self) -> None:
        """Begin to end it, as a kubelet does: SIGTERM at once, after which it answers on for as long as it drains."""
        self.leaving_since = timestamp()
        self._step("leaving")
        self._ending.set()

    def _live(self) -> None:
        try:
            while not self._ending.is_set():
                if package := self._download():
                    self._run(package)
        finally:
            self.ended.set()
            self._set.changed()

    def _download(self) -> Path | None:
        """What the storage initializer does: only ``file://`` can be read."""
        self._step("downloading")
        uri = urlsplit(self.template.storage_uri)
        package = Path(unquote(uri.path))
        if uri.scheme == "file" and package.is_dir():
            return package
        reason = "it is no folder" if uri.scheme == "file" else "the embedded KServe reads file:// only"
        self._fail(INITIALIZER, 1, f"cannot download {self.template.storage_uri}: {reason}")
        return None

    def _run(self, package: Path) -> None:
        while self._set.fault() == "bad-image" or unpullable(self.template):
            self._step("pulling")
            if self._ending.wait(_PROBE_SECONDS):
                return
        self._step("starting")
        if self.restarts:
            self.http_port, self.grpc_port = free_ports(2)
        environment = {v["name"]: v["value"] for v in self.template.container.get("env", []) if "value" in v}
        server = Server(["kubeline_serving", *self._arguments(package)], self._log, environment)
        try:
            while (code := server.exit_code()) is None and not self._ending.wait(self._pause):
                if self.phase == "starting":
                    if self._set.fault() != "never-ready" and _answers(self.http_port, self.template.model_name):
                        self._step("ready")
                elif self._set.fault() == "never-ready":
                    self._step("starting")
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
        """Wait for the next start: an init container shows as failed nearly all the time, another as waiting."""
        self.failed_in, self.exit_code, self.message = container, code, message
        self._step("failed")
        pace = self._set.pace
        pause = pace.back_off * 2 ** (self.restarts - 1) if self.restarts else pace.first_back_off
        shown = 0.0 if not self.restarts else pace.back_off_shown if container == INITIALIZER else pause
        if not self._ending.wait(pause - shown) and shown:
            self._step("backing-off")
            self._ending.wait(shown)
        self.restarts += 1

    def _step(self, phase: Phase) -> None:
        if self.phase not in {phase, "leaving"}:
            self.phase = phase
            self._set.changed()

    def new_warnings(self) -> list[tuple[str, str]]:
        """Reason and message of the events by which a kubelet warns of the pod, each once."""
        unpulled = f'Failed to pull image "{self.image}": rpc error: code = NotFound desc = {self.image}: not found'
        restarting = f"Back-off restarting failed container {self.failed_in} in pod {self.name}"
        unready = "Readiness probe failed: HTTP probe failed with statuscode: 503"
        due = {
            "Failed": unpulled if self.phase == "pulling" else "",
            "BackOff": restarting if self.phase in {"failed", "backing-off"} else "",
            "Unhealthy": unready if self.phase == "starting" and self._set.fault() == "never-ready" else "",
        }
        new = [(reason, message) for reason, message in due.items() if message and reason not in self._warned]
        self._warned |= {reason for reason, _ in new}
        return new

    def spec(self) -> dict[str, Any]:
        """The pod's specification, with the ports that it really listens on."""
        spec: dict[str, Any] = self.template.document()["spec"]
        ports = (("http", self.http_port), ("grpc", self.grpc_port))
        spec["containers"][0]["ports"] = [{"name": name, "containerPort": port} for name, port in ports]
        return spec

    def status(self) -> dict[str, Any]:
        """The pod's status as Kubernetes has it."""
        initialized = self.phase not in {"created", "downloading"} and self.failed_in != INITIALIZER
        early = "" if initialized else f"containers with incomplete status: [{INITIALIZER}]"
        unready = "" if self.ready else f"containers with unready status: [{CONTAINER}]"
        conditions = Conditions()
        conditions.set("PodScheduled", "True")
        for kind, reason, problem in (
            ("Initialized", "ContainersNotInitialized", early),
            ("ContainersReady", "ContainersNotReady", unready),
            ("Ready", "ContainersNotReady", unready),
        ):
            conditions.set(kind, "False" if problem else "True", reason if problem else "", problem)
        first = {"name": INITIALIZER, "ready": initialized, **self._restarted(INITIALIZER)}
        main = {"name": CONTAINER, "image": self.image, "ready": self.ready, **self._restarted(CONTAINER)}
        return {
            "phase": "Running" if initialized and self.phase != "pulling" else "Pending",
            "podIP": "127.0.0.1",
            "conditions": [{k: v for k, v in c.items() if k != "lastTransitionTime"} for c in conditions.listed()],
            "initContainerStatuses": [{**first, "state": self._initializer(initialized)}],
            "containerStatuses": [{**main, "state": self._main(initialized)}],
        }

    def _restarted(self, container: str) -> dict[str, Any]:
        """How often a container has been started again, and how it ended before."""
        mine = self.failed_in == container
        return {"restartCount": self.restarts if mine else 0, "lastState": self._terminated if mine else {}}

    def _initializer(self, initialized: bool) -> dict[str, Any]:
        if initialized:
            return {"terminated": {"reason": "Completed", "exitCode": 0}}
        if self.phase == "created":
            return {"waiting": {"reason": "PodInitializing"}}
        return {"failed": self._terminated, "backing-off": _CRASHING}.get(self.phase, {"running": {}})

    def _main(self, initialized: bool) -> dict[str, Any]:
        if not initialized:
            return {"waiting": {"reason": "PodInitializing"}}
        pulling = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{self.image}"'}}
        states = {"pulling": pulling, "failed": self._terminated, "backing-off": _CRASHING}
        return states.get(self.phase, {"running": {}})

    @property
    def _terminated(self) -> dict[str, Any]:
        return {"terminated": {"reason": "Error", "exitCode": self.exit_code, "message": self.message}}

    @property
    def image(self) -> str:
        """The container's image."""
        return str(self.template.container.get("image", ""))


_CRASHING = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}


@dataclass(eq=False)
class PodSet:
    """The pods of one template: of a revision, or of a ReplicaSet.

    Attributes:
        name: of the revision or ReplicaSet.
        template: what its pods are made from.
        logs: folder for their logs.
        pace: how long they wait before they are started again.
        fault: what is wrong with them at the moment.
        changed: called when a pod has changed.
        wanted: how many there are to be.
        pods: those that are to stay.
    """

    name: str
    template: Template
    logs: Path
    pace: Pace
    fault: Callable[[], WorkloadFault | None]
    changed: Callable[[], None]
    wanted: int = 0
    pods: list[Pod] = field(default_factory=list)
    _left: list[Pod] = field(default_factory=list)

    def scale(self, wanted: int) -> None:
        """Have this many pods. What is too many is stopped at once, whether the gateway knows or not."""
        self.wanted = wanted
        processes = min(wanted, MAX_PODS)
        while len(self.pods) > processes:
            worst = next((pod for pod in reversed(self.pods) if not pod.ready), self.pods[-1])
            self.pods.remove(worst)
            self._left.append(worst)
            worst.stop()
        while len(self.pods) < processes and self.fault() != "quota":
            self.pods.append(Pod(f"{self.name}-{uuid.uuid4().hex[:5]}", self))

    @property
    def leaving(self) -> list[Pod]:
        """Pods that were asked to end, and still drain."""
        self._left = [pod for pod in self._left if not pod.ended.is_set()]
        return self._left

    @property
    def made(self) -> int:
        """How many replicas there are; those that are not run are counted once the others are there."""
        return self.wanted if len(self.pods) == MAX_PODS else len(self.pods)

    @property
    def over_quota(self) -> bool:
        """Whether pods are missing because none may be created."""
        return len(self.pods) < min(self.wanted, MAX_PODS)

    @property
    def ready_replicas(self) -> int:
        """How many replicas answer; a process stands for the ones that are not run."""
        ready = sum(pod.ready for pod in self.pods)
        return self.wanted if ready and ready == min(self.wanted, MAX_PODS) else ready

    @property
    def complete(self) -> bool:
        """Whether every wanted replica answers."""
        return self.ready_replicas == self.wanted

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the ready pods answer."""
        return tuple(pod.http_port for pod in self.pods if pod.ready)


def unpullable(template: Template) -> bool:
    """Images are not pulled; one of a registry that can never exist (RFC 2606) is missing, as it is everywhere."""
    image = str(template.container.get("image", ""))
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
