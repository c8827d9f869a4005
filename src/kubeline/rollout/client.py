"""The few calls to a Kubernetes API server that a rollout makes, with plain dicts.

Not the KServe SDK's client: that one loses the HTTP status, does not retry, and cannot remove a field.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.rollout.inference_service import GROUP, KIND, PLURAL, VERSION, Manifest, merge_patch

logger = logging.getLogger(__name__)

T = TypeVar("T")
Change = Literal["created", "updated", "unchanged"]

IN_CLUSTER = "in-cluster"
_FIELD_MANAGER = "kubeline"
_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds before each further attempt
_LONGEST_WAIT = 30.0  # seconds that a Retry-After header is honoured at most
_TRANSIENT = {429, 500, 502, 503, 504}


class ConflictError(KubelineError):
    """The object has changed since it was read (409): read it again and decide anew."""


class UnavailableError(PlatformError):
    """The API server did not answer or was too busy; whether a write took effect is unknown: read before repeating."""

    def __init__(self, sentence: str, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Applied:
    """What was done, and the object as the API server has it now."""

    change: Change
    manifest: Manifest


class Cluster:
    """InferenceServices of one cluster.

    `read`, `create` and `patch` are one request each and tell :class:`ConflictError` from
    :class:`UnavailableError`; `apply` repeats them as needed. Every other failure is one sentence: a UserError when
    the API server rejects the object, a PlatformError when it rejects us.

    Args:
        api: a `kubernetes.client.CustomObjectsApi`.
        timeout_seconds: for each request, to connect and to answer.
        waits: seconds to wait before each further attempt; their number limits the attempts.
    """

    def __init__(self, api: Any, timeout_seconds: float = 30.0, waits: Sequence[float] = _WAITS) -> None:
        self._api = api
        self._timeout = (timeout_seconds, timeout_seconds)
        self._waits = waits

    @classmethod
    def connect(cls, cluster: str, timeout_seconds: float = 30.0, waits: Sequence[float] = _WAITS) -> Self:
        """Prepare to talk to a cluster; nothing is sent yet.

        Args:
            cluster: ``in-cluster`` for the service account of this pod, or the path of a kubeconfig file, of which the
                current context is used.
            timeout_seconds: for each request.
            waits: seconds to wait before each further attempt.

        Raises:
            UserError: when there is no such kubeconfig, or this is no pod.
        """
        from kubernetes import client

        settings = client.Configuration()
        _load(cluster, settings)
        settings.retries = 0  # attempts are counted here, where a write is known from a read
        return cls(client.CustomObjectsApi(client.ApiClient(settings)), timeout_seconds, waits)

    def read(self, namespace: str, name: str) -> Manifest | None:
        """The InferenceService, or None when there is none."""
        try:
            return self._call("get", namespace, name, self._api.get_namespaced_custom_object, name=name)
        except _NotFoundError:
            return None

    def create(self, manifest: Manifest) -> Manifest:
        """Create it; ConflictError when it is there already."""
        meta = manifest["metadata"]
        create = self._api.create_namespaced_custom_object
        try:
            return self._call("create", meta["namespace"], meta["name"], create, body=manifest, **_WRITE)
        except _NotFoundError as error:
            raise UserError(f"there is no namespace '{meta['namespace']}' in this cluster; create it first") from error

    def patch(self, namespace: str, name: str, body: Manifest) -> Manifest:
        """Send a JSON merge patch (RFC 7396); a stale ``metadata.resourceVersion`` in it is a ConflictError."""
        patch = self._api.patch_namespaced_custom_object
        try:
            return self._call("patch", namespace, name, patch, name=name, body=body, **_WRITE)
        except _NotFoundError as error:
            raise ConflictError(f"InferenceService {namespace}/{name} was deleted in the meantime") from error

    def apply(self, manifest: Manifest) -> Applied:
        """Create the object, or patch what differs in it; fields that `manifest` does not name stay as they are.

        Every attempt begins with a read, so that a write whose answer was lost is seen and not repeated.
        """
        meta = manifest["metadata"]
        return self.attempt(lambda: self._apply_once(manifest), f"InferenceService {meta['namespace']}/{meta['name']}")

    def attempt(self, work: Callable[[], T], what: str) -> T:
        """Run `work` again after a :class:`ConflictError` or :class:`UnavailableError`, as often as there are waits."""
        for wait in self._waits:
            try:
                return work()
            except (ConflictError, UnavailableError) as error:
                pause = min(max(wait, getattr(error, "retry_after", 0.0)), _LONGEST_WAIT)
                logger.info("%s; next attempt in %.1f s", error, pause)
                time.sleep(pause)
        try:
            return work()
        except ConflictError as error:
            raise PlatformError(f"{what} is being changed by someone else all the time ({error}); try later") from error

    def _apply_once(self, manifest: Manifest) -> Applied:
        meta = manifest["metadata"]
        live = self.read(meta["namespace"], meta["name"])
        if live is None:
            return Applied("created", self.create(manifest))
        changes = merge_patch(live, manifest)
        if not changes:
            return Applied("unchanged", live)
        locked = {"resourceVersion": live["metadata"]["resourceVersion"]}
        changes["metadata"] = {**changes.get("metadata", {}), **locked}
        return Applied("updated", self.patch(meta["namespace"], meta["name"], changes))

    def _call(self, verb: str, namespace: str, about: str, function: Callable[..., Any], /, **arguments: Any) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        host = self._api.api_client.configuration.host
        where = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": PLURAL}
        try:
            return function(**where, **arguments, _request_timeout=self._timeout)
        except ApiException as error:
            raise _plain(error, verb, namespace, about, host) from error
        except (HTTPError, OSError) as error:
            reason = type(getattr(error, "reason", None) or error).__name__
            raise UnavailableError(f"the Kubernetes API server at {host} does not answer ({reason})") from error


# Unknown fields are silently dropped unless validation is strict.
_WRITE = {"field_manager": _FIELD_MANAGER, "field_validation": "Strict"}


class _NotFoundError(Exception):
    """404 of an object or of its namespace."""


def _load(cluster: str, settings: Any) -> None:
    from kubernetes import config

    path = Path(cluster).expanduser()
    if cluster != IN_CLUSTER and not path.is_file():
        raise UserError(f"there is no kubeconfig '{cluster}'; give a path, or '{IN_CLUSTER}' inside a pod")
    try:
        if cluster == IN_CLUSTER:
            config.load_incluster_config(client_configuration=settings)
        else:
            config.load_kube_config(str(path), client_configuration=settings)
    except Exception as error:  # ConfigException, and whatever YAML and its values can raise
        what = "this is not a pod with a service account" if cluster == IN_CLUSTER else f"cannot read '{cluster}'"
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{what} ({reason}); give a valid kubeconfig, or '{IN_CLUSTER}' inside a pod") from error


def _plain(error: Any, verb: str, namespace: str, name: str, host: str) -> Exception:
    """The error of one HTTP status, in one sentence."""
    what, server = f"InferenceService {namespace}/{name}", f"the Kubernetes API server at {host}"
    status, message = _status(error)
    if error.status == 404 and status:
        return _NotFoundError()
    if error.status in _TRANSIENT:
        return UnavailableError(f"{server} answers {error.status} ({message})", _wait(error))
    told: dict[int, KubelineError] = {
        400: UserError(f"{server} rejects {what}: {message}"),
        401: PlatformError(f"{server} does not accept these credentials; renew them"),
        403: PlatformError(
            f"this service account may not {verb} {PLURAL}.{GROUP} in namespace '{namespace}' ({message}); "
            "bind it to a Role with get, create and patch"
        ),
        404: PlatformError(f"the cluster at {host} does not know {KIND} ({GROUP}/{VERSION}); install KServe there"),
        409: ConflictError(f"{what} has changed since it was read ({message})"),
        422: UserError(f"{server} rejects {what}: {message}"),
    }
    return told.get(error.status) or PlatformError(f"{server} answers {error.status} for {what} ({message})")


def _status(error: Any) -> tuple[dict[str, Any], str]:
    """The Kubernetes Status in the body of an error (empty when there is none), and its message on one line."""
    try:
        status = json.loads(error.body)
    except (TypeError, ValueError):
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {}
    return status, " ".join(str(status.get("message") or error.reason or "no message").split())


def _wait(error: Any) -> float:
    try:
        return float((error.headers or {}).get("Retry-After", 0))
    except ValueError:  # a date: rare, and the next wait is near enough
        return 0.0
