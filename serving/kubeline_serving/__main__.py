"""The command ``python -m kubeline_serving``."""

import logging
import os
import socket
import sys
from dataclasses import replace
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from kubeline.errors import KubelineError, PlatformError
from kubeline_serving.http.protocol import HttpProtocol
from kubeline_serving.inference.model import verified
from kubeline_serving.observability import logs
from kubeline_serving.observability.counters import shared_folder
from kubeline_serving.options import DEFAULT_FOLDER, Options, read_options
from kubeline_serving.vertex import MODEL_FOLDER, VertexSettings, fetched
from kubeline_serving.worker import METRICS_FOLDER, Worker, exit_in_order

logger = logging.getLogger(__name__)


def main() -> int:
    """Verify and load the package, then serve it until SIGTERM.

    Returns:
        The exit code: 2 when the package must not be served, 3 when a port is in use or a log cannot be written. A
        server never starts without a verified model.
    """
    options = read_options()
    logs.configure()
    vertex = VertexSettings.of(os.environ)
    if options.ignored:
        logger.warning("these options of KServe's server mean nothing here: %s", ", ".join(options.ignored))
    try:
        vertex.check(options.model_name)
        if vertex.storage_uri and options.model_dir == DEFAULT_FOLDER:
            options = replace(options, model_dir=fetched(vertex.storage_uri))
            os.environ[MODEL_FOLDER] = str(options.model_dir)
        with _listen(options.host, options.http_port) as http:
            if options.enable_grpc:
                _listen(
                    options.host, options.grpc_port
                ).close()  # gRPC binds it itself: two servers would share it in silence
            _serve(options, http)
    except KubelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


_ACCEPTED_AT_ONCE = 16  # connections
_BACKLOG = 8192  # connections that wait to be accepted; the system may allow fewer


def _serve(options: Options, http: socket.socket) -> None:
    if options.workers == 1:
        application = Worker(options).application
        exit_in_order()
        uvicorn.Server(_config(options, application)).run(_duplicates(http))
        return
    verified(options.model_dir, options.package_digest)  # refused once, and before any worker starts
    config = _config(options, "kubeline_serving.worker:create_application", factory=True)
    with shared_folder() as folder:
        os.environ[METRICS_FOLDER] = str(folder)
        Multiprocess(config, _duplicates(http)).run()


def _config(options: Options, application: Any, factory: bool = False) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        factory=factory,
        workers=options.workers,
        loop="uvloop",
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        log_level="warning",  # the worker logs for itself
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=options.timeout_keep_alive,
        timeout_graceful_shutdown=options.grace_seconds,
        ssl_certfile=options.ssl_certfile,
        ssl_keyfile=options.ssl_keyfile,
    )


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PlatformError(f"cannot listen on port {port}: {error.strerror}; choose another one") from error
    listener.set_inheritable(True)
    return listener


def _duplicates(listener: socket.socket) -> list[socket.socket]:
    """The listener several times: libuv accepts one connection of each in a turn of the event loop.

    In a busy server, new clients and health checks would wait for many turns.
    """
    copies = [listener.dup() for _ in range(_ACCEPTED_AT_ONCE - 1)]
    for copy in copies:
        copy.set_inheritable(True)
    return [listener, *copies]


if __name__ == "__main__":
    sys.exit(main())
