"""Server processes, one at a time: started, ready, measured, ended with everything that they started."""

import contextlib
import http.client
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubeline.errors import PlatformError
from kubeline.processes import ExitedError, stop, wait_until_ready

_READY_SECONDS = 90.0
_STOP_SECONDS = 30.0
_CORES = 2
# one worker with one thread: what is compared is the server, not how many cores it takes
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_QUIET = {"ORT_DISABLE_TELEMETRY": "1"}  # ONNX Runtime reports to its maker unless it is switched off


@dataclass
class Server:
    """A running server, and where it answers."""

    process: "subprocess.Popen[bytes]"
    http_port: int
    grpc_port: int
    log: Path

    def memory(self, field: str = "VmHWM") -> int:
        """Bytes of memory of the process and all that it started: ``VmHWM`` the most ever, ``VmRSS`` now."""
        return sum(_status(pid, field) for pid in _tree(self.process.pid))

    def stop(self) -> int:
        """End it politely, and return its exit code; whatever stays behind is killed."""
        return stop(self.process, _STOP_SECONDS, group=True)

    def last_words(self) -> str:
        """The end of what it printed."""
        return " | ".join(self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:])[-300:]


def share_cores() -> int:
    """Let this process and all that it starts share the first two cores; returns how many there are."""
    cores = sorted(os.sched_getaffinity(0))[:_CORES]
    os.sched_setaffinity(0, cores)
    return len(cores)


@contextlib.contextmanager
def running(
    command: Sequence[str], ports: tuple[int, int], ready: str, log: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Start a server, wait until the path `ready` answers 200, and end it with the block.

    Args:
        command: of the server.
        ports: of HTTP and gRPC, as the command names them.
        ready: a path.
        log: a file for what it prints.
        environment: besides that of this process.

    Raises:
        PlatformError: when it does not become ready.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - no shell, no words of a user
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **THREADS, **_QUIET, **environment},
            start_new_session=True,  # a group of its own, to be ended as one
        )
    server = Server(process, *ports, log)
    try:
        try:
            wait_until_ready(process, lambda: _answers(ports[0], ready), _READY_SECONDS)
        except (ExitedError, TimeoutError) as error:
            raise PlatformError(
                f"'{command[2]}' did not become ready; its last words: {server.last_words()}"
            ) from error
        yield server
    finally:
        server.stop()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    pids = [pid]
    for parent in pids:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                pids.extend(int(child) for child in children.read_text(encoding="utf-8").split())
    return pids


def _status(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), 0)
