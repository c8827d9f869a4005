"""Answers the same bytes to everything, to find the limit of the load generator itself.

python -m benchmarks.serving.peers.trivial --http_port N --grpc_port N
"""

import argparse
import asyncio

import grpc
import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class _Http(asyncio.Protocol):
    """One connection; a request is complete when as many bytes have come as it announces."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        length = self._received.find(b"Content-Length: ", 0, end)
        body = int(self._received[length + 16 : self._received.find(b"\r", length)]) if length > 0 else 0
        if len(self._received) >= end + body:
            self._received = b""
            self._transport.write(_ANSWER)  # type: ignore[attr-defined]


class _Grpc(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(_empty)


async def _empty(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return b"{}"


async def main(http_port: int, grpc_port: int) -> None:
    """Serve until killed."""
    server = grpc.aio.server(handlers=[_Grpc()])
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    http = await asyncio.get_running_loop().create_server(_Http, "127.0.0.1", http_port)
    await http.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--http_port", type=int, required=True)
    parser.add_argument("--grpc_port", type=int, required=True)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.http_port, arguments.grpc_port))
