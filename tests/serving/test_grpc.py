"""The gRPC service: what it answers, refuses, limits and records; a real channel to a real server in this process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from kubeline.model_package import ModelPackage
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline.open_inference.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kubeline.open_inference.tensors import DTYPES, decode_raw, encode_raw
from serving.app import RequestLimits
from serving.engine import Engine, Limits
from serving.exchange import Exchange
from serving.grpc_service import GrpcServer
from serving.model import ServedModel
from serving.v2 import V2
from tests.serving.packages import ROWS, write_tiny_package

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TYPED = {
    "amount": ("FP32", [1.5]),
    "carrier": ("BYTES", [b"AA"]),
    "rush": ("BOOL", [True]),
    "departure": ("BYTES", [b""]),
}
FIELDS = {"FP32": "fp32_contents", "BYTES": "bytes_contents", "BOOL": "bool_contents"}
Status = grpc.StatusCode
USUAL = Limits()
# Requests wait for others to join them, so that what happens meanwhile needs no luck with time.
PATIENT = Limits(queue_seconds=5, batch_rows=100, batch_wait_seconds=0.4)
REQUESTS = RequestLimits()


@dataclass
class Recorder:
    """An observer that keeps what it is told."""

    exchanges: list[Exchange] = field(default_factory=list)

    def record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def close(self) -> None:
        pass


@dataclass
class Service:
    """A server, and a client of it."""

    server: GrpcServer
    model: ServedModel
    port: int
    stub: Any
    recorder: Recorder

    async def refusal(self, call: Coroutine[Any, Any, Any]) -> tuple[Status, str]:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        return refused.value.code(), refused.value.details() or ""


def channel(port: int, *options: tuple[str, Any], **more: Any) -> grpc.aio.Channel:
    given = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), *options]
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=given, **more)


@asynccontextmanager
async def service(
    package: ModelPackage, engine: Limits = USUAL, requests: RequestLimits = REQUESTS, port: int = 0
) -> AsyncIterator[Service]:
    model = ServedModel("tiny", package.path)
    recorder = Recorder()
    v2 = V2(model.signature, model.name, model.version, max_rows=100)
    core = Engine(model, engine)
    server = GrpcServer(core, v2, [recorder], requests)
    port = await server.start("127.0.0.1", port)
    try:
        async with channel(port) as client:
            yield Service(server, model, port, GRPCInferenceServiceStub(client), recorder)
    finally:  # a server that is not stopped keeps the process from ending
        await server.stop(0)
        core.close()


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One for all: gRPC's events of a loop that is closed would reach the next one."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_tiny_package(tmp_path_factory.mktemp("grpc") / "package")


def typed(**changes: Any) -> messages.ModelInferRequest:
    """One row in typed contents; a change is (datatype, values), or None to leave the column out."""
    request = messages.ModelInferRequest(model_name="tiny")
    for name, column in {**TYPED, **changes}.items():
        if column is not None:
            tensor = request.inputs.add(name=name, datatype=column[0], shape=[1, 1])
            getattr(tensor.contents, FIELDS[column[0]]).extend(column[1])
    return request


def raw(rows: int = 1, **changes: Any) -> messages.ModelInferRequest:
    """Rows of raw contents; a change is (datatype, bytes)."""
    columns = {
        "amount": ("FP32", np.full(rows, 1.5, np.float32)),
        "carrier": ("BYTES", ["AA"] * rows),
        "rush": ("BOOL", np.full(rows, True)),
        "departure": ("BYTES", [""] * rows),
    }
    request = messages.ModelInferRequest(model_name="tiny")
    for name, (usual, values) in columns.items():
        datatype, content = changes.get(name, (usual, encode_raw(values)))
        request.inputs.add(name=name, datatype=datatype, shape=[rows, 1])
        request.raw_input_contents.append(content)
    return request


def tensors(response: messages.ModelInferResponse) -> dict[str, Any]:
    """The raw outputs as lists, by name."""
    return {
        output.name: np.array(decode_raw(output.name, output.datatype, content, int(np.prod(output.shape))))
        .reshape(output.shape)
        .tolist()
        for output, content in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def test_raw_and_typed_contents_are_answered_alike_and_as_the_model_answers(
    loop: asyncio.Runner, package: ModelPackage
) -> None:
    row = ROWS.iloc[:1].assign(departure=None)
    expected = package.predictor(threads=1).predict(row)

    async def run() -> None:
        async with service(package) as served:
            for request in (raw(), typed()):
                response = await served.stub.ModelInfer(request)
                assert tensors(response) == {
                    "prediction": expected.values.tolist(),
                    "probability": expected.probabilities.tolist(),  # type: ignore[union-attr]
                }
                assert not any(output.HasField("contents") for output in response.outputs)
                assert response.outputs[1].parameters["classes"].string_param == '["False", "True"]'
                assert response.model_version == package.digest[:12]

    loop.run(run())


def test_a_number_may_come_in_any_numeric_datatype(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            answers = []
            for datatype, dtype in DTYPES.items():
                response = await served.stub.ModelInfer(raw(amount=(datatype, np.ones(1, dtype).tobytes())))
                answers.append(tensors(response))
            assert all(answer == answers[0] for answer in answers)
            assert answers[0] != tensors(await served.stub.ModelInfer(raw()))

    loop.run(run())


def test_only_the_outputs_asked_for_are_answered(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            request = raw()
            request.outputs.add(name="probability")
            assert list(tensors(await served.stub.ModelInfer(request))) == ["probability"]
            request.outputs.add(name="score")
            code, words = await served.refusal(served.stub.ModelInfer(request))
            assert (code, words) == (
                Status.INVALID_ARGUMENT,
                "the model has no output 'score'; it has: prediction, probability",
            )

    loop.run(run())


def test_the_ids_and_the_trace_of_a_request_are_kept(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            request = raw()
            request.id = "42"
            assert (await served.stub.ModelInfer(request)).id == "42"
            metadata = (("x-request-id", "order-66"), ("traceparent", TRACEPARENT), ("tracestate", "a=1"))
            assert (await served.stub.ModelInfer(request, metadata=metadata)).id == "42"
            made = (await served.stub.ModelInfer(raw())).id
            found = [(exchange.request_id, exchange.traceparent) for exchange in served.recorder.exchanges]
            assert found == [("42", ""), ("order-66", TRACEPARENT), (made, "")]
            assert made
            assert served.recorder.exchanges[1].tracestate == "a=1"

    loop.run(run())


def test_an_answer_is_recorded_with_its_inputs_predictions_and_times(
    loop: asyncio.Runner, package: ModelPackage
) -> None:
    async def run() -> None:
        async with service(package) as served:
            await served.stub.ModelInfer(raw(rows=3))
            (exchange,) = served.recorder.exchanges
            assert (exchange.protocol, exchange.status, exchange.rows, exchange.error) == ("grpc", 200, 3, "")
            assert exchange.inputs is not None
            assert exchange.inputs["amount"].tolist() == [[1.5]] * 3
            assert exchange.predictions is not None
            assert len(exchange.predictions.values) == 3
            phases = (exchange.parse_seconds, exchange.predict_seconds, exchange.serialise_seconds)
            assert 0 < sum(phases) < exchange.total_seconds

    loop.run(run())


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
    "no such typed datatype": (typed(amount=("FP32", [])), "has 0 values in fp32_contents, but its shape tells 1"),
    "text for a number": (typed(amount=("BYTES", [b"warm"])), "column 'amount' takes numbers, but row 0 holds 'warm'"),
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
            assert len(served.recorder.exchanges) == 1

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
            code, _ = await served.refusal(GRPCInferenceServiceStub(client).ModelInfer(raw(rows=100)))
            assert code == Status.UNIMPLEMENTED
            assert served.recorder.exchanges == []

    loop.run(run())


def test_a_cancelled_call_is_not_worked_on(
    loop: asyncio.Runner, package: ModelPackage, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with service(package, PATIENT) as served:
            call = served.stub.ModelInfer(raw())
            await until(lambda: served.server.open_calls == 1)
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
        async with service(package, PATIENT) as served:
            code, _ = await served.refusal(served.stub.ModelInfer(raw(), timeout=0.1))
            assert code == Status.DEADLINE_EXCEEDED
            await served.stub.ModelInfer(raw(), timeout=20)
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
            await until(lambda: served.server.open_calls == 1)
            stopped = asyncio.create_task(served.server.stop(20))
            await until(lambda: served.server.draining)
            assert tensors(await call)
            code, _ = await served.refusal(served.stub.ModelInfer(raw()))
            assert code == Status.UNAVAILABLE
            await stopped

    loop.run(run())


def test_workers_share_a_port(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as one, service(package, port=one.port) as other:
            for _ in range(50):  # connections, which the kernel deals out
                async with channel(one.port) as client:
                    await GRPCInferenceServiceStub(client).ModelInfer(raw())
            assert one.recorder.exchanges
            assert other.recorder.exchanges
            assert len(one.recorder.exchanges) + len(other.recorder.exchanges) == 50

    loop.run(run())


def test_a_server_tells_what_it_serves_and_whether_it_is_ready(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            assert (await served.stub.ServerLive(messages.ServerLiveRequest())).live
            assert (await served.stub.ServerReady(messages.ServerReadyRequest())).ready
            assert (await served.stub.ModelReady(messages.ModelReadyRequest(name="tiny"))).ready
            about = await served.stub.ServerMetadata(messages.ServerMetadataRequest())
            assert about.name == "kubeline"
            model = await served.stub.ModelMetadata(messages.ModelMetadataRequest(name="tiny"))
            assert (model.name, list(model.versions)) == ("tiny", [served.model.version])
            assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.inputs] == [
                ("amount", "FP32", [-1, 1]),
                ("carrier", "BYTES", [-1, 1]),
                ("rush", "BOOL", [-1, 1]),
                ("departure", "BYTES", [-1, 1]),
            ]
            assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.outputs] == [
                ("prediction", "BYTES", [-1]),
                ("probability", "FP32", [-1, 2]),
            ]
            served.server.draining = True
            assert not (await served.stub.ServerReady(messages.ServerReadyRequest())).ready
            assert not (await served.stub.ModelReady(messages.ModelReadyRequest(name="tiny"))).ready

    loop.run(run())


def test_load_and_unload_work_only_where_they_are_allowed(loop: asyncio.Runner, package: ModelPackage) -> None:
    load = messages.RepositoryModelLoadRequest(model_name="tiny")
    unload = messages.RepositoryModelUnloadRequest(model_name="tiny")

    async def run() -> None:
        async with service(package) as served:
            for call in (served.stub.RepositoryModelLoad(load), served.stub.RepositoryModelUnload(unload)):
                code, sentence = await served.refusal(call)
                assert code == Status.PERMISSION_DENIED
                assert "--model_control" in sentence
        async with service(package, requests=RequestLimits(model_control=True)) as served:
            assert (await served.stub.RepositoryModelUnload(unload)).isUnloaded
            assert not (await served.stub.ServerReady(messages.ServerReadyRequest())).ready
            code, _ = await served.refusal(served.stub.ModelInfer(raw()))
            assert code == Status.UNAVAILABLE
            assert (await served.stub.RepositoryModelLoad(load)).isLoaded
            assert tensors(await served.stub.ModelInfer(raw()))

    loop.run(run())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the server or gRPC had to say."""
    found = [record for record in caplog.records if record.name.startswith(("grpc", "serving"))]
    return [record.getMessage() for record in found if record.levelno >= logging.WARNING]


async def until(happened: Any) -> None:
    async with asyncio.timeout(20):
        while not happened():
            await asyncio.sleep(0.005)


def test_calls_go_through_tls(loop: asyncio.Runner, package: ModelPackage, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)

    async def run() -> None:
        model = ServedModel("tiny", package.path)
        server = GrpcServer(
            Engine(model, Limits()), V2(model.signature, "tiny", model.version, 100), [], RequestLimits()
        )
        port = await server.start("127.0.0.1", 0, certificate, key)
        trusted = grpc.ssl_channel_credentials(certificate.read_bytes())
        options = [("grpc.enable_http_proxy", 0), ("grpc.ssl_target_name_override", "localhost")]
        try:
            async with grpc.aio.secure_channel(f"127.0.0.1:{port}", trusted, options=options) as client:
                assert tensors(await GRPCInferenceServiceStub(client).ModelInfer(raw()))
        finally:
            await server.stop(0)

    loop.run(run())


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "tls.crt", folder / "tls.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths
