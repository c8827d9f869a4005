"""A real model server as a child process, that never outlives its parent."""

import contextlib
import http.client
import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kubeline.errors import PlatformError
from kubeline.model_package import ModelPackage
from kubeline.ports import free_ports
from kubeline.processes import ExitedError, bound_command, stop, wait_until_ready

_LAST_LINES = 12  # of the log, shown when the server did not start
_STOP_SECONDS = 10.0
_MISSING = re.compile(r"^(?:ModuleNotFoundError|ImportError): (.+)$")


class ServerFailedError(Exception):
    """The server did not become ready, or ended under requests: one sentence."""


@dataclass
class RunningServer:
    """A server process; `http_port` and `grpc_port` listen on this machine."""

    process: "subprocess.Popen[bytes]"
    model_name: str
    http_port: int
    grpc_port: int
    log: Path
    ready_seconds: float = 0.0

    def wait_until_ready(self, started: float, timeout_seconds: float) -> None:
        """Wait until the model is ready; `started` is when the process was started, in monotonic seconds.

        Raises:
            ServerFailedError: when the process ends, or the time is over.
            PlatformError: when it ends for what this environment lacks, which says nothing of the model.
        """
        try:
            left = timeout_seconds - (time.monotonic() - started)
            wait_until_ready(self.process, lambda: is_ready(self.http_port, self.model_name), left)
        except ExitedError as exited:
            self.blame_environment(exited.code)
            raise ServerFailedError(f"the server ended with exit code {exited.code}; {self.last_words()}") from exited
        except TimeoutError as late:
            raise ServerFailedError(f"the server was not ready in {timeout_seconds:g} s; {self.last_words()}") from late
        self.ready_seconds = time.monotonic() - started

    def blame_environment(self, code: int) -> None:
        """Raise a PlatformError when the server, which has ended, could not have run with any model.

        Args:
            code: its exit code; 3 is what it ends with when a port or a file cannot be used.
        """
        missing = next(filter(None, map(_MISSING.match, reversed(self.log_end()))), None)
        if missing:
            raise PlatformError(
                f"the model server cannot run here, so the model was not checked: {missing[1]}; run the step in an "
                "image that has what serving/Dockerfile installs"
            )
        if code == PlatformError.exit_code:
            raise PlatformError(f"the model server cannot run here, so the model was not checked; {self.last_words()}")

    def log_end(self) -> list[str]:
        """The last lines of what the server printed."""
        return self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]

    def last_words(self) -> str:
        """The very last line, for a reason; the report shows more of them."""
        return f"its last words: {''.join(self.log_end()[-1:]) or 'none'}"

    def stop(self) -> None:
        """Ask the process to end, and kill it when it does not."""
        stop(self.process, _STOP_SECONDS)


def command(package: ModelPackage, name: str, http_port: int, grpc_port: int, *options: str) -> list[str]:
    """The command line of a server on this machine, which ends with the process that calls it."""
    return bound_command(
        *("kubeline_serving", "--model_dir", str(package.path), "--model_name", name),
        *("--package_digest", package.digest, "--host", "127.0.0.1"),
        *("--http_port", str(http_port), "--grpc_port", str(grpc_port), *options),
    )


def is_ready(http_port: int, model_name: str) -> bool:
    """Whether a server on this machine answers, and has this model ready."""
    connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=2)
    try:
        connection.request("GET", f"/v2/models/{quote(model_name, safe='')}/ready")
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        return response.status == 200 and answer.get("ready") is True
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def start(package: ModelPackage, log: Path) -> Iterator[RunningServer]:
    """Start ``python -m kubeline_serving`` on a package and free ports; it ends with the block, or with this process.

    Args:
        package: the model package; it is only read.
        log: a file for what the server prints.
    """
    name = f"package-{package.digest[:12]}"  # no other server that might take the port answers for this name
    http_port, grpc_port = free_ports(2)
    line = command(package, name, http_port, grpc_port)
    with log.open("wb") as output:
        process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603 - no shell, no words of a user
    server = RunningServer(process, name, http_port, grpc_port, log)
    try:
        yield server
    finally:
        server.stop()
        if process.stdin is not None:
            process.stdin.close()
