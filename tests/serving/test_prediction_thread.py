"""Predictions that take long are made beside the event loop, and everything is answered as if they were not."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kubeline.model_package import Predictions
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.errors import BrokenModel, Overloaded
from kubeline_serving.inference.engine import Engine, Limits
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.inference.prediction_thread import PredictionThread
from kubeline_serving.inference.wait_estimate import WaitEstimate
from tests.serving.asking import ask, exchange, inputs, outcome
from tests.serving.exchanges import encoded
from tests.support.packages import ROWS, write_tiny_package

ASIDE = Limits(cpus=2)


class Clock:
    """A clock that is advanced by hand, however busy the machine is."""

    def __init__(self) -> None:
        self.now = time.perf_counter()

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds


class SlowModel(ServedModel):
    """Takes its time, and notes in which thread."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tiny", folder)
        self.clock = Clock()
        self.threads: list[str] = []
        self.rows: list[int] = []
        self.wait: Callable[[], object] = lambda: time.sleep(0.002)

    def predict(self, requests: Sequence[Inputs]) -> Predictions:
        """As the model, later."""
        self.threads.append(threading.current_thread().name)
        self.rows.append(sum(request.rows for request in requests))
        self.wait()
        return super().predict(requests)


class Unlearned(WaitEstimate):
    """An estimate of a queue alone, that does not count how long the event loop itself took."""

    def learn(self, answered: int, seconds: float) -> None:
        """Nothing."""


@pytest.fixture
def model(tmp_path: Path) -> SlowModel:
    write_tiny_package(tmp_path / "package")
    return SlowModel(tmp_path / "package")


async def one_after_the_other(model: SlowModel, limits: Limits, count: int) -> list[str]:
    """The threads in which some requests were predicted, on the model's own clock."""
    model.threads.clear()
    engine = Engine(model, limits, model.clock)
    for _ in range(count):
        await ask(engine, lambda: inputs(model, 0))
    engine.close()
    return model.threads


def test_only_predictions_that_are_known_to_take_long_are_handed_over(model: SlowModel) -> None:
    model.wait = lambda: model.clock.go_on(0.002)
    assert asyncio.run(one_after_the_other(model, ASIDE, 3)) == ["MainThread", "predictions", "predictions"]
    model.wait = lambda: None
    assert asyncio.run(one_after_the_other(model, ASIDE, 50)) == ["MainThread"] * 50


def test_without_a_cpu_for_it_only_what_would_hold_up_health_checks_is_handed_over(model: SlowModel) -> None:
    model.wait = lambda: model.clock.go_on(0.002)
    assert asyncio.run(one_after_the_other(model, Limits(), 3)) == ["MainThread"] * 3
    model.wait = lambda: model.clock.go_on(0.02)
    assert asyncio.run(one_after_the_other(model, Limits(), 3)) == ["MainThread", "predictions", "predictions"]


def test_what_would_wait_too_long_for_the_thread_is_refused(model: SlowModel) -> None:
    model.wait = lambda: time.sleep(0.5)  # beside which what a busy machine takes is little

    async def crowd() -> list[Any]:
        engine = Engine(model, Limits(queue_seconds=1.0), estimate=Unlearned())
        await ask(engine, lambda: inputs(model, 0))
        answers = await asyncio.gather(*(outcome(engine, lambda: inputs(model, 0)) for _ in range(12)))
        answers.append(await outcome(engine, lambda: inputs(model, 0)))
        engine.close()
        return answers

    *crowded, later = asyncio.run(crowd())
    refused = [isinstance(answer, Overloaded) for answer in crowded]
    assert refused == sorted(refused)  # first come, first served
    assert 2 <= refused.count(False) <= 4
    assert isinstance(later, Predictions)


def test_no_more_is_predicted_together_than_leaves_time_for_health_checks(model: SlowModel) -> None:
    model.wait = lambda: time.sleep(0.002 * model.rows[-1])

    async def crowd() -> None:
        engine = Engine(model, Limits(queue_seconds=60.0, batch_rows=32))
        await ask(engine, lambda: inputs(model, 0))
        await asyncio.gather(*(ask(engine, lambda: inputs(model, 0)) for _ in range(64)))
        engine.close()

    asyncio.run(crowd())
    here = [rows for rows, thread in zip(model.rows, model.threads, strict=True) if thread == "MainThread"]
    assert max(here) <= 3


def test_the_event_loop_goes_on_while_a_prediction_is_made_in_the_thread(model: SlowModel) -> None:
    checked = threading.Event()

    async def beside() -> Any:
        engine = Engine(model, ASIDE)
        await ask(engine, lambda: inputs(model, 0))
        model.wait = lambda: checked.wait(60) or pytest.fail("the event loop stood still")
        task = asyncio.create_task(outcome(engine, lambda: inputs(model, 0)))
        await asyncio.sleep(0.01)
        checked.set()
        answer = await task
        engine.close()
        return answer

    assert isinstance(asyncio.run(beside()), Predictions)


