"""Bad input is answered with 4xx and a sentence that names the column; never with 500."""

import json
import struct
from typing import Any

import grpc
import pytest
from kserve import InferInput

from tests.serving.requests import RECORD, TENSORS, ask_grpc
from tests.support.served import Served

HUGE = "9" * 400


def record(**changes: Any) -> dict[str, Any]:
    return {"instances": [RECORD, {**RECORD, **changes}]}


def tensors(position: int, **changes: Any) -> dict[str, Any]:
    return {"inputs": [{**item, **(changes if index == position else {})} for index, item in enumerate(TENSORS)]}


V1: dict[str, tuple[Any, str]] = {
    "not JSON": (b"{", "not JSON"),
    "empty body": (b"", "not JSON"),
    "not UTF-8": (b'{"instances": "\xff"}', "not JSON"),
    "NaN but not JSON": (b'{"instances": NaN', "not JSON"),
    "deep nesting": (b"[" * 100_000 + b"NaN", "not JSON"),
    "a list": ([], '{"instances": [row, …]}'),
    "null": (None, '{"instances": [row, …]}'),
    "other keys": ({"rows": []}, '{"instances": [row, …]}'),
    "instances is text": ({"instances": "x"}, '"instances" is text'),
    "instances is a record": ({"instances": RECORD}, '"instances" is a record'),
    "no row": ({"instances": []}, "empty"),
    "scalars": ({"instances": [1, 2]}, "row 0 is a number"),
    "row too short": ({"instances": [[1, "AA", True]]}, "row 0 has 3 values, but the model takes 4"),
    "row too long": ({"instances": [[1, "AA", True, None, 5]]}, "row 0 has 5 values"),
    "mixed rows": ({"instances": [RECORD, [1, "AA", True, None]]}, "row 1 is a list"),
    "lists, then a record": ({"instances": [list(RECORD.values()), RECORD]}, "row 1 is a record"),
    "absent column": ({"instances": [{"amount": 1}]}, "column 'carrier' is absent in row 0"),
    "absent in one row": ({"instances": [RECORD, {}]}, "column 'amount' is absent in row 1"),
    "misspelt": ({"instances": [{**{k: v for k, v in RECORD.items() if k != "carrier"}, "carier": "AA"}]}, "'carier'"),
    "text for a number": (record(amount="12"), "column 'amount' takes numbers, but row 1 holds '99'"),
    "list for a number": (record(amount=[1]), "column 'amount' takes numbers, but row 1 holds [9]"),
    "record for a category": (record(carrier={"a": 1}), "column 'carrier' takes text, but row 1 holds {'a': 9}"),
    "number for a category": (record(carrier=7), "column 'carrier' takes text, but row 1 holds 9"),
    "true for a number": (record(amount=True), "column 'amount' takes numbers, but row 1 holds true or false"),
    "true for a number in a list": ({"instances": [[True, "AA", True, None]]}, "'amount' takes numbers, but row 0"),
    "false for a number in a column": (
        {"inputs": {"amount": [1, False], "carrier": ["AA"] * 2, "rush": [True] * 2, "departure": [None] * 2}},
        "column 'amount' takes numbers, but row 1 holds true or false",
    ),
    "number for a boolean": (record(rush=2), "column 'rush' takes true and false, but row 1 holds 9"),
    "text for a boolean": (record(rush="true"), "column 'rush' takes true and false, but row 1 holds 'aaaa'"),
    "number for a time": (record(departure=1357020000), "column 'departure' takes dates or times as ISO 8601"),
    "word for a time": (record(departure="yesterday"), "as ISO 8601 text, but row 1 holds 'aaaaaaaaa'"),
    "year 99999": (record(departure="99999-01-01"), "column 'departure' takes dates or times"),
    "too large for float32": (record(amount=1e300), "column 'amount' holds 9e+999 in row 1"),
    "infinite": (
        b'{"instances": [[Infinity, "AA", true, null], [NaN, "AA", true, null]]}',
        "column 'amount' holds inf",
    ),
    "a whole number of 400 digits": (
        f'{{"instances": [[{HUGE}, "AA", true, NaN]]}}'.encode(),
        "column 'amount' holds a whole number of 1329 bits in row 0",
    ),
    "columns of unequal length": ({"inputs": {**{k: [v] for k, v in RECORD.items()}, "amount": [1, 2]}}, "'amount'"),
    "a column that is no list": ({"inputs": {**{k: [v] for k, v in RECORD.items()}, "amount": 1}}, "'amount'"),
    "columns without rows": ({"inputs": {name: [] for name in RECORD}}, "empty"),
    "no columns": ({"inputs": {}}, "column 'amount' is absent"),
}

