"""What takes time in a cluster, and what is seen of a value only some time after it changed."""

import dataclasses
import math
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

DEFAULT_FACTOR = 0.1


@dataclass(frozen=True)
class Pace:
    """Delays in seconds. The defaults are those of a real cluster: the middle of what was recorded of one.

    Attributes:
        autoscaler: between two rounds of the HorizontalPodAutoscaler's controller.
        gateway: by which the gateway is behind routes and endpoints.
        backend_gone: for which a route goes on naming a Service that is gone.
        status: by which an InferenceService's status is behind that of its Knative Service.
        programming: for which Knative's Ingress is Unknown after a change.
        digest: that Knative takes to resolve the digest of an image.
        scaling: from a revision's first pod to all that it is to have.
        unreached: after which a revision without traffic has one pod left.
        to_zero: after which it has none.
        first_back_off: before a container that failed is started again.
        back_off: before it is started once more; twice as long each time.
        back_off_shown: for which an init container shows as waiting for its start, instead of as failed.
        drain: for which a model server answers on after SIGTERM.
    """

    autoscaler: float = 15.0
    gateway: float = 0.5
    backend_gone: float = 0.3
    status: float = 1.5
    programming: float = 0.4
    digest: float = 0.3
    scaling: float = 1.0
    unreached: float = 1.2
    to_zero: float = 20.0
    first_back_off: float = 0.2
    back_off: float = 10.0
    back_off_shown: float = 0.2
    drain: float = 5.0

    @classmethod
    def of(cls, factor: float) -> "Pace":
        """The delays of a real cluster, all multiplied."""
        return cls(**{name: factor * seconds for name, seconds in dataclasses.asdict(cls()).items()})


class Alarm:
    """When the next step is due because time has passed."""

    def __init__(self) -> None:
        self._at = math.inf

    def at(self, moment: float) -> None:
        """A step is due then, in monotonic seconds."""
        self._at = min(self._at, moment)

    def left(self, longest: float) -> float:
        """Seconds until then, or `longest`; begins anew."""
        left, self._at = min(max(self._at - time.monotonic(), 0.0), longest), math.inf
        return left


@dataclass
class Late(Generic[T]):
    """A value, as it was some time ago.

    Attributes:
        alarm: is set to when the next value is due.
    """

    alarm: Alarm
    _coming: deque[tuple[float, T]] = field(default_factory=deque)
    _delivered: T | None = None

    def delayed(self, value: T, seconds: float) -> T | None:
        """Record the value as it is now; returns the one of `seconds` ago, None when there was none."""
        now = time.monotonic()
        newest = self._coming[-1][1] if self._coming else self._delivered
        if value != newest:
            self._coming.append((now, value))
        while self._coming and self._coming[0][0] + seconds <= now:
            self._delivered = self._coming.popleft()[1]
        if self._coming:
            self.alarm.at(self._coming[0][0] + seconds)
        return self._delivered


class Timers:
    """How long values have been what they are.

    Args:
        alarm: is set to when one of them will have been so for long enough.
    """

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._since: dict[Hashable, tuple[object, float]] = {}

    def settled(self, key: Hashable, value: object, seconds: float) -> bool:
        """Whether `value` has been the value of `key` for so long."""
        now = time.monotonic()
        known = self._since.get(key)
        if known is None or known[0] != value:
            known = self._since[key] = (value, now)
        due = known[1] + seconds
        if now < due:
            self._alarm.at(due)
        return now >= due
