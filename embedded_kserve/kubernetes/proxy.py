"""The API server's proxy: ``…/services/NAME:PORT/proxy/PATH``, and the same with ``pods``."""

import http.client
import random
import re
from dataclasses import dataclass

from embedded_kserve.kubernetes.conditions import Conditions
from embedded_kserve.kubernetes.requests import VERBS
from embedded_kserve.kubernetes.resources import POD, SERVICE
from embedded_kserve.kubernetes.statuses import StatusError, not_found
from embedded_kserve.kubernetes.store import Document, Store

_PATH = re.compile(
    r"^/api/v1/namespaces/(?P<namespace>[^/]+)/(?P<plural>services|pods)/"
    r"(?:http:)?(?P<name>[^/:]+)(?::(?P<port>[^/]*))?/proxy(?P<rest>/.*)?$"
)
_SECONDS = 60


@dataclass(frozen=True)
class ProxyRequest:
    """One request that is forwarded.

    Attributes:
        verb: that access is asked for.
        plural: ``services`` or ``pods``.
        namespace: of it.
        name: of it.
        port: as it was given; empty for the first one.
        path: path and query that are asked for there.
    """

    verb: str
    plural: str
    namespace: str
    name: str
    port: str
    path: str

    @property
    def resource(self) -> str:
        """What access is asked for."""
        return f"{self.plural}/proxy"


def parse(method: str, target: str) -> ProxyRequest | None:
    """The request of this method, path and query; None when it is another one."""
    path, _, query = target.partition("?")
    found = _PATH.match(path)
    if found is None:
        return None
    rest = (found["rest"] or "/") + (f"?{query}" if query else "")
    return ProxyRequest(
        VERBS.get(method, "get"), found["plural"], found["namespace"], found["name"], found["port"] or "", rest
    )


def forward(store: Store, request: ProxyRequest, method: str, body: bytes, content_type: str) -> tuple[int, str, bytes]:
    """Ask a pod: status, content type and body of its answer.

    Raises:
        StatusError: 404 when there is no such object, 503 when no pod of it answers.
    """
    port = _port(store, request)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request(method, request.path, body or None, {"Content-Type": content_type} if content_type else {})
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read()
    except (OSError, http.client.HTTPException) as error:
        message = f"error trying to reach service: {error}"
        raise StatusError(503, "ServiceUnavailable", message) from error
    finally:
        connection.close()


def _port(store: Store, request: ProxyRequest) -> int:
    if request.plural == "pods":
        return _http_port(store.get(POD, request.namespace, request.name))
    service = store.find(SERVICE, request.namespace, request.name)
    if service is None:
        raise not_found(SERVICE, request.name)
    wanted = service["spec"]["selector"].items()
    pods = [pod for pod in store.every(POD, request.namespace) if wanted <= pod["metadata"]["labels"].items()]
    there = (pod for pod in pods if "deletionTimestamp" not in pod["metadata"])
    ready = [pod for pod in there if Conditions.of(pod).status("Ready") == "True"]
    if not ready:
        raise StatusError(503, "ServiceUnavailable", f'no endpoints available for service "{request.name}"')
    return _http_port(random.choice(ready))  # noqa: S311 - any of them


def _http_port(pod: Document) -> int:
    """The port that a pod listens on for HTTP, whichever one it would be in a cluster."""
    ports = pod["spec"]["containers"][0]["ports"]
    return int(next(port["containerPort"] for port in ports if port["name"] == "http"))
