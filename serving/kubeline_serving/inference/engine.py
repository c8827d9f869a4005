"""Answers requests one after the other, in slices of the event loop, and refuses what would wait too long.

A prediction for a few rows takes less time than handing it to a thread, so it is made on the event loop itself. That
never holds the loop for longer than a slice: between slices, connections are read and health checks are answered. A
prediction that takes longer is made in the prediction thread, and large requests go to threads as a whole. Every
request waits in a queue of its own process, so that how long it waits is known, and what the queue cannot answer in
time is refused at once: under overload the rest keep their latency.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter, sleep
from typing import Any, Generic, TypeVar

from kubeline.errors import KubelineError
from kubeline.model_package.predictor import Predictions
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.errors import BrokenModel, Overloaded, TimedOut, overloaded, without_frames
from kubeline_serving.exchange import Exchange
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.inference.prediction_thread import LONG_SECONDS, PredictionThread
from kubeline_serving.inference.wait_estimate import WaitEstimate
from kubeline_serving.memory import paused_collection

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SLICE_SECONDS = LONG_SECONDS  # of work before connections are served again
INLINE_BYTES = 128 * 1024  # larger requests go to a thread; this many take about a slice
_WAITING_EXPLANATIONS = 2  # behind the one that is made
_REST_SECONDS = 0.001  # of an explanation, between two of its predictions
_LATE_SECONDS = 0.02  # for a slice to come
_IDLE_SECONDS = 0.02  # without work; a busy event loop has the next request sooner


@dataclass(frozen=True)
class Limits:
    """What the engine takes on.

    Attributes:
        queue_seconds: a request that would wait longer is refused (503).
        timeout_seconds: from arrival to answer; later, the answer is discarded (504).
        batch_rows: requests that wait together are answered in one prediction up to this many rows; 0 answers each
            alone.
        batch_wait_seconds: a request waits this long for others to join its batch.
        threads: for large requests.
        cpus: that this process may use; from two on, a thread predicts while the event loop reads and writes.
    """

    queue_seconds: float = 0.1
    timeout_seconds: float = 30.0
    batch_rows: int = 0
    batch_wait_seconds: float = 0.0
    threads: int = 2
    cpus: int = 1


@dataclass(slots=True)
class Work(Generic[T]):
    """One request in the queue.

    Attributes:
        exchange: inputs, predictions and times are written into it.
        parse: makes the inputs; a KubelineError refuses the request.
        serialise: makes the answer.
        done: is called with the answer, or with why there is none; must not raise.
        abandoned: set it when no client waits for the answer any more.
        explain: makes the answer of the inputs, in place of a prediction; calls what it is given every few
            milliseconds, which raises when no client waits any more.
    """

    exchange: Exchange
    parse: Callable[[], Inputs]
    serialise: Callable[[Predictions], T]
    done: Callable[[T | KubelineError], None]
    abandoned: bool = False
    explain: Callable[[Inputs, Callable[[], None]], T] | None = None


class Engine:
    """Turns requests into answers of one model; belongs to one event loop.

    Args:
        model: the model.
        limits: how many requests may wait, and how long.
        clock: seconds, as `perf_counter`, by which it learns how long things take.
        estimate: of the time that a request would wait; a new one by default.
    """

    def __init__(
        self,
        model: ServedModel,
        limits: Limits,
        clock: Callable[[], float] = perf_counter,
        estimate: WaitEstimate | None = None,
    ):
        self.model = model
        self._clock = clock
        self._limits = limits
        self._queue: deque[Work[Any]] = deque()
        self._scheduled = False
        self._batch_timer: asyncio.TimerHandle | None = None  # while a batch waits for others
        self._estimate = estimate or WaitEstimate()
        self._scheduled_at = 0.0
        self._worked_until = 0.0
        self._large = _Pool("large-request", limits.threads, 2 * limits.threads)  # as many wait as are worked on
        self._explanations = _Pool(
            "explanation", 1, 1 + _WAITING_EXPLANATIONS
        )  # one at a time: predictions keep theirs
        self._prediction_thread = PredictionThread(self._predict, self._end, limits.cpus > 1, clock)

    @property
    def queue_length(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether a request that comes now would wait too long."""
        return self._estimate.seconds(len(self._queue)) > self._limits.queue_seconds

    @property
    def is_late(self) -> bool:
        """Whether the queue has waited long for its slice."""
        return self._scheduled and self._clock() - self._scheduled_at > _LATE_SECONDS

    def submit(self, work: Work[Any], size: int = 0) -> None:
        """Queue a request of so many bytes; its `done` is called later, from the event loop.

        Raises:
            Overloaded: when the queue is full, or the model not loaded.
        """
        if not self.model.ready:
            raise Overloaded(f"model '{self.model.name}' is not loaded; load it, or try again later")
        if work.explain is None and size > INLINE_BYTES:
            self._submit_alone(work, self._large)
            return
        if self.is_full:
            raise overloaded()
        if work.explain is not None:
            self._submit_alone(work, self._explanations)
            return
        self._queue.append(work)
        if not self._scheduled:
            if self._clock() - self._worked_until > _IDLE_SECONDS:
                self._estimate.unseen_seconds = 0.0
            self._schedule(self._limits.batch_wait_seconds)
        elif self._batch_timer is not None and len(self._queue) >= self._limits.batch_rows:
            self._batch_timer.cancel()
            self._schedule()

    def close(self) -> None:
        """Wait for the threads."""
        self._prediction_thread.close()
        self._large.threads.shutdown()
        self._explanations.threads.shutdown()

    def _schedule(self, delay: float = 0.0) -> None:
        self._scheduled = True
        self._scheduled_at = self._clock() + delay
        loop = asyncio.get_running_loop()
        self._batch_timer = loop.call_later(delay, self._work) if delay else None
        if not delay:
            loop.call_soon(self._work)

    def _work(self) -> None:
        """Answer what is in the queue, for one slice."""
        self._batch_timer = None
        answered = 0
        now = self._clock()
        end = now + _SLICE_SECONDS
        try:
            while self._queue and now < end:
                batch, rows = self._next_batch(now, end)
                if batch:
                    self._answer(batch, rows)
                    answered += len(batch)
                now = self._clock()
        finally:  # whatever one request does, the queue goes on
            self._worked_until = now
            self._estimate.learn(answered, max(now - self._scheduled_at, 0.0))
            self._scheduled = bool(self._queue)
            if self._queue:
                self._schedule()

    def _next_batch(self, now: float, end: float) -> tuple[list[Work[Any]], int]:
        """The next requests to answer together, and their rows: as many as are parsed by the end of a slice.

        Others are refused.
        """
        batch: list[Work[Any]] = []
        rows = 0
        handled = False
        # one that is alone came when nothing else was to be read
        unseen = self._estimate.unseen_seconds if len(self._queue) > 1 else 0.0
        while self._queue and (not handled or self._clock() < end):
            handled = True
            work = self._queue.popleft()
            if work.abandoned:
                continue
            exchange = work.exchange
            exchange.queue_seconds = now - exchange.arrived
            waited = exchange.queue_seconds + unseen - self._limits.batch_wait_seconds
            if waited > self._limits.queue_seconds:
                _deliver(work, overloaded())
                continue
            try:
                _parse(work.exchange, work.parse)
            except KubelineError as error:
                _deliver(work, without_frames(error))
                continue
            except Exception as error:
                _deliver(work, _broken(error))
                continue
            batch.append(work)
            rows += exchange.rows
            if rows >= self._limits.batch_rows or self._prediction_thread.expected(rows) > LONG_SECONDS:
                break
        return batch, rows

    def _answer(self, batch: list[Work[Any]], rows: int) -> None:
        if not self._prediction_thread.pays(rows):
            self._answer_here(batch)
        elif self._prediction_thread.ahead > self._limits.queue_seconds:
            for work in batch:
                _deliver(work, overloaded())
        else:
            self._prediction_thread.submit(batch, rows)

    def _answer_here(self, batch: list[Work[Any]]) -> None:
        started = self._clock()
        try:
            outcome: Predictions | Exception = self._predict(batch)
        except Exception as error:
            outcome = error
        self._end(batch, outcome, self._clock() - started)

    def _predict(self, batch: list[Work[Any]]) -> Predictions:
        return self.model.predict([work.exchange.inputs for work in batch if work.exchange.inputs is not None])

    def _end(self, batch: list[Work[Any]], outcome: Predictions | Exception, seconds: float) -> None:
        """Hand out the predictions of a batch, or why there are none, and the time that they took."""
        self._prediction_thread.learn(sum(work.exchange.rows for work in batch), seconds)
        if isinstance(outcome, Exception):
            if len(batch) == 1:
                _deliver(batch[0], _broken(outcome))
                return
            for work in batch:  # it may have failed because of one of them
                self._answer_here([work])
            return
        for work, predictions in zip(batch, _split(outcome, batch), strict=True):
            work.exchange.predict_seconds = seconds
            try:
                answer = _serialise(work.exchange, predictions, work.serialise)
            except Exception as error:
                answer = _broken(error)
            _deliver(work, answer)

    def _submit_alone(self, work: Work[Any], pool: "_Pool") -> None:
        """Answer a request in a thread."""
        if pool.requests >= pool.most:
            raise overloaded()
        pool.requests += 1
        loop = asyncio.get_running_loop()
        remaining = self._limits.timeout_seconds - (self._clock() - work.exchange.arrived)
        timer = loop.call_later(max(remaining, 0.0), self._time_out, work)
        task = loop.run_in_executor(pool.threads, self._alone, work)
        task.add_done_callback(partial(_thread_done, work, timer, pool))

    def _time_out(self, work: Work[Any]) -> None:
        """Wait no longer for a thread, which ends its work all the same."""
        if not work.abandoned:
            work.abandoned = True
            _deliver(work, TimedOut(f"the answer took longer than {self._limits.timeout_seconds:g} s; send fewer rows"))

    def _alone(self, work: Work[T]) -> T | KubelineError:
        exchange = work.exchange
        exchange.queue_seconds = self._clock() - exchange.arrived
        if work.abandoned or exchange.queue_seconds > self._limits.timeout_seconds:
            return overloaded()
        try:
            with paused_collection():
                inputs = _parse(exchange, work.parse)
            started = self._clock()
            if work.explain is not None:
                return work.explain(inputs, partial(_rest, work))
            predictions = self.model.predict([inputs])
            exchange.predict_seconds = self._clock() - started
            return _serialise(exchange, predictions, work.serialise)
        except KubelineError as error:
            return without_frames(error)
        except Exception as error:
            return _broken(error)


