"""Stores the status of a rollout in the ConfigMap ``NAME-kubeline-rollout`` beside the InferenceService.

Not in the annotations of the latter: KServe copies those to the pods, so that each write would start new ones.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from kubeline.errors import PlatformError
from kubeline.kubernetes.resources import CONFIG_MAP, INFERENCE_SERVICE, Manifest
from kubeline.rollout.status import OperatorRequest, RolloutStatus
from kubeline.serving_platform.interface import ServingPlatform

REQUEST = "kubeline.dev/request"  # annotation of the ConfigMap: promote or abort
FORMAT = 2  # raised when an older version could not continue with a status
_MAX_BYTES = 900_000  # an object of Kubernetes may have 1 MiB with all else in it
_STATUS = TypeAdapter(RolloutStatus)


@dataclass(frozen=True)
class StoredStatus:
    """A status as it is stored.

    Attributes:
        status: of the rollout.
        version: resource version that fences the next write.
        request: of an operator: promote or abort, or whatever else the annotation holds; empty when there is none.
    """

    status: RolloutStatus
    version: str
    request: str = ""


@dataclass(frozen=True, kw_only=True)
class _Document:
    """What is stored."""

    format: int
    status: RolloutStatus


_DOCUMENT = TypeAdapter(_Document)


def config_map_name(name: str) -> str:
    """Of the ConfigMap of an InferenceService's rollouts."""
    return f"{name}-kubeline-rollout"


class StatusStore:
    """The status of the rollouts of one InferenceService in a cluster."""

    def __init__(self, cluster: ServingPlatform, namespace: str, name: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name

    def read(self) -> StoredStatus | None:
        """The status, or None when there never was a rollout.

        Raises:
            PlatformError: when the ConfigMap holds something else, or a status of an unknown format.
        """
        found = self._cluster.read(self._namespace, config_map_name(self._name), CONFIG_MAP)
        return None if found is None else self._stored(found)

    def write(
        self, status: RolloutStatus, version: str, service: Manifest | None = None, *, clear_request: bool = False
    ) -> StoredStatus:
        """Replace the status; ConflictError when another process has.

        Args:
            status: the new one.
            version: resource version that was read; empty creates it.
            service: the InferenceService it belongs to, when that is known.
            clear_request: an operator's request has been followed.
        """
        meta: Manifest = {"name": config_map_name(self._name), "namespace": self._namespace}
        meta["labels"] = {"app.kubernetes.io/managed-by": "kubeline"}
        if service is not None and service["metadata"].get("uid"):
            meta["ownerReferences"] = [_owner(service)]
        if clear_request:
            meta["annotations"] = {REQUEST: None}
        body: Manifest = {"metadata": meta, "data": {"record": dump(truncated(status))}}
        if not version:
            body |= {"apiVersion": CONFIG_MAP.api_version, "kind": CONFIG_MAP.kind}
            return self._stored(self._cluster.create(body, CONFIG_MAP))
        meta["resourceVersion"] = version
        return self._stored(self._cluster.patch(self._namespace, config_map_name(self._name), body, CONFIG_MAP))

    def request(self, request: OperatorRequest) -> None:
        """Leave a request for the process that drives the rollout."""
        body = {"metadata": {"annotations": {REQUEST: request}}}
        self._cluster.patch(self._namespace, config_map_name(self._name), body, CONFIG_MAP)

    def _stored(self, found: Manifest) -> StoredStatus:
        where = f"{self._namespace}/{self._name}"
        try:
            document = json.loads((found.get("data") or {}).get("record", ""))
            written_as = document["format"]
            if isinstance(written_as, int) and written_as != FORMAT:
                raise PlatformError(
                    f"the rollout of {where} is recorded in format {written_as}, but this Kubeline reads {FORMAT}: it "
                    "was begun by another version; use that one, here and wherever it is driven"
                )
            status = load(document)
        except (ValidationError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise PlatformError(
                f"ConfigMap {self._namespace}/{config_map_name(self._name)} holds no status of a rollout; delete it "
                "when no rollout is in progress"
            ) from error
        if (status.namespace, status.name) != (self._namespace, self._name):
            raise PlatformError(
                f"ConfigMap {self._namespace}/{config_map_name(self._name)} holds the status of the rollout of "
                f"{status.where}: it was copied from there; delete it"
            )
        meta = found["metadata"]
        return StoredStatus(status, meta["resourceVersion"], (meta.get("annotations") or {}).get(REQUEST, ""))


def dump(status: RolloutStatus) -> str:
    """The JSON that is stored."""
    document = _Document(format=FORMAT, status=status)
    try:
        return _DOCUMENT.dump_json(document).decode()
    except PydanticSerializationError:  # words of others may hold half of a surrogate pair, which UTF-8 does not have
        text = json.dumps(_DOCUMENT.dump_python(document, mode="json"), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace").decode()


def load(document: Mapping[str, Any]) -> RolloutStatus:
    """The status of a stored document.

    Raises:
        ValueError, LookupError: when it holds none.
    """
    return _STATUS.validate_python(document["status"])


def truncated(status: RolloutStatus) -> RolloutStatus:
    """The status, small enough for a ConfigMap: the evidence of its oldest analyses is left out first, then findings.

    Raises:
        PlatformError: when it is too large all the same.
    """
    for part in ("evidence", "findings"):
        for number in range(len(status.analyses)):
            if _size(status) <= _MAX_BYTES:
                return status
            old = status.analyses[number]
            less = replace(old, evidence=None) if part == "evidence" else replace(old, findings=())
            status = replace(status, analyses=(*status.analyses[:number], less, *status.analyses[number + 1 :]))
    if _size(status) > _MAX_BYTES:
        raise PlatformError(
            f"the status of the rollout of {status.where} would have {_size(status):,} bytes, but a ConfigMap holds "
            f"{_MAX_BYTES:,}; shorten the predictor or the plan"
        )
    return status


def _size(status: RolloutStatus) -> int:
    return len(dump(status).encode())


def _owner(service: Manifest) -> Manifest:
    """The ConfigMap is deleted with its InferenceService."""
    meta = service["metadata"]
    return {
        "apiVersion": INFERENCE_SERVICE.api_version,
        "kind": INFERENCE_SERVICE.kind,
        "name": meta["name"],
        "uid": meta["uid"],
    }
