"""Kubeflow Trainer as far as its runtime `xgboost-distributed` goes, over an embedded API server.

For each TrainJob it runs the command of its pods as processes of this machine, with the contract of the runtime, begins
those that fail again as a Job does, and writes the status. With a TrainJob its processes go, and its Secret.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedded_kserve.kubernetes.api_server import ApiServer
from embedded_kserve.kubernetes.resources import NAMESPACE, Kind
from embedded_kserve.kubernetes.store import Store
from kubeline.ports import free_ports
from tests.support.waiting import repeating

TRAIN_JOB = Kind("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob")
SECRET = Kind("", "v1", "secrets", "Secret", status=False)


class Trainer(ApiServer):
    """The API server, and the controller.

    Args:
        folder: for what the pods write on their own disks.
        restarts: of the pods of one TrainJob, after which it has failed; the runtime's own is 6.
    """

    def __init__(self, folder: Path, restarts: int = 6) -> None:
        super().__init__(Store((NAMESPACE, TRAIN_JOB, SECRET)))
        self.store.create(NAMESPACE, {"metadata": {"name": "default"}})
        self.seen: list[dict[str, Any]] = []  # TrainJobs, as they were created
        self.pods: dict[int, subprocess.Popen[bytes]] = {}
        self._folder = folder
        self.restarts = restarts
        self._of = ""  # uid of the TrainJob whose pods run
        self._failures = 0
        self._environment: dict[str, str] = {}

    @contextmanager
    def controlling(self) -> Iterator[None]:
        """Follow TrainJobs while the block runs."""
        try:
            with repeating(self._reconcile, pause=0.05):
                yield
        finally:
            self._end_pods()

    def _reconcile(self) -> None:
        jobs = self.store.every(TRAIN_JOB)
        job = jobs[0] if jobs else None
        uid = job["metadata"]["uid"] if job else ""
        if uid != self._of:
            self._end_pods()
            self._of, self._failures = uid, 0
            self.seen += [job] if job else []
        if job is None or job.get("status"):
            return
        if not self.pods:
            self._start_pods(job)
            return
        failed = [index for index, pod in self.pods.items() if pod.poll()]
        self._failures += len(failed)
        if self._failures > self.restarts:
            self._end_pods()
            self._set(job, "Failed", "job node-0 failed: BackoffLimitExceeded")
        elif failed:
            for index in failed:
                self._start(job, index)
        elif all(pod.poll() == 0 for pod in self.pods.values()):
            self._set(job, "Complete", "jobset completed successfully")

    def _set(self, job: dict[str, Any], condition: str, message: str) -> None:
        meta = job["metadata"]
        status = {"type": condition, "status": "True", "reason": condition, "message": message}
        self.store.set_status(TRAIN_JOB, meta["namespace"], meta["name"], {"conditions": [status]})

    def _start_pods(self, job: dict[str, Any]) -> None:
        """When the Secret is there, as the kubelet waits for it."""
        environment = {}
        for one in job["spec"]["trainer"]["env"]:
            if (source := one.get("valueFrom")) is None:
                environment[one["name"]] = one["value"]
                continue
            reference = source["secretKeyRef"]
            secret = self.store.find(SECRET, job["metadata"]["namespace"], reference["name"])
            if secret is None:
                return
            environment[one["name"]] = secret["stringData"][reference["key"]]
        count = job["spec"]["trainer"]["numNodes"]
        [port] = free_ports(1)
        self._environment = {
            **environment,
            "DMLC_TRACKER_URI": "127.0.0.1",
            "DMLC_TRACKER_PORT": str(port),
            "DMLC_NUM_WORKER": str(count),
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self._folder),
        }
        for index in range(count):
            self._start(job, index)

    def _start(self, job: dict[str, Any], index: int) -> None:
        program, *arguments = job["spec"]["trainer"]["command"]
        assert program == "python"
        environment = {**self._environment, "DMLC_TASK_ID": str(index)}
        self.pods[index] = subprocess.Popen([sys.executable, *arguments], env=environment)

    def _end_pods(self) -> None:
        for pod in self.pods.values():
            pod.kill()
            pod.wait()
        self.pods = {}
