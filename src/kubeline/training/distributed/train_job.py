"""Workers as pods of a TrainJob of Kubeflow Trainer 2.3, whose runtime brings the contract that they work by."""

import hashlib
import logging
import time
from contextlib import suppress
from typing import Any

from kubeline.kubernetes import Cluster
from kubeline.kubernetes.errors import ConflictError, UnavailableError
from kubeline.kubernetes.namespace import namespace_of, owned_by_this_step
from kubeline.kubernetes.resources import SECRET, TRAIN_JOB, Manifest
from kubeline.kubernetes.rights import Rights, require
from kubeline.training.distributed.exchange import CERTIFICATE, TOKEN, URL
from kubeline.training.distributed.server import Served
from kubeline.training.distributed.workers import Workers

logger = logging.getLogger(__name__)

_NODE = "node"  # how the runtime calls its job and its container
_KEY = "token"
_RIGHTS: Rights = (
    ("create", TRAIN_JOB),
    ("get", TRAIN_JOB),
    ("delete", TRAIN_JOB),
    ("create", SECRET),
)
_SILENT_SECONDS = 300.0  # of an API server that does not answer, after which the training is given up


def manifest(name: str, namespace: str, workers: Workers, served: Served, secret: str) -> Manifest:
    """The TrainJob.

    Args:
        name: of the TrainJob.
        namespace: of the TrainJob.
        workers: how many, of what image and size.
        served: where they find the files of the training.
        secret: name of the Secret with the token that they show there.
    """
    size = {"cpu": workers.cpu, "memory": workers.memory}
    trainer = {
        "image": workers.image,
        "command": ["python", "-P", "-m", "kubeline.training.distributed.worker"],
        "numNodes": workers.count,
        "resourcesPerNode": {"requests": size, "limits": {"memory": workers.memory}},
        "env": [
            {"name": URL, "value": served.url},
            {"name": CERTIFICATE, "value": served.certificate},
            {"name": TOKEN, "valueFrom": {"secretKeyRef": {"name": secret, "key": _KEY}}},
        ],
    }
    return {
        "apiVersion": TRAIN_JOB.api_version,
        "kind": TRAIN_JOB.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "kubeline", "app.kubernetes.io/component": "training"},
            **owned_by_this_step(namespace),
        },
        "spec": {
            "runtimeRef": {"name": workers.runtime},
            "trainer": trainer,
            "runtimePatches": [{"manager": "kubeline.dev/train", "trainingRuntimeSpec": {"template": _restricted()}}],
        },
    }


def _restricted() -> dict[str, Any]:
    """What a namespace that enforces the Pod Security Standard `restricted` asks of the pods."""
    container = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": _NODE, "securityContext": container}],
    }
    return {"spec": {"replicatedJobs": [{"name": _NODE, "template": {"spec": {"template": {"spec": pod}}}}]}}


def check_cluster(workers: Workers) -> None:
    """Check that the cluster has Trainer, and that this step may have workers there.

    Raises:
        PlatformError: that names what is missing.
    """
    cluster, namespace = Cluster.connect(workers.cluster), namespace_of(workers.namespace, workers.cluster)
    require(cluster, namespace, _RIGHTS, TRAIN_JOB, "manifests/trainer")


class TrainJob:
    """A group of workers that a TrainJob makes; its name is that of the step's output, so a repeated step finds it."""

    pause = 2.0

    def __init__(self, cluster: Cluster, name: str, namespace: str, workers: Workers, served: Served) -> None:
        self._cluster = cluster
        self._name, self._namespace = name, namespace
        self._workers, self._served = workers, served
        self._known = hashlib.sha256(served.token.encode()).hexdigest()[:8]
        self._tries = 0
        self._answered = time.monotonic()

    def start(self) -> None:
        """See :class:`kubeline.training.distributed.group.Group`."""
        self._cluster.remove(self._namespace, self._name, TRAIN_JOB, wait=True)
        self._tries += 1
        named = f"{self._name}-{self._known}-{self._tries}"  # that of an earlier one may linger
        made = self._cluster.attempt(lambda: self._created(named), f"TrainJob {self._namespace}/{self._name}")
        logger.info("TrainJob %s/%s is created", self._namespace, self._name)
        owner = {
            "apiVersion": TRAIN_JOB.api_version, "kind": TRAIN_JOB.kind,
            "name": self._name, "uid": made["metadata"]["uid"],
        }  # fmt: skip
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": named, "namespace": self._namespace, "ownerReferences": [owner]},
            "stringData": {_KEY: self._served.token},
        }
        self._cluster.attempt(lambda: self._written(secret), f"Secret {self._namespace}/{named}")
        self._answered = time.monotonic()

    def _created(self, secret: str) -> Manifest:
        """The TrainJob of this try; a create whose answer was lost is seen, and not repeated."""
        wanted = manifest(self._name, self._namespace, self._workers, self._served, secret)
        try:
            return self._cluster.create(wanted, TRAIN_JOB)
        except ConflictError:
            found = self._cluster.read(self._namespace, self._name, TRAIN_JOB)
            if found is None or f"'{secret}'" not in str(found["spec"]):
                raise
            return found

    def _written(self, secret: Manifest) -> None:
        with suppress(ConflictError):  # it is there: the answer to an earlier create was lost
            self._cluster.create(secret, SECRET)

    def failure(self) -> str | None:
        """See :class:`kubeline.training.distributed.group.Group`."""
        try:
            found = self._cluster.read(self._namespace, self._name, TRAIN_JOB)
        except UnavailableError:
            if time.monotonic() - self._answered > _SILENT_SECONDS:
                raise
            return ""
        self._answered = time.monotonic()
        if found is None:
            return f"TrainJob {self._namespace}/{self._name} was deleted by someone else"
        conditions = found.get("status", {}).get("conditions", [])
        holds = {one["type"]: one for one in conditions if one.get("status") == "True"}
        if failed := holds.get("Failed"):
            words = failed.get("message") or failed.get("reason") or "no reason is given"
            return f"TrainJob {self._namespace}/{self._name} failed: {words}"
        return None if "Complete" in holds else ""

    def stop(self) -> None:
        """See :class:`kubeline.training.distributed.group.Group`."""
        self._cluster.remove(self._namespace, self._name, TRAIN_JOB, wait=False)  # its pods and the Secret go with it
