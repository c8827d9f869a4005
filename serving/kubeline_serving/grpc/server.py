"""gRPC: the service of the Open Inference Protocol, a thin adapter to the service that answers HTTP as well."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from kubeline import __version__
from kubeline.errors import KubelineError, PlatformError
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline_serving.codec.v2 import V2
from kubeline_serving.errors import (
    BrokenModel,
    Overloaded,
    headers_too_large,
    sentence,
    status_of,
    without_frames,
)
from kubeline_serving.exchange import Exchange, grpc_code
from kubeline_serving.grpc.calls import Call, CallContext, Calls
from kubeline_serving.grpc.connections import MemoryGuard
from kubeline_serving.grpc.messages import SERVICE, InferCall, check_model, parsed
from kubeline_serving.ids import usable
from kubeline_serving.limits import HEAD_BYTES, MAX_HEADERS
from kubeline_serving.service import PredictionService, begin
from kubeline_serving.state import ServerState

logger = logging.getLogger(__name__)

Handler = Callable[[Any], Message]

_LONGEST_ESCAPED = 600  # characters of a sentence that is not ASCII: clients take 8 KiB of metadata
_OPTIONS = (
    ("grpc.so_reuseport", 1),  # the workers share the port
    # Identity alone: a compressed message would be expanded in memory before its size could be checked.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_concurrent_streams", 1000),  # of one connection; others wait at the client
    ("grpc.max_allowed_incoming_connections", 4096),
    # Of a message that is not read yet, no more than this comes: see kubeline_serving.grpc.calls.
    ("grpc.http2.lookahead_bytes", 32 * 1024),
    ("grpc.http2.bdp_probe", 0),  # it would widen that
    ("grpc.keepalive_time_ms", 60_000),  # is the client still there?
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # clients may ask as well
    # Between two limits of its own, the core refuses calls at random: both lie above what is allowed here.
    ("grpc.max_metadata_size", 2 * HEAD_BYTES),
    ("grpc.absolute_max_metadata_size", 4 * HEAD_BYTES),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.max_connection_age_ms", 1_800_000),  # clients connect anew, without losing a call
    ("grpc.max_connection_age_grace_ms", 60_000),
    ("grpc.max_send_message_length", -1),
)


class GrpcServer:
    """Answers gRPC for one model.

    Messages go through as bytes: reading and writing them is part of the engine's work, so that it is measured, limited
    and, for large ones, done in a thread.

    Args:
        service: answers prediction requests.
        v2: reads and writes the Open Inference Protocol.
        state: of the worker.
    """

    def __init__(self, service: PredictionService, v2: V2, state: ServerState):
        self._service = service
        self._model = service.model
        self._v2 = v2
        self._state = state
        self._calls = Calls(state)
        self._server: grpc.aio.Server | None = None
        self._guard: MemoryGuard | None = None

    async def start(
        self, host: str, port: int, certificate: Path | None = None, private_key: Path | None = None
    ) -> int:
        """Listen.

        Args:
            host: address of this machine; ``0.0.0.0`` is all of them.
            port: that other workers may share; 0 takes a free one.
            certificate: the server's PEM chain; None serves without TLS.
            private_key: of the certificate, PEM.

        Returns:
            The port.

        Raises:
            PlatformError: when the port cannot be listened on.
        """
        options = (*_OPTIONS, ("grpc.max_receive_message_length", self._state.limits.body_bytes))
        self._server = grpc.aio.server(options=options)
        # not as registered methods: grpc.aio then waits for a call of each of them, which costs each call 20 µs
        refusing = grpc.stream_unary_rpc_method_handler(self._refuse_metadata)
        self._server.add_generic_rpc_handlers([_Methods(self._handlers(), refusing)])
        address = f"[::]:{port}" if host == "0.0.0.0" else f"{host}:{port}"  # noqa: S104 - compared
        try:
            if certificate is None or private_key is None:
                port = self._server.add_insecure_port(address)
            else:
                pair = (private_key.read_bytes(), certificate.read_bytes())
                port = self._server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise PlatformError(f"cannot listen on port {port} for gRPC; choose another one") from error
        await self._server.start()
        self._guard = MemoryGuard(port, self._state.limits.all_parsed_bytes)
        self._guard.start()
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls, and let those that are open end; after the grace period they are cancelled."""
        self._state.draining = True
        if self._guard is not None:
            self._guard.stop()
        if self._server is not None:
            await self._server.stop(grace_seconds)

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        answers: dict[str, tuple[type[Message], Handler]] = {
            "ServerLive": (messages.ServerLiveRequest, lambda _: messages.ServerLiveResponse(live=True)),
            "ServerReady": (messages.ServerReadyRequest, lambda _: messages.ServerReadyResponse(ready=self._ready)),
            "ModelReady": (messages.ModelReadyRequest, self._model_ready),
            "ServerMetadata": (messages.ServerMetadataRequest, self._server_metadata),
            "ModelMetadata": (messages.ModelMetadataRequest, self._model_metadata),
            "RepositoryModelLoad": (messages.RepositoryModelLoadRequest, self._load),
            "RepositoryModelUnload": (messages.RepositoryModelUnloadRequest, self._unload),
        }
        calls: dict[str, Any] = {name: partial(self._answer, *answer) for name, answer in answers.items()}
        calls["ModelInfer"] = self._infer
        # On the wire, a unary call is a stream of one message; read as one, it comes when there is room for it.
        return {name: grpc.stream_unary_rpc_method_handler(call) for name, call in calls.items()}

    async def _infer(self, _: Any, context: CallContext) -> bytes:
        """Answer a prediction request, which the observers record."""
        try:
            call = await self._calls.receive(context)
        except KubelineError as error:
            exchange = _exchange(context)
            self._service.refuse(exchange, without_frames(error))
            await _refuse(context, error, exchange.request_id)
        return await self._predict(call, context)

    async def _refuse_metadata(self, _: Any, context: CallContext) -> bytes:
        """Refuse a call whose metadata is too large, and end its connection."""
        error = headers_too_large(0, MAX_HEADERS, HEAD_BYTES)
        self._service.refuse(begin("grpc", "", None, None), error)
        self._calls.end_connection(context)
        await _refuse(context, error)
        return b""

    async def _predict(self, call: Call, context: CallContext) -> bytes:
        exchange = _exchange(context)
        work = InferCall(self._v2, self._model.name, self._model.version, call, exchange, self._state.limits)
        try:
            answer = await self._service.answer(
                exchange, len(call.message), work.parse, work.serialise, lambda: context.time_remaining() == 0
            )
        except KubelineError as error:
            await _refuse(context, without_frames(error), exchange.request_id)
        return call.answer(answer)

    async def _answer(self, request: type[Message], answer: Handler, _: Any, context: CallContext) -> bytes:
        """Answer a call that predicts nothing."""
        try:
            call = await self._calls.receive(context)
            asked = parsed(request, call.message)
            # loading verifies every file of the package: not on the event loop
            response = await asyncio.to_thread(answer, asked) if answer == self._load else answer(asked)
        except KubelineError as error:
            await _refuse(context, error)
        except Exception:  # nothing above is expected to fail, and no client is shown a traceback
            logger.exception("%s failed", request.__name__)
            await _refuse(context, BrokenModel("the server failed on this request; its log says why"))
        return call.answer(response.SerializeToString())

    @property
    def _ready(self) -> bool:
        return self._model.ready and not self._state.draining

    def _model_ready(self, request: messages.ModelReadyRequest) -> Message:
        check_model(request.name, request.version, self._model.name, self._model.version)
        return messages.ModelReadyResponse(ready=self._ready)

    def _server_metadata(self, _: messages.ServerMetadataRequest) -> Message:
        return messages.ServerMetadataResponse(name="kubeline", version=__version__, extensions=["model_repository"])

    def _model_metadata(self, request: messages.ModelMetadataRequest) -> Message:
        check_model(request.name, request.version, self._model.name, self._model.version)
        tensor = messages.ModelMetadataResponse.TensorMetadata
        return messages.ModelMetadataResponse(
            name=self._model.name,
            versions=[self._model.version],
            platform="onnxruntime_onnx",
            inputs=[tensor(**column) for column in self._v2.input_metadata],
            outputs=[tensor(**output) for output in self._v2.output_metadata],
        )

    def _load(self, request: messages.RepositoryModelLoadRequest) -> Message:
        self._check_control(request.model_name)
        self._model.reload()
        return messages.RepositoryModelLoadResponse(model_name=self._model.name, isLoaded=True)

    def _unload(self, request: messages.RepositoryModelUnloadRequest) -> Message:
        self._check_control(request.model_name)
        self._model.unload()
        return messages.RepositoryModelUnloadResponse(model_name=self._model.name, isUnloaded=True)

    def _check_control(self, name: str) -> None:
        self._state.limits.check_control()
        check_model(name, "", self._model.name, self._model.version)


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """The methods of the service, unless a call has too much metadata.

    gRPC's core limits only what one frame has of it: a call may come with 16 MB, and a connection with a thousand such
    calls. It is checked here, where gRPC has made Python's objects of it, so that this is done only once.

    Args:
        methods: handlers by name.
        refusing: what answers a call with too much metadata.
    """

    def __init__(self, methods: Mapping[str, grpc.RpcMethodHandler], refusing: grpc.RpcMethodHandler):
        self._methods = {f"/{SERVICE}/{name}": handler for name, handler in methods.items()}
        self._refusing = refusing

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a call; None for an unknown method."""
        metadata = handler_call_details.invocation_metadata or ()
        if len(metadata) > MAX_HEADERS or sum(len(key) + len(value) for key, value in metadata) > HEAD_BYTES:
            return self._refusing
        return self._methods.get(handler_call_details.method)


def _exchange(context: CallContext) -> Exchange:
    """The beginning of an exchange; its request id is empty unless the call's metadata has one."""
    request_id = trace = state = ""
    for key, value in context.invocation_metadata() or ():
        if key == "x-request-id":
            request_id = str(value)
        elif key == "traceparent":
            trace = f"{trace},{value}" if trace else str(value)
        elif key == "tracestate":
            state = f"{state},{value}" if state else str(value)
    return begin("grpc", usable(request_id), trace.encode(), state.encode())


async def _refuse(context: CallContext, error: KubelineError, request_id: str = "") -> None:
    """End a call with the status that says why, and one sentence; raises what makes gRPC leave the call."""
    metadata = [("x-request-id", request_id)] if request_id else []
    if isinstance(error, Overloaded):  # gRPC's own retries wait for so long
        metadata.append(("grpc-retry-pushback-ms", str(error.retry_after_seconds * 1000)))
    code = grpc.StatusCode[grpc_code(status_of(error))]
    words = sentence(error)
    await context.abort(code, words if words.isascii() else words[:_LONGEST_ESCAPED], tuple(metadata))
