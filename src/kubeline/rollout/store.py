"""Keeps the record of a rollout in a ConfigMap of the cluster."""

from pydantic import BaseModel, ConfigDict, ValidationError

from kubeline.errors import PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.resources import CONFIG_MAP, INFERENCE_SERVICE, Manifest
from kubeline.rollout.status import FORMAT, Record, Request

REQUEST = "kubeline.dev/request"  # annotation of the ConfigMap: promote or abort
_MOST_BYTES = 900_000  # an object of Kubernetes may have 1 MiB with all else in it


def fitted(record: Record) -> Record:
    """The record, small enough for a ConfigMap: the evidence of its oldest looks is left out first, then their checks.

    Raises:
        PlatformError: when it is too large all the same.
    """
    for part in ("evidence", "findings"):
        for number in range(len(record.looks)):
            if _size(record) <= _MOST_BYTES:
                return record
            look = {key: value for key, value in record.looks[number].items() if key != part}
            looks = (*record.looks[:number], look, *record.looks[number + 1 :])
            record = record.model_copy(update={"looks": looks})
    if _size(record) > _MOST_BYTES:
        raise PlatformError(
            f"the record of the rollout of {record.namespace}/{record.name} would have {_size(record):,} bytes, but a "
            f"ConfigMap holds {_MOST_BYTES:,}; shorten the predictor or the plan"
        )
    return record


def _size(record: Record) -> int:
    return len(record.model_dump_json().encode())


class Kept(BaseModel):
    """A record as it is kept, with the version that fences the next write, and what a person asked for."""

    model_config = ConfigDict(frozen=True)

    record: Record
    version: str
    request: str = ""


def record_name(name: str) -> str:
    """Of the ConfigMap."""
    return f"{name}-kubeline-rollout"


class Records:
    """The record of one InferenceService in a cluster."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name

    def read(self) -> Kept | None:
        """The record, or None when there never was a rollout.

        Raises:
            PlatformError: when the ConfigMap holds something else.
        """
        found = self._cluster.read(self._namespace, record_name(self._name), CONFIG_MAP)
        return None if found is None else self._kept(found)

    def write(self, record: Record, version: str, service: Manifest | None = None, heard: bool = False) -> Kept:
        """Replace the record; ConflictError when somebody else has.

        Args:
            record: the new one.
            version: resource version that was read; empty creates it.
            service: the InferenceService it goes with, when that is known.
            heard: the request of a person has been followed.
        """
        meta: Manifest = {"name": record_name(self._name), "namespace": self._namespace}
        meta["labels"] = {"app.kubernetes.io/managed-by": "kubeline"}
        if service is not None:
            meta["ownerReferences"] = [_owner(service)]
        if heard:
            meta["annotations"] = {REQUEST: None}
        body: Manifest = {"metadata": meta, "data": {"record": fitted(record).model_dump_json()}}
        if not version:
            body |= {"apiVersion": CONFIG_MAP.api_version, "kind": CONFIG_MAP.kind}
            return self._kept(self._cluster.create(body, CONFIG_MAP))
        meta["resourceVersion"] = version
        return self._kept(self._cluster.patch(self._namespace, record_name(self._name), body, CONFIG_MAP))

    def ask(self, request: Request) -> None:
        """Leave a request for whoever drives the rollout."""
        body = {"metadata": {"annotations": {REQUEST: request}}}
        self._cluster.patch(self._namespace, record_name(self._name), body, CONFIG_MAP)

    def _kept(self, found: Manifest) -> Kept:
        try:
            record = Record.model_validate_json((found.get("data") or {}).get("record", ""))
        except ValidationError as error:
            where = f"ConfigMap {self._namespace}/{record_name(self._name)}"
            raise PlatformError(
                f"{where} holds no record of a rollout; delete it when no rollout is going on"
            ) from error
        if record.format > FORMAT:
            raise PlatformError(
                f"the rollout of {self._namespace}/{self._name} was begun by a newer Kubeline, whose record this one "
                "cannot keep; use that version, here and wherever it is driven"
            )
        meta = found["metadata"]
        return Kept(
            record=record,
            version=meta["resourceVersion"],
            request=(meta.get("annotations") or {}).get(REQUEST, ""),
        )


def _owner(service: Manifest) -> Manifest:
    """The record goes with its InferenceService."""
    meta = service["metadata"]
    return {
        "apiVersion": INFERENCE_SERVICE.api_version,
        "kind": INFERENCE_SERVICE.kind,
        "name": meta["name"],
        "uid": meta["uid"],
    }