V2 = {
    "not JSON": (b"{", "not JSON"),
    "inputs is text": ({"inputs": "x"}, '{"inputs": [tensor, …]}'),
    "no shape": (
        {"inputs": [{"name": "amount", "datatype": "FP32", "data": [1]}]},
        "input 'amount' has no shape; this model takes",
    ),
    "no data": (tensors(0, data=None), "input 'amount' has neither data nor a binary_data_size"),
    "true for a number": (tensors(0, data=[True]), "column 'amount' takes numbers, but row 0 holds true or false"),
    "a boolean tensor for a number": (
        tensors(0, datatype="BOOL", data=[False]),
        "column 'amount' takes numbers, but row 0 holds true or false",
    ),
    "no tensors": ({"inputs": []}, "column 'amount' is absent"),
    "absent column": ({"inputs": TENSORS[1:]}, "column 'amount' is absent"),
    "given twice": ({"inputs": [*TENSORS, TENSORS[0]]}, "input 'amount' is given twice"),
    "datatype unknown": (tensors(0, datatype="DECIMAL"), "input 'amount' has datatype 'DECIMAL'"),
    "a matrix": (tensors(0, shape=[1, 4], data=[1, 2, 3, 4]), "input 'amount' has shape [1, 4]"),
    "shape without data": (tensors(0, shape=[2, 1]), "input 'amount' has shape [2, 1], but 1 values"),
    "a negative shape": (tensors(0, shape=[-1]), "input 'amount' has shape [-1]"),
    "no shape at all": (tensors(0, shape=[]), "input 'amount' has shape []"),
    "unequal rows": (tensors(0, shape=[2], data=[1, 2]), "column 'carrier' has 1 values, but column 'amount' has 2"),
    "no rows": ({"inputs": [{**item, "shape": [0], "data": []} for item in TENSORS]}, "empty"),
    "text for a number": (
        tensors(0, datatype="BYTES", data=["x"]),
        "column 'amount' takes numbers, but row 0 holds 'a'",
    ),
    "a number for a category": (
        tensors(1, datatype="INT64", data=[7]),
        "column 'carrier' takes text, but row 0 holds 9",
    ),
    "nested too deep": (tensors(0, data=[[[1]]]), "column 'amount' takes numbers, but row 0 holds [9]"),
    "unknown output": ({"inputs": TENSORS, "outputs": [{"name": "logits"}]}, "no output 'logits'"),
}


