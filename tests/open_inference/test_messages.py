"""The protocol's messages: generated from the .proto, and the same as KServe's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kubeline.open_inference import generate, grpc_predict_v2_pb2

LOAD_BOTH = """
import {first} as a
import {second} as b
request = b.ModelInferRequest(id="42", inputs=[b.ModelInferRequest.InferInputTensor(name="x")])
assert isinstance(request, a.ModelInferRequest)
assert a.ModelInferRequest.FromString(request.SerializeToString()) == request
"""
OURS = "kubeline.open_inference.grpc_predict_v2_pb2"
KSERVES = "kserve.protocol.grpc.grpc_predict_v2_pb2"


def essence(folder: Path) -> tuple[list[str], ...]:
    """What is generated, whatever the generator's version: messages, their types, and the methods of the service."""
    messages, types, methods = [(folder / name).read_text(encoding="utf-8") for name in generate.MODULES]
    return (
        re.findall(r"AddSerializedFile\((.*)\)", messages),
        re.findall(r"class (\w+)|^ +(\w+: .*)$", types, re.MULTILINE),
        re.findall(r"'(/inference\.\w+/\w+)'", methods),
        re.findall(r"pb2\.(\w+\.\w+)", methods),
        re.findall(r"^(.*import grpc_predict_v2_pb2 .*)$", methods, re.MULTILINE),
    )


def test_the_committed_modules_are_those_of_the_proto(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    committed = essence(generate.HERE)
    assert all(committed)
    assert committed == essence(tmp_path)


def test_a_module_edited_by_hand_or_absent_is_told(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    assert generate.stale_modules(tmp_path) == []
    messages, _, methods = (tmp_path / name for name in generate.MODULES)
    messages.write_text(messages.read_text(encoding="utf-8") + "edited = True\n", encoding="utf-8")
    methods.unlink()
    assert generate.stale_modules(tmp_path) == [messages.name, methods.name]


def test_the_messages_are_those_of_kserve_to_the_byte() -> None:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as kserves

    assert grpc_predict_v2_pb2.DESCRIPTOR.serialized_pb == kserves.DESCRIPTOR.serialized_pb


@pytest.mark.parametrize(("first", "second"), [(OURS, KSERVES), (KSERVES, OURS)])
def test_one_process_holds_both(first: str, second: str) -> None:
    script = LOAD_BOTH.format(first=first, second=second)
    subprocess.run([sys.executable, "-c", script], check=True)
