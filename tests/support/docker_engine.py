"""A Docker engine on loopback: the requests of docker's client, whose containers are processes of this machine.

What it answers is Docker Engine API v1.41. It refuses what the real engine would: an image that it does not have, a
mount of nothing. A container's mounts are replaced in its command by their sources.
"""

import itertools
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.http_servers import LoopbackServer

VERSION = "1.41"


@dataclass
class Container:
    """One that was created: the body of the request, and its process when it was started."""

    number: str
    body: dict[str, Any]
    process: "subprocess.Popen[bytes] | None" = None
    removed: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it was given."""
        return dict(each.split("=", 1) for each in self.body.get("Env") or [])


@dataclass
class Engine:
    """What the engine has: images by name, and every container that was ever created."""

    address: str = ""
    images: set[str] = field(default_factory=set)
    security: list[str] = field(default_factory=list)  # its options, as `docker info` has them
    containers: list[Container] = field(default_factory=list)
    pulls: list[str] = field(default_factory=list)
    logs: bool = True  # whether it has those of its containers


@contextmanager
def docker_engine(path: str, **variables: str) -> Iterator[Engine]:
    """An engine, whose containers find their programs in `path`, and have the variables that are not of an image."""
    engine = Engine()
    server = _Server(lambda *given: _Handler(engine, {"PATH": path, **variables}, *given))
    engine.address = f"tcp://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
        for container in engine.containers:
            if container.process and container.process.poll() is None:
                container.process.kill()


class _Server(LoopbackServer):
    def handle_error(self, *_: Any) -> None:
        """A client that is gone is nothing to report."""


class _RefusedError(Exception):
    """An error of the engine: status and message."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, engine: Engine, variables: dict[str, str], *given: Any) -> None:
        self._engine, self._variables = engine, variables
        super().__init__(*given)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        self._route("GET")

    def do_HEAD(self) -> None:
        self._route("HEAD")

    def do_POST(self) -> None:
        self._route("POST")

    def do_DELETE(self) -> None:
        self._route("DELETE")

    def _route(self, method: str) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = re.sub(r"^/v[\d.]+", "", unquote(url.path))
        for pattern, action in self._actions(method).items():
            if found := re.fullmatch(pattern, path):
                try:
                    return action(found.groups(), query, json.loads(body) if body else {})
                except _RefusedError as error:
                    return self._answer({"message": error.args[1]}, error.args[0])
        self._answer({"message": f"page not found: {method} {path}"}, 404)
        return None

    def _actions(self, method: str) -> dict[str, Callable[..., None]]:
        actions: dict[str, dict[str, Callable[..., None]]] = {
            "HEAD": {"/_ping": lambda *_: self._answer(None)},
            "GET": {
                "/_ping": lambda *_: self._answer(None),
                "/version": lambda *_: self._answer({"ApiVersion": VERSION, "MinAPIVersion": "1.24"}),
                "/info": lambda *_: self._answer({"SecurityOptions": self._engine.security}),
                "/images/json": lambda *_: self._answer([self._image(name) for name in self._engine.images]),
                "/images/(.+)/json": lambda given, *_: self._answer(self._image(given[0])),
                "/containers/json": self._list,
                "/containers/([^/]+)/json": lambda given, *_: self._answer(self._described(self._named(given[0]))),
                "/containers/([^/]+)/logs": self._logs,
            },
            "POST": {
                "/images/create": self._pull,
                "/containers/create": self._create,
                "/containers/([^/]+)/start": self._start,
                "/containers/([^/]+)/wait": self._wait,
            },
            "DELETE": {"/containers/([^/]+)": self._remove},
        }
        return actions.get(method, {})

    def _answer(self, document: Any, status: int = 200) -> None:
        content = b"" if document is None or self.command == "HEAD" else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Api-Version", VERSION)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _image(self, name: str) -> dict[str, Any]:
        name = name.removeprefix("sha256:")  # which an image is called by as well
        if name not in self._engine.images:
            raise _RefusedError(404, f"No such image: {name}")
        return {"Id": f"sha256:{name}", "RepoTags": [name], "RepoDigests": []}

    def _pull(self, _: Any, query: dict[str, str], __: Any) -> None:
        self._engine.pulls.append(f"{query['fromImage']}:{query['tag']}")
        raise _RefusedError(404, f"pull access denied for {query['fromImage']}")

    def _create(self, _: Any, __: Any, body: dict[str, Any]) -> None:
        self._image(body["Image"])
        for mount in body["HostConfig"].get("Mounts") or []:
            if not Path(mount["Source"]).exists():
                raise _RefusedError(400, f"bind source path does not exist: {mount['Source']}")
        container = Container(f"c{len(self._engine.containers)}", body)
        self._engine.containers.append(container)
        self._answer({"Id": container.number, "Warnings": []}, 201)

    def _start(self, given: tuple[str], *_: Any) -> None:
        container = self._named(given[0])
        command = container.body["Cmd"]
        for mount in container.body["HostConfig"].get("Mounts") or []:
            folder, source = os.path.split(mount["Target"])[0], os.path.split(mount["Source"])[0]
            if mount["Target"] != mount["Source"]:
                command = [word.replace(folder, source) for word in command]
        container.process = subprocess.Popen(
            command,
            env={**self._variables, **container.environment},
            cwd=container.body["WorkingDir"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._answer(None, 204)

    def _logs(self, given: tuple[str], *_: Any) -> None:
        """As the engine multiplexes them: eight bytes of which stream and how long, before each part."""
        process = self._named(given[0]).process
        assert process
        assert process.stdout
        if not self._engine.logs:
            process.stdout.readline()  # its step has begun
            raise _RefusedError(500, "the log cannot be read")
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.raw-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for line in process.stdout:
            self.wfile.write(b"\x01\0\0\0" + len(line).to_bytes(4, "big") + line)
        self.close_connection = True

    def _wait(self, given: tuple[str], *_: Any) -> None:
        container = self._named(given[0])
        assert container.process
        code = container.process.wait()
        self._answer({"StatusCode": code if code >= 0 else 128 - code})

    def _list(self, _: Any, query: dict[str, str], __: Any) -> None:
        wanted = json.loads(query.get("filters", "{}")).get("label", [])
        running = [each for each in self._engine.containers if each.process and each.process.poll() is None]
        found = [
            each
            for each in running
            if all(label in itertools.starmap("{}={}".format, each.body["Labels"].items()) for label in wanted)
        ]
        self._answer([self._described(each) for each in found])

    def _remove(self, given: tuple[str], *_: Any) -> None:
        container = self._named(given[0])
        container.removed = True
        if container.process:
            container.process.kill()
        self._answer(None, 204)

    def _named(self, number: str) -> Container:
        for container in self._engine.containers:
            if container.number == number and not container.removed:
                return container
        raise _RefusedError(404, f"No such container: {number}")

    def _described(self, container: Container) -> dict[str, Any]:
        return {
            "Id": container.number,
            "Name": container.number,
            "Image": container.body["Image"],
            "Labels": container.body.get("Labels", {}),
            "State": {"Status": "running"},
            "Config": {"Labels": container.body.get("Labels", {}), "Image": container.body["Image"], "Tty": False},
        }
