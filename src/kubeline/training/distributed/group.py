"""The workers of one training as a group: begun together, followed, begun again when one is lost, and ended."""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from kubeline.data.limits import readable
from kubeline.errors import PlatformError
from kubeline.ports import free_ports
from kubeline.processes import bound_command, ended_in_order, stop, unbroken
from kubeline.training.distributed.exchange import FOLDER
from kubeline.training.distributed.job import CHECKPOINT, MODEL, ROUND, TRACKER, report

logger = logging.getLogger(__name__)

ATTEMPTS = 3  # without a checkpoint in between
_POLL_SECONDS = 0.1
_WORKER = "kubeline.training.distributed.worker"


class Group(Protocol):
    """Workers that come and go together."""

    pause: float  # seconds between two readings

    def start(self) -> None:
        """Begin all of them; what an earlier try has left behind is removed first."""

    def failure(self) -> str | None:
        """Why the group cannot finish; empty while it works, and None when it is done."""

    def stop(self) -> None:
        """End all of them, and leave nothing behind; does nothing when there are none."""


def run(group: Group, folder: Path, workers: int) -> bytes:
    """Have a model learned by a group, which is begun again from the last checkpoint when a worker is lost.

    The group is ended whatever happens, also when this process is asked to end (SIGTERM).

    Args:
        group: of the workers.
        folder: with the job and the parts; the checkpoint and the model come there.
        workers: how many there are.

    Returns:
        The model.

    Raises:
        PlatformError: when workers are lost `ATTEMPTS` times without a checkpoint in between.
    """
    tries, last = 0, b""
    with ended_in_order():
        while True:
            for name in (TRACKER, ROUND):
                (folder / name).unlink(missing_ok=True)
            failure = _one_try(group)
            model = folder / MODEL
            if failure is None and model.is_file():
                _log_reports(folder, workers)
                return model.read_bytes()
            failure = failure or "the workers ended without a model"
            kept = (folder / CHECKPOINT).read_bytes() if (folder / CHECKPOINT).is_file() else b""
            tries, last = (1 if kept != last else tries + 1), kept
            if tries >= ATTEMPTS:
                raise PlatformError(
                    f"the distributed training failed {tries} times at the same place: {failure}; see the workers' "
                    "logs, and give them more memory if they were killed"
                )
            where = "the last checkpoint" if kept else "the start"
            logger.warning("%s; all workers begin again from %s", failure, where)


def _one_try(group: Group) -> str | None:
    try:
        group.start()
        while (failure := group.failure()) == "":
            time.sleep(group.pause)
        return failure
    finally:
        group.stop()


def _log_reports(folder: Path, workers: int) -> None:
    for worker in range(workers):
        path = folder / report(worker)
        found = json.loads(path.read_bytes()) if path.is_file() else {}
        if found:
            logger.info(
                "worker %d learned from %s rows and held %s at most",
                worker, f"{found['rows']:,}", readable(found["peak_bytes"]),
            )  # fmt: skip


@contextlib.contextmanager
def home(path: Path) -> Iterator[Path]:
    """A folder for the files of a training, that this user alone may read; it is removed in the end.

    One that an earlier try has left at the same place is removed first.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Processes:
    """Processes of this machine, that share the folder. They end with this process, even when it is killed."""

    pause = _POLL_SECONDS

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        self._workers = workers
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs: list[IO[bytes]] = []

    def start(self) -> None:
        """See :class:`Group`."""
        [port] = free_ports(1)
        contract = {
            "DMLC_TRACKER_URI": "127.0.0.1",
            "DMLC_TRACKER_PORT": str(port),
            "DMLC_NUM_WORKER": str(self._workers),
            FOLDER: str(self._folder),
        }
        for worker in range(self._workers):
            log = (self._folder / f"log-{worker}").open("w+b")
            self._logs.append(log)
            self._running.append(
                subprocess.Popen(  # noqa: S603
                    bound_command(_WORKER),
                    env={**os.environ, **contract, "DMLC_TASK_ID": str(worker)},
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                )
            )

    def failure(self) -> str | None:
        """See :class:`Group`."""
        with unbroken():  # or a process may stay locked
            codes = [process.poll() for process in self._running]
        killed = [worker for worker, code in enumerate(codes) if code is not None and code < 0]
        failed = killed or [worker for worker, code in enumerate(codes) if code]  # who was killed is the reason
        if failed:
            return self._reason(failed[0], codes[failed[0]] or 0)
        return None if all(code == 0 for code in codes) else ""

    def _reason(self, worker: int, code: int) -> str:
        if code < 0:
            return f"worker {worker} was ended by {signal.Signals(-code).name}"
        self._logs[worker].seek(0)
        lines = self._logs[worker].read().decode(errors="replace").split("\n")
        words = [line.strip() for line in lines if "Error" in line]
        return f"worker {worker} ended with exit code {code}" + (f" ({words[-1][:300]})" if words else "")

    def stop(self) -> None:
        """See :class:`Group`."""
        for process in self._running:
            process.kill()
        for process, log in zip(self._running, self._logs, strict=True):
            stop(process, 0)
            if process.stdin is not None:
                process.stdin.close()
            log.close()
        self._running, self._logs = [], []