def test_each_of_many_requests_gets_its_own_answer(model: SlowModel) -> None:
    """Some are predicted in the thread and some on the event loop, so that they end in another order than they came."""
    rows = [encoded(model.signature, ROWS.iloc[[number % len(ROWS)] * (1 + number % 3)]) for number in range(60)]
    abouts = [exchange() for _ in rows]

    async def crowd() -> list[Predictions]:
        engine = Engine(model, Limits(queue_seconds=60.0, cpus=2))
        asked = (ask(engine, partial(copy, part), about=about) for part, about in zip(rows, abouts, strict=True))
        answers = await asyncio.gather(*asked)
        engine.close()
        return answers

    answers = asyncio.run(crowd())
    assert set(model.threads) == {"MainThread", "predictions"}
    model.wait = lambda: None
    for part, answer, about in zip(rows, answers, abouts, strict=True):
        alone = model.predict([part])
        assert answer.values.tolist() == alone.values.tolist()
        np.testing.assert_array_equal(answer.probabilities, alone.probabilities)
        assert about.predictions is answer
        assert about.predict_seconds > 0


def test_a_batch_is_split_also_when_it_is_predicted_in_the_thread(model: SlowModel) -> None:
    async def batches() -> list[list[Predictions]]:
        engine = Engine(model, Limits(batch_rows=4, batch_wait_seconds=5.0, cpus=2), model.clock)
        answers = []
        for _ in range(2):
            rows = (ask(engine, partial(inputs, model, row)) for row in range(4))
            answers.append(await asyncio.gather(*rows))
        engine.close()
        return answers

    model.wait = lambda: model.clock.go_on(0.002)
    first, second = asyncio.run(batches())
    assert model.threads == ["MainThread", "predictions"]
    assert [answer.values.tolist() for answer in first] == [answer.values.tolist() for answer in second]
    assert len({tuple(answer.values) for answer in second}) > 1  # they differ, so that an exchange would show


def test_a_failure_in_the_thread_is_reported_and_the_next_request_is_answered(model: SlowModel) -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    async def around() -> list[Any]:
        engine = Engine(model, ASIDE)
        answers = [await outcome(engine, lambda: inputs(model, 0))]
        patient, model.wait = model.wait, fail
        answers.append(await outcome(engine, lambda: inputs(model, 0)))
        model.wait = patient
        answers.append(await outcome(engine, lambda: inputs(model, 0)))
        engine.close()
        return answers

    first, failed, last = asyncio.run(around())
    assert model.threads[1] == "predictions"
    assert isinstance(failed, BrokenModel)
    assert "out of memory" not in str(failed)
    assert last.values.tolist() == first.values.tolist()


def test_closing_waits_for_what_was_handed_over(model: SlowModel) -> None:
    before = set(threading.enumerate())

    async def closed() -> Any:
        engine = Engine(model, ASIDE)
        await ask(engine, lambda: inputs(model, 0))
        task = asyncio.create_task(outcome(engine, lambda: inputs(model, 0)))
        while len(model.threads) < 2:
            await asyncio.sleep(0)
        await asyncio.to_thread(engine.close)
        assert [one for one in threading.enumerate() if one.name == "predictions" and one not in before] == []
        return await task

    assert isinstance(asyncio.run(closed()), Predictions)


def test_a_prediction_that_once_had_to_wait_is_not_taken_for_a_long_one() -> None:
    thread = PredictionThread[str](lambda requests: pytest.fail("not asked"), lambda *answer: None, has_cpu=True)
    thread.learn(1, 0.00002)
    thread.learn(1, 0.01)  # the machine was busy
    assert not thread.pays(1)
    for _ in range(100):  # it has become a long one
        thread.learn(1, 0.01)
    assert thread.pays(1)


def test_what_a_new_size_takes_is_guessed_from_a_smaller_one() -> None:
    thread = PredictionThread[str](lambda requests: pytest.fail("not asked"), lambda *answer: None, has_cpu=True)
    assert not thread.pays(100)  # nothing is known
    thread.learn(1, 0.00001)
    assert thread.pays(100)
    thread.learn(100, 0.00002)
    assert not thread.pays(100)


def test_what_comes_while_the_thread_predicts_is_predicted_together_and_bounded() -> None:
    free = threading.Event()
    predicted: list[list[str]] = []
    answered: list[str] = []

    def predict(requests: list[str]) -> Predictions:
        predicted.append(requests)
        free.wait(60)
        return Predictions(np.zeros(len(requests)), None)

    async def handed() -> list[str]:
        thread = PredictionThread[str](
            predict, lambda requests, outcome, seconds: answered.extend(requests), has_cpu=True
        )
        thread.learn(100, 0.0003)
        names = ["a"]
        thread.submit(["a"], 100)
        while not predicted:  # the thread has begun
            await asyncio.sleep(0)
        while thread.pays(100):
            names.append(chr(ord(names[-1]) + 1))
            thread.submit(names[-1:], 100)
        free.set()
        while len(answered) < len(names):
            await asyncio.sleep(0)
        thread.close()
        return names

    names = asyncio.run(handed())
    assert predicted[0] == ["a"]
    assert len(predicted[1]) > 1
    assert [name for part in predicted for name in part] == answered == names
    assert len(names) < 10
