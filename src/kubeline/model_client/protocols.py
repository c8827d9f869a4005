"""The three ways to ask a KServe model server: v1 and v2 over HTTP, v2 over gRPC."""

import http.client
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import numpy as np

from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.server import RunningServer
from kubeline.model_package import Predictions
from kubeline.open_inference.tensors import DTYPES, decode_raw, encode_raw
from kubeline.typing import Array

T = TypeVar("T")

_REQUEST_SECONDS = 10.0
_BUSY_SECONDS = 30.0  # for which a server on this machine may say that it is overloaded: the machine may be
_REQUEST_ID = "golden"


class RequestFailedError(Exception):
    """The server answered with an error, or not at all: one sentence."""


class _BusyError(RequestFailedError):
    """The server is overloaded, and says after how many seconds to ask again."""

    def __init__(self, sentence: str, seconds: float):
        super().__init__(sentence)
        self.seconds = seconds


def _when_not_busy(ask: Callable[[], T]) -> T:
    """The answer, asked for again as the server says while it is overloaded."""
    latest = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return ask()
        except _BusyError as error:
            if time.monotonic() + error.seconds > latest:
                raise
            time.sleep(error.seconds)


class Transport(Protocol):
    """How HTTP requests reach a server."""

    def post(self, path: str, body: bytes) -> bytes:
        """POST JSON, and return the body of the response.

        Raises:
            RequestFailedError: when there is no response, or its status is not 200.
        """

    def close(self) -> None:
        """Close the connection."""


class LocalTransport:
    """One kept-alive connection to a server on this machine, without overhead, because its time is measured.

    A server that is overloaded is asked again, as it says: this machine is busy, which says nothing of the model.
    """

    def __init__(self, port: int):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_SECONDS)

    def post(self, path: str, body: bytes) -> bytes:
        """See :class:`Transport`."""
        return _when_not_busy(lambda: self._post(path, body))

    def _post(self, path: str, body: bytes) -> bytes:
        try:
            self._connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RequestFailedError(f"no response to {path}: {type(error).__name__} {error}") from error
        if response.status == http.HTTPStatus.SERVICE_UNAVAILABLE and (wait := response.getheader("Retry-After")):
            raise _BusyError(status_sentence(path, response.status, content), float(wait))
        if response.status != 200:
            raise RequestFailedError(status_sentence(path, response.status, content))
        return content

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def status_sentence(where: str, status: int, body: bytes) -> str:
    """The sentence about a response that is an error."""
    return f"{where} answers {status}: {' '.join(body[:500].decode(errors='replace').split())[:300]}"


class HttpClient:
    """Sends the requests of a protocol over HTTP; the subclasses know the bodies.

    Args:
        model: its name.
        transport: to the server.
    """

    name = ""
    path = ""  # of the URL, with a place for the name of the model

    def __init__(self, model: str, transport: Transport):
        self._path = self.path.format(quote(model, safe=""))
        self._transport = transport

    def send(self, request: bytes) -> bytes:
        """POST the body, which may be sent many times, and wait for the response.

        Raises:
            RequestFailedError: when it is an error, or does not come.
        """
        return self._transport.post(self._path, request)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class V1Client(HttpClient):
    """KServe v1: rows as records."""

    name = "v1 HTTP"
    path = "/v1/models/{}:predict"

    def prepare(self, golden: GoldenRows, rows: Sequence[int]) -> bytes:
        """The request for some of the rows."""
        return json.dumps({"instances": [golden.records[row] for row in rows]}).encode()

    def read(self, answer: bytes, golden: GoldenRows) -> Predictions:
        """The predictions of a response."""
        body = json.loads(answer)
        probabilities = body.get("probabilities")
        return Predictions(
            _labels(body["predictions"], golden), None if probabilities is None else _probabilities(probabilities)
        )


