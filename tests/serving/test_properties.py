"""Whatever is sent, the server answers it or says in one sentence why not; never a 500, and never a wrong number."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeline.model_package import Predictor
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline.open_inference.tensors import DATATYPES, decode_raw, encode_raw
from tests.support.grpc_stub import InferenceStub
from tests.support.served import Served


@dataclass(frozen=True)
class Nested:
    """1 in so many lists."""

    depth: int


RECORD = {"amount": 1.5, "carrier": "AA", "rush": True, "departure": "2013-01-01T06:00:00"}
DATATYPE = {"amount": "FP32", "carrier": "BYTES", "rush": "BOOL", "departure": "BYTES"}
COLUMNS = st.sampled_from(list(RECORD))

TEXT = st.text(st.characters(codec=None, exclude_categories=[])) | st.sampled_from(["\ud800", "\n", "\0", "NaN", "🛫"])
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**30, -(10**400), 1e300, 3.5e38, 2**64])
LEAVES = st.none() | st.booleans() | NUMBERS | TEXT
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(COLUMNS | TEXT, inner, max_size=5),
    max_leaves=12,
) | st.integers(1, 1_200).map(Nested)
# what each column takes, as JSON writes it
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "amount": st.none() | st.integers(-(2**53), 2**53) | st.floats(width=32, allow_infinity=False, allow_nan=False),
    "carrier": st.none() | st.text(),
    "rush": st.none() | st.booleans(),
    "departure": st.none() | st.datetimes().map(lambda time: time.isoformat()),
}
ROWS = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=5)


def to_json(value: Any) -> bytes:
    """With NaN and Infinity, and lone surrogates escaped."""
    if isinstance(value, dict):
        return b"{%s}" % b",".join(json.dumps(name).encode() + b":" + to_json(item) for name, item in value.items())
    if isinstance(value, list):
        return b"[%s]" % b",".join(map(to_json, value))
    if isinstance(value, Nested):
        return b"[" * value.depth + b"1" + b"]" * value.depth
    return json.dumps(value).encode()


class Asker:
    """One connection to a served model."""

    def __init__(self, served: Served) -> None:
        self.name = served.name
        self._connection = http.client.HTTPConnection("127.0.0.1", served.http_port, timeout=60)

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes, Any]:
        """Status, body and headers of the answer."""
        self._connection.request("POST", path, body, headers or {})
        response = self._connection.getresponse()
        return response.status, response.read(), response.headers

    def v1(self, body: bytes) -> tuple[int, Any]:
        status, answer, _ = self.post(f"/v1/models/{self.name}:predict", body)
        return status, json.loads(answer)

    def v2(self, body: bytes, json_bytes: int | None = None) -> tuple[int, Any]:
        headers = {} if json_bytes is None else {"Inference-Header-Content-Length": str(json_bytes)}
        status, answer, _ = self.post(f"/v2/models/{self.name}/infer", body, headers)
        return status, json.loads(answer)


@pytest.fixture(scope="module")
def ask(tiny: Served) -> Asker:
    return Asker(tiny)


@pytest.fixture(scope="module")
def predictor(tiny: Served) -> Predictor:
    return tiny.package.predictor(threads=1)


@pytest.fixture(scope="module")
def stub(tiny: Served) -> Iterator[InferenceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{tiny.grpc_port}", [("grpc.enable_http_proxy", 0)]) as channel:
        yield InferenceStub(channel)


def assert_answered_or_refused(status: int, answer: Any, naming: str = "") -> None:
    if status == 200:
        return
    assert status == 400, answer
    assert answer.keys() == {"error"}
    assert_sentence(answer["error"], naming)


def assert_sentence(words: str, naming: str = "") -> None:
    assert words
    assert "\n" not in words
    assert len(words) <= 2_001
    assert naming in words


def expected(predictor: Predictor, rows: list[dict[str, Any]]) -> tuple[list[str], np.ndarray[Any, Any]]:
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in RECORD})
    answer = predictor.predict(frame)
    assert answer.probabilities is not None
    return list(answer.values), answer.probabilities


# --- v1


@settings(max_examples=150, deadline=None)
@given(body=st.fixed_dictionaries({"instances": JSON}) | st.fixed_dictionaries({"inputs": JSON}) | JSON)
def test_v1_any_json_is_answered_or_refused(ask: Asker, body: Any) -> None:
    assert_answered_or_refused(*ask.v1(to_json(body)))


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60) | st.text(alphabet='{}[]",:NaN1e\\ud', max_size=60).map(str.encode))
def test_v1_any_bytes_are_answered_or_refused(ask: Asker, body: bytes) -> None:
    assert_answered_or_refused(*ask.v1(body))
    assert_answered_or_refused(*ask.v1(b'{"instances": [' + body + b"]}"))


@settings(max_examples=200, deadline=None)
@given(column=COLUMNS, value=JSON, filler=st.sampled_from([b"NaN", b"null"]))
def test_v1_names_the_column_whose_value_does_not_fit(ask: Asker, column: str, value: Any, filler: bytes) -> None:
    columns = {name: b"[%s]" % (to_json(value) if name == column else filler) for name in RECORD}
    body = b",".join(b'"%s": %s' % (name.encode(), item) for name, item in columns.items())
    status, answer = ask.v1(b'{"inputs": {%s}}' % body)
    not_json = "not JSON" in str(answer)  # nested too deep, half of a surrogate pair, too many digits
    assert_answered_or_refused(status, answer, "" if not_json else f"column '{column}'")


def test_v1_takes_the_last_of_duplicate_keys_as_json_does(ask: Asker) -> None:
    once = ask.v1(to_json({"instances": [RECORD]}))
    twice = to_json({"instances": [RECORD]}).replace(b'{"amount"', b'{"amount": 99, "amount"')
    assert once[0] == 200
    assert ask.v1(twice) == once


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, form=st.sampled_from(["records", "lists", "columns"]))
def test_v1_answers_as_the_predictor_does(
    ask: Asker, predictor: Predictor, rows: list[dict[str, Any]], form: str
) -> None:
    bodies: dict[str, Any] = {
        "records": {"instances": rows},
        "lists": {"inputs": [[row[name] for name in RECORD] for row in rows]},
        "columns": {"inputs": {name: [row[name] for row in rows] for name in RECORD}},
    }
    status, answer = ask.v1(to_json(bodies[form]))
    labels, probabilities = expected(predictor, rows)
    assert status == 200, answer
    assert answer["predictions"] == labels
    np.testing.assert_array_equal(np.array(answer["probabilities"], dtype=np.float32), probabilities)


# --- v2, JSON


def tensors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [len(rows)], "datatype": DATATYPE[name], "data": [row[name] for row in rows]}
        for name in RECORD
    ]


@settings(max_examples=150, deadline=None)
@given(body=st.fixed_dictionaries({"inputs": JSON}) | JSON)
def test_v2_any_json_is_answered_or_refused(ask: Asker, body: Any) -> None:
    assert_answered_or_refused(*ask.v2(to_json(body)))


@settings(max_examples=250, deadline=None)
@given(column=COLUMNS, field=st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), value=JSON)
def test_v2_any_field_of_a_tensor_is_taken_or_refused_with_its_name(
    ask: Asker, column: str, field: str, value: Any
) -> None:
    changed = [{**item, field: value} if item["name"] == column else item for item in tensors([RECORD])]
    status, answer = ask.v2(to_json({"inputs": changed}))
    reported_otherwise = field == "name" or "not JSON" in str(answer)
    assert_answered_or_refused(status, answer, "" if reported_otherwise else f"'{column}'")


@settings(max_examples=100, deadline=None)
@given(field=st.sampled_from(["id", "outputs", "parameters"]), value=JSON)
def test_v2_any_option_of_a_request_is_taken_or_refused(ask: Asker, field: str, value: Any) -> None:
    assert_answered_or_refused(*ask.v2(to_json({"inputs": tensors([RECORD]), field: value})))


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, order=st.permutations(range(len(RECORD))))
def test_v2_answers_as_the_predictor_does(
    ask: Asker, predictor: Predictor, rows: list[dict[str, Any]], order: list[int]
) -> None:
    inputs = tensors(rows)
    status, answer = ask.v2(to_json({"inputs": [inputs[place] for place in order]}))
    labels, probabilities = expected(predictor, rows)
    assert status == 200, answer
    prediction, probability = answer["outputs"]
    assert prediction["data"] == labels
    found = np.array(probability["data"], dtype=np.float32).reshape(probability["shape"])
    np.testing.assert_array_equal(found, probabilities)


# --- v2, binary


def raws(rows: list[dict[str, Any]]) -> dict[str, tuple[str, bytes]]:
    """Datatype and bytes of each column; what is missing is NaN or empty text."""
    numbers = {name: [np.nan if row[name] is None else row[name] for row in rows] for name in ("amount", "rush")}
    return {
        "amount": ("FP64", encode_raw(np.array(numbers["amount"], dtype=np.float64))),
        "carrier": ("BYTES", encode_raw([row["carrier"] or "" for row in rows])),
        "rush": ("FP32", encode_raw(np.array(numbers["rush"], dtype=np.float32))),
        "departure": ("BYTES", encode_raw([row["departure"] or "" for row in rows])),
    }


def binary(rows: int, columns: dict[str, tuple[str, bytes]], sizes: dict[str, Any] | None = None) -> tuple[bytes, int]:
    """A body with binary tensors, and the bytes of its JSON; `sizes` stand in for the true ones."""
    inputs = [
        {
            "name": name,
            "shape": [rows, 1],
            "datatype": datatype,
            "parameters": {"binary_data_size": (sizes or {}).get(name, len(raw))},
        }
        for name, (datatype, raw) in columns.items()
    ]
    header = to_json({"inputs": inputs})
    return header + b"".join(raw for _, raw in columns.values()), len(header)


@settings(max_examples=150, deadline=None)
@given(column=COLUMNS, datatype=st.sampled_from(DATATYPES), raw=st.binary(max_size=24), rows=st.integers(0, 3))
def test_binary_any_bytes_of_a_tensor_are_taken_or_refused_with_its_name(
    ask: Asker, column: str, datatype: str, raw: bytes, rows: int
) -> None:
    columns = {**raws([RECORD] * rows), column: (datatype, raw)}
    status, answer = ask.v2(*binary(rows, columns))
    assert_answered_or_refused(status, answer, "" if rows == 0 else f"'{column}'")


@settings(max_examples=100, deadline=None)
@given(column=COLUMNS, size=LEAVES | st.integers(-3, 60))
def test_binary_any_size_of_a_tensor_is_taken_or_refused(ask: Asker, column: str, size: Any) -> None:
    assert_answered_or_refused(*ask.v2(*binary(1, raws([RECORD]), {column: size})))


@settings(max_examples=150, deadline=None)
@given(end=st.integers(0, 600), json_bytes=st.integers(-2, 600) | st.just(10**50))
def test_binary_a_body_cut_anywhere_is_refused(ask: Asker, end: int, json_bytes: int) -> None:
    body, length = binary(1, raws([RECORD]))
    assert ask.v2(body, length)[0] == 200
    cut = ask.v2(body[: end % len(body)], length)
    assert cut[0] == 400
    assert_answered_or_refused(*cut)
    if json_bytes != length:
        moved = ask.v2(body, json_bytes)
        assert moved[0] == 400
        assert_answered_or_refused(*moved)


@pytest.mark.parametrize("length", ["", "x", "-1", "1.5", "0x10", "9" * 5_000, "²"])
def test_binary_a_header_length_that_is_no_number_is_refused(ask: Asker, length: str) -> None:
    body, _ = binary(1, raws([RECORD]))
    path = f"/v2/models/{ask.name}/infer"
    status, answer, _ = ask.post(path, body, {"Inference-Header-Content-Length": length})
    assert_answered_or_refused(status, json.loads(answer), "Inference-Header-Content-Length")
    assert status == 400


@settings(max_examples=100, deadline=None)
@given(rows=ROWS)
def test_binary_answers_as_the_predictor_does(ask: Asker, predictor: Predictor, rows: list[dict[str, Any]]) -> None:
    body, length = binary(len(rows), raws(rows))
    body = body.replace(b'{"inputs"', b'{"parameters":{"binary_data_output":true},"inputs"', 1)
    length += len(b'"parameters":{"binary_data_output":true},')
    status, answer, headers = ask.post(
        f"/v2/models/{ask.name}/infer", body, {"Inference-Header-Content-Length": str(length)}
    )
    labels, probabilities = expected(predictor, rows)
    assert status == 200, answer
    end = int(headers["Inference-Header-Content-Length"])
    prediction, probability = json.loads(answer[:end])["outputs"]
    first = end + prediction["parameters"]["binary_data_size"]
    assert decode_raw("prediction", "BYTES", answer[end:first], len(rows)) == labels
    raw = answer[first : first + probability["parameters"]["binary_data_size"]]
    np.testing.assert_array_equal(np.frombuffer(raw, "<f4").reshape(probability["shape"]), probabilities)


# --- gRPC


def request(name: str, rows: int, columns: dict[str, tuple[str, bytes]]) -> messages.ModelInferRequest:
    return messages.ModelInferRequest(
        model_name=name,
        inputs=[
            messages.ModelInferRequest.InferInputTensor(name=column, datatype=datatype, shape=[rows, 1])
            for column, (datatype, _) in columns.items()
        ],
        raw_input_contents=[raw for _, raw in columns.values()],
    )


def assert_grpc_answers_or_refuses(stub: InferenceStub, asked: Any, naming: str = "") -> None:
    call = stub.ModelInfer.future(asked, timeout=60)
    if call.exception() is not None:
        assert call.code() == grpc.StatusCode.INVALID_ARGUMENT, call.details()
        assert_sentence(call.details(), naming)


CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "bool_contents": st.lists(st.booleans(), max_size=3),
        "int_contents": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
        "int64_contents": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
        "uint_contents": st.lists(st.integers(0, 2**32 - 1), max_size=3),
        "uint64_contents": st.lists(st.integers(0, 2**64 - 1), max_size=3),
        "fp32_contents": st.lists(st.floats(width=32), max_size=3),
        "fp64_contents": st.lists(st.floats(), max_size=3),
        "bytes_contents": st.lists(st.binary(max_size=6), max_size=3),
    },
)


@settings(max_examples=150, deadline=None)
@given(
    column=COLUMNS,
    datatype=st.sampled_from([*DATATYPES, "BF16", ""]),
    shape=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2), max_size=3),
    contents=CONTENTS,
)
def test_grpc_any_tensor_is_taken_or_refused_with_its_name(
    ask: Asker, stub: InferenceStub, column: str, datatype: str, shape: list[int], contents: Any
) -> None:
    valid: dict[str, Any] = {
        "amount": ("FP32", {"fp32_contents": [1.5]}),
        "carrier": ("BYTES", {"bytes_contents": [b"AA"]}),
        "rush": ("BOOL", {"bool_contents": [True]}),
        "departure": ("BYTES", {"bytes_contents": [b""]}),
    }
    inputs = []
    for name, (usual, values) in valid.items():
        tensor = messages.ModelInferRequest.InferInputTensor(name=name, datatype=usual, shape=[1])
        if name == column:
            tensor.datatype = datatype
            tensor.shape[:] = shape
        tensor.contents.CopyFrom(messages.InferTensorContents(**(contents if name == column else values)))
        inputs.append(tensor)
    asked = messages.ModelInferRequest(model_name=ask.name, inputs=inputs)
    without_rows = shape[:1] == [0]  # then it is the request that is at fault
    assert_grpc_answers_or_refuses(stub, asked, "" if without_rows else f"'{column}'")


@settings(max_examples=100, deadline=None)
@given(column=COLUMNS, raw=st.binary(max_size=24), surplus=st.lists(st.binary(max_size=3), max_size=2))
def test_grpc_any_raw_bytes_are_taken_or_refused(
    ask: Asker, stub: InferenceStub, column: str, raw: bytes, surplus: list[bytes]
) -> None:
    columns = raws([RECORD])
    asked = request(ask.name, 1, {**columns, column: (columns[column][0], raw)})
    asked.raw_input_contents.extend(surplus)
    assert_grpc_answers_or_refuses(stub, asked)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS)
def test_grpc_answers_as_the_predictor_does(
    ask: Asker, stub: InferenceStub, predictor: Predictor, rows: list[dict[str, Any]]
) -> None:
    answer = stub.ModelInfer(request(ask.name, len(rows), raws(rows)), timeout=60)
    labels, probabilities = expected(predictor, rows)
    assert decode_raw("prediction", "BYTES", answer.raw_output_contents[0], len(rows)) == labels
    found = np.frombuffer(answer.raw_output_contents[1], "<f4").reshape(list(answer.outputs[1].shape))
    np.testing.assert_array_equal(found, probabilities)
