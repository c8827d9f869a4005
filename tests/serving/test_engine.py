"""The engine answers in turn, leaves the event loop free, and refuses what would wait too long."""

import asyncio
import dataclasses
import itertools
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kubeline.errors import KubelineError, UserError
from kubeline.model_package import Predictions
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.errors import BrokenModel, Overloaded, TimedOut
from kubeline_serving.inference.engine import Engine, Limits, Work
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.inference.wait_estimate import WaitEstimate
from tests.serving.asking import ask, exchange, inputs, outcome
from tests.support.packages import write_tiny_package

LARGE = 10 * 2**20  # bytes


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    folder = tmp_path_factory.mktemp("engine") / "package"
    write_tiny_package(folder)
    return ServedModel("tiny", folder)


def test_requests_that_wait_together_are_answered_as_each_alone(model: ServedModel) -> None:
    abouts = [exchange() for _ in range(4)]
    start, steps = time.perf_counter(), itertools.count()

    def clock() -> float:  # no slice ends, and no two predictions take equally long
        return start + 1e-7 * next(steps) ** 2

    async def together() -> list[Predictions]:
        engine = Engine(model, Limits(batch_rows=4, batch_wait_seconds=5.0), clock)
        rows = (ask(engine, partial(inputs, model, row), about=abouts[row]) for row in range(4))
        return await asyncio.gather(*rows)

    for row, answer in enumerate(asyncio.run(together())):
        alone = model.predict([inputs(model, row)])
        assert answer.values.tolist() == alone.values.tolist()
        np.testing.assert_array_equal(answer.probabilities, alone.probabilities)
    assert len({about.predict_seconds for about in abouts}) == 1  # one prediction for all


def test_a_batch_goes_when_its_time_is_over_though_it_is_not_full(model: ServedModel) -> None:
    async def alone() -> Predictions:
        engine = Engine(model, Limits(batch_rows=100, batch_wait_seconds=0.01))
        return await asyncio.wait_for(ask(engine, lambda: inputs(model, 0)), 10)

    assert len(asyncio.run(alone()).values) == 1


def test_a_long_queue_is_worked_on_once(model: ServedModel) -> None:
    class Counting(WaitEstimate):
        slices = 0

        def learn(self, answered: int, seconds: float) -> None:
            self.slices += 1

    async def crowd() -> int:
        now, counting = time.perf_counter(), Counting()
        limits = Limits(queue_seconds=60.0, batch_rows=4)
        engine = Engine(model, limits, clock=lambda: now, estimate=counting)  # no slice ends
        await ask(engine, lambda: inputs(model, 0))  # the first one takes long
        counting.slices = 0
        await asyncio.gather(*(ask(engine, lambda: inputs(model, 0)) for _ in range(8)))
        await asyncio.sleep(0)
        return counting.slices

    assert asyncio.run(crowd()) == 1


def test_a_bad_request_does_not_spoil_the_batch_it_is_in(model: ServedModel) -> None:
    def bad() -> Inputs:
        raise UserError("column 'amount' takes numbers")

    async def mixed() -> list[Any]:
        engine = Engine(model, Limits(batch_rows=3, batch_wait_seconds=5.0))
        good = [outcome(engine, lambda: inputs(model, 0)) for _ in range(2)]
        return list(await asyncio.gather(good[0], outcome(engine, bad), good[1]))

    first, refused, last = asyncio.run(mixed())
    assert str(refused) == "column 'amount' takes numbers"
    assert first.values.tolist() == last.values.tolist() == model.predict([inputs(model, 0)]).values.tolist()


@pytest.mark.parametrize("is_refused", [False, True])
def test_other_work_of_the_event_loop_comes_between_requests(model: ServedModel, is_refused: bool) -> None:
    order: list[str] = []

    def slow() -> Inputs:
        time.sleep(0.003)
        order.append("request")
        if is_refused:
            raise UserError("column 'amount' takes numbers")
        return inputs(model, 0)

    async def health_checks() -> None:
        while order.count("request") < 20:
            order.append("health")
            await asyncio.sleep(0)

    async def crowd() -> None:
        engine = Engine(model, Limits(queue_seconds=60.0, batch_rows=32))
        await asyncio.gather(*(outcome(engine, slow) for _ in range(20)), health_checks())

    asyncio.run(crowd())
    between = order[order.index("request") :]
    assert between.count("health") > 5


def test_what_would_wait_too_long_is_refused_and_the_rest_is_answered(model: ServedModel) -> None:
    def slow() -> Inputs:
        time.sleep(0.1)  # beside which what a busy machine takes is little
        return inputs(model, 0)

    async def crowd() -> tuple[list[Any], Any]:
        engine = Engine(model, Limits(queue_seconds=0.5))
        answers = await asyncio.gather(*(outcome(engine, slow) for _ in range(20)))
        return answers, await outcome(engine, lambda: inputs(model, 0))

    answers, later = asyncio.run(crowd())
    refused = [isinstance(answer, Overloaded) for answer in answers]
    assert refused == sorted(refused)  # first come, first served
    assert not refused[0]
    assert refused[-1]
    assert isinstance(later, Predictions)


