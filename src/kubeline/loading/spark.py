"""A SparkApplication of the Spark operator, made, followed and removed: what it writes is the source that is loaded."""

import hashlib
import logging
import time
from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, model_validator

from kubeline.errors import PlatformError, UserError, listed
from kubeline.kubernetes import Cluster
from kubeline.kubernetes.errors import ConflictError, UnavailableError
from kubeline.kubernetes.namespace import namespace_of, owned_by_this_step
from kubeline.kubernetes.resources import SPARK_APPLICATION, Manifest
from kubeline.kubernetes.rights import Rights, require
from kubeline.masking import without_values
from kubeline.processes import ended_in_order
from kubeline.settings import Settings

logger = logging.getLogger(__name__)

_KINDS = {".py": "Python", ".R": "R", ".jar": "Scala"}
_MEMORY = r"(?i)^[1-9][0-9]{0,6}[kmgt]$"  # as Spark writes it, and not Kubernetes
_COUNT = "a whole number from 1 to 10,000"
_LONGEST_PAUSE = 5.0  # seconds between two readings
_SILENT_SECONDS = 300.0  # of an API server that does not answer
_RIGHTS: Rights = (("create", SPARK_APPLICATION), ("get", SPARK_APPLICATION), ("delete", SPARK_APPLICATION))
_HERE = "{source}"  # in an argument, the address that is loaded


class Spark(Settings):
    """The input `spark` of `load`.

    Attributes:
        image: of driver and executors.
        main: the application: ``….py``, ``….jar`` or ``….R``, at an address that Spark reads.
        version: of Spark.
        main_class: of a jar.
        arguments: of the application; ``{source}`` in one is the address that is loaded.
        conf: properties of Spark.
        executors: how many.
        cores: of the driver, and of each executor.
        memory: of the same, as Spark writes it.
        service_account: of the driver, which makes the executors.
        namespace: of the application; empty for that of the step.
        cluster: ``in-cluster``, or a kubeconfig.
    """

    group = "spark"

    image: str = Field(min_length=1, description="an image with Spark")
    main: str = Field(pattern=r"\.(py|R|jar)$", description=f"one that ends in {listed(_KINDS)}")
    version: str = Field(min_length=1, description="the version of Spark in the image")
    main_class: str = ""
    arguments: list[str] = Field([], description="a list of texts")
    conf: dict[str, str] = Field({}, description='properties with texts, such as {"spark.x": "true"}')
    executors: int = Field(1, ge=1, le=10_000, description=_COUNT)
    cores: int = Field(1, ge=1, le=10_000, description=_COUNT)
    memory: str = Field(default="1g", pattern=_MEMORY, description="it as Spark writes it, such as 4g")
    service_account: str = "spark-operator-spark"
    namespace: str = ""
    cluster: str = "in-cluster"

    @model_validator(mode="after")
    def _class_of_a_jar(self) -> Self:
        if self.main.endswith(".jar") and not self.main_class:
            raise ValueError(f"has main '{self.main}', a jar, and no main_class; name the class to run")
        return self

    @property
    def kind(self) -> str:
        """What the operator calls the language."""
        return next(kind for ending, kind in _KINDS.items() if self.main.endswith(ending))


def check_cluster(spark: Spark) -> None:
    """Check that the cluster has the Spark operator, and that this step may have applications there.

    Raises:
        PlatformError: that names what is missing.
    """
    namespace = namespace_of(spark.namespace, spark.cluster)
    require(Cluster.connect(spark.cluster), namespace, _RIGHTS, SPARK_APPLICATION, "manifests/spark")


