"""Time of a rollout: one that cannot be set within a process, and that of the API server across processes."""

import threading
import time
from collections.abc import Callable


class Clock:
    """Time, and waiting that a cancelled pipeline ends.

    Args:
        unix: seconds at the API server, which all who drive a rollout share; None takes this machine's. From then on a
            clock that cannot be set counts.

    Attributes:
        cancelled: the pipeline was.
        on_cancel: called at once then, before all else and in a thread of its own.
    """

    def __init__(self, unix: float | None = None) -> None:
        self.cancelled = threading.Event()
        self.on_cancel: Callable[[], None] = lambda: None
        self._offset = (time.time() if unix is None else unix) - time.monotonic()

    def now(self) -> float:
        """Unix seconds."""
        return self._offset + time.monotonic()

    def cancel(self) -> None:
        """The pipeline was cancelled."""
        try:
            self.on_cancel()
        finally:
            self.cancelled.set()

    def sleep(self, seconds: float) -> None:
        """Wait, or until :attr:`cancelled`."""
        self.cancelled.wait(seconds)
