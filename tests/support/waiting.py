"""Waiting for what happens in another thread or process, however busy the machine is."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(holds: Callable[[], T], what: Callable[[], object] = lambda: "", seconds: float = 120.0) -> T:
    """Wait until something holds, and return it; `what` is shown when it never does."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"it did not come to hold: {what()}"
        time.sleep(0.005)
    return found
