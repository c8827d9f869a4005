"""What a Kubernetes API server refuses, or does not answer, each in one sentence."""

from kubeline.errors import KubelineError, PlatformError, UserError


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
