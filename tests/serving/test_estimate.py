"""What a request takes in memory is known from its bytes, and never less than it takes."""

import json
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.serving.grpc_frames import field, inside
from kubeline.open_inference.grpc_predict_v2_pb2 import ModelInferRequest
from kubeline_serving.codec.estimate import check_json, check_message
from kubeline_serving.errors import TooLarge
from kubeline_serving.limits import RequestLimits
from tests.serving.json_values import TEXTS, VALUES

MAX = 12 * 2**20  # a sixteenth of the server's, for bodies of a megabyte


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[' + b"[]," * 340_000 + b"[]]}",
        b'{"instances":[[' + b"[]," * 340_000 + b"[]]]}",
        b'{"inputs":[' + b'{"":0},' * 150_000 + b"{}]}",
        b'{"instances":[[' + b'"ab",' * 200_000 + b'""]]}',
        b'{"instances":[[' + b"1," * 500_000 + b"1]]}",
        b"[" * 1_000_000,
        ('"' + "x" * 4_000_000 + "😀" + '"').encode(),
        b'"' + b"x" * 4_000_000 + b'\\ud83d\\ude00"',
    ],
    ids=["lists", "lists in a row", "records", "short texts", "numbers", "nested", "wide text", "escaped wide text"],
)
def test_a_body_that_would_become_many_times_as_large_is_refused_from_its_bytes(body: bytes) -> None:
    with pytest.raises(TooLarge, match=r"the request has [\d,]+ values, which would take [\d,]+ MiB of memory"):
        check_json(body, MAX)


ROW = (10, 4, 1095, 1270, "B6", "JFK", "BOS", 187, 55.9, 46.0, 69.3, 190, 12.7, None, 0.0, 1013.2, 10.0)


@pytest.mark.parametrize("form", ["lists", "records"])
def test_as_many_rows_as_the_server_takes_are_taken(form: str) -> None:
    rows = 100_000 if form == "lists" else 60_000  # which have 16 MB
    row = list(ROW) if form == "lists" else {f"column_{place}": value for place, value in enumerate(ROW)}
    check_json(orjson.dumps({"instances": [row] * rows}), RequestLimits.parsed_bytes, 100_000)


def test_one_row_more_than_the_server_takes_is_refused_from_the_bytes() -> None:
    body = orjson.dumps({"instances": [["x", {"more": [1]}]] * 1001})
    check_json(body, MAX, 1001)
    with pytest.raises(TooLarge, match="the request has 1,001 rows, but the server takes at most 1,000; split it"):
        check_json(body, MAX, 1000)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(VALUES, max_size=3) | st.dictionaries(TEXTS, VALUES, max_size=3), max_size=6))
def test_rows_are_counted_whatever_stands_in_their_texts(rows: list[Any]) -> None:
    for body in (json.dumps({"instances": rows}).encode(), orjson.dumps({"instances": rows})):
        check_json(body, MAX, len(rows))
        if rows:
            with pytest.raises(TooLarge, match=f"has {len(rows)} rows"):
                check_json(body, MAX, len(rows) - 1)


def size_of(value: Any) -> int:
    """Bytes of a parsed value and of all in it, an equal one counted each time."""
    own = sys.getsizeof(value)
    if isinstance(value, dict):
        return own + sum(size_of(key) + size_of(item) for key, item in value.items())
    return own + sum(map(size_of, value)) if isinstance(value, list) else own


@settings(max_examples=150, deadline=None)
@given(value=VALUES)
def test_a_body_takes_no_more_memory_than_is_estimated(value: Any) -> None:
    for body in (json.dumps(value).encode(), orjson.dumps(value)):
        with pytest.raises(TooLarge):
            check_json(body, size_of(value) - 100)  # bytes of the outermost value, which no sign announces


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=300) | TEXTS.map(str.encode))
def test_what_is_no_json_is_left_to_the_reader(body: bytes) -> None:
    check_json(body, MAX, 1000)


@pytest.mark.parametrize(
    "message",
    [
        b"\x2a\x00" * 470_000,
        b"\x32\x00" * 470_000,
        b"\x22\x00" * 470_000,
        b"\x53\x54" + b"\x2a\x00" * 470_000,
        inside(5, 3, b"\x01" * 940_000),
        field(5, b"\x18\x01" * 470_000),
        inside(5, 5, b"\x42\x00" * 470_000),
        inside(5, 5, field(3, b"\x01" * 940_000)),
        inside(6, 2, b"", 230_000),
    ],
    ids=[
        *("inputs", "outputs", "parameters", "inputs behind a group", "dimensions", "dimensions one by one"),
        *("texts", "whole numbers", "parameters of an output"),
    ],
)
def test_a_message_with_millions_of_empty_parts_is_refused_from_its_bytes(message: bytes) -> None:
    with pytest.raises(TooLarge, match=r"the request has [\d,]+ values, which would take [\d,]+ MiB of memory"):
        check_message(message, MAX)


@pytest.mark.parametrize("raw", [True, False])
def test_as_many_rows_as_the_server_takes_are_taken_over_grpc(raw: bool) -> None:
    request = ModelInferRequest(model_name="flights")
    for place in range(17):
        tensor = request.inputs.add(name=f"column {place}", datatype="BYTES" if place < 3 else "FP32", shape=[100_000])
        if raw:
            request.raw_input_contents.append(b"\2\0\0\0AA" * 100_000 if place < 3 else bytes(400_000))
        elif place < 3:
            tensor.contents.bytes_contents.extend([b"AA"] * 100_000)
        else:
            tensor.contents.fp32_contents.extend([1.5] * 100_000)
    check_message(request.SerializeToString(), RequestLimits.parsed_bytes, 100_000)


@pytest.mark.parametrize(
    "contents",
    [field(8, b"AA") * 1_001, field(3, b"\x01" * 1_001), field(6, bytes(4_004)), field(7, bytes(8_008))],
    ids=["texts", "whole numbers", "FP32", "FP64"],
)
def test_one_row_more_than_the_server_takes_is_refused_from_the_bytes_of_a_message(contents: bytes) -> None:
    message = field(5, field(1, b"amount") + field(5, contents))
    check_message(message, MAX, 1_001)
    with pytest.raises(TooLarge, match="the request has 1,001 rows, but the server takes at most 1,000; split it"):
        check_message(message, MAX, 1_000)


@pytest.mark.parametrize(
    "message",
    [field(4, field(1, b"name")) * 200_000, field(7, b"") * 200_000, b"\x53\x54" * 100_000, b"\x50\x01" * 200_000],
    ids=["parameters", "raw contents", "groups", "unknown fields"],
)
def test_more_parts_than_any_honest_request_has_are_refused_though_they_are_small(message: bytes) -> None:
    with pytest.raises(TooLarge, match=r"the request has 1\d\d,\d{3} values"):
        check_message(message, RequestLimits.parsed_bytes)


@settings(max_examples=150, deadline=None)
@given(message=st.binary(max_size=200))
def test_what_is_no_message_is_left_to_protobuf(message: bytes) -> None:
    check_message(message, MAX)
    check_message(b"\x2a" + bytes([len(message) % 128]) + message, MAX)
