"""``kubeline serve``: the model server of the cluster, on this machine."""

import argparse
import contextlib
import json
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeline.cli.parser import add_command, whole
from kubeline.errors import PlatformError, UserError
from kubeline.processes import ExitedError, stop, wait_until_ready

if TYPE_CHECKING:  # the other commands need not wait for its import
    from kubeline.model_package import ModelPackage

_READY_SECONDS = 120.0
_STOP_SECONDS = 40.0  # longer than the server takes to answer what it has accepted
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "serve", "serve a model package on this machine", serve)
    parser.add_argument("package", help="folder or URI of a model package, or models:/NAME@ALIAS of the registry")
    parser.add_argument("--name", default="", help="name of the model in URLs (the registered name, else: model)")
    parser.add_argument("--port", type=whole(1, 65_535), default=8080, help="of HTTP (8080)")
    parser.add_argument("--grpc-port", type=whole(1, 65_535), default=8081, help="of gRPC (8081)")
    parser.add_argument("--workers", type=whole(1, 1_000), default=1, help="processes that answer (1)")
    parser.add_argument(
        "--payload-log", default="", metavar="URI", help="where requests and answers are logged (nowhere)"
    )
    parser.add_argument(
        "--tracking-uri",
        default="",
        metavar="URI",
        help="the registry for models:/ ($MLFLOW_TRACKING_URI, else that of runs)",
    )


def serve(options: argparse.Namespace) -> int:
    """Verify a package, serve it, and print how to send a request; until Ctrl-C."""
    name = _name(options)
    package = _package(options)
    _require_free(options.port, "--port")
    _require_free(options.grpc_port, "--grpc-port")
    # a session of its own: Ctrl-C of the terminal reaches this process, which then ends the server in order
    server = subprocess.Popen(  # noqa: S603 - no shell
        _command(options, package, name), stdin=subprocess.PIPE, stdout=sys.stderr.fileno(), start_new_session=True
    )
    try:
        _wait_until_ready(server, options.port, name)
        _print_usage(package, name, options.port, options.grpc_port)
        return server.wait()
    except KeyboardInterrupt:
        return _end(server)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


def _name(options: argparse.Namespace) -> str:
    from kubeline.registry.interface import parse_reference

    name = options.name
    if not name:
        name = parse_reference(options.package)[0] if options.package.startswith("models:") else "model"
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' cannot be the name of a served model; give one of letters, digits, '.', '_' and '-' by --name"
        )
    return str(name)


def _package(options: argparse.Namespace) -> "ModelPackage":
    from kubeline.model_package import ModelPackage
    from kubeline.registry import absent, fetch
    from kubeline.registry.opening import of_runs

    tracking_uri = options.tracking_uri or of_runs(Path("runs"))
    folder = fetch(options.package, tracking_uri)
    if folder is None:
        raise absent(options.package, tracking_uri)
    return ModelPackage.open(folder)


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise PlatformError(f"cannot listen on port {port}: {reason}; choose another one by {option}") from error


def _command(options: argparse.Namespace, package: "ModelPackage", name: str) -> Sequence[str]:
    from kubeline.model_client.server import command

    log = ["--payload_log", options.payload_log] if options.payload_log else []
    return command(package, name, options.port, options.grpc_port, "--workers", str(options.workers), *log)


def _wait_until_ready(server: "subprocess.Popen[bytes]", port: int, name: str) -> None:
    from kubeline.model_client.server import is_ready

    try:
        wait_until_ready(server, lambda: is_ready(port, name), _READY_SECONDS)
    except ExitedError as exited:  # its own sentence stands above
        raise (UserError if exited.code == UserError.exit_code else PlatformError)(
            f"the model server ended with exit code {exited.code} before it was ready"
        ) from exited
    except TimeoutError as late:
        raise PlatformError(f"the model server was not ready in {_READY_SECONDS:g} s; try again") from late


def _print_usage(package: "ModelPackage", name: str, port: int, grpc_port: int) -> None:
    from kubeline.model_client.golden import GoldenRows

    url = f"http://127.0.0.1:{port}"
    row = json.dumps({"instances": GoldenRows.of(package).records[:1]}, ensure_ascii=False)
    ask = shlex.join(["curl", f"{url}/v1/models/{name}:predict", "-H", "Content-Type: application/json", "-d", row])
    print(f"serving {name} (package {package.digest[:12]}): {url}, gRPC 127.0.0.1:{grpc_port}; Ctrl-C ends it")
    print(f"try\n  {ask}", flush=True)


def _end(server: "subprocess.Popen[bytes]") -> int:
    """End the server after the requests it has accepted; at once on a second Ctrl-C."""
    print("ending the model server", file=sys.stderr)
    with contextlib.suppress(KeyboardInterrupt):
        stop(server, _STOP_SECONDS)
    return 0
