"""The parts of ONNX's messages are ONNX's, and stand beside the onnx library."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import onnx
import pytest

from kubeline.model_package import onnx_parts_pb2

LOAD_BOTH = """
import {first}
import {second}
from kubeline.model_package.onnx_parts_pb2 import ModelProto
import onnx
model = onnx.ModelProto(graph=onnx.GraphProto(name="read", node=[onnx.NodeProto(op_type="Clip")]))
assert ModelProto.FromString(model.SerializeToString()).graph.node[0].op_type == "Clip"
"""
OURS = "kubeline.model_package.onnx_parts_pb2"


def messages(descriptor: Any) -> Iterator[Any]:
    for message in descriptor.values():
        yield message
        yield from messages(message.nested_types_by_name)


def test_every_field_is_one_of_onnx() -> None:
    left_as_bytes = "attribute"
    found = list(messages(onnx_parts_pb2.DESCRIPTOR.message_types_by_name))
    assert len(found) > 5
    for message in found:
        theirs = getattr(onnx, message.full_name.split(".")[2]).DESCRIPTOR
        for name in message.full_name.split(".")[3:]:
            theirs = theirs.nested_types_by_name[name]
        for field in message.fields:
            other = theirs.fields_by_name[field.name]
            assert (field.number, field.is_repeated, field.is_packed) == (
                other.number,
                other.is_repeated,
                other.is_packed,
            )
            if field.name != left_as_bytes and other.enum_type is None:
                assert field.type == other.type, field.full_name


@pytest.mark.parametrize(("first", "second"), [(OURS, "onnx"), ("onnx", OURS)])
def test_one_process_holds_both(first: str, second: str) -> None:
    subprocess.run([sys.executable, "-c", LOAD_BOTH.format(first=first, second=second)], check=True)
