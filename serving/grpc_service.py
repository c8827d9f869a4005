"""gRPC: the service of the Open Inference Protocol, with the same engine and the same answers as HTTP."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError, Message

from kubeline import __version__
from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.model_package.predictor import Predictions
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline.open_inference.tensors import datatype_of, decode_raw, encode_raw, unknown_datatype
from serving.columns import Values
from serving.engine import Engine
from serving.errors import BrokenModel, NotFound, Overloaded, RequestRefused, sentence
from serving.exchange import Exchange, Observer
from serving.ids import new_id, usable
from serving.inputs import Inputs
from serving.limits import RequestLimits
from serving.tracing import trace_context
from serving.v2 import V2, Wanted, rows_of

logger = logging.getLogger(__name__)

Context = Any  # grpc.aio.ServicerContext; the library has no types
Handler = Callable[[Any], Message]

_SERVICE = "inference.GRPCInferenceService"
_LONGEST_ESCAPED = 600  # letters of a sentence that is not ASCII: clients take 8 KiB of metadata
_CLIENT_LEFT = 499  # nginx's; there is no official status for it
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_OPTIONS = (
    ("grpc.so_reuseport", 1),  # the workers share the port
    # Identity alone: a compressed message would be expanded in memory before its size could be looked at.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_concurrent_streams", 1000),  # of one connection; what is more waits at the client
    ("grpc.max_send_message_length", -1),
)


class GrpcServer:
    """Answers gRPC for one model.

    Messages go through as bytes: reading and writing them is part of the engine's work, so that it is measured, limited
    and, for large ones, done in a thread.

    Args:
        engine: answers predictions.
        v2: reads and writes the Open Inference Protocol.
        observers: are told of every prediction request.
        limits: of one request.
    """

    def __init__(self, engine: Engine, v2: V2, observers: Sequence[Observer], limits: RequestLimits):
        self.draining = False
        self.open_calls = 0  # of ModelInfer
        self._engine = engine
        self._model = engine.model
        self._v2 = v2
        self._observers = observers
        self._limits = limits
        self._buffered = 0
        self._server: grpc.aio.Server | None = None

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
        options = (*_OPTIONS, ("grpc.max_receive_message_length", self._limits.body_bytes))
        self._server = grpc.aio.server(options=options)
        # not as registered methods: grpc.aio then waits for a call of each of them, which costs each call 20 µs
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, self._handlers())])
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
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls, and let those that are open end; after the grace period they are cancelled."""
        self.draining = True
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
        calls = {name: partial(self._answer, *answer) for name, answer in answers.items()}
        return {name: grpc.unary_unary_rpc_method_handler(call) for name, call in calls.items()} | {
            "ModelInfer": grpc.unary_unary_rpc_method_handler(self._infer)
        }

    async def _infer(self, message: bytes, context: Context) -> bytes:
        """Answer a prediction request and tell the observers."""
        exchange = _exchange(context)
        size = len(message)
        self._buffered += size
        self.open_calls += 1
        answer = b""
        refused: KubelineError | None = None
        try:
            if self._buffered > self._limits.buffered_bytes:
                raise Overloaded("the server holds as many requests as its memory allows; try again later")
            call = _Call(self._v2, self._model.name, self._model.version, message, exchange)
            answer = await self._engine.answer(exchange, size, call.parse, call.serialise)
            exchange.status = 200
        except KubelineError as error:
            refused = error
            exchange.status, exchange.error = _status(error), sentence(error)
        except asyncio.CancelledError:
            expired = context.time_remaining() == 0
            exchange.status = 504 if expired else _CLIENT_LEFT
            exchange.error = "the call's deadline passed" if expired else "the client cancelled the call"
            raise
        finally:
            self._buffered -= size
            self.open_calls -= 1
            exchange.request_id = exchange.request_id or new_id()
            exchange.total_seconds = perf_counter() - exchange.arrived
            for observer in self._observers:
                observer.record(exchange)
        if refused is not None:
            await _refuse(context, refused, exchange.request_id)
        return answer

    async def _answer(self, request: type[Message], answer: Handler, message: bytes, context: Context) -> bytes:
        """Answer a call that predicts nothing."""
        try:
            asked = _parsed(request, message)
            # loading verifies every file of the package: not on the event loop
            told = await asyncio.to_thread(answer, asked) if answer == self._load else answer(asked)
            return told.SerializeToString()
        except KubelineError as error:
            refused = error
        except Exception as error:  # nothing above is expected to fail, and no client is shown a traceback
            logger.exception("%s failed", request.__name__, exc_info=error)
            refused = BrokenModel("the server failed on this request; its log tells why")
        await _refuse(context, refused)
        return b""

    @property
    def _ready(self) -> bool:
        return self._model.ready and not self.draining

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
        self._limits.check_control()
        check_model(name, "", self._model.name, self._model.version)


