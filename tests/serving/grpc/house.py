"""A gRPC service in this process, a real channel to it, and requests for it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest

from kubeline.model_package import ModelPackage
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline.open_inference.tensors import decode_raw, encode_raw
from kubeline_serving.codec.v2 import V2
from kubeline_serving.exchange import Exchange
from kubeline_serving.grpc.server import GrpcServer
from kubeline_serving.inference.engine import Engine, Limits
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.limits import RequestLimits
from kubeline_serving.service import PredictionService
from kubeline_serving.state import ServerState
from tests.support.grpc_stub import InferenceStub

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
    """An observer that stores every exchange."""

    exchanges: list[Exchange] = field(default_factory=list)

    def record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def close(self) -> None:
        pass


@dataclass
class Service:
    """A server, and a client of it."""

    server: GrpcServer
    engine: Engine
    state: ServerState
    model: ServedModel
    port: int
    stub: Any
    recorder: Recorder

    async def refusal(self, call: Coroutine[Any, Any, Any]) -> tuple[Any, str]:
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
    state = ServerState(requests)
    server = GrpcServer(PredictionService(core, [recorder]), v2, state)
    port = await server.start("127.0.0.1", port)
    try:
        async with channel(port) as client:
            yield Service(server, core, state, model, port, InferenceStub(client), recorder)
    finally:  # a server that is not stopped keeps the process from ending
        await server.stop(0)
        core.close()


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
    columns: dict[str, tuple[str, Any]] = {
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


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the server or gRPC had to say."""
    found = [record for record in caplog.records if record.name.startswith(("grpc", "kubeline_serving"))]
    return [record.getMessage() for record in found if record.levelno >= logging.WARNING]


async def until(happened: Any) -> None:
    async with asyncio.timeout(120):
        while not happened():
            await asyncio.sleep(0.005)
