"""How far a long step is: a line of the log now and then, and on a terminal one line that is written over."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, Self, TypeVar

log = logging.getLogger(__name__)

_SECONDS = 10.0  # before the first line of the log, and between lines,
_SHARE = 0.1  # and at least this share of the time so far: a step of hours does not fill its log
_TERMINAL_SECONDS = 0.2
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


class _Rows(Protocol):
    @property
    def num_rows(self) -> int: ...


R = TypeVar("R", bound=_Rows)


class Progress:
    """The progress of one thing that a step does, as a context manager.

    Short work says nothing. What is said goes to the log as rows (or whatever `unit` is), the share of `total` where
    that is known, how many a second, and about how long it still takes.

    Args:
        doing: What is done, as the line begins: ``reading t.csv``.
        total: How much there is; 0 where that is not known. It may be an estimate.
        unit: Of what is counted; ``bytes`` are shown in kB, MB, ….
        clock: Seconds, for tests.
    """

    def __init__(self, doing: str, total: float = 0, unit: str = "rows", clock: Callable[[], float] = time.monotonic):
        self._doing, self._total, self._unit, self._clock = doing, total, unit, clock
        self._done = 0
        self._start = self._logged = self._shown = clock()
        self._is_terminal = sys.stderr.isatty()
        self._width = 0

    def add(self, amount: int) -> None:
        """Count what was done since the last call."""
        self._done += amount
        now = self._clock()
        if now - self._logged >= max(_SECONDS, _SHARE * (now - self._start)):
            self._logged = now
            log.info("%s", self.line(now))
        if self._is_terminal and now - self._shown >= _TERMINAL_SECONDS:
            self._shown = now
            line = self.line(now)[:100]
            sys.stderr.write(f"\r{line.ljust(self._width)}")
            sys.stderr.flush()
            self._width = len(line)

    def over(self, batches: Iterable[R]) -> Iterator[R]:
        """The same batches; each is counted when the next one is asked for."""
        for batch in batches:
            yield batch
            self.add(batch.num_rows)

    def line(self, now: float) -> str:
        """What is known at a time of the clock."""
        seconds = now - self._start
        rate = self._done / seconds if seconds > 0 else 0.0
        words = [f"{self._doing}: {self._amount(self._done)}"]
        share = self._done / self._total if self._total else 0.0
        if 0 < share <= 1:
            words.append(f"{share:.0%} of {self._amount(self._total)}")
        if rate:
            words.append(f"{self._amount(rate)}/s")
        if rate and 0 < share < 1:
            words.append(f"about {_duration((self._total - self._done) / rate)} left")
        return ", ".join(words)

    def _amount(self, amount: float) -> str:
        if self._unit != "bytes":
            return f"{amount:,.0f} {self._unit}"
        power = 0
        while amount >= 1024 and power < len(_UNITS) - 1:
            amount, power = amount / 1024, power + 1
        return f"{amount:,.0f} {_UNITS[power]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Say how it ended where anything was said before, and leave a terminal's line empty."""
        if self._width:
            sys.stderr.write(f"\r{' ' * self._width}\r")
            sys.stderr.flush()
        now = self._clock()
        if self._logged > self._start:
            log.info("%s, after %s", self.line(now), _duration(now - self._start))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
