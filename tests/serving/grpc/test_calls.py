"""Messages that never end and answers that nobody takes hold little, and not for ever; others are answered."""

import asyncio
import socket
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import grpc
import pytest

from benchmarks.serving.grpc_frames import PREFACE, Endless, head, send_endless
from kubeline.model_package import ModelPackage
from kubeline_serving.grpc.connections import MemoryGuard
from kubeline_serving.limits import RequestLimits
from tests.serving.grpc.house import Service, Status, raw, service, tensors, typed, until

LIMITS = RequestLimits(body_bytes=100_000, buffered_bytes=400_000, body_seconds=30)
WINDOW = 65_535  # what HTTP/2 lets every client send before it has the server's settings (RFC 9113, 6.9.2)
UNFINISHED = b"\0" + (90_001).to_bytes(4, "big") + bytes(90_000)


async def endless(port: int, content: bytes, calls: int, stack: ExitStack, takes_answer: bool = True) -> list[Endless]:
    return await asyncio.to_thread(send_endless, port, [content] * calls, stack, takes_answer)


def has_ended(call: Endless) -> bool:
    call.receive()
    return call.ended


def test_while_many_messages_do_not_end_others_are_answered(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package, requests=LIMITS) as served:
            with ExitStack() as stack:
                calls = await endless(served.port, UNFINISHED, 30, stack)
                sent = sum(len(UNFINISHED) - len(call.left) for call in calls)
                assert sent < 2 * 100_000 + 30 * WINDOW  # two have room, the others their first window
                assert served.state.budget.held <= LIMITS.buffered_bytes / 2
                for _ in range(3):
                    assert tensors(await served.stub.ModelInfer(raw()))
            await until(lambda: served.state.budget.held == 0)

    loop.run(run())


def test_a_message_that_does_not_end_is_refused_in_time(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package, requests=replace(LIMITS, body_seconds=0.3)) as served:
            with ExitStack() as stack:
                (call,) = await endless(served.port, UNFINISHED, 1, stack)
                await until(lambda: [exchange.status for exchange in served.recorder.exchanges] == [408])
                assert served.recorder.exchanges[0].error.startswith("the request did not arrive within 0.3 s")
                await until(partial(has_ended, call))
            assert tensors(await served.stub.ModelInfer(raw()))
            await until(lambda: served.state.budget.held == 0)

    loop.run(run())


def test_a_client_that_does_not_take_its_answer_is_hung_up_on(loop: asyncio.Runner, package: ModelPackage) -> None:
    message = raw().SerializeToString()
    content = b"\0" + len(message).to_bytes(4, "big") + message

    async def run() -> None:
        async with service(package, requests=replace(LIMITS, body_seconds=1.5)) as served:
            with ExitStack() as stack:
                (call,) = await endless(served.port, content, 1, stack, takes_answer=False)
                await until(lambda: served.recorder.exchanges)
                assert served.recorder.exchanges[0].status == 200
                assert served.state.budget.held > len(message)
                await until(partial(has_ended, call))
                await until(lambda: served.state.budget.held == 0)
            assert tensors(await served.stub.ModelInfer(raw()))

    loop.run(run())


@pytest.mark.parametrize("datatype", ["BOOL", "bool_contents"])
def test_true_is_no_number(loop: asyncio.Runner, package: ModelPackage, datatype: str) -> None:
    request = raw(amount=("BOOL", b"\1")) if datatype == "BOOL" else typed(amount=("BOOL", [True]))

    async def run() -> None:
        async with service(package) as served:
            code, sentence = await served.refusal(served.stub.ModelInfer(request))
            assert code == Status.INVALID_ARGUMENT
            assert sentence == "column 'amount' takes numbers, but row 0 holds true or false"

    loop.run(run())


async def ended(connection: socket.socket) -> bool:
    try:
        return not await asyncio.get_running_loop().sock_recv(connection, 65_536)
    except OSError:
        return True


async def answers(served: Service) -> bool:
    try:
        return bool(tensors(await served.stub.ModelInfer(raw())))
    except grpc.aio.AioRpcError:
        return False


def test_a_call_with_too_much_metadata_is_refused_and_its_connection_ends(
    loop: asyncio.Runner, package: ModelPackage
) -> None:
    async def run() -> None:
        async with service(package) as served:
            with socket.create_connection(("127.0.0.1", served.port)) as connection:
                connection.sendall(PREFACE + head(1, 5))
                connection.setblocking(False)
                async with asyncio.timeout(120):
                    while not await ended(connection):
                        pass
            (exchange,) = served.recorder.exchanges
            assert (exchange.status, exchange.error) == (431, "the headers have more than 65,536 bytes; send fewer")
            assert tensors(await served.stub.ModelInfer(raw(), metadata=[("x", "v" * 8_000)]))

    loop.run(run())


def test_a_call_with_too_many_entries_of_metadata_is_refused(loop: asyncio.Runner, package: ModelPackage) -> None:
    """However small they are: each becomes an object."""

    async def run() -> None:
        async with service(package) as served:
            many = [(f"x-{number}", "v") for number in range(300)]
            with pytest.raises(grpc.aio.AioRpcError):
                await served.stub.ModelInfer(raw(), metadata=many)
            (exchange,) = served.recorder.exchanges
            assert exchange.status == 431
            assert tensors(await served.stub.ModelInfer(raw(), metadata=many[:100]))

    loop.run(run())


def test_metadata_up_to_the_limit_is_taken_every_time(loop: asyncio.Runner, package: ModelPackage) -> None:
    """From 8 KiB on, a growing share of the calls was refused at random, and from 16 KiB on all of them."""

    async def run() -> None:
        async with service(package) as served:
            for size in (8_000, 12_000, 16_000, 30_000, 60_000) * 4:
                assert tensors(await served.stub.ModelInfer(raw(), metadata=[("x", "v" * size)])), size

    loop.run(run())


def test_metadata_that_does_not_end_ends_with_its_connection_each_time_that_memory_is_short(
    loop: asyncio.Runner, package: ModelPackage
) -> None:
    taken, read = [100], list[int]()

    def memory() -> int:
        read.append(taken[-1])
        return taken[-1]

    async def read_again() -> None:
        before = len(read)
        await until(lambda: len(read) > before + 1)

    async def run() -> None:
        async with service(package) as served:
            guard = MemoryGuard(served.port, 50, memory)
            guard.start()
            for _ in range(2):  # the memory is still there when the connections are ended, and given back later
                with socket.create_connection(("127.0.0.1", served.port)) as connection:
                    connection.sendall(PREFACE + head(1, 5, is_whole=False))
                    connection.setblocking(False)
                    async with asyncio.timeout(120):
                        while not await answers(served):
                            await asyncio.sleep(0.05)
                    taken.append(151)
                    async with asyncio.timeout(120):
                        while not await ended(connection):
                            pass
                await read_again()
                taken.append(100)
                await read_again()
                async with asyncio.timeout(120):  # the honest client connects anew
                    while not await answers(served):
                        await asyncio.sleep(0.05)
            guard.stop()

    loop.run(run())
