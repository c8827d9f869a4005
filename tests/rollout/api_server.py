"""A web server on the loopback that answers the Kubernetes calls for InferenceServices as an API server does."""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from kubeline.rollout.inference_service import merge

PATH = re.compile(r"/apis/serving\.kserve\.io/v1beta1/namespaces/([^/]+)/inferenceservices(?:/([^/]+))?")
KNOWN_FIELDS = {"minReplicas", "maxReplicas", "serviceAccountName", "model", "nodeSelector", "canaryTrafficPercent"}

Reply = tuple[int, dict[str, Any] | str, dict[str, str]]


def status(code: int, reason: str, message: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
    return code, {**body, "code": code, **more}, headers or {}


class ApiServer(ThreadingHTTPServer):
    """Holds objects by (namespace, name), counts resource versions, and answers as `faults` says before all else.

    `requests` lists what was asked: (method, query, content type, body). A fault is a reply, or a function that is
    called with the server and may return one; each is used once.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.namespaces = {"default"}
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.faults: list[Reply | Callable[[Any], Reply | None]] = []
        self.requests: list[tuple[str, dict[str, str], str, Any]] = []
        self.kserve_installed = True
        self.version = 100

    def kubeconfig(self, folder: Path) -> str:
        path = folder / "kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}],
            "users": [{"name": "me", "user": {"token": "s3cret-token"}}],
        }
        path.write_text(yaml.safe_dump(document))
        return str(path)

    def edit(self, key: tuple[str, str], patch: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        locked = {"metadata": {"resourceVersion": str(self.version)}}
        self.objects[key] = merge(merge(self.objects.get(key, {}), patch), locked)
        return self.objects[key]

    def methods(self) -> list[str]:
        return [request[0] for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def _answer(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(text) if text else None
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        self.server.requests.append((self.command, query, self.headers.get("Content-Type", ""), body))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if callable(fault):
            fault = fault(self.server)
        if fault == (0, "", {}):  # the connection breaks and nothing was done
            self.close_connection = True
            return
        self._send(*(fault or self._reply(query, body)))

    def _reply(self, query: dict[str, str], body: Any) -> Reply:
        match = PATH.fullmatch(urlsplit(self.path).path)
        if match is None or not self.server.kserve_installed:
            return 404, "404 page not found\n", {}
        namespace, name = match[1], match[2] or (body or {}).get("metadata", {}).get("name", "")
        live = self.server.objects.get((namespace, name))
        if self.command == "GET":
            return (200, live, {}) if live else _not_found("inferenceservices", name)
        if query.get("fieldValidation") == "Strict" and (unknown := _unknown(body)):
            return status(400, "BadRequest", f'strict decoding error: unknown field "spec.predictor.{unknown}"')
        if self.command == "POST":
            return self._create(namespace, name, live, body)
        return self._patch(namespace, name, live, body)

    def _create(self, namespace: str, name: str, live: Any, body: Any) -> Reply:
        if namespace not in self.server.namespaces:
            return _not_found("namespaces", namespace)
        if live:
            return status(409, "AlreadyExists", f'inferenceservices "{name}" already exists')
        return 201, self.server.edit((namespace, name), body), {}

    def _patch(self, namespace: str, name: str, live: Any, body: Any) -> Reply:
        if self.headers["Content-Type"] != "application/merge-patch+json":
            return status(415, "UnsupportedMediaType", f"not {self.headers['Content-Type']}")
        if live is None:
            return _not_found("inferenceservices", name)
        if body["metadata"].get("resourceVersion", live["metadata"]["resourceVersion"]) != _version(live):
            return status(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        return 200, self.server.edit((namespace, name), body), {}

    def _send(self, code: int, body: dict[str, Any] | str, headers: dict[str, str]) -> None:
        text = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(code)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


def _version(live: dict[str, Any]) -> str:
    return str(live["metadata"]["resourceVersion"])


def _unknown(body: dict[str, Any]) -> str:
    predictor = body.get("spec", {}).get("predictor") or {}
    return next((key for key in predictor if key not in KNOWN_FIELDS), "")


def _not_found(kind: str, name: str) -> Reply:
    return status(404, "NotFound", f'{kind} "{name}" not found', details={"kind": kind, "name": name})
