"""What a Kubernetes API server answers: its JSON, or the error that its status stands for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubeline.errors import KubelineError, PlatformError
from kubeline.http.requests import retry_after
from kubeline.kubernetes.errors import (
    ConflictError,
    NotFoundError,
    NotInstalledError,
    RejectedError,
    UnavailableError,
)
from kubeline.kubernetes.resources import INFERENCE_SERVICE, Resource
from kubeline.printable import printable

_TRANSIENT = {429, 500, 502, 503, 504}
_MAX_MESSAGE = 500  # characters of a server's own message


@dataclass(frozen=True)
class Reply:
    """Status, headers and body of an answer."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    def document(self, host: str) -> Any:
        """The JSON in the body, where null is what Kubernetes takes it for: nothing.

        Raises:
            UnavailableError: when it is no JSON.
        """
        try:
            found = json.loads(self.body, parse_constant=_no_number)
            if b"\\u" in self.body:
                json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is a ValueError
            return without_nulls(found)
        except (ValueError, RecursionError) as error:
            raise UnavailableError(f"the Kubernetes API server at {host} answers what is no JSON") from error


def without_nulls(found: Any) -> Any:
    """The document without the fields that are null."""
    if isinstance(found, dict):
        return {key: without_nulls(value) for key, value in found.items() if value is not None}
    return [without_nulls(one) for one in found] if isinstance(found, list) else found


def refusal(reply: Reply, verb: str, resource: Resource, namespace: str, name: str, host: str) -> Exception:
    """The error of an answer with an error status."""
    what, server = f"{resource.kind} {f'{namespace}/{name}'.strip('/')}", f"the Kubernetes API server at {host}"
    install = "KServe" if resource is INFERENCE_SERVICE else f"what brings {resource.full_name}"
    status, message = _status(reply)
    if reply.status == 404 and status:
        return NotFoundError(f"{server} has no {what} ({message})")
    if reply.status in _TRANSIENT:
        return UnavailableError(
            f"{server} answers {reply.status} ({message})", retry_after(reply.headers.get("Retry-After", ""))
        )
    rejected = RejectedError(f"{server} rejects {what}: {message}")
    known: dict[int, KubelineError] = {
        400: rejected,
        401: PlatformError(f"{server} does not accept these credentials; renew them"),
        403: PlatformError(
            f"this service account may not {verb} {resource.full_name} in namespace '{namespace}' ({message}); "
            "bind it to a Role with get, create and patch"
        ),
        404: NotInstalledError(
            f"the cluster at {host} does not know {resource.kind} ({resource.api_version}); install {install} there"
        ),
        409: ConflictError(f"{what} has changed since it was read ({message})"),
        413: rejected,
        422: rejected,
    }
    return known.get(reply.status) or PlatformError(f"{server} answers {reply.status} for {what} ({message})")


def _status(reply: Reply) -> tuple[dict[str, Any], str]:
    """The Kubernetes Status in the body of an error (empty when there is none), and its message on one line."""
    try:
        status = json.loads(reply.body)
    except (ValueError, RecursionError):
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {}
    said = " ".join(printable(str(status.get("message") or reply.reason or "no message")).split())
    return status, said if len(said) <= _MAX_MESSAGE else f"{said[:_MAX_MESSAGE]} …"


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