def manifest(spark: Spark, name: str, namespace: str, source: str) -> Manifest:
    """The SparkApplication."""
    size = {"cores": spark.cores, "memory": spark.memory, "securityContext": _restricted()}
    labels = {"app.kubernetes.io/name": "kubeline", "app.kubernetes.io/component": "spark"}
    return {
        "apiVersion": SPARK_APPLICATION.api_version,
        "kind": SPARK_APPLICATION.kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels, **owned_by_this_step(namespace)},
        "spec": {
            "type": spark.kind,
            "mode": "cluster",
            "image": spark.image,
            "sparkVersion": spark.version,
            "mainApplicationFile": spark.main,
            **({"mainClass": spark.main_class} if spark.main_class else {}),
            "arguments": [argument.replace(_HERE, source) for argument in spark.arguments],
            "sparkConf": dict(spark.conf),
            "restartPolicy": {"type": "Never"},
            "driver": {**size, "serviceAccount": spark.service_account},
            "executor": {**size, "instances": spark.executors},
        },
    }


def _restricted() -> dict[str, Any]:
    """What a namespace that enforces the Pod Security Standard `restricted` asks of the pods."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def write_by(spark: Spark, source: str, purpose: str) -> None:
    """Have an application write the source, and wait until it has.

    It is removed whatever happens, also when this process is asked to end (SIGTERM). One that a killed step left behind
    has the same name, and is removed first.

    Args:
        spark: what is run.
        source: what it writes.
        purpose: the same for each try of one step, and for no other.

    Raises:
        UserError: when the application fails.
        PlatformError: when the cluster has no Spark operator, does not answer, or the application is deleted.
    """
    namespace = namespace_of(spark.namespace, spark.cluster)
    name = f"load-{hashlib.sha256(purpose.encode()).hexdigest()[:16]}"
    running = _Application(Cluster.connect(spark.cluster), name, namespace)
    with ended_in_order():
        try:
            running.begin(manifest(spark, name, namespace, source))
            running.follow()
        finally:
            running.remove()


def _pauses() -> Iterator[float]:
    """Seconds before each further reading: short at first, as what fails mostly does so at once."""
    pause = 0.1
    while True:
        yield pause
        pause = min(1.5 * pause, _LONGEST_PAUSE)


class _Application:
    """One SparkApplication of a cluster."""

    def __init__(self, cluster: Cluster, name: str, namespace: str) -> None:
        self._cluster, self._name, self._namespace = cluster, name, namespace
        self._what = f"SparkApplication {namespace}/{name}"

    def begin(self, wanted: Manifest) -> None:
        """Create it."""
        self._cluster.remove(self._namespace, self._name, SPARK_APPLICATION, wait=True)
        self._cluster.attempt(lambda: self._created(wanted), self._what)
        logger.info("%s is created", self._what)

    def _created(self, wanted: Manifest) -> None:
        try:
            self._cluster.create(wanted, SPARK_APPLICATION)
        except ConflictError:  # the answer to an earlier create was lost
            if self._cluster.read(self._namespace, self._name, SPARK_APPLICATION) is None:
                raise

    def follow(self) -> None:
        """Wait until it has ended, and say each state that it comes to."""
        answered, last = time.monotonic(), ""
        for pause in _pauses():
            try:
                found = self._cluster.read(self._namespace, self._name, SPARK_APPLICATION)
            except UnavailableError:
                if time.monotonic() - answered > _SILENT_SECONDS:
                    raise
                time.sleep(pause)
                continue
            answered = time.monotonic()
            if found is None:
                raise PlatformError(f"{self._what} was deleted by someone else; run the step again")
            stated = found.get("status", {}).get("applicationState", {})
            state = stated.get("state", "")
            if state != last:
                logger.info("%s is %s", self._what, state or "new")
                last = state
            if state == "COMPLETED":
                return
            if state in ("FAILED", "SUBMISSION_FAILED"):
                said = " ".join(str(stated.get("errorMessage") or "no reason is given").split())
                words = without_values(said)[:500]
                raise UserError(f"{self._what} failed: {words}; see the log of its driver, {self._name}-driver")
            time.sleep(pause)

    def remove(self) -> None:
        """Delete it, which its pods go with."""
        self._cluster.remove(self._namespace, self._name, SPARK_APPLICATION, wait=False)
