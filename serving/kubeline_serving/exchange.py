"""One request and its answer, as the observers (metrics, logs, traces, payload log) see them."""

from dataclasses import dataclass
from typing import Literal, Protocol

from kubeline.model_package.predictor import Predictions
from kubeline_serving.codec.inputs import Inputs

ProtocolName = Literal["v1", "v2", "grpc", "explain"]  # the last is v1's verb, whose answers take far longer
PayloadOutcome = Literal["written", "dropped", "failed", "sampled_out"]  # of rows, in the payload log


@dataclass(slots=True)
class Exchange:
    """A request from its arrival to its answer.

    Attributes:
        protocol: how it came.
        request_id: the client's (header ``X-Request-Id``, or the id of a v2 request), or a new one.
        traceparent: W3C trace context of the request, valid; empty without one.
        tracestate: the vendor part of it; empty without one.
        time: when it arrived, Unix seconds.
        arrived: the same by ``time.perf_counter``.
        status: HTTP status of the answer; for gRPC the equivalent one.
        error: the sentence of a refusal; empty for an answer.
        rows: of the request; 0 when it was refused before they were counted.
        inputs: what the model reads; None when refused before.
        predictions: the answer; None when refused, and of an explanation, whose rows are no predictions asked for.
        queue_seconds: waited before work began.
        parse_seconds: body to inputs.
        predict_seconds: in ONNX Runtime; of the whole batch when requests were answered together.
        serialise_seconds: predictions to bytes.
        total_seconds: arrival to answer.
    """

    protocol: ProtocolName
    request_id: str
    traceparent: str
    tracestate: str
    time: float
    arrived: float
    status: int = 0
    error: str = ""
    rows: int = 0
    inputs: Inputs | None = None
    predictions: Predictions | None = None
    queue_seconds: float = 0.0
    parse_seconds: float = 0.0
    predict_seconds: float = 0.0
    serialise_seconds: float = 0.0
    total_seconds: float = 0.0


class Observer(Protocol):
    """Receives every exchange."""

    def record(self, exchange: Exchange) -> None:
        """Record an exchange; called on the event loop: it takes microseconds, never blocks and never raises."""

    def close(self) -> None:
        """Finish what was recorded; called once, in a thread, when no more requests come."""


_GRPC_CODES = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    431: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def grpc_code(status: int) -> str:
    """The name of gRPC's status for one of HTTP."""
    return _GRPC_CODES.get(status, "INTERNAL")