def test_alone_or_after_a_pause_nothing_is_refused_for_how_busy_it_was_before(model: ServedModel) -> None:
    now = time.perf_counter()  # it passes only as said here, however busy the machine is

    def pass_time() -> None:
        nonlocal now
        now += 0.1

    def late() -> Inputs:
        pass_time()
        return inputs(model, 0)

    async def later() -> list[Any]:
        engine = Engine(model, Limits(queue_seconds=0.05), clock=lambda: now)
        await ask(engine, late, about=exchange(now))
        alone = await outcome(engine, partial(inputs, model, 0), about=exchange(now))
        await ask(engine, late, about=exchange(now))
        pass_time()
        both = (outcome(engine, partial(inputs, model, 0), about=exchange(now)) for _ in range(2))
        return [alone, *await asyncio.gather(*both)]

    assert [type(answer) for answer in asyncio.run(later())] == [Predictions] * 3


def test_a_large_request_leaves_the_event_loop_free(model: ServedModel) -> None:
    checked = threading.Event()

    def large() -> Inputs:
        assert checked.wait(60), "the event loop stood still"
        return inputs(model, 0)

    async def beside() -> Any:
        task = asyncio.create_task(outcome(Engine(model, Limits()), large, LARGE))
        await asyncio.sleep(0.01)
        checked.set()
        return await task

    assert isinstance(asyncio.run(beside()), Predictions)


def test_more_large_requests_than_threads_can_take_are_refused(model: ServedModel) -> None:
    free = threading.Event()

    def blocked() -> Inputs:
        free.wait(60)
        return inputs(model, 0)

    async def crowd() -> list[Any]:
        engine = Engine(model, Limits(threads=1))
        tasks = [asyncio.create_task(outcome(engine, blocked, LARGE)) for _ in range(4)]
        await asyncio.sleep(0.05)
        free.set()
        answers = await asyncio.gather(*tasks)
        return [*answers, await outcome(engine, lambda: inputs(model, 0), LARGE)]

    assert [type(answer) for answer in asyncio.run(crowd())] == [
        *(Predictions, Predictions, Overloaded, Overloaded),
        Predictions,
    ]


def test_a_large_request_that_takes_too_long_is_given_up(model: ServedModel) -> None:
    free = threading.Event()

    def blocked() -> Inputs:
        free.wait(60)
        return inputs(model, 0)

    async def impatient() -> Any:
        try:
            return await outcome(Engine(model, Limits(timeout_seconds=0.05)), blocked, LARGE)
        finally:
            free.set()

    assert isinstance(asyncio.run(impatient()), TimedOut)


def test_a_model_that_is_not_loaded_refuses(tmp_path: Path) -> None:
    write_tiny_package(tmp_path / "package")
    model = ServedModel("tiny", tmp_path / "package")
    model.unload()
    assert isinstance(asyncio.run(outcome(Engine(model, Limits()), lambda: inputs(model, 0))), Overloaded)
    model.reload()
    assert isinstance(asyncio.run(outcome(Engine(model, Limits()), lambda: inputs(model, 0))), Predictions)


@pytest.mark.parametrize("size", [100, LARGE], ids=["small", "large"])
def test_a_failure_of_the_model_is_reported_without_its_insides(model: ServedModel, size: int) -> None:
    def wrong() -> Any:
        return {"amount": np.zeros((1, 1), dtype=np.float32)}  # the other columns are absent

    error = asyncio.run(outcome(Engine(model, Limits()), wrong, size))
    assert isinstance(error, BrokenModel)
    assert str(error) == "the model could not answer this request; the server's log says why"


def test_what_the_model_fails_on_does_not_spoil_the_batch_it_is_in(model: ServedModel) -> None:
    def wrong() -> Any:
        return dataclasses.replace(inputs(model, 1), codes=np.full((1, 1), 10**6, dtype=np.int32))  # of no value

    async def mixed() -> list[Any]:
        engine = Engine(model, Limits(batch_rows=3, batch_wait_seconds=5.0))
        good = [outcome(engine, lambda: inputs(model, 0)) for _ in range(2)]
        return list(await asyncio.gather(good[0], outcome(engine, wrong), good[1]))

    first, failed, last = asyncio.run(mixed())
    assert isinstance(failed, BrokenModel)
    assert first.values.tolist() == last.values.tolist() == model.predict([inputs(model, 0)]).values.tolist()


@pytest.mark.parametrize("batch_rows", [0, 10], ids=["alone", "together"])
def test_a_request_whose_answer_cannot_be_taken_does_not_stop_the_queue(model: ServedModel, batch_rows: int) -> None:
    def untaken(outcome: Predictions | KubelineError) -> None:
        raise ConnectionError("the client is gone")

    async def two() -> tuple[Any, list[Any]]:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        engine = Engine(model, Limits(batch_rows=batch_rows))
        engine.submit(Work(exchange(), lambda: inputs(model, 0), lambda predictions: predictions, untaken))
        return await asyncio.wait_for(outcome(engine, lambda: inputs(model, 0)), 10), reported

    answer, reported = asyncio.run(two())
    assert isinstance(answer, Predictions)
    assert [str(error) for error in reported] == ["the client is gone"]  # and it is not hidden