@pytest.mark.parametrize("case", V1)
def test_v1_refuses(tiny: Served, case: str) -> None:
    body, words = V1[case]
    status, answer = tiny.v1(body)
    assert status == 400, answer
    assert words in answer["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize("case", V2)
def test_v2_refuses(tiny: Served, case: str) -> None:
    body, words = V2[case]
    status, answer = tiny.v2(body)
    assert status == 400, answer
    assert words in answer["error"]


BINARY = {
    "not JSON": (b"{", {}, "not JSON"),
    "no inputs": (b"{}", {}, '{"inputs": [tensor, …]}'),
    "inputs is no list of tensors": (b'{"inputs": [1]}', {}, "input 0 must be a tensor"),
    "shape is no list": (b'{"inputs": [{"name": "a", "shape": 1, "datatype": "FP32"}]}', {}, "input 'a' has shape 1"),
    "id is no text": (b'{"inputs": [], "id": 1}', {}, '"id" is a number, but must be text'),
    "neither data nor bytes": (
        b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP32"}]}',
        {},
        "input 'a' has neither data",
    ),
    "shape is empty": (
        b'{"inputs": [{"name": "amount", "shape": [], "datatype": "FP32", "parameters": {"binary_data_size": 0}}]}',
        {},
        "input 'amount' has shape []",
    ),
    "rows below 0": (
        b'{"inputs": [{"name": "amount", "shape": [-1], "datatype": "FP32", "parameters": {"binary_data_size": 0}}]}',
        {},
        "input 'amount' has shape [-1]",
    ),
    "bytes for one of two rows": (
        (
            TWO_ROWS := b'{"inputs": [{"name": "amount", "shape": [2], "datatype": "FP32", "parameters": '
            b'{"binary_data_size": 4}}]}'
        )
        + b"\0\0\0\0",
        {"Inference-Header-Content-Length": str(len(TWO_ROWS))},
        "input 'amount' has 4 bytes, but 2 elements of FP32 take 8",
    ),
    "true for a number": (
        (
            TRUE := b'{"inputs": [{"name": "amount", "shape": [1], "datatype": "BOOL", "parameters": '
            b'{"binary_data_size": 1}}]}'
        )
        + b"\1",
        {"Inference-Header-Content-Length": str(len(TRUE))},
        "column 'amount' takes numbers, but row 0 holds true or false",
    ),
    "length is no number": (b"{}", {"Inference-Header-Content-Length": "x"}, "must be the number of bytes"),
    "bytes too few": (
        json.dumps(
            {"inputs": [{"name": "a", "shape": [9], "datatype": "FP32", "parameters": {"binary_data_size": 36}}]}
        ).encode(),
        {},
        "within the 0 bytes that are left",
    ),
}


@pytest.mark.parametrize("case", BINARY)
def test_v2_refuses_binary(tiny: Served, case: str) -> None:
    body, headers, words = BINARY[case]
    length = {"Inference-Header-Content-Length": str(len(body)), "Content-Type": "application/octet-stream"}
    status, answer = tiny.v2(body, {**length, **headers})
    assert status == 400, answer
    assert words in answer["error"]


def raw(name: str, datatype: str, content: bytes) -> InferInput:
    tensor = InferInput(name, [1, 1], datatype)
    tensor._raw_data = content
    return tensor


RAW = {
    "amount": raw("amount", "FP32", struct.pack("<f", 1)),
    "carrier": raw("carrier", "BYTES", b"\x02\0\0\0AA"),
    "rush": raw("rush", "BOOL", b"\x01"),
    "departure": raw("departure", "BYTES", b"\0\0\0\0"),
}
GRPC = {
    "true for a number": (
        {"amount": raw("amount", "BOOL", b"\x01")},
        "column 'amount' takes numbers, but row 0 holds true or false",
    ),
    "absent column": ({"amount": None}, "column 'amount' is absent"),
    "bytes too few": (
        {"amount": raw("amount", "FP32", b"\0\0")},
        "input 'amount' has 2 bytes, but 1 elements of FP32 take 4",
    ),
    "text cut off": (
        {"carrier": raw("carrier", "BYTES", b"\x09\0\0\0AA")},
        "the 6 bytes of input 'carrier' are not 1 elements of BYTES",
    ),
    "not UTF-8": (
        {"carrier": raw("carrier", "BYTES", b"\x01\0\0\0\xff")},
        "input 'carrier' holds bytes that are not UTF-8 text",
    ),
    "a number for a category": ({"carrier": raw("carrier", "FP32", b"\0\0\0\0")}, "column 'carrier' takes text"),
    "infinite": ({"amount": raw("amount", "FP64", struct.pack("<d", float("inf")))}, "column 'amount' holds inf"),
}


@pytest.mark.parametrize("case", GRPC)
def test_grpc_refuses(tiny: Served, case: str) -> None:
    changes, words = GRPC[case]
    with pytest.raises(grpc.RpcError) as refused:
        ask_grpc(tiny, [tensor for tensor in {**RAW, **changes}.values() if tensor is not None])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert words in refused.value.details()


def test_an_unknown_model_is_not_found(tiny: Served) -> None:
    assert tiny.post("/v1/models/other:predict", {"instances": [RECORD]})[0] == 404
    assert tiny.post("/v2/models/other/infer", {"inputs": TENSORS})[0] == 404


def test_the_server_answers_as_before_after_all_that(tiny: Served) -> None:
    assert tiny.v1({"instances": [RECORD]})[0] == 200


def test_the_raw_tensors_of_these_tests_are_answered_when_nothing_is_changed(tiny: Served) -> None:
    assert ask_grpc(tiny, list(RAW.values())).outputs[0].as_numpy().tolist() == [b"True"]
