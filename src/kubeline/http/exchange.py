"""One HTTP exchange with bounds on everything a hostile peer could make large or long."""

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from kubeline.http.watchdog import watch, watchdog

Reader = Callable[[http.client.HTTPResponse], bytes]
"""Reads of a body what is wanted."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ExchangeError(Exception):
    """There was no whole answer: one clause that says why.

    Attributes:
        refused: no server listens at that port.
        ended: the connection was ended before the answer began.
        too_large: the answer was larger than it may be.
    """

    def __init__(self, clause: str, *, refused: bool = False, ended: bool = False, too_large: bool = False) -> None:
        super().__init__(clause)
        self.refused = refused
        self.ended = ended
        self.too_large = too_large


@dataclass(frozen=True)
class HttpResponse:
    """Status and body of an answer, and what its headers Retry-After and Content-Type say, if there are any."""

    status: int
    body: bytes
    retry_after: str = ""
    content_type: str = ""


class Peer:
    """A connection to one server, which stays open from one exchange to the next.

    Certificates are checked, redirects and proxies are not followed.

    Args:
        url: of the server; its path and what stands in front of its host are left out.
        ca_file: certificates to check with, instead of the system's.

    Raises:
        ValueError: when the URL has no host, or is not of http or https.
    """

    def __init__(self, url: str, ca_file: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"'{url}' is no address of http:// or https://")
        self._host = parts.hostname
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._ca_file = ca_file
        self._connection: http.client.HTTPConnection | None = None

    @property
    def where(self) -> str:
        """Host and port, for messages."""
        return f"{self._host}:{self._port}"

    @property
    def private(self) -> bool:
        """Whether what is sent is private on its way, so that a token may be sent."""
        return self._tls or self._host in LOOPBACK

    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        seconds: float,
        most_bytes: int,
        read: Reader | None = None,
    ) -> HttpResponse:
        """Send a request and read the whole answer.

        Args:
            method: of HTTP.
            path: with its query.
            headers: beside Host, which may be among them.
            body: of the request.
            seconds: from now until the last byte of the answer.
            most_bytes: of its body.
            read: reads the body, instead of all of it; what it returns is taken for the body.

        Raises:
            ExchangeError: when there is none in time, or it is too large or not whole.
        """
        given = {"Accept-Encoding": "identity", "Host": self.where, **(headers or {})}
        try:
            with watchdog(seconds, OSError, http.client.HTTPException, ValueError):
                connection = self._connected(seconds)
                connection.request(method, path, body, given)
                response = connection.getresponse()
                found = read(response) if read else response.read(most_bytes + 1)
                if response.length and len(found) <= most_bytes:
                    raise http.client.IncompleteRead(found, response.length)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            refused, ended = isinstance(error, ConnectionRefusedError), isinstance(error, ConnectionResetError)
            raise ExchangeError(_reason(error), refused=refused, ended=ended) from error
        if len(found) > most_bytes:
            self.close()
            raise ExchangeError(f"the answer is larger than {most_bytes / 2**20:.3g} MiB", too_large=True)
        if response.getheader("Content-Encoding", "identity").lower() != "identity":
            self.close()
            raise ExchangeError("the answer is compressed, though that was not asked for")
        retry_after, content_type = (response.getheader(name, "") for name in ("Retry-After", "Content-Type"))
        return HttpResponse(response.status, found, retry_after, content_type)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connected(self, seconds: float) -> http.client.HTTPConnection:
        if self._connection is not None and self._connection.sock is not None:
            watch(self._connection.sock)
            return self._connection
        self.close()
        plain: socket.socket = socket.create_connection((self._host, self._port), seconds)
        watch(plain)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        connection.auto_open = 0
        connection.sock = plain
        self._connection = connection
        if self._tls:
            context = ssl.create_default_context(cafile=self._ca_file or None)
            connection.sock = context.wrap_socket(plain, server_hostname=self._host)
        return connection


def _reason(error: Exception) -> str:
    """The reason in one line, without addresses of objects."""
    said = " ".join(str(error).split())[:300]
    return said if isinstance(error, TimeoutError) and said else f"{type(error).__name__} {said}".strip()
