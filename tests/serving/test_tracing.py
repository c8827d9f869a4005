"""Trace context is read as W3C says, and spans reach a real collector."""

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from kubeline.errors import UserError
from kubeline_serving.exchange import Exchange
from kubeline_serving.observability.tracing import Tracing, collector, trace_context
from tests.serving.traced import exchange

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
NOT_SAMPLED = f"00-{TRACE}-{SPAN}-00"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (SAMPLED, SAMPLED),
        (NOT_SAMPLED, NOT_SAMPLED),
        (f" {SAMPLED}\t", SAMPLED),
        (f"00-{TRACE}-{SPAN}-03", f"00-{TRACE}-{SPAN}-03"),
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{SPAN}-03"),
        (f"cc-{TRACE}-{SPAN}-01", SAMPLED),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", SAMPLED),
    ],
)
def test_a_valid_trace_parent_is_passed_on_in_the_version_that_is_known(header: str, expected: str) -> None:
    assert trace_context(header.encode()) == (expected, "")


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01more",
        f"0-{TRACE}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"{SAMPLED}\n",
        f"{SAMPLED},{SAMPLED}",
        f"00-{TRACE[:-1]}\u0663-{SPAN}-01",
    ],
)
def test_an_invalid_trace_parent_is_as_none_and_takes_the_state_with_it(header: str) -> None:
    assert trace_context(header.encode(), b"congo=1") == ("", "")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("congo=t61rcWkgMzE", "congo=t61rcWkgMzE"),
        ("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE ,", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ("fw529a3039@dt=FfD, a-_*/b= inner blank", "fw529a3039@dt=FfD,a-_*/b= inner blank"),
        (",".join(f"k{number}=1" for number in range(32)), ",".join(f"k{number}=1" for number in range(32))),
        ("", ""),
        ("congo", ""),
        ("congo=", ""),
        ("Congo=1", ""),
        ("congo=a=b", ""),
        ("congo=1,rojo=ü", ""),
        ("congo=1,congo=2", ""),
        (f"{'k' * 257}=1", ""),
        (f"k={'v' * 257}", ""),
        (",".join(f"k{number}=1" for number in range(33)), ""),
    ],
)
def test_trace_state_is_passed_on_when_all_of_it_is_valid(header: str, expected: str) -> None:
    assert trace_context(SAMPLED.encode(), header.encode("latin-1")) == (SAMPLED, expected)


def test_of_a_long_trace_state_the_long_members_go_first_and_then_the_last_ones() -> None:
    long, short = f"long={'v' * 200}", [f"k{number}={'v' * 95}" for number in range(6)]
    _, state = trace_context(SAMPLED.encode(), ",".join([long, *short]).encode())
    assert state == ",".join(short[:5])