class _Call:
    """One ModelInfer: its message to inputs, and predictions to its answer."""

    __slots__ = ("_exchange", "_message", "_name", "_v2", "_version", "_wanted")

    def __init__(self, v2: V2, name: str, version: str, message: bytes, exchange: Exchange):
        self._v2, self._name, self._version = v2, name, version
        self._message, self._exchange = message, exchange
        self._wanted = Wanted()

    def parse(self) -> Inputs:
        """The inputs of the request.

        Raises:
            UserError: names the tensor that is malformed.
            NotFound: when it asks for another model or version.
        """
        request = _parsed(messages.ModelInferRequest, self._message)
        exchange = self._exchange
        exchange.request_id = exchange.request_id or usable(request.id) or new_id()
        check_model(request.model_name, request.model_version, self._name, self._version)
        names = [output.name for output in request.outputs]
        self._v2.check_outputs(names)
        self._wanted = Wanted(request.id, names)
        return self._v2.inputs(columns_of(request))

    def serialise(self, predictions: Predictions) -> bytes:
        """The answer, its tensors as raw bytes."""
        response = messages.ModelInferResponse(
            model_name=self._name, model_version=self._version, id=self._wanted.id or self._exchange.request_id
        )
        raws = []
        for name, values in self._v2.outputs(predictions, self._wanted.names).items():
            output = response.outputs.add(name=name, datatype=datatype_of(values), shape=values.shape)
            for key, value in self._v2.parameters(name).items():
                output.parameters[key].string_param = value
            raws.append(encode_raw(values))
        response.raw_output_contents.extend(raws)
        return response.SerializeToString()


def columns_of(request: messages.ModelInferRequest) -> dict[str, Values]:
    """The columns of a request, whose tensors are raw or typed.

    Raises:
        UserError: names the tensor that is malformed.
    """
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise UserError(
            f"the request has {len(request.inputs)} inputs, but {len(raws)} raw_input_contents; send one for each "
            "input, in the same order, or none"
        )
    columns: dict[str, Values] = {}
    for place, tensor in enumerate(request.inputs):
        name, datatype = tensor.name, tensor.datatype
        if name in columns:
            raise UserError(f"input '{name}' is given twice")
        shape = tensor.shape
        # the two usual shapes without the detour by a list
        usual = shape and shape[0] > 0 and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))
        count = shape[0] if usual else rows_of(name, list(shape))
        if not raws:
            columns[name] = _contents(name, datatype, tensor.contents, count)
        elif tensor.HasField("contents"):
            raise UserError(f"input '{name}' has contents beside the raw_input_contents of the request; send either")
        else:
            columns[name] = decode_raw(name, datatype, raws[place], count)
    return columns


def check_model(name: str, version: str, served: str, served_version: str) -> None:
    """Refuse another model or version than is served; an empty version is any."""
    if name != served:
        raise NotFound(f"there is no model '{name[:60]}' here; there is: {served}")
    if version and version != served_version:
        raise NotFound(f"model '{served}' has no version '{version[:60]}' here; it has: {served_version}")


def _contents(name: str, datatype: str, contents: messages.InferTensorContents, count: int) -> Values:
    field = _CONTENTS.get(datatype)
    if field is None:
        if datatype == "FP16":
            raise UserError(f"input '{name}' has datatype FP16, which the protocol has raw only: raw_input_contents")
        raise unknown_datatype(name, datatype)
    values = list(getattr(contents, field))
    if len(values) != count:
        raise UserError(
            f"input '{name}' has {len(values)} values in {field}, but its shape tells {count}; {datatype} goes there, "
            "or into raw_input_contents"
        )
    if datatype == "FP32":
        return np.array(values, dtype=np.float32)  # what they were, before Python had them
    if datatype != "BYTES":
        return values
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise UserError(f"input '{name}' holds bytes that are not UTF-8 text") from error


def _parsed(kind: type[Any], message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise UserError(f"the message is not a {kind.__name__} of {_SERVICE}: {error}") from error


def _exchange(context: Context) -> Exchange:
    """The beginning of an exchange; its request id is empty unless the call's metadata has one."""
    request_id = trace = state = ""
    for key, value in context.invocation_metadata() or ():
        if key == "x-request-id":
            request_id = str(value)
        elif key == "traceparent":
            trace = f"{trace},{value}" if trace else str(value)
        elif key == "tracestate":
            state = f"{state},{value}" if state else str(value)
    traceparent, tracestate = trace_context(trace.encode(), state.encode()) if trace else ("", "")
    own = usable(request_id)
    return Exchange("grpc", own, traceparent, tracestate, time.time(), perf_counter())


async def _refuse(context: Context, error: KubelineError, request_id: str = "") -> None:
    """End a call with the status that says why, and one sentence; raises what makes gRPC leave the call."""
    metadata = [("x-request-id", request_id)] if request_id else []
    if isinstance(error, Overloaded):  # gRPC's own retries wait for so long
        metadata.append(("grpc-retry-pushback-ms", str(error.retry_after_seconds * 1000)))
    code = _CODES.get(_status(error), grpc.StatusCode.INTERNAL)
    words = sentence(error)
    await context.abort(code, words if words.isascii() else words[:_LONGEST_ESCAPED], tuple(metadata))


def _status(error: KubelineError) -> int:
    return error.status if isinstance(error, RequestRefused) else 400
