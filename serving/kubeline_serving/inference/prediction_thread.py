"""A thread that predicts while the event loop reads the next requests and writes the last answers."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from time import perf_counter
from typing import Generic, TypeVar

from kubeline.model_package.predictor import Predictions

T = TypeVar("T")

LONG_SECONDS = 0.005  # a prediction that takes longer would keep the event loop from health checks
_WORTHWHILE_SECONDS = 0.00015  # a shorter one costs more to hand over than the event loop gains
_AHEAD_SECONDS = 0.0015  # of predictions that are handed over; what comes then, the event loop makes itself
_MAX_ROWS = 256  # predicted together, so that the event loop has something to do before the thread has again
_DECAY = 1.05  # by which the shortest time of a size class grows with each prediction, so that it can follow a change


class PredictionThread(Generic[T]):
    """Takes predictions off the event loop that it belongs to, when that pays.

    ONNX Runtime needs no interpreter while it predicts, so that a second CPU makes of reading, predicting and writing
    a pipeline. Without one, only long predictions are handed over, for the sake of what else the event loop has to do.

    The thread has to wait for the interpreter between two predictions: it makes one of all that has come
    meanwhile. A thread pool would take longer to hand over than many predictions.

    Args:
        predict: predictions for some requests, one after the other; it is called in the thread.
        done: is called on the event loop with the requests, their predictions or why there are none, and the seconds
            that these took.
        has_cpu: whether there is a CPU for the thread.
        clock: seconds, by which predictions are timed.
    """

    def __init__(
        self,
        predict: Callable[[list[T]], Predictions],
        done: Callable[[list[T], Predictions | Exception, float], None],
        has_cpu: bool,
        clock: Callable[[], float] = perf_counter,
    ):
        self._predict, self._done, self._clock = predict, done, clock
        self._worthwhile = _WORTHWHILE_SECONDS if has_cpu else LONG_SECONDS
        self._queue: SimpleQueue[_Task[T]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False
        self.ahead = 0.0  # seconds of predictions that are handed over
        # Shortest recent time by size class (bit length of the number of rows): longer ones include a wait for the GIL.
        self._seconds: dict[int, float] = {}

    def pays(self, rows: int) -> bool:
        """Whether a prediction for so many rows is to be handed over now; otherwise the event loop makes it itself."""
        expected = self.expected(rows)
        return expected > self._worthwhile and (self.ahead < _AHEAD_SECONDS or expected > LONG_SECONDS)

    def expected(self, rows: int) -> float:
        """The seconds that a prediction for so many rows takes; of a new size, guessed from the next smaller one."""
        size = rows.bit_length()
        for known in range(size, 0, -1):
            if known in self._seconds:
                return self._seconds[known] * 2.0 ** (size - known)
        return 0.0

    def learn(self, rows: int, seconds: float) -> None:
        """Record the time of a prediction."""
        size = rows.bit_length()
        self._seconds[size] = min(seconds, _DECAY * self._seconds.get(size, seconds))

    def submit(self, requests: list[T], rows: int) -> None:
        """Predict some requests, which have so many rows together, in the thread."""
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, args=[loop], name="predictions", daemon=True)
            self._thread.start()
        task = _Task(requests, rows, self.expected(rows))
        self.ahead += task.seconds
        self._queue.put(task)

    def close(self) -> None:
        """Wait for what was submitted."""
        if self._thread is not None:
            self._closing = True
            self._queue.put(_Task([], 0, 0.0))
            self._thread.join()
            self._thread = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while not (self._closing and self._queue.empty()):
            task = self._next()
            if not task.requests:
                continue
            started = self._clock()
            try:
                outcome: Predictions | Exception = self._predict(task.requests)
            except Exception as error:
                outcome = error
            loop.call_soon_threadsafe(self._give_back, task, outcome, self._clock() - started)
            del task, outcome  # release the last one while waiting for the next

    def _next(self) -> "_Task[T]":
        """All that waits, as one."""
        whole = self._queue.get()
        while not self._queue.empty() and whole.rows < _MAX_ROWS:
            whole = whole.with_(self._queue.get())
        return whole

    def _give_back(self, task: "_Task[T]", outcome: Predictions | Exception, seconds: float) -> None:
        self.ahead -= task.seconds
        self._done(task.requests, outcome, seconds)


@dataclass(frozen=True, slots=True)
class _Task(Generic[T]):
    """Requests, their rows together, and the seconds that a prediction for these is expected to take."""

    requests: list[T]
    rows: int
    seconds: float

    def with_(self, other: "_Task[T]") -> "_Task[T]":
        return _Task([*self.requests, *other.requests], self.rows + other.rows, self.seconds + other.seconds)