@pytest.mark.parametrize(
    ("option", "environment", "expected"),
    [
        ("", {}, ""),
        ("http://collector:4318", {}, "http://collector:4318/v1/traces"),
        ("http://collector:4318/v1/traces", {}, "http://collector:4318/v1/traces"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp/base/"}, "https://otlp/base/v1/traces"),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://otlp/own"}, "https://otlp/own"),
        ("http://a", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://b"}, "http://a/v1/traces"),
        ("http://a", {"OTEL_SDK_DISABLED": "true"}, ""),
        ("http://a", {"OTEL_TRACES_EXPORTER": "none"}, ""),
    ],
)
def test_the_option_goes_before_the_standard_variables(option: str, environment: dict[str, str], expected: str) -> None:
    assert collector(option, environment) == expected


@pytest.mark.parametrize("address", ["collector:4318", "grpc://collector:4317", "http://"])
def test_an_address_that_is_none_is_refused_with_what_to_give(address: str) -> None:
    with pytest.raises(UserError, match=r"is no http address; give one as http://collector:4318"):
        collector(address, {})


class Collector:
    """An OTLP collector on this machine that keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        kept = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                kept.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def otlp() -> Iterator[Collector]:
    collecting = Collector()
    yield collecting
    collecting.stop()


def record(otlp: Collector, *exchanges: Exchange) -> list[Any]:
    """The spans that the collector has after these exchanges."""
    tracing = Tracing(collector(otlp.url), "flights", "0123456789ab")
    for each in exchanges:
        tracing.record(each)
    tracing.close()
    return otlp.spans()


def values(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


def test_an_exchange_is_one_server_span_with_its_phases(otlp: Collector) -> None:
    (span,) = record(otlp, exchange(SAMPLED, tracestate="congo=1"))
    assert (span.name, span.kind) == ("POST /v2/models/flights/infer", 2)
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, SPAN, "congo=1")
    assert span.end_time_unix_nano - span.start_time_unix_nano == 12_500_000
    assert values(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v2/models/flights/infer",
        "url.path": "/v2/models/flights/infer",
        "http.response.status_code": 200,
        "kubeline.model.name": "flights",
        "kubeline.model.version": "0123456789ab",
        "kubeline.request_id": "r-1",
        "kubeline.rows": 3,
    }
    phases = [
        (event.name, event.time_unix_nano - span.start_time_unix_nano, values(event.attributes))
        for event in span.events
    ]
    assert phases == [
        ("queue", 0, {"kubeline.duration": 0.001}),
        ("parse", 1_000_000, {"kubeline.duration": 0.002}),
        ("predict", 3_000_000, {"kubeline.duration": 0.003}),
        ("serialise", 6_000_000, {"kubeline.duration": 0.004}),
    ]
    resource = values(otlp.requests[0].resource_spans[0].resource.attributes)
    assert (resource["service.name"], resource["service.version"]) == ("flights", "0123456789ab")


def test_the_exchange_then_names_the_servers_own_span(otlp: Collector) -> None:
    with_parent, without = exchange(SAMPLED), exchange()
    spans = record(otlp, with_parent, without)
    own = [f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for span in spans]
    assert [with_parent.traceparent[:-2] + "01", without.traceparent[:-2] + "01"] == own
    assert with_parent.traceparent[3:35] == TRACE
    assert trace_context(without.traceparent.encode())[0]


def test_a_request_whose_parent_is_not_sampled_leaves_no_span(otlp: Collector) -> None:
    unsampled = exchange(NOT_SAMPLED)
    assert len(record(otlp, unsampled, exchange(SAMPLED))) == 1
    assert unsampled.traceparent[3:35] == TRACE
    assert unsampled.traceparent.endswith("-00")


def test_failures_are_errors_and_refusals_are_not(otlp: Collector) -> None:
    refused, failed = record(otlp, exchange(status=400), exchange(status=500))
    assert (refused.status.code, failed.status.code) == (0, 2)
    assert "error.type" not in values(refused.attributes)
    assert values(failed.attributes)["error.type"] == "500"


def test_grpc_has_the_attributes_of_rpc(otlp: Collector) -> None:
    fine, slow = record(otlp, exchange(protocol="grpc"), exchange(protocol="grpc", status=504))
    assert fine.name == "inference.GRPCInferenceService/ModelInfer"
    found = values(slow.attributes)
    assert (found["rpc.system.name"], found["rpc.response.status_code"]) == ("grpc", "DEADLINE_EXCEEDED")
    assert values(fine.attributes)["rpc.response.status_code"] == "OK"


@pytest.mark.slow
def test_a_collector_that_is_away_loses_spans_and_no_time_of_a_request() -> None:
    code = """
from kubeline_serving.observability.tracing import Tracing
from tests.serving.traced import exchange
tracing = Tracing("http://127.0.0.1:9/v1/traces", "flights", "0123456789ab")
for _ in range(5000): tracing.record(exchange())
print("recorded", flush=True)
tracing.close()
print("closed", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=240)
    assert done.stdout.split() == ["recorded", "closed"]


def test_the_sampler_of_the_standard_variables_is_used(otlp: Collector) -> None:
    code = f"""
from kubeline_serving.observability.tracing import Tracing
from tests.serving.traced import exchange
tracing = Tracing("{otlp.url}/v1/traces", "flights", "0123456789ab")
for _ in range(10): tracing.record(exchange())
tracing.close()
"""
    for sampler, expected in (("parentbased_always_off", 0), ("parentbased_always_on", 10)):
        environment = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_SERVICE_NAME": "mine"}
        subprocess.run([sys.executable, "-c", code], check=True, timeout=240, env=environment)
        assert len(otlp.spans()) == expected
    assert values(otlp.requests[0].resource_spans[0].resource.attributes)["service.name"] == "mine"


def test_the_sdk_is_imported_only_when_tracing_is_on() -> None:
    found = "[name for name in sys.modules if name.startswith('opentelemetry')]"
    code = f"import sys, kubeline_serving.observability.tracing; print({found})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=240)
    assert done.stdout.strip() == "[]"
