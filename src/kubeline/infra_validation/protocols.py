"""The three ways to ask a KServe model server: v1 and v2 over HTTP, v2 over gRPC."""

import http.client
import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from kubeline.infra_validation.golden import GoldenRows
from kubeline.infra_validation.server import RunningServer
from kubeline.model_package import Predictions

_REQUEST_SECONDS = 10.0


class RefusedError(Exception):
    """The server answered with an error, or not at all: one sentence."""


class Client(Protocol):
    """A way to ask; a request is prepared once and may be sent many times."""

    name: str

    def prepare(self, golden: GoldenRows, rows: Sequence[int]) -> Any:
        """The request for some of the rows."""

    def send(self, request: Any) -> Any:
        """Send it and wait for the answer.

        Raises:
            RefusedError: when it is an error, or does not come.
        """

    def read(self, answer: Any, golden: GoldenRows) -> Predictions:
        """The predictions of an answer."""

    def close(self) -> None:
        """Close the connection."""


class HttpClient:
    """One connection that is kept open; the subclasses know the protocols."""

    name = ""
    path = ""  # of the URL, with a place for the name of the model

    def __init__(self, server: RunningServer):
        self._model_name = server.model_name
        self._path = self.path.format(server.model_name)
        self._connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=_REQUEST_SECONDS)

    def send(self, request: bytes) -> bytes:
        """POST the body; see :class:`Client`."""
        try:
            self._connection.request("POST", self._path, request, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RefusedError(f"{self.name} did not answer: {type(error).__name__} {error}") from error
        if response.status != 200:
            raise RefusedError(f"{self.name} answered {response.status}: {body[:500].decode(errors='replace')}")
        return body

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class V1Client(HttpClient):
    """KServe v1: rows as records."""

    name = "v1 HTTP"
    path = "/v1/models/{}:predict"

    def prepare(self, golden: GoldenRows, rows: Sequence[int]) -> bytes:
        """See :class:`Client`."""
        return json.dumps({"instances": [golden.records[row] for row in rows]}).encode()

    def read(self, answer: bytes, golden: GoldenRows) -> Predictions:
        """See :class:`Client`."""
        body = json.loads(answer)
        probabilities = body.get("probabilities")
        return Predictions(
            _labels(body["predictions"], golden), None if probabilities is None else np.array(probabilities, np.float64)
        )


class V2Client(HttpClient):
    """The Open Inference Protocol over HTTP: one JSON tensor for each column, in reverse order."""

    name = "v2 HTTP"
    path = "/v2/models/{}/infer"

    def prepare(self, golden: GoldenRows, rows: Sequence[int]) -> bytes:
        """See :class:`Client`."""
        body, _ = _infer_request(self._model_name, golden, rows, missing_number=None).to_rest()
        return json.dumps(body).encode()

    def read(self, answer: bytes, golden: GoldenRows) -> Predictions:
        """See :class:`Client`."""
        from kserve import InferResponse

        return _predictions(InferResponse.from_rest(json.loads(answer)), golden)


class GrpcClient:
    """The Open Inference Protocol over gRPC."""

    name = "v2 gRPC"

    def __init__(self, server: RunningServer):
        import grpc
        from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

        self._model_name = server.model_name
        options = [("grpc.enable_http_proxy", 0)]  # a proxy for the outside must not take calls to this machine
        self._channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options)
        self._stub = GRPCInferenceServiceStub(self._channel)

    def prepare(self, golden: GoldenRows, rows: Sequence[int]) -> Any:
        """See :class:`Client`."""
        return _infer_request(self._model_name, golden, rows, missing_number=float("nan")).to_grpc()

    def send(self, request: Any) -> Any:
        """Call ModelInfer; see :class:`Client`."""
        import grpc

        try:
            return self._stub.ModelInfer(request, timeout=_REQUEST_SECONDS, wait_for_ready=True)
        except grpc.RpcError as error:
            raise RefusedError(f"{self.name} answered {error.code().name}: {error.details()}") from error

    def read(self, answer: Any, golden: GoldenRows) -> Predictions:
        """See :class:`Client`."""
        from kserve import InferResponse

        return _predictions(InferResponse.from_grpc(answer), golden)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def clients(server: RunningServer) -> list[Client]:
    """One client for each protocol."""
    return [V1Client(server), V2Client(server), GrpcClient(server)]


def _infer_request(name: str, golden: GoldenRows, rows: Sequence[int], missing_number: float | None) -> Any:
    """Text that is missing is ``""``; a missing number is null in JSON and NaN in gRPC, which has no null."""
    from kserve import InferInput, InferRequest

    inputs = []
    for feature in reversed(golden.signature.features):
        text = feature.kind in ("category", "datetime")
        missing = "" if text else missing_number
        values = [golden.records[row][feature.name] for row in rows]
        data = [missing if value is None else value if text else float(value) for value in values]
        inputs.append(InferInput(feature.name, [len(rows), 1], "BYTES" if text else "FP64", data))
    return InferRequest(name, inputs, request_id="golden")


def _predictions(response: Any, golden: GoldenRows) -> Predictions:
    outputs = {output.name: output for output in response.outputs}
    probability = outputs.get("probability")
    values = [value.decode() if isinstance(value, bytes) else value for value in outputs["prediction"].as_numpy()]
    return Predictions(
        _labels(values, golden), None if probability is None else probability.as_numpy().astype(np.float64)
    )


def _labels(values: Sequence[Any], golden: GoldenRows) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float64 if golden.signature.classes is None else object)
