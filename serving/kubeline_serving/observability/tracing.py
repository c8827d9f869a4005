"""Trace context of requests (W3C), and spans to an OpenTelemetry collector when one is configured."""

import os
import re
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubeline.errors import UserError
from kubeline_serving.exchange import Exchange, grpc_code

if TYPE_CHECKING:
    from opentelemetry.context import Context

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_MEMBER = re.compile(r"([a-z0-9][a-z0-9_\-*/@]{0,255})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256}")
_MAX_MEMBERS = 32
_LONGEST_STATE = 512  # what the specification asks everyone to pass on
_LONG_MEMBER = 128
_PATH = "/v1/traces"
_CLOSE_SECONDS = 5.0

_ROUTES = {
    "v1": "/v1/models/{name}:predict",
    "explain": "/v1/models/{name}:explain",
    "v2": "/v2/models/{name}/infer",
}
_GRPC_METHOD = "inference.GRPCInferenceService/ModelInfer"


def trace_context(traceparent: bytes, tracestate: bytes | None = None) -> tuple[str, str]:
    """The trace context of a request; see https://www.w3.org/TR/trace-context-2/.

    Every request needs it, for log lines and events, and OpenTelemetry is there only where a collector is. Its
    propagator also takes twice the time, passes flags on that it does not know, and logs a client's malformed header.

    Args:
        traceparent: the header; of one that comes twice, both with a comma between them, which is not valid.
        tracestate: the header; of one that comes several times, all with commas between them.

    Returns:
        A valid ``traceparent`` of version 00 and its ``tracestate``; both empty when `traceparent` is not valid. Flags
        that version 00 does not know are 0. A ``tracestate`` that is not valid is left out whole; of one with more
        than 512 characters, members of more than 128 are left out first and then the last ones.
    """
    match = _TRACEPARENT.fullmatch(traceparent.strip(b" \t"))
    if match is None:
        return "", ""
    version, trace, parent, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more) or not trace.strip(b"0") or not parent.strip(b"0"):
        return "", ""
    known = int(flags, 16) & 0b11  # sampled, and random trace id
    valid = f"00-{trace.decode()}-{parent.decode()}-{known:02x}"
    return valid, _tracestate(tracestate.decode("latin-1")) if tracestate else ""


def _tracestate(header: str) -> str:
    members = [member for part in header.split(",") if (member := part.strip(" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in found if match is not None}
    if len(keys) < len(members) or len(members) > _MAX_MEMBERS:  # one is not valid, or two have one key
        return ""
    if _length(members) > _LONGEST_STATE:
        members = [member for member in members if len(member) <= _LONG_MEMBER]
        while _length(members) > _LONGEST_STATE:
            members.pop()
    return ",".join(members)


def _length(members: Sequence[str]) -> int:
    return sum(map(len, members)) + len(members) - 1


def collector(endpoint: str, environment: Mapping[str, str] = os.environ) -> str:
    """The address that spans are sent to; empty when tracing is off.

    Args:
        endpoint: option ``--otlp_endpoint``: base address of a collector that speaks OTLP over HTTP.
        environment: its ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` and ``OTEL_EXPORTER_OTLP_ENDPOINT`` count when there is
            no option; ``OTEL_SDK_DISABLED`` and ``OTEL_TRACES_EXPORTER=none`` switch tracing off.

    Raises:
        UserError: when it is no http or https address.
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return ""
    whole = "" if endpoint else environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    base = endpoint or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    address = whole or (base if not base or base.endswith(_PATH) else base.rstrip("/") + _PATH)
    if address and (urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname):
        raise UserError(
            f"the OpenTelemetry collector '{endpoint or whole or base}' is no http address; give one as "
            "http://collector:4318"
        )
    return address


class Tracing:
    """Sends a span for every sampled exchange; an Observer, and to be the first one.

    The first, because it makes its own span the ``traceparent`` of the exchange, so that log lines name the span that
    the tracing tool shows.

    Whether an exchange is sampled is decided by its parent's flag, and without a parent by ``OTEL_TRACES_SAMPLER``
    (all by default). Spans wait in a queue of ``OTEL_BSP_MAX_QUEUE_SIZE`` (2,048); a thread sends them in batches;
    when the collector does not answer, the oldest are dropped.

    Args:
        address: of :func:`collector`.
        model: its name.
        version: of the package.
    """

    def __init__(self, address: str, model: str, version: str):
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._api = trace
        resource = Resource.create({"service.name": model, "service.version": version})
        resource = resource.merge(OTELResourceDetector().detect())  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
        self._tracer = self._provider.get_tracer("kubeline.serving")
        self._routes = {protocol: route.format(name=model) for protocol, route in _ROUTES.items()}
        self._facts = {"kubeline.model.name": model, "kubeline.model.version": version}

    def record(self, exchange: Exchange) -> None:
        """Hand the span of an exchange to the thread that sends."""
        api = self._api
        start = int(exchange.time * 1e9)
        route = self._routes.get(exchange.protocol)
        span = self._tracer.start_span(
            f"POST {route}" if route else _GRPC_METHOD,
            context=self._parent(exchange),
            kind=api.SpanKind.SERVER,
            attributes=self._attributes(exchange, route),
            start_time=start,
        )
        context = span.get_span_context()
        exchange.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        if not span.is_recording():
            return
        after = start
        for phase in ("queue", "parse", "predict", "serialise"):
            seconds = getattr(exchange, f"{phase}_seconds")
            if seconds:
                span.add_event(phase, {"kubeline.duration": seconds}, after)
                after += int(seconds * 1e9)
        if exchange.status >= 500:
            span.set_status(api.StatusCode.ERROR)
        span.end(start + int(exchange.total_seconds * 1e9))

    def close(self) -> None:
        """Send the spans that wait, for 5 s at most."""
        sending = Thread(target=self._provider.shutdown, daemon=True)  # it may try for half a minute
        sending.start()
        sending.join(_CLOSE_SECONDS)

    def _parent(self, exchange: Exchange) -> "Context | None":
        """The span of the client as a context; None without one."""
        given = exchange.traceparent
        if not given:
            return None
        api = self._api
        state = api.TraceState.from_header([exchange.tracestate]) if exchange.tracestate else None
        flags = api.TraceFlags(int(given[53:], 16))
        parent = api.SpanContext(int(given[3:35], 16), int(given[36:52], 16), True, flags, state)
        context: Context = api.set_span_in_context(api.NonRecordingSpan(parent))
        return context

    def _attributes(self, exchange: Exchange, route: str | None) -> dict[str, Any]:
        """Names of the semantic conventions where they have one."""
        status = exchange.status
        attributes: dict[str, Any] = {
            **self._facts,
            "kubeline.request_id": exchange.request_id,
            "kubeline.rows": exchange.rows,
        }
        if route:
            attributes["http.request.method"] = "POST"
            attributes["http.route"] = attributes["url.path"] = route
            attributes["http.response.status_code"] = status
        else:
            attributes["rpc.system.name"] = "grpc"
            attributes["rpc.method"] = _GRPC_METHOD
            attributes["rpc.response.status_code"] = grpc_code(status)
        if status >= 500:
            attributes["error.type"] = str(status) if route else attributes["rpc.response.status_code"]
        return attributes