class V2Client(HttpClient):
    """The Open Inference Protocol over HTTP: one JSON tensor for each column, in reverse order."""

    name = "v2 HTTP"
    path = "/v2/models/{}/infer"

    def prepare(self, golden: GoldenRows, rows: Sequence[int]) -> bytes:
        """As of :class:`V1Client`."""
        inputs = [
            {"name": name, "shape": [len(rows), 1], "datatype": datatype, "data": values}
            for name, datatype, values in _columns(golden, rows, missing_number=None)
        ]
        return json.dumps({"id": _REQUEST_ID, "inputs": inputs}).encode()

    def read(self, answer: bytes, golden: GoldenRows) -> Predictions:
        """As of :class:`V1Client`."""
        outputs = {output["name"]: output for output in json.loads(answer)["outputs"]}
        probability = outputs.get("probability")
        return Predictions(
            _labels(outputs["prediction"]["data"], golden),
            None if probability is None else _probabilities(probability["data"]).reshape(probability["shape"]),
        )


class GrpcClient:
    """The Open Inference Protocol over gRPC."""

    name = "v2 gRPC"

    def __init__(self, server: RunningServer):
        import grpc

        from kubeline.open_inference.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse

        self._model_name = server.model_name
        options = [("grpc.enable_http_proxy", 0)]  # a proxy for the outside must not take calls to this machine
        self._channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options)
        self._infer = self._channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelInferResponse.FromString,
        )

    def prepare(self, golden: GoldenRows, rows: Sequence[int]) -> Any:
        """As of :class:`V1Client`."""
        from kubeline.open_inference.grpc_predict_v2_pb2 import ModelInferRequest

        request = ModelInferRequest(model_name=self._model_name, id=_REQUEST_ID)
        for name, datatype, values in _columns(golden, rows, missing_number=math.nan):
            request.inputs.add(name=name, shape=[len(rows), 1], datatype=datatype)
            raw = encode_raw(values if datatype == "BYTES" else np.array(values, DTYPES[datatype]))
            request.raw_input_contents.append(raw)
        return request

    def send(self, request: Any) -> Any:
        """Call ModelInfer; an overloaded server is asked again, as by :class:`LocalTransport`."""
        return _when_not_busy(lambda: self._send(request))

    def _send(self, request: Any) -> Any:
        import grpc

        try:
            return self._infer(request, timeout=_REQUEST_SECONDS, wait_for_ready=True)
        except grpc.RpcError as error:
            sentence = f"{self.name} answered {error.code().name}: {error.details()}"
            if (wait := dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms")) is not None:
                raise _BusyError(sentence, float(wait) / 1000) from error
            raise RequestFailedError(sentence) from error

    def read(self, answer: Any, golden: GoldenRows) -> Predictions:
        """As of :class:`V1Client`."""
        outputs = {
            output.name: _decoded(output, raw)
            for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }
        probability = outputs.get("probability")
        return Predictions(
            _labels(outputs["prediction"], golden), None if probability is None else probability.astype(np.float64)
        )

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


Client = V1Client | V2Client | GrpcClient


def clients(server: RunningServer) -> list[Client]:
    """One client for each protocol."""
    v1, v2 = (kind(server.model_name, LocalTransport(server.http_port)) for kind in (V1Client, V2Client))
    return [v1, v2, GrpcClient(server)]


def http_client(protocol: str, model: str, transport: Transport) -> V1Client | V2Client:
    """A client of a protocol over HTTP: ``v1`` or ``v2``; gRPC is asked as v2, which the server speaks too."""
    return (V1Client if protocol == "v1" else V2Client)(model, transport)


def _columns(
    golden: GoldenRows, rows: Sequence[int], missing_number: float | None
) -> Iterator[tuple[str, str, list[Any]]]:
    """Name, datatype and values of each column, last column first.

    Text that is missing is ``""``; a missing number is null in JSON and NaN in gRPC, which has no null.
    """
    for feature in reversed(golden.signature.features):
        text = feature.kind in ("category", "datetime")
        missing = "" if text else missing_number
        values = [golden.records[row][feature.name] for row in rows]
        data = [missing if value is None else value if text else float(value) for value in values]
        yield feature.name, "BYTES" if text else "FP64", data


def _probabilities(values: Any) -> Array:
    """What JSON writes with the digits of float32, so that it is the same number again."""
    return np.array(values, np.float32).astype(np.float64)


def _decoded(output: Any, raw: bytes) -> Array:
    return np.array(decode_raw(output.name, output.datatype, raw, math.prod(output.shape))).reshape(output.shape)


def _labels(values: Sequence[Any] | Array, golden: GoldenRows) -> Array:
    return np.array(values, dtype=np.float64 if golden.signature.classes is None else object)
