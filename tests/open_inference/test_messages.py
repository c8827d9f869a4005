"""The protocol's messages are the same as KServe's."""

import subprocess
import sys

import pytest

from kubeline.open_inference import grpc_predict_v2_pb2

LOAD_BOTH = """
import {first} as a
import {second} as b
request = b.ModelInferRequest(id="42", inputs=[b.ModelInferRequest.InferInputTensor(name="x")])
assert isinstance(request, a.ModelInferRequest)
assert a.ModelInferRequest.FromString(request.SerializeToString()) == request
"""
OURS = "kubeline.open_inference.grpc_predict_v2_pb2"
KSERVES = "kserve.protocol.grpc.grpc_predict_v2_pb2"


def test_the_messages_are_those_of_kserve_to_the_byte() -> None:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as kserves

    assert grpc_predict_v2_pb2.DESCRIPTOR.serialized_pb == kserves.DESCRIPTOR.serialized_pb


@pytest.mark.parametrize(("first", "second"), [(OURS, KSERVES), (KSERVES, OURS)])
def test_one_process_holds_both(first: str, second: str) -> None:
    script = LOAD_BOTH.format(first=first, second=second)
    subprocess.run([sys.executable, "-c", script], check=True)
