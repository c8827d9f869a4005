"""One budget of memory for all that requests make the server hold, whatever the protocol and the path.

Every byte of a request counts from its arrival until its answer is written, and so does every byte of an answer that a
client does not read. What counts is known before it is parsed, so that no request can take more than was there for it.
"""

from time import monotonic
from typing import Protocol

from kubeline_serving.errors import Overloaded

SHED_AFTER_SECONDS = 1.0  # after which an unfinished one may be ended when others need its memory


class Unfinished(Protocol):
    """A holder of memory that waits for its client, which sends the rest of a request or reads an answer."""

    def shed(self) -> None:
        """End it and release its memory, because others need it."""


class Budget:
    """Counts bytes; belongs to one event loop.

    When there is no room left, requests that are unfinished for a second or more end, the oldest first: clients that
    send slowly, or do not read, cannot keep others from being answered.

    Args:
        limit: bytes.

    Attributes:
        held: bytes at this moment.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.held = 0
        self._unfinished: dict[Unfinished, float] = {}  # since when, the oldest first

    def take(self, size: int) -> None:
        """Count bytes that come to be held.

        Raises:
            Overloaded: when there is no room for them; they are not counted then.
        """
        self.held += size
        if self.held > self.limit and not self._shed_oldest():
            self.held -= size
            raise Overloaded("the server holds as many requests as its memory allows; try again later")

    def reserve(self, size: int) -> bool:
        """Count bytes that may come to be held, and say whether there is room for them."""
        self.held += size
        if self.held <= self.limit or self._shed_oldest():
            return True
        self.held -= size
        return False

    def note(self, size: int) -> None:
        """Count bytes that are held already; others make room for them."""
        self.held += size
        if self.held > self.limit:
            self._shed_oldest()

    def give(self, size: int) -> None:
        """Count bytes no more."""
        self.held -= size

    def begin_waiting(self, holder: Unfinished) -> None:
        """Let it give way from now on: it waits for its client. It stays where it is when it waits already."""
        self._unfinished.setdefault(holder, monotonic())

    def end_waiting(self, holder: Unfinished) -> None:
        """Let it keep what it holds: its client went on, or it is gone."""
        self._unfinished.pop(holder, None)

    def _shed_oldest(self) -> bool:
        latest = monotonic() - SHED_AFTER_SECONDS
        while self.held > self.limit and self._unfinished:
            holder, since = next(iter(self._unfinished.items()))
            if since > latest:
                return False
            del self._unfinished[holder]
            holder.shed()
        return self.held <= self.limit
