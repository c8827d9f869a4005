"""A SparkApplication of the Spark operator, made, followed and removed: what it writes is the source that is loaded."""

import hashlib
import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from kubeline.errors import PlatformError, UserError, listed
from kubeline.kubernetes import Cluster
from kubeline.kubernetes.errors import ConflictError, NotFoundError, UnavailableError
from kubeline.kubernetes.namespace import namespace_of, owned_by_this_step
from kubeline.kubernetes.resources import SPARK_APPLICATION, Manifest
from kubeline.kubernetes.rights import Rights, require
from kubeline.options import is_number
from kubeline.processes import ended_in_order

logger = logging.getLogger(__name__)

_KINDS = {".py": "Python", ".R": "R", ".jar": "Scala"}
_MEMORY = re.compile(r"[1-9]\d{0,6}[kmgt]", re.ASCII | re.IGNORECASE)  # as Spark writes it, and not Kubernetes
_LONGEST_PAUSE = 5.0  # seconds between two readings
_GONE_SECONDS = 120.0  # for one to be gone after it was deleted
_SILENT_SECONDS = 300.0  # of an API server that does not answer
_RIGHTS: Rights = (("create", SPARK_APPLICATION), ("get", SPARK_APPLICATION), ("delete", SPARK_APPLICATION))
_HERE = "{source}"  # in an argument, the address that is loaded


@dataclass(frozen=True)
class Spark:
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

    image: str
    main: str
    version: str
    main_class: str = ""
    arguments: tuple[str, ...] = ()
    conf: Mapping[str, str] = field(default_factory=dict)
    executors: int = 1
    cores: int = 1
    memory: str = "1g"
    service_account: str = "spark-operator-spark"
    namespace: str = ""
    cluster: str = "in-cluster"

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self | None:
        """What was given; None where nothing was.

        Raises:
            UserError: names what is no setting of an application.
        """
        if not given:
            return None
        known = cls.__dataclass_fields__
        if unknown := [key for key in given if key not in known]:
            raise UserError(f"spark has '{unknown[0]}'; there are: {listed(known, 20)}")
        if missing := [key for key in ("image", "main", "version") if not given.get(key)]:
            raise UserError(f"spark has no {missing[0]}; give image, main and version (that of Spark in the image)")
        for key in ("executors", "cores"):
            if key in given and (not is_number(given[key], whole=True) or not 1 <= given[key] <= 10_000):
                raise UserError(f"spark has {key} {given[key]!r}; expected a whole number from 1 to 10,000")
        arguments, conf = given.get("arguments", []), given.get("conf", {})
        if not isinstance(arguments, list | tuple) or not all(isinstance(one, str) for one in arguments):
            raise UserError(f"spark has arguments {arguments!r}; expected a list of texts")
        if not isinstance(conf, Mapping) or not all(isinstance(one, str) for one in conf.values()):
            raise UserError(f'spark has conf {conf!r}; expected properties with texts, such as {{"spark.x": "true"}}')
        others = {"executors", "cores", "arguments", "conf"}
        if wrong := [key for key in given if key not in others and not isinstance(given[key], str)]:
            raise UserError(f"spark has {wrong[0]} {given[wrong[0]]!r}; expected text")
        whole = {key: int(given[key]) for key in ("executors", "cores") if key in given}
        return cls(**{**given, **whole, "arguments": tuple(arguments), "conf": dict(conf)})._checked()

    def _checked(self) -> Self:
        if self.kind == "Scala" and not self.main_class:
            raise UserError(f"spark has main '{self.main}', a jar, and no main_class; name the class to run")
        if not _MEMORY.fullmatch(self.memory):
            raise UserError(f"spark has memory '{self.memory}'; expected it as Spark writes it, such as 4g")
        return self

    @property
    def kind(self) -> str:
        """What the operator calls the language.

        Raises:
            UserError: where the name of the application does not say.
        """
        found = next((kind for ending, kind in _KINDS.items() if self.main.endswith(ending)), "")
        if not found:
            raise UserError(f"spark has main '{self.main}'; expected one that ends in {listed(_KINDS)}")
        return found


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
            running.remove(wait=False)


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
        self.remove(wait=True)
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
                words = " ".join(str(stated.get("errorMessage") or "no reason is given").split())[:500]
                raise UserError(f"{self._what} failed: {words}; see the log of its driver, {self._name}-driver")
            time.sleep(pause)

    def remove(self, wait: bool) -> None:
        """Delete it, which its pods go with; `wait` until it is gone."""
        deadline = time.monotonic() + _GONE_SECONDS
        for pause in _pauses():
            if not self._cluster.attempt(self._deleted, self._what) or not wait:
                return
            if time.monotonic() > deadline:
                raise PlatformError(f"{self._what} of an earlier try does not go away; see its finalizers")
            time.sleep(pause)

    def _deleted(self) -> bool:
        """Whether there was one to delete."""
        try:
            self._cluster.delete(self._namespace, self._name, SPARK_APPLICATION)
        except NotFoundError:
            return False
        return True
