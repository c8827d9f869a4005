"""Failures as an API server answers them: an HTTP status and a Status object."""

from typing import Any

from embedded_kserve.kubernetes.resources import INFERENCE_SERVICE, Kind

WEBHOOK = "inferenceservice.kserve-webhook-server.validator"


class StatusError(Exception):
    """A request that is refused.

    Attributes:
        code: HTTP status.
        reason: reason of the Status object.
        headers: more headers of the answer.
    """

    def __init__(self, code: int, reason: str, message: str, headers: dict[str, str] | None = None, **details: Any):
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.headers = headers or {}
        self.details = details

    def document(self) -> dict[str, Any]:
        """The Status object."""
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        return {**status, "message": str(self), "reason": self.reason, "details": self.details, "code": self.code}


def not_found(kind: Kind, name: str) -> StatusError:
    """404."""
    message = f'{kind.resource} "{name}" not found'
    return StatusError(404, "NotFound", message, name=name, group=kind.group, kind=kind.plural)


def already_exists(kind: Kind, name: str) -> StatusError:
    """409 of a create."""
    return StatusError(409, "AlreadyExists", f'{kind.resource} "{name}" already exists', name=name, kind=kind.plural)


def conflict(kind: Kind, name: str) -> StatusError:
    """409 of a write that was based on another version."""
    message = (
        f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been modified; please apply your '
        "changes to the latest version and try again"
    )
    return StatusError(409, "Conflict", message, name=name, group=kind.group, kind=kind.plural)


def invalid(kind: Kind, name: str, problem: str) -> StatusError:
    """422: the object does not fit the schema."""
    message = f'{".".join(filter(None, (kind.kind, kind.group)))} "{name}" is invalid: {problem}'
    return StatusError(422, "Invalid", message, name=name, group=kind.group, kind=kind.kind)


def denied(problem: str) -> StatusError:
    """403 of KServe's validating webhook, which is no matter of access rights."""
    return StatusError(403, "Forbidden", f'admission webhook "{WEBHOOK}" denied the request: {problem}')


def forbidden(kind: Kind, verb: str, name: str, namespace: str) -> StatusError:
    """403 of missing rights."""
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    message = (
        f'{kind.resource} "{name}" is forbidden: User "embedded" cannot {verb} resource "{kind.plural}" in API group '
        f'"{kind.group}"{where}'
    )
    return StatusError(403, "Forbidden", message, name=name, group=kind.group, kind=kind.plural)


def bad_request(problem: str, name: str = "") -> StatusError:
    """400, as of strict decoding."""
    return StatusError(400, "BadRequest", problem, name=name, kind=INFERENCE_SERVICE.kind)


def too_large(most: int) -> StatusError:
    """413: the body of a request."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {most}")
