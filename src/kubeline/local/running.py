"""Whether a run is in progress: its process holds a lock on its folder, which the system takes back however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from kubeline import reports
from kubeline.local.result import RunResult

SO_FAR = "running.json"  # what is known of a run in progress, in the form of its result
STILL = "still.html"  # its page as it was at that moment, for those who read it
_GONE = "the process that ran it has ended without reporting, as when it is killed or the machine is switched off"


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Hold the lock of a run, and take away in the end what was known on the way."""
    with locked(folder):
        yield
        for name in (SO_FAR, STILL):
            (folder / name).unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """An exclusive lock on a folder, waited for."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def so_far(folder: Path) -> RunResult:
    """What is known of a run without a result; one whose process is gone has failed, and its page says so.

    Raises:
        FileNotFoundError: when it has ended meanwhile.
    """
    gone = not _is_running(folder)
    result = RunResult.read(folder / SO_FAR)
    if not gone:
        return result
    ended = replace(result, succeeded=False, verdict="failed", reason=_GONE, sentence=_GONE)
    page = reports.Report(f"{result.pipeline}: {ended.word}", folder.name)
    page.add("How it ended", reports.verdict(ended.word, ended.tone, [_GONE]))
    page.add(
        "How far it was",
        Markup('<p><a href="{}">its page</a>, and <a href="log.txt">its log</a></p>').format(STILL),
    )
    page.write(folder / "index.html")
    return ended


def _is_running(folder: Path) -> bool:
    """Whether a process holds the lock of the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        return True
    finally:
        os.close(descriptor)
