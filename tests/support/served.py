"""A server process on a package, and its clients."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kubeline.model_client.server import start
from kubeline.model_package import ModelPackage


@dataclass(frozen=True)
class Served:
    """A served package and where it answers."""

    package: ModelPackage
    name: str
    http_port: int
    grpc_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def get(self, path: str) -> tuple[int, Any]:
        """Status and parsed body."""
        return self._send(urllib.request.Request(self.url + path))  # noqa: S310 - our own server

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and parsed body; `body` is bytes, or what is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self._send(urllib.request.Request(self.url + path, data, headers))  # noqa: S310

    def v1(self, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return self.post(f"/v1/models/{quote(self.name)}:predict", body, headers)

    def v2(self, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return self.post(f"/v2/models/{quote(self.name)}/infer", body, headers)

    def _send(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - our own server
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@contextmanager
def serve(package: ModelPackage, folder: Path) -> Iterator[Served]:
    with start(package, folder / "server.log") as server:
        server.wait_until_ready(time.monotonic(), timeout_seconds=240)
        yield Served(package, server.model_name, server.http_port, server.grpc_port)
