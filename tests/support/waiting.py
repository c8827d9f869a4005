"""Waiting for what happens in another thread or process, however busy the machine is."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def wait_for(holds: Callable[[], T], what: Callable[[], object] = lambda: "", seconds: float = 120.0) -> T:
    """Wait until something holds, and return it; `what` is shown when it never does."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"it did not come to hold: {what()}"
        time.sleep(0.005)
    return found


@contextmanager
def repeating(step: Callable[[], object], pause: float) -> Iterator[None]:
    """Call `step` again and again in a thread while the block runs, with a pause in seconds before each."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(pause):
            step()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
