"""Model servers that need not wait for their imports: each is forked from one process that has made them already.

Otherwise they are what ``python -m kubeline_serving`` starts, in a process group of their own that ends with this
process.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import connection, forkserver
from pathlib import Path

from kubeline.processes import kill_group

_STOP_SECONDS = 15.0

# What `kubeline_serving.__main__` imports, which is itself run anew in each server. Not ONNX Runtime, which then has
# threads.
_IMPORTS = [__name__, "kubeline_serving.worker", "kubeline_serving.http.protocol", "uvicorn.supervisors", "uvloop"]

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(_IMPORTS)
_asking = threading.Lock()  # the kernel reports an exit code once, to whichever thread asks first


def prepare() -> None:
    """Begin with the imports, so that the first server need not wait for them either."""
    forkserver.ensure_running()


class Server:
    """A running ``python -m MODULE``.

    Args:
        words: module and its arguments.
        log: file that its output is added to.
        environment: variables beside those of this process.
    """

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._process = _forks.Process(target=_run, args=(list(words), log, dict(environment)))
        with _asking:
            self._process.start()
        assert self._process.pid is not None  # noqa: S101 - it has been started
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        with _asking:
            return self._process.exitcode

    def stop(self) -> None:
        """End it: politely, then by force, and whatever it left behind in its group."""
        with _asking:
            self._process.terminate()
        connection.wait([self._process.sentinel], _STOP_SECONDS)
        kill_group(self.pid)
        with _asking:
            self._process.join()


def _run(words: list[str], log: Path, environment: Mapping[str, str]) -> None:
    """In the forked process: be what the words say."""
    os.setsid()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with log.open("ab") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    os.environ.update(environment)
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.killpg(os.getpid(), signal.SIGKILL)
