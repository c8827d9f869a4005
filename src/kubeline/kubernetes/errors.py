"""What a Kubernetes API server refuses, or does not answer, each in one sentence."""

import json
import math
from typing import TYPE_CHECKING, Any

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.kubernetes.resources import INFERENCE_SERVICE, Resource

if TYPE_CHECKING:
    from kubeline.kubernetes.connection import Reply

_TRANSIENT = {429, 500, 502, 503, 504}
_MAX_MESSAGE = 500  # characters of a server's own message


class ConflictError(KubelineError):
    """The object has changed since it was read (409): read it again and decide anew."""


class NotInstalledError(PlatformError):
    """The cluster does not know this kind of object."""


class NotFoundError(PlatformError):
    """There is no such object, or no such namespace (404)."""


class RejectedError(UserError):
    """The API server does not take what it was sent, such as an object that is too large (400, 413, 422)."""


class UnavailableError(PlatformError):
    """The API server did not answer or was too busy; whether a write took effect is unknown: read before repeating."""

    def __init__(self, sentence: str, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


def refusal(reply: "Reply", verb: str, resource: Resource, namespace: str, name: str, host: str) -> Exception:
    """The error of an answer with an error status."""
    what, server = f"{resource.kind} {namespace}/{name}".rstrip("/"), f"the Kubernetes API server at {host}"
    install = "KServe" if resource is INFERENCE_SERVICE else f"what brings {resource.full_name}"
    status, message = _status(reply)
    if reply.status == 404 and status:
        return NotFoundError(f"{server} has no {what} ({message})")
    if reply.status in _TRANSIENT:
        return UnavailableError(f"{server} answers {reply.status} ({message})", _wait(reply))
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


def _status(reply: "Reply") -> tuple[dict[str, Any], str]:
    """The Kubernetes Status in the body of an error (empty when there is none), and its message on one line."""
    try:
        status = json.loads(reply.body)
    except (ValueError, RecursionError):
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {}
    said = " ".join(str(status.get("message") or reply.reason or "no message").split())
    return status, said if len(said) <= _MAX_MESSAGE else f"{said[:_MAX_MESSAGE]} …"


def _wait(reply: "Reply") -> float:
    try:
        seconds = float(reply.headers.get("Retry-After", 0))
    except ValueError:  # a date: rare, and the next wait is near enough
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0
