"""Calls that end otherwise than with an answer: cancelled, too late, or met by the end of the server."""

import asyncio
from dataclasses import replace

import pytest

from kubeline.model_package import ModelPackage
from tests.serving.grpc.house import PATIENT, Status, raw, service, tensors, until, warnings


def test_a_cancelled_call_is_not_worked_on(
    loop: asyncio.Runner, package: ModelPackage, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with service(package, PATIENT) as served:
            call = served.stub.ModelInfer(raw())
            await until(lambda: served.engine.queue_length == 1)
            call.cancel()
            await until(lambda: bool(served.recorder.exchanges))
            assert tensors(await served.stub.ModelInfer(raw()))
            cancelled, answered = served.recorder.exchanges
            assert (cancelled.status, cancelled.inputs, cancelled.error) == (499, None, "the client cancelled the call")
            assert answered.status == 200

    loop.run(run())
    assert warnings(caplog) == []


def test_a_call_whose_deadline_passes_is_not_worked_on(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package, replace(PATIENT, queue_seconds=60, batch_wait_seconds=1.5)) as served:
            code, _ = await served.refusal(served.stub.ModelInfer(raw(), timeout=0.5))
            assert code == Status.DEADLINE_EXCEEDED
            await served.stub.ModelInfer(raw(), timeout=60)
            late, answered = served.recorder.exchanges
            assert (late.status, late.inputs, late.error) == (504, None, "the call's deadline passed")
            assert answered.status == 200

    loop.run(run())


def test_a_server_that_stops_answers_the_open_calls_and_takes_no_new_ones(
    loop: asyncio.Runner, package: ModelPackage
) -> None:
    async def run() -> None:
        async with service(package, PATIENT) as served:
            call = asyncio.ensure_future(served.stub.ModelInfer(raw()))
            await until(lambda: served.engine.queue_length == 1)
            stopped = asyncio.create_task(served.server.stop(20))
            await until(lambda: served.state.draining)
            assert tensors(await call)
            code, _ = await served.refusal(served.stub.ModelInfer(raw()))
            assert code == Status.UNAVAILABLE
            await stopped

    loop.run(run())