class _Pool:
    """Threads for requests of one kind, and how many are in them or wait for one."""

    def __init__(self, name: str, threads: int, most: int):
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.most = most
        self.requests = 0


def _thread_done(work: Work[Any], timer: asyncio.TimerHandle, pool: _Pool, task: "asyncio.Future[Any]") -> None:
    pool.requests -= 1
    timer.cancel()
    if not work.abandoned and not task.cancelled():
        _deliver(work, task.result())


def _rest(work: Work[Any]) -> None:
    """Let predictions have their turn; end an explanation that nobody waits for."""
    if work.abandoned:
        raise overloaded()
    sleep(_REST_SECONDS)


def _deliver(work: Work[T], outcome: T | KubelineError) -> None:
    try:
        work.done(outcome)
    except Exception as error:  # the other requests are answered all the same
        asyncio.get_running_loop().call_exception_handler(
            {"message": "an answer could not be handed out", "exception": error}
        )


def _parse(exchange: Exchange, parse: Callable[[], Inputs]) -> Inputs:
    started = perf_counter()
    inputs = parse()
    exchange.parse_seconds = perf_counter() - started
    exchange.inputs = inputs
    exchange.rows = inputs.rows
    return inputs


def _serialise(exchange: Exchange, predictions: Predictions, serialise: Callable[[Predictions], T]) -> T:
    started = perf_counter()
    answer = serialise(predictions)
    exchange.serialise_seconds = perf_counter() - started
    exchange.predictions = predictions
    return answer


def _split(together: Predictions, batch: Sequence[Work[Any]]) -> list[Predictions]:
    if len(batch) == 1:
        return [together]
    parts = []
    start = 0
    for work in batch:
        parts.append(together.part(slice(start, start + work.exchange.rows)))
        start += work.exchange.rows
    return parts


def _broken(error: Exception) -> BrokenModel:
    logger.error("a request that should have been answered failed", exc_info=error)
    without_frames(error)
    return BrokenModel("the model could not answer this request; the server's log says why")
