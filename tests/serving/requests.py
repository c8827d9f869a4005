"""One row as each protocol sends it."""

import asyncio

from kserve import InferenceGRPCClient, InferInput, InferRequest, InferResponse

from tests.support.served import Served

RECORD = {"amount": 1.5, "carrier": "AA", "rush": True, "departure": "2013-01-01T06:00:00"}


TENSORS = [
    {"name": "amount", "shape": [1, 1], "datatype": "FP32", "data": [1.5]},
    {"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": ["AA"]},
    {"name": "rush", "shape": [1, 1], "datatype": "BOOL", "data": [True]},
    {"name": "departure", "shape": [1, 1], "datatype": "BYTES", "data": ["2013-01-01T06:00:00"]},
]


def ask_grpc(served: Served, tensors: list[InferInput]) -> InferResponse:
    async def ask() -> InferResponse:
        client = InferenceGRPCClient(url=f"127.0.0.1:{served.grpc_port}", channel_args=[("grpc.enable_http_proxy", 0)])
        try:
            return await client.infer(InferRequest(served.name, tensors))
        finally:
            await client.close()

    return asyncio.run(ask())
