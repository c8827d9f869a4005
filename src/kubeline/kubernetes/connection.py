"""One request to a Kubernetes API server, with bounds on the time and the size of its whole answer.

The Kubernetes client knows credentials, certificates and proxies of a kubeconfig, and the calls; its own requests have
a time limit for each read only, read whatever comes, follow redirects and are repeated.
"""

import functools
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from kubeline.addresses import scheme
from kubeline.errors import KubelineError, UserError
from kubeline.http.bounded import TooLargeError, connections
from kubeline.http.watchdog import watchdog
from kubeline.kubernetes import gke
from kubeline.kubernetes.errors import UnavailableError
from kubeline.kubernetes.operations import Call, send
from kubeline.kubernetes.replies import Reply
from kubeline.processes import unbroken

IN_CLUSTER = "in-cluster"
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
_MERGE_PATCH = "application/merge-patch+json"

_MAX_BYTES = 32 * 2**20  # of an answer; an object has 1.5 MiB at most, and these are lists of pods
_MAX_ANSWER = _MAX_BYTES + 2**20  # with its headers
_TOO_LARGE = f"answers more than {_MAX_BYTES / 2**20:g} MiB, which is not read"


class Connection:
    """Requests of one client.

    Args:
        load: makes the settings of a client; again when its credentials are not accepted any more, because mounted
            tokens are renewed.
        seconds: for each request, from its beginning to the last byte of the answer.
    """

    def __init__(self, load: Callable[[], Any], seconds: float) -> None:
        self._load = load
        self._client = _client(load())
        self._seconds = seconds

    @property
    def host(self) -> str:
        """Address of the API server."""
        return str(self._client.configuration.host)

    def call(self, call: Call) -> Reply:
        """Make a call of the Kubernetes client and read the whole answer, whatever its status.

        Raises:
            UnavailableError: when there is none in time, or it is too large or not whole.
            ValueError: when the body is no JSON.
        """
        json.dumps(call.body, allow_nan=False)
        settings = {"_preload_content": False, "_request_timeout": (self._seconds, self._seconds)}

        def request() -> Any:
            return send(self._client, call, **settings)

        return self._answered(request, self._seconds, reads=call.verb in {"get", "list"})

    def ask(self, method: str, path: str, body: bytes | None = None, seconds: float | None = None) -> Reply:
        """Send a request that the Kubernetes client has no call for, and read the whole answer, whatever its status.

        Raises:
            UnavailableError: when there is none in time, or it is too large or not whole.
        """
        seconds = seconds or self._seconds

        def request() -> Any:
            from urllib3 import Timeout

            return self._client.rest_client.pool_manager.request(
                method,
                self.host + path,
                headers={**_HEADERS, **_authorization(self._client.configuration)},
                body=body,
                timeout=Timeout(connect=seconds, read=seconds),
                preload_content=False,
            )

        return self._answered(request, seconds, reads=method == "GET")

    def _answered(self, request: Callable[[], Any], seconds: float, reads: bool) -> Reply:
        with unbroken():  # or the pool of connections may stay locked
            return self._tried(request, seconds, reads)

    def _tried(self, request: Callable[[], Any], seconds: float, reads: bool) -> Reply:
        from urllib3.exceptions import ProtocolError

        try:
            reply = self._reply(request, seconds)
        except UnavailableError as error:
            # Servers and load balancers close connections that are idle, perhaps just when one is used again: a read
            # may be sent once more (RFC 9112, section 9.3.1); of a write its caller learns first whether it was done.
            if not reads or not isinstance(error.__cause__, ProtocolError):
                raise
            reply = self._reply(request, seconds)
        if reply.status == 401:
            with suppress(KubelineError):  # what cannot be read now is as it was
                self._client = _client(self._load())
            reply = self._reply(request, seconds)
        return reply

    def _reply(self, request: Callable[[], Any], seconds: float) -> Reply:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        exceptions = (HTTPError, OSError, ValueError, ApiException)
        try:
            with watchdog(seconds, *exceptions):
                try:
                    response = request()
                except ApiException as error:
                    if not error.status:  # of TLS
                        raise
                    body = error.body.encode() if isinstance(error.body, str) else error.body or b""
                    return Reply(int(error.status), str(error.reason or ""), error.headers or {}, body)
                found = response.read(_MAX_BYTES + 1, decode_content=False)
        except exceptions as error:
            raise UnavailableError(f"the Kubernetes API server at {self.host} {_broken(error)}") from error
        if wrong := _not_whole(response, found):
            response.close()
            raise UnavailableError(f"the Kubernetes API server at {self.host} {wrong}")
        response.release_conn()
        return Reply(int(response.status), str(response.reason or ""), response.headers, found)


def connect(cluster: str, seconds: float) -> Connection:
    """Prepare to talk to a cluster; nothing is sent yet.

    Args:
        cluster: ``in-cluster`` for the service account of this pod; ``gke://PROJECT/LOCATION/CLUSTER``, see
            :mod:`kubeline.kubernetes.gke`; or the path of a kubeconfig file, of which the current context is used.
        seconds: for each request.

    Raises:
        UserError: when there is no such kubeconfig or cluster, or this is no pod.
    """

    def load() -> Any:
        from kubernetes import client

        settings = client.Configuration()
        _load(cluster, settings)
        return settings

    return Connection(load, seconds)


def _broken(error: BaseException) -> str:
    """Why an exchange came to no end."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TooLargeError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return _TOO_LARGE
    reason = getattr(error, "reason", None)
    return f"does not answer ({error if type(error) is TimeoutError else type(reason or error).__name__})"


def _not_whole(response: Any, found: bytes) -> str:
    """Why an answer cannot be taken as it is; empty when it can."""
    if len(found) > _MAX_BYTES:
        return _TOO_LARGE
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return "answers compressed, though that was not asked for"
    return "does not answer to the end" if response.length_remaining else ""


def _client(settings: Any) -> Any:
    """A client that sends merge patches, and whose connections have bounds and are used for one request at a time."""
    from kubernetes.client import ApiClient
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

    class MergePatchClient(ApiClient):  # type: ignore[misc]  # kubernetes has no types
        def select_header_content_type(self, content_types: list[str], *request: Any) -> Any:
            merges = _MERGE_PATCH in content_types
            return _MERGE_PATCH if merges else super().select_header_content_type(content_types, *request)

    made = MergePatchClient(settings)
    made.set_default_header("Accept-Encoding", "identity")
    pools: dict[str, Any] = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
    manager = made.rest_client.pool_manager
    manager.pool_classes_by_scheme = {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": connections(pool.ConnectionCls, _MAX_ANSWER)})
        for scheme, pool in pools.items()
    }
    # Attempts are counted where a write is known from a read, and nothing else than the API server is asked.
    manager.urlopen = functools.partial(manager.urlopen, redirect=False, retries=False)
    return made


def _authorization(settings: Any) -> dict[str, str]:
    """The header that shows the token, which is renewed when the settings say so; none for a client certificate."""
    return {str(one["key"]): str(one["value"]) for one in settings.auth_settings().values() if one["in"] == "header"}


def _load(cluster: str, settings: Any) -> None:
    from kubernetes import config

    if scheme(cluster) == gke.SCHEME:
        return gke.load(cluster, settings)
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
        has_reason = isinstance(error, config.ConfigException)
        reason = str(error).strip().partition("\n")[0] if has_reason else "it is no kubeconfig"
        raise UserError(f"{what} ({reason}); give a valid kubeconfig, or '{IN_CLUSTER}' inside a pod") from error
