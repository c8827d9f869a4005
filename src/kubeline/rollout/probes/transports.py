"""How requests reach a candidate: by its address, straight or through a gateway, or by the API server's proxy.

In Standard mode KServe's routes have the hosts of the whole service alone, so that from outside a cluster no gateway
routes to a candidate: there the proxy of Services does. Who may use it is a right of its own, `create services/proxy`:
a POST through it is a `create`.
"""

from urllib.parse import urlsplit

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.http.credentials import bearer
from kubeline.http.exchange import ExchangeError, Peer
from kubeline.model_client.protocols import RequestFailedError, status_sentence
from kubeline.rollout.spec import SmokeTestSpec
from kubeline.serving_platform.interface import ServingPlatform

_MAX_BYTES = 16 * 2**20  # of a response
_PORT = 80  # of the Services that KServe makes in Standard mode


class RoutedTransport:
    """Sends to an address of the candidate, straight or through a gateway that routes by the Host header.

    The candidate may be broken in any way: each response has an end in time and in size.

    Args:
        url: address of the candidate alone.
        gateway: where to send instead, with the host of `url` as Host header; empty sends to `url`.
        timeout_seconds: for each request, to the last byte of its response.
        spec: the token that the candidate asks for, and the certificates that its own is checked with.
    """

    def __init__(self, url: str, gateway: str, timeout_seconds: float, spec: SmokeTestSpec | None = None) -> None:
        if not url:
            raise UserError("the candidate has no address to reach the model server at; give gateway: http://HOST:PORT")
        try:
            self._peer = Peer(gateway or url, spec.ca_file if spec else "")
        except ValueError as error:
            raise UserError(
                f"'{gateway or url}' is no address to reach the model server at; give http://HOST:PORT"
            ) from error
        self._token = (spec.token_file, spec.token_env) if spec else ("", "")
        self._host = urlsplit(url).netloc
        self._prefix = urlsplit(gateway or url).path.rstrip("/")
        self._seconds = timeout_seconds

    def post(self, path: str, body: bytes) -> bytes:
        """See :class:`kubeline.model_client.protocols.Transport`."""
        headers = {"Content-Type": "application/json", "Host": self._host, **self._authorization()}
        try:
            answer = self._peer.exchange(
                "POST", self._prefix + path, headers, body, seconds=self._seconds, most_bytes=_MAX_BYTES
            )
        except ExchangeError as error:
            raise RequestFailedError(f"no answer from {self._host}: {error}") from error
        if answer.status in {401, 403}:
            raise RequestFailedError(
                f"{self._host} refuses this client (status {answer.status}); give smoke.token_file or smoke.token_env"
            )
        if answer.status != 200:
            raise RequestFailedError(status_sentence(self._host, answer.status, answer.body))
        return answer.body

    def close(self) -> None:
        """Close the connection."""
        self._peer.close()

    def _authorization(self) -> dict[str, str]:
        try:
            return bearer(*self._token, self._peer, "the candidate")
        except PlatformError as error:
            raise RequestFailedError(str(error)) from error


class ProxyTransport:
    """Sends to the pods of one Service, or to one endpoint of Vertex AI, one request at a time.

    Args:
        cluster: where.
        namespace: of the Service.
        service: its name.
        seconds: for each request.
    """

    def __init__(self, cluster: ServingPlatform, namespace: str, service: str, seconds: float) -> None:
        self._cluster, self._namespace, self._service, self._seconds = cluster, namespace, service, seconds

    def post(self, path: str, body: bytes) -> bytes:
        """See :class:`kubeline.model_client.protocols.Transport`."""
        where = f"{self._service} through the platform's API"
        try:
            status, content = self._cluster.proxy(
                self._namespace, f"{self._service}:{_PORT}", path, body, self._seconds
            )
        except KubelineError as error:
            raise RequestFailedError(f"no answer from {where}: {error}") from error
        if status != 200:
            raise RequestFailedError(status_sentence(where, status, content))
        return content

    def close(self) -> None:
        """Nothing is open but what the cluster's client holds."""
