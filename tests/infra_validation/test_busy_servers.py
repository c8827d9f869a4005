"""A server that is overloaded, since the machine is, is asked again as it says; what else it refuses is a failure."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from kubeline.model_client import protocols
from kubeline.model_client.protocols import GrpcClient, LocalTransport, RequestFailedError
from kubeline.model_client.server import RunningServer
from kubeline.open_inference.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse
from tests.support.http_servers import serving

Ask = Callable[[], str]


@contextmanager
def over_http(refusals: list[str | None]) -> Iterator[Ask]:
    """A client of a server that answers 503 as often, with these values of Retry-After, and then well."""

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            wait = refusals.pop(0) if refusals else ""
            self.send_response(200 if wait == "" else 503)
            if wait:
                self.send_header("Retry-After", wait)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"answer")

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with serving(Server) as url:
        transport = LocalTransport(urlsplit(url).port or 0)
        yield lambda: transport.post("/v1/models/tiny:predict", b"{}").decode()
        transport.close()


@contextmanager
def over_grpc(refusals: list[str | None]) -> Iterator[Ask]:
    """The same of a server of gRPC, where milliseconds stand in the call's last metadata."""

    def infer(request: ModelInferRequest, context: Any) -> ModelInferResponse:
        if refusals:
            if wait := refusals.pop(0):
                context.set_trailing_metadata([("grpc-retry-pushback-ms", str(int(float(wait) * 1000)))])
            context.abort(grpc.StatusCode.UNAVAILABLE, "answer")
        return ModelInferResponse(model_name="answer")

    method = grpc.unary_unary_rpc_method_handler(
        infer, ModelInferRequest.FromString, ModelInferResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(1))
    service = "inference.GRPCInferenceService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"ModelInfer": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    process: Any = None
    client = GrpcClient(RunningServer(process, "tiny", 0, port, Path()))
    try:
        yield lambda: str(client.send(ModelInferRequest()).model_name)
    finally:
        client.close()
        server.stop(None).wait()


@pytest.mark.parametrize("server", [over_http, over_grpc])
def test_an_overloaded_server_is_asked_again_as_it_says(server: Any) -> None:
    refusals: list[str | None] = ["0.01", "0.02"]
    with server(refusals) as ask:
        assert ask() == "answer"
    assert refusals == []


@pytest.mark.parametrize("server", [over_http, over_grpc])
def test_one_that_does_not_say_when_to_come_again_has_failed(server: Any) -> None:
    refusals: list[str | None] = [None, "0.01"]
    with server(refusals) as ask, pytest.raises(RequestFailedError, match=r"(503|UNAVAILABLE): answer"):
        ask()
    assert refusals == ["0.01"]


@pytest.mark.parametrize("server", [over_http, over_grpc])
def test_one_that_stays_overloaded_has_failed_in_the_end(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "_BUSY_SECONDS", 0.5)
    refusals: list[str | None] = ["0.1"] * 1000
    with server(refusals) as ask, pytest.raises(RequestFailedError, match=r"(503|UNAVAILABLE): answer"):
        ask()
    assert 2 <= 1000 - len(refusals) <= 6
