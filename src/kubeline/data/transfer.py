"""What comes from elsewhere, counted while it comes: a source that never ends is given up."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kubeline.data.limits import ADVICE, DOWNLOAD, DOWNLOAD_SECONDS, readable, scaled
from kubeline.errors import UserError
from kubeline.progress import Progress

T = TypeVar("T")


class Transfer:
    """All files, or all rows, of one source.

    Args:
        name: Of the source, without credentials.
        scratch: The folder that it goes to.
        progress: Counts the same bytes.
    """

    def __init__(self, name: str, scratch: Path, progress: Progress):
        self._name, self._scratch, self._progress = name, scratch, progress
        self._most = scaled(DOWNLOAD)
        self.seconds = scaled(DOWNLOAD_SECONDS)
        self._end = time.monotonic() + self.seconds
        self._taken = 0

    def take(self, size: int) -> None:
        """Count bytes that came.

        Raises:
            UserError: when they are too many, or come for too long.
        """
        self._taken += size
        self._progress.add(size)
        if self._taken > self._most:
            raise UserError(f"'{self._name}' sends more than {readable(self._most)}; {ADVICE}")
        self.check_time()

    def check_time(self) -> None:
        """Raise a :class:`UserError` when it has taken too long."""
        if self.left <= 0:
            raise UserError(f"'{self._name}' has not sent all within {self.seconds:,} s; {ADVICE}")

    def wait(self, seconds: float) -> None:
        """Wait for a server that is busy, or still at work; raise as :meth:`check_time` does."""
        self.check_time()
        time.sleep(seconds)

    def tried(self, attempt: Callable[[bool], T | None], pauses: Sequence[float]) -> T:
        """The answer of `attempt(last)`, asked again after each pause (in seconds) while it is None."""
        for pause in pauses:
            if (found := attempt(False)) is not None:
                return found
            self.wait(pause)
        if (found := attempt(True)) is None:
            raise AssertionError("the last attempt answers or raises")
        return found

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """What a client waits for in vain, reported as what took too long, when that is why."""
        try:
            yield
        except TimeoutError:
            self.check_time()
            raise

    @property
    def left(self) -> float:
        """Seconds before it has taken too long."""
        return self._end - time.monotonic()

    def require_room(self, size: int) -> None:
        """Raise a :class:`UserError` when so many more bytes, by what the source says, are too many for the disk."""
        free = shutil.disk_usage(self._scratch).free
        if size > free:
            raise UserError(
                f"'{self._name}' says that it is {readable(size)} and the temporary folder has room for "
                f"{readable(free)}; make room or set TMPDIR"
            )
