"""Asks a candidate through the API server's proxy of Services: from outside a cluster, where no gateway routes to it.

In Standard mode KServe's routes have the hosts of the whole service alone. Who may use the proxy is a right of its own,
`create services/proxy`: a POST through it is a `create`.
"""

from kubeline.errors import KubelineError
from kubeline.kubernetes.cluster import Cluster
from kubeline.model_client.protocols import RequestFailedError, V1Client, V2Client

_PORT = 80  # of the Services that KServe makes in Standard mode


class _Proxied:
    """Sends to one Service, one request at a time."""

    path: str

    def __init__(self, cluster: Cluster, namespace: str, service: str, model: str, seconds: float) -> None:
        self._cluster, self._namespace, self._service = cluster, namespace, service
        self._target, self._seconds = self.path.format(model), seconds

    def send(self, request: bytes) -> bytes:
        """POST the body; RefusedError when there is no answer or an error."""
        where = f"{self._service} through the API server's proxy"
        try:
            status, body = self._cluster.proxy(
                self._namespace, f"{self._service}:{_PORT}", self._target, request, self._seconds
            )
        except KubelineError as error:
            raise RequestFailedError(f"no answer from {where}: {error}") from error
        if status != 200:
            said = " ".join(body[:300].decode(errors="replace").split())
            raise RequestFailedError(f"{where} answers {status}: {said}")
        return body

    def close(self) -> None:
        """Nothing is kept open but what the cluster's client keeps."""


class ProxiedV1(_Proxied, V1Client):
    """KServe v1 through the API server."""


class ProxiedV2(_Proxied, V2Client):
    """The Open Inference Protocol through the API server."""


def connect(
    cluster: Cluster, namespace: str, service: str, model: str, protocol: str, seconds: float
) -> ProxiedV1 | ProxiedV2:
    """A client of the pods of a Service.

    Args:
        cluster: where.
        namespace: of the Service.
        service: its name.
        model: name of the model.
        protocol: v1 or v2; gRPC is asked over HTTP, which the server speaks too.
        seconds: for each request.
    """
    kind = ProxiedV1 if protocol == "v1" else ProxiedV2
    return kind(cluster, namespace, service, model, seconds)
