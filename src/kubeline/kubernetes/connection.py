"""One request to a Kubernetes API server, with bounds on the time and the size of its whole answer.

The Kubernetes client knows credentials, certificates and proxies of a kubeconfig; its own requests have a time limit
for each read only, and read whatever comes.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kubeline.errors import KubelineError, UserError
from kubeline.http.bounded import connections
from kubeline.http.watchdog import watchdog
from kubeline.kubernetes.errors import UnavailableError

IN_CLUSTER = "in-cluster"
_HEADERS = 2**20  # bytes of them at most
_MOST_BYTES = 32 * 2**20  # of an answer; an object has 1.5 MiB at most, and these are lists of pods


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
            return without_nulls(json.loads(self.body, parse_constant=_no_number))
        except (ValueError, RecursionError) as error:
            raise UnavailableError(f"the Kubernetes API server at {host} answers what is no JSON") from error


class Connection:
    """Requests of one client.

    Args:
        load: makes a `kubernetes.client.ApiClient`; again when its credentials are not accepted any more, because
            mounted tokens are renewed.
        seconds: for each request, from its beginning to the last byte of the answer.
    """

    def __init__(self, load: Callable[[], Any], seconds: float) -> None:
        self._load = load
        self._api = _bounded(load())
        self._seconds = seconds

    @property
    def host(self) -> str:
        """Address of the API server."""
        return str(self._api.configuration.host)

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float | None = None,
    ) -> Reply:
        """Send a request and read the whole answer, whatever its status.

        Raises:
            UnavailableError: when there is none in time, or it is too large or not whole.
        """
        reply = self._ask(method, path, query or {}, body, seconds or self._seconds)
        if reply.status == 401:
            with suppress(KubelineError):  # what cannot be read now is as it was
                self._api = _bounded(self._load())
            reply = self._ask(method, path, query or {}, body, seconds or self._seconds)
        return reply

    def _ask(self, method: str, path: str, query: Mapping[str, str], body: bytes | None, seconds: float) -> Reply:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {**self._api.default_headers, "Accept": "application/json", "Accept-Encoding": "identity"}
        headers |= {"Content-Type": kind} if body is not None else {}
        surprises = (HTTPError, OSError, ValueError)
        try:
            self._api.update_params_for_auth(headers, [], ["BearerToken"])
            with watchdog(seconds, *surprises):
                response = self._api.rest_client.pool_manager.request(
                    method,
                    self.host + path + (f"?{urlencode(query)}" if query else ""),
                    headers=headers,
                    body=body,
                    timeout=Timeout(connect=seconds, read=seconds),
                    preload_content=False,
                    redirect=False,
                    retries=False,  # attempts are counted where a write is known from a read
                )
                found = response.read(_MOST_BYTES + 1, decode_content=False)
        except surprises as error:
            reason = getattr(error, "reason", None)
            told = str(error) if type(error) is TimeoutError else type(reason or error).__name__
            raise UnavailableError(f"the Kubernetes API server at {self.host} does not answer ({told})") from error
        if wrong := _not_whole(response, found):
            response.close()
            raise UnavailableError(f"the Kubernetes API server at {self.host} {wrong}")
        response.release_conn()
        return Reply(int(response.status), str(response.reason or ""), response.headers, found)


def connect(cluster: str, seconds: float) -> Connection:
    """Prepare to talk to a cluster; nothing is sent yet.

    Args:
        cluster: ``in-cluster`` for the service account of this pod, or the path of a kubeconfig file, of which the
            current context is used.
        seconds: for each request.

    Raises:
        UserError: when there is no such kubeconfig, or this is no pod.
    """

    def load() -> Any:
        from kubernetes import client

        settings = client.Configuration()
        _load(cluster, settings)
        return client.ApiClient(settings)

    return Connection(load, seconds)


def without_nulls(found: Any) -> Any:
    """The document without the fields that are null."""
    if isinstance(found, dict):
        return {key: without_nulls(value) for key, value in found.items() if value is not None}
    return [without_nulls(one) for one in found] if isinstance(found, list) else found


def _not_whole(response: Any, found: bytes) -> str:
    """Why an answer cannot be taken as it is; empty when it can."""
    if len(found) > _MOST_BYTES:
        return f"answers more than {_MOST_BYTES / 2**20:g} MiB, which is not read"
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return "answers compressed, though that was not asked for"
    return "does not answer to the end" if response.length_remaining else ""


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _bounded(api: Any) -> Any:
    """The client, whose connections have bounds."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

    kinds: dict[str, Any] = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
    api.rest_client.pool_manager.pool_classes_by_scheme = {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": connections(pool.ConnectionCls, _MOST_BYTES + _HEADERS)})
        for scheme, pool in kinds.items()
    }
    return api


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
