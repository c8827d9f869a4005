"""Numbers that several worker processes count side by side, and that each of them can read whole."""

import fcntl
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np

from kubeline.errors import PlatformError
from kubeline.typing import Array

Numbers: TypeAlias = "memoryview[float]"

_PREFIX = "kubeline-metrics-"
_OWNER = "owner"
_PID = 0  # position of the worker's process id, in front of its gauges


class SharedCounters:
    """Counters and gauges of one worker, all float64, in shared memory.

    Each worker writes a file of its own, so that counting needs no lock between processes. The file stays when its
    worker dies, even by SIGKILL: what was counted goes on being reported, and the next worker to start takes it over
    and goes on where it ended. So sums never fall, and there are never more files than workers at one time. Which
    workers live is known from the kernel: each holds a lock on its file, which ends with it.

    To be made in the worker's own process, after any fork.

    Not prometheus_client's mode for several processes: it leaves a file of every process there ever was, must be
    informed which ones died, and takes a lock and a dictionary lookup where here one number of an array is raised.

    Attributes:
        values: the numbers of this worker, for changing single ones; gauges first.
        array: the same memory, for changing many at once.
        worker: number of this worker's file, from 0.
    """

    def __init__(self, gauges: int, counters: int, folder: Path | None = None, name: str = "metrics"):
        """Take the first file that no living worker holds.

        Args:
            gauges: numbers that end with their worker.
            counters: numbers that outlive their worker.
            folder: shared by all workers, see :func:`shared_folder`; None for a single worker, which needs no file.
            name: of what is counted; workers that count the same things in the same order give the same name.
        """
        self._kept = _PID + 1 + gauges
        self._bytes = 8 * (self._kept + counters)
        self._folder = folder
        self._name = name
        self._file = -1
        self.worker = 0
        memory = mmap.mmap(-1, self._bytes) if folder is None else self._claim(folder)
        self.values: Numbers = memoryview(memory).cast("d")
        self.array: Array = np.frombuffer(memory, dtype=np.float64)
        self.array[: self._kept] = 0
        self.array[_PID] = os.getpid()

    @staticmethod
    def gauge(number: int) -> int:
        """Where in `values` a gauge stands."""
        return _PID + 1 + number

    def total(self) -> tuple[Array, dict[int, int]]:
        """The sums over all workers, in the positions of `values`, and the process ids of the living ones by number.

        Counters of dead workers count, their gauges do not. Safe to call in any thread.
        """
        total = self.array.copy()
        alive = {self.worker: os.getpid()}
        for path in () if self._folder is None else self._folder.glob(f"{self._name}.*"):
            number = int(path.suffix[1:])
            if number == self.worker:
                continue
            numbers = np.fromfile(path, dtype=np.float64)
            if len(numbers) != len(total):  # a worker is just making it
                continue
            if _held(path):
                alive[number] = int(numbers[_PID])
            else:
                numbers[: self._kept] = 0
            total += numbers
        return total, dict(sorted(alive.items()))

    def _claim(self, folder: Path) -> mmap.mmap:
        while True:
            self._file = os.open(folder / f"{self._name}.{self.worker}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._file)
                self.worker += 1
                continue
            os.ftruncate(self._file, self._bytes)  # what is there stays; what is new is 0
            return mmap.mmap(self._file, self._bytes)


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder in memory for the counters of the workers that this process starts; removed at the end.

    It is in ``/dev/shm``, which is writable in containers with a read-only file system too, or else where temporary
    files go. Folders that a killed server left there are removed.

    Raises:
        PlatformError: when neither place can be written to.
    """
    place = Path("/dev/shm")  # noqa: S108 - made by mkdtemp, for this user alone
    if not os.access(place, os.W_OK | os.X_OK):
        place = Path(tempfile.gettempdir())
    _remove_abandoned(place)
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    except OSError as error:
        raise PlatformError(
            f"workers cannot share counters in '{place}': {error.strerror}; mount a writable /dev/shm, or set TMPDIR"
        ) from error
    try:
        with (folder / _OWNER).open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # of another user, or just removed by another server
            started = folder.stat().st_mtime < time.time() - 60  # a younger one may not be locked yet
            if started and not _held(folder / _OWNER):
                shutil.rmtree(folder, ignore_errors=True)


def _held(path: Path) -> bool:
    """Whether a living process holds the lock of a file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
