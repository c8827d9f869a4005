"""How long a request would wait: what the queue is refused by."""

_SMOOTHING = 0.05  # weight of the newest request in the average time for one
_LARGEST_WEIGHT = 0.5  # of the newest turn
_UNSEEN_TURNS = 2.0  # that a request may wait to be read, in turns of the event loop like the last one


class WaitEstimate:
    """Learns from each turn of the event loop how long requests take, and how long they wait to be read.

    Attributes:
        unseen_seconds: that a request waits to be read, while turns of the event loop follow each other.
    """

    def __init__(self) -> None:
        self.unseen_seconds = 0.0
        self._average_seconds = 0.0  # from one answer to the next, with all that comes between

    def seconds(self, waiting: int) -> float:
        """How long a request would wait that comes behind so many."""
        return waiting * self._average_seconds + self.unseen_seconds if waiting else 0.0

    def learn(self, answered: int, seconds: float) -> None:
        """Take into the average what the newest turn took, in which so many were answered and others were refused."""
        weight = min(_SMOOTHING * answered, _LARGEST_WEIGHT)
        self._average_seconds += weight * (seconds / max(answered, 1) - self._average_seconds)
        self.unseen_seconds = _UNSEEN_TURNS * seconds
