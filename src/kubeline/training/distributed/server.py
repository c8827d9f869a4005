"""The server of a training step, where the pods of its workers take their rows and leave the model.

It speaks TLS with a certificate of its own, which the pods are given, and answers only to a token, which they are given
in a Secret; both are made for one training.
"""

import contextlib
import datetime
import hmac
import http.server
import ipaddress
import os
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeline.artifacts import publish
from kubeline.training.distributed.job import CHECKPOINT, GROUP, JOB, MODEL, ROUND, TRACKER, address, part, report

_MAX_BYTES = 1 << 30  # of what a worker sends
_SECONDS = 60.0  # of silence, after which a connection is closed
_DAYS = 30  # that the certificate is good for, longer than any training


@dataclass(frozen=True)
class Served:
    """A running server, as its clients know it."""

    url: str
    token: str
    certificate: str  # PEM


@contextlib.contextmanager
def serve(folder: Path, workers: int, host: str) -> Iterator[Served]:
    """Serve the files of a training while the block runs.

    Args:
        folder: with the job and the parts; what the workers send comes there.
        workers: how many there are.
        host: name or address by which the workers reach this machine.
    """
    token = secrets.token_urlsafe(32)
    certificate, key = _certificate(host)
    shared = {CHECKPOINT, TRACKER, ROUND, GROUP, *(address(worker) for worker in range(workers))}
    readable = {*shared, JOB, *(part(worker) for worker in range(workers))}
    writable = {*shared, MODEL, *(report(worker) for worker in range(workers))}

    class Handler(_Handler):
        pass

    Handler.folder, Handler.token, Handler.readable, Handler.writable = folder, token, readable, writable
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = type("Server", (http.server.ThreadingHTTPServer,), {"address_family": family, "daemon_threads": True})
    where = host if host in ("127.0.0.1", "::1") else ""  # every address, except where only this machine asks
    with kind((where, 0), Handler) as server:
        server.socket = _context(certificate, key).wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            shown = f"[{host}]" if ":" in host else host
            yield Served(f"https://{shown}:{server.server_address[1]}", token, certificate.decode())
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and PUT of the names that there are, to who shows the token."""

    folder: Path
    token: str
    readable: set[str]
    writable: set[str]
    timeout = _SECONDS
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """A file, whole."""
        name = self._name(self.readable)
        if name is None:
            return
        try:
            file = (self.folder / name).open("rb")
        except FileNotFoundError:
            self._end(404)
            return
        with file:
            self._end(200, os.fstat(file.fileno()).st_size)
            shutil.copyfileobj(file, self.wfile, 1 << 20)

    def do_PUT(self) -> None:
        """A file, kept when all of it has come."""
        name = self._name(self.writable)
        if name is None:
            return
        given = self.headers.get("Content-Length", "")
        if not given.isascii() or not given.isdigit() or int(given) > _MAX_BYTES:
            self._end(413)
            return
        content = self.rfile.read(int(given))
        if len(content) < int(given):
            return
        with publish(self.folder / name) as path:
            path.write_bytes(content)
        self._end(204)

    def _name(self, allowed: set[str]) -> str | None:
        """The name that is asked for; None, and answered, when it is none or the token is not shown."""
        shown = self.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(shown, f"Bearer {self.token}".encode()):
            self._end(401)
            return None
        name = self.path.removeprefix("/")
        if name not in allowed:
            self._end(404)
            return None
        return name

    def _end(self, status: int, length: int = 0) -> None:
        self.close_connection = True
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing: each file is one line otherwise."""


def own_address() -> str:
    """The address of this machine that the API server, and so the cluster, is reached from; nothing is sent."""
    return address_towards(os.environ.get("KUBERNETES_SERVICE_HOST", "127.0.0.1"))


def address_towards(host: str) -> str:
    """The address of this machine that a host sees; nothing is sent."""
    family, kind, protocol, _, where = socket.getaddrinfo(host, 443, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(where)
        return str(probe.getsockname()[0])


def _certificate(host: str) -> tuple[bytes, bytes]:
    """A certificate for a host, signed by itself, and its key; PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubeline training step")])
    try:
        known: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        known = x509.DNSName(host)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks of machines differ
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([known]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Python reads certificates from files only; the file is gone before anyone connects."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.NamedTemporaryFile() as file:  # that this user alone may read
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context
