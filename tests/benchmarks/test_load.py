"""The load generators: their arithmetic, and what they make of servers that refuse, fail, are slow or hang up."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import grpc
import pytest
import uvloop

from benchmarks.serving import grpc_load, http_load
from benchmarks.serving.measurement import Measurement, milliseconds, percentile, together
from kubeline.ports import free_ports

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
SILENT = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops"
REQUESTS = [http_load.post("/a", b"first"), http_load.post("/b", b"second")]

Answer = Callable[[bytes], Awaitable[bytes]]


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """A loopback server that answers each request's body; an empty answer hangs up. Yields its port."""
    (port,) = free_ports(1)
    started = Event()
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                reply = await answer(await reader.readexactly(length))
                if not reply:
                    break
                for half in (reply[:20], reply[20:]):  # in two pieces, as a network may cut it
                    writer.write(half)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main() -> None:
        await asyncio.start_server(serve_connection, "127.0.0.1", port, backlog=1000)
        started.set()
        await stopped.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert started.wait(60)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()


async def _ok(body: bytes) -> bytes:
    return OK


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0, 0.0)] == [50.0, 99.0, 100.0, 1.0]
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0


def test_a_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 0.5))


def test_percentiles_of_times_are_milliseconds_of_sorted_values() -> None:
    assert milliseconds([0.003, 0.001, 0.002], 0.5, 1.0) == pytest.approx([2.0, 3.0])


def test_a_503_that_says_when_to_try_again_is_refused_and_everything_else_an_error() -> None:
    found = Measurement(2.0)
    for status, retry_after in ((200, False), (200, False), (503, True), (503, False), (500, True), (0, False)):
        found.count(status, 0.1, retry_after)
    assert (len(found.latencies), len(found.refused), found.total, found.rate) == (2, 1, 6, 1.0)
    assert found.errors == {"503 without Retry-After": 1, "HTTP 500": 1, "connection lost": 1}


def test_rounds_count_together() -> None:
    first, second = Measurement(1.0), Measurement(3.0)
    for part, answers in ((first, 10), (second, 50)):
        for _ in range(answers):
            part.count(200, 0.001, False)
    second.count(500, 0.001, False)
    whole = together([first, second])
    assert (whole.rate, whole.total, whole.errors) == (15.0, 61, {"HTTP 500": 1})


def test_the_closed_loop_asks_every_request_and_keeps_what_was_answered() -> None:
    async def echo(body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    with server(echo) as port:
        found = uvloop.run(http_load.closed_loop(port, REQUESTS, connections=3, seconds=1.0))
    assert found.answers == {0: b"first", 1: b"second"}
    assert not found.errors
    assert len(found.latencies) > 6


def test_an_answer_in_chunks_is_put_together() -> None:
    async def chunked(body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n0\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n"

    with server(chunked) as port:
        found = uvloop.run(http_load.closed_loop(port, REQUESTS, connections=1, seconds=1.0))
    assert set(found.answers.values()) == {b"0\r\n\r\n"}


def test_every_answer_is_counted_even_the_last_ones_after_the_end() -> None:
    served = 0

    async def slow(body: bytes) -> bytes:
        nonlocal served
        await asyncio.sleep(0.03)
        served += 1
        return OK

    with server(slow) as port:
        found = uvloop.run(http_load.closed_loop(port, REQUESTS, connections=4, seconds=1.0))
    assert found.answered.total() == served
    assert len(found.latencies) < served


def test_the_closed_loop_counts_each_kind_of_answer() -> None:
    replies = {b"first": BUSY, b"second": BROKEN}

    async def by_body(body: bytes) -> bytes:
        return replies[body]

    with server(by_body) as port:
        found = uvloop.run(http_load.closed_loop(port, REQUESTS, connections=2, seconds=1.0))
    assert not found.latencies
    assert found.refused
    assert set(found.errors) == {"HTTP 500"}
    assert found.total == len(found.refused) + found.errors["HTTP 500"]


def test_a_connection_that_the_server_closes_is_counted_and_opened_again() -> None:
    async def second_only(body: bytes) -> bytes:
        return b"" if body == b"first" else OK

    with server(second_only) as port:
        found = uvloop.run(http_load.closed_loop(port, REQUESTS, connections=1, seconds=1.0))
    assert found.errors["connection lost"] > 1
    assert found.latencies


def test_the_open_loop_asks_as_often_as_it_is_reported() -> None:
    with server(_ok) as port:
        found = uvloop.run(http_load.open_loop(port, REQUESTS, rate=200, seconds=0.5, connections=20))
    assert len(found.latencies) == 100
    assert len(found.late) == 100
    assert not found.errors


def test_the_open_loop_counts_the_time_that_a_request_waits_for_a_slow_server() -> None:
    async def slow(body: bytes) -> bytes:
        await asyncio.sleep(0.05)
        return OK

    with server(slow) as port:  # one connection answers 20 a second, and is asked 100
        found = uvloop.run(http_load.open_loop(port, REQUESTS, rate=100, seconds=0.2, connections=1))
    assert len(found.latencies) == 20
    assert max(found.latencies) > 0.7  # a closed loop would have seen 0.05 for each
    assert sorted(found.latencies) == list(found.latencies)


def test_grpc_calls_are_answered_failed_and_split_into_frames() -> None:
    asked: list[bytes] = []

    async def infer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        asked.append(request)
        if request == b"bad":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "column 'x' is missing")
        return b"answer to %d bytes" % len(request)

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return (
                grpc.unary_unary_rpc_method_handler(infer) if handler_call_details.method == grpc_load.METHOD else None
            )

    async def run() -> Measurement:
        service = grpc.aio.server(handlers=[Handler()])
        port = service.add_insecure_port("127.0.0.1:0")
        await service.start()
        try:
            return await grpc_load.closed_loop(port, [b"bad", b"good", b"x" * 40_000], connections=2, seconds=1.0)
        finally:
            await service.stop(None)

    found = asyncio.run(run())
    assert found.answers == {1: b"answer to 4 bytes", 2: b"answer to 40000 bytes"}
    assert set(found.errors) == {"gRPC call failed"}
    assert {b"bad", b"good", b"x" * 40_000} == set(asked)
