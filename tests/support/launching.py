"""A model server with options of its own: as the command starts it, or its HTTP part in this process."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from kubeline.model_client.server import RunningServer
from kubeline.model_package import ModelPackage
from kubeline.ports import free_ports
from kubeline_serving.http.application import Application
from kubeline_serving.http.protocol import HttpProtocol


@dataclass(frozen=True)
class Launched:
    """A server process that is ready."""

    process: "subprocess.Popen[bytes]"
    http_port: int
    grpc_port: int
    log: Path


@contextmanager
def launch(package: ModelPackage, folder: Path, *options: str, model_name: str = "tiny") -> Iterator[Launched]:
    """Start ``python -m kubeline_serving`` for a model of this name; it is killed at the end when it still runs."""
    http_port, grpc_port = free_ports(2)
    log = folder / "server.log"
    command = [
        *(
            sys.executable,
            "-m",
            "kubeline.processes",
            "kubeline_serving",
            "--model_dir",
            str(package.path),
            "--model_name",
            model_name,
        ),
        *("--http_port", str(http_port), "--grpc_port", str(grpc_port), *options),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)
    try:
        RunningServer(process, model_name, http_port, grpc_port, log).wait_until_ready(time.monotonic(), 240)
        yield Launched(process, http_port, grpc_port, log)
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


@contextmanager
def serve_here(application: Application, protocol: type[HttpProtocol], **options: Any) -> Iterator[int]:
    """Serve HTTP in a thread of this process, on the port that is given; `options` are uvicorn's."""
    config = uvicorn.Config(
        application,
        http=protocol,
        loop="uvloop",
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,
        log_level="critical",
        **options,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()
