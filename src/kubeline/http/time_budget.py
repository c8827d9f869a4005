"""Bounds on time: of one exchange, and of all tries of a request together."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from kubeline.errors import PlatformError

T = TypeVar("T")

_FIRST = 0.5  # seconds before the second try, and twice as long before each further one


def within(seconds: float, work: Callable[[], T], what: str) -> T:
    """The result of `work`, or an error when it is not there in time, however its bytes trickle in.

    Raises:
        PlatformError: when it takes longer; what it does meanwhile is not known.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise PlatformError(f"{what} did not answer within {seconds:g} s; try again")
    return results[0]


@dataclass
class TimeBudget:
    """How long a request is tried, all waits included.

    Attributes:
        seconds: in all.
        each: for one try, at most.
    """

    seconds: float = 120.0
    each: float = 60.0
    _began: float = field(default_factory=time.monotonic)
    _next: float = _FIRST

    def left(self) -> float:
        """Seconds that the next try may take."""
        return max(1.0, min(self.each, self.seconds - (time.monotonic() - self._began)))

    def wait(self, retry_after: float) -> bool:
        """Wait before a further try, as long as a server asked for; False, and no wait, when there is no time."""
        wait = retry_after or self._next * random.uniform(0.75, 1.25)  # noqa: S311 (spread, not a secret)
        self._next *= 2
        if wait > self.seconds - (time.monotonic() - self._began):
            return False
        time.sleep(wait)
        return True
