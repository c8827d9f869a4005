"""Child processes: started so that they never outlive their parent, waited for and stopped in one way.

    python -m kubeline.processes kubeline_serving --model_dir …

runs a module as ``python -m`` does, and ends it with the process that started it, even when that one is killed: the
parent holds the other end of standard input and never writes to it. When the parent is gone, the operating system
closes that end, and the read below returns. A module that leads a process group (``start_new_session=True``) ends with
all of its group.
"""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.05


class ExitedError(Exception):
    """A process ended before it was ready.

    Attributes:
        code: its exit code, negative for a signal.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the process ended with exit code {code}")
        self.code = code


def bound_command(module: str, *arguments: str) -> list[str]:
    """The command line of a Python module that ends with its parent, which passes a pipe as its standard input.

    No module is taken from the working directory (``-P``).
    """
    return [sys.executable, "-P", "-m", "kubeline.processes", module, *arguments]


def wait_until_ready(process: "subprocess.Popen[Any]", is_ready: Callable[[], bool], timeout_seconds: float) -> None:
    """Wait until `is_ready` says so.

    Raises:
        ExitedError: when the process ends instead.
        TimeoutError: after `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_ready():
        code = process.poll()
        if code is not None:
            raise ExitedError(code)
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_POLL_SECONDS)


def stop(process: "subprocess.Popen[Any]", grace_seconds: float, group: bool = False) -> int:
    """Ask a process to end (SIGTERM), and kill it after `grace_seconds`; returns its exit code.

    When the wait is interrupted (Ctrl-C), the process is killed as well.

    Args:
        process: may have ended already. Its pipes are left to the caller.
        grace_seconds: to finish what it is at.
        group: whether it leads a process group, of which nothing may be left.
    """
    try:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    finally:
        if group:
            kill_group(process.pid)
        process.kill()
        process.wait()
    return process.returncode


def peak_memory_bytes(process: int | str = "self") -> int | None:
    """The most memory that a process, by its id, ever had resident; None where the system does not say.

    Not that of getrusage, which begins with what the parent held.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) << 10
    return None


def kill_group(leader: int) -> None:
    """Kill a process group, by the id of the process that leads it; it may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


class _Signals:
    """What the main thread has to know of SIGTERM."""

    depth = 0  # of blocks that are not broken off
    waits = False  # one came in such a block


def _end(*_: object) -> None:
    if _Signals.depth:
        _Signals.waits = True
        return
    _Signals.waits = False
    raise SystemExit(128 + signal.SIGTERM)


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """SIGTERM ends the block as an exception does, so that all in it is ended; the exit code is a signal's.

    What holds a lock that the end needs as well, such as that of a pool of connections, belongs into :func:`unbroken`.
    """
    if threading.current_thread() is not threading.main_thread():  # which has no signals
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """SIGTERM waits for the end of the block, which should be short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Signals.depth += 1
    try:
        yield
    finally:
        _Signals.depth -= 1
        if _Signals.waits:
            _end()


def _main() -> None:
    """Run the module named by the first argument, with the remaining ones."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    if os.getpgrp() == os.getpid():
        kill_group(os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _main()
