"""What the gRPC service refuses and limits, with which status and words."""

import asyncio

import grpc
import numpy as np
import pytest

from kubeline.model_package import ModelPackage
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline_serving.limits import RequestLimits
from tests.serving.grpc.house import Status, channel, raw, service, typed, warnings
from tests.support.grpc_stub import InferenceStub


def with_contents(request: messages.ModelInferRequest) -> messages.ModelInferRequest:
    request.inputs[0].contents.fp32_contents.append(1)
    return request


def of_shape(*shape: int) -> messages.ModelInferRequest:
    request = raw()
    request.inputs[0].shape[:] = shape
    return request


def with_one_raw_less() -> messages.ModelInferRequest:
    request = raw()
    request.raw_input_contents.pop()
    return request


REFUSED = {
    "too few bytes": (raw(amount=("FP32", b"\0")), "input 'amount' has 1 bytes, but 1 elements of FP32 take 4"),
    "cut text": (raw(carrier=("BYTES", b"\5\0\0\0AA")), "input 'carrier' are not 1 elements of BYTES"),
    "no such datatype": (raw(amount=("BF16", b"\0\0")), "input 'amount' has datatype 'BF16'; expected one of BOOL"),
    "no such typed datatype": (typed(amount=("FP32", [])), "has 0 values in fp32_contents, but its shape says 1"),
    "text for a number": (typed(amount=("BYTES", [b"warm"])), "column 'amount' takes numbers, but row 0 holds 'aaaa'"),
    "bytes that are no text": (typed(carrier=("BYTES", [b"\xff"])), "input 'carrier' holds bytes that are not UTF-8"),
    "a column is absent": (typed(carrier=None), "column 'carrier' is absent"),
    "raw and typed": (with_contents(raw()), "input 'amount' has contents beside the raw_input_contents"),
    "fewer raw contents": (with_one_raw_less(), "has 4 inputs, but 3 raw_input_contents"),
    "no rows": (raw(rows=0), "the request is empty; send at least one row"),
    "no shape": (of_shape(), "input 'amount' has shape []"),
    "a matrix": (of_shape(1, 2), "input 'amount' has shape [1, 2]"),
    "less than nothing": (of_shape(-1, 1), "input 'amount' has shape [-1, 1]"),
    "infinite": (raw(amount=("FP64", np.array([np.inf]).tobytes())), "column 'amount' holds inf in row 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_malformed_request_is_refused_in_one_sentence(
    loop: asyncio.Runner, package: ModelPackage, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    request, words = REFUSED[case]

    async def run() -> None:
        async with service(package) as served:
            code, sentence = await served.refusal(served.stub.ModelInfer(request))
            assert code == Status.INVALID_ARGUMENT
            assert words in sentence
            (exchange,) = served.recorder.exchanges
            assert (exchange.status, exchange.error) == (400, sentence)

    loop.run(run())
    assert warnings(caplog) == []


def test_an_input_given_twice_is_refused(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            request = typed()
            request.inputs.append(request.inputs[0])
            code, sentence = await served.refusal(served.stub.ModelInfer(request))
            assert (code, sentence) == (Status.INVALID_ARGUMENT, "input 'amount' is given twice")

    loop.run(run())


@pytest.mark.parametrize("method", ["ModelInfer", "ModelReady", "ModelMetadata"])
def test_a_message_that_is_no_message_is_refused(
    loop: asyncio.Runner, package: ModelPackage, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with service(package) as served, channel(served.port) as client:
            call = client.unary_unary(f"/inference.GRPCInferenceService/{method}")
            code, sentence = await served.refusal(call(b"\xff\xff"))
            assert code == Status.INVALID_ARGUMENT
            assert f"the message is not a {method}Request" in sentence

    loop.run(run())
    assert warnings(caplog) == []


def test_another_model_or_version_is_not_found(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            version = served.model.version
            other = messages.ModelInferRequest(model_name="other")
            assert await served.refusal(served.stub.ModelInfer(other)) == (
                Status.NOT_FOUND,
                "there is no model 'other' here; there is: tiny",
            )
            assert served.recorder.exchanges[0].status == 404
            for ask in (served.stub.ModelReady, served.stub.ModelMetadata):
                request = messages.ModelReadyRequest if ask is served.stub.ModelReady else messages.ModelMetadataRequest
                assert await served.refusal(ask(request(name="tiny", version="7"))) == (
                    Status.NOT_FOUND,
                    f"model 'tiny' has no version '7' here; it has: {version}",
                )
            request = raw()
            request.model_version = version
            assert (await served.stub.ModelInfer(request)).model_version == version

    loop.run(run())


def test_a_message_above_the_limit_is_refused_and_one_below_is_not(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package, requests=RequestLimits(body_bytes=1000)) as served:
            await served.stub.ModelInfer(raw(rows=10))
            code, _ = await served.refusal(served.stub.ModelInfer(raw(rows=80)))
            assert code == Status.RESOURCE_EXHAUSTED
            assert [exchange.status for exchange in served.recorder.exchanges] == [200, 413]

    loop.run(run())


def test_more_rows_than_the_limit_are_refused(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            code, sentence = await served.refusal(served.stub.ModelInfer(raw(rows=101)))
            assert code == Status.RESOURCE_EXHAUSTED
            assert "the request has 101 rows, but the server takes at most 100" in sentence
            assert served.recorder.exchanges[0].status == 413

    loop.run(run())


def test_more_bytes_at_once_than_memory_allows_are_refused_with_a_time_to_wait(
    loop: asyncio.Runner, package: ModelPackage
) -> None:
    async def run() -> None:
        async with service(package, requests=RequestLimits(buffered_bytes=10)) as served:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await served.stub.ModelInfer(raw())
            assert refused.value.code() == Status.UNAVAILABLE
            assert dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
            assert served.recorder.exchanges[0].status == 503

    loop.run(run())


def test_a_compressed_message_is_refused_before_it_is_expanded(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served, channel(served.port, compression=grpc.Compression.Gzip) as client:
            code, _ = await served.refusal(InferenceStub(client).ModelInfer(raw(rows=100)))
            assert code == Status.UNIMPLEMENTED
            assert served.recorder.exchanges == []

    loop.run(run())
