"""Numbers that float32 merges reach the model as they were sent, in every protocol, or are refused."""

import json
import struct
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from kubeline.model_client.golden import GoldenRows
from kubeline.model_package import ModelPackage
from kubeline.open_inference.grpc_predict_v2_pb2 import ModelInferRequest
from kubeline_serving.codec.v1 import V1
from kubeline_serving.codec.v2 import V2
from kubeline_serving.exchange import Exchange
from kubeline_serving.grpc.messages import columns_of
from kubeline_serving.http.openapi import document
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.payload_log.table import PayloadTable
from tests.support.served import serve
from tests.support.training import trained

ACCOUNTS = [1_234_567_890, 1_234_567_891, 9_007_199_254_740_991]
LABELS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A model that distinguishes three account numbers, with a category and a time beside them."""
    folder = tmp_path_factory.mktemp("accounts")
    places = np.arange(600) % 3
    frame = pd.DataFrame(
        {
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(600), "h"),
            "account": np.array(ACCOUNTS)[places],
            "city": np.where(np.arange(600) % 2, "Bern", "Köln"),
            "size": np.arange(600) / 7,
            "y": np.array(LABELS)[places],
        }
    )
    return ModelPackage.open(trained(folder, frame, params={"max_iter": 20})["model"].path)


@pytest.fixture(scope="module")
def ask(package: ModelPackage) -> Any:
    """`ask(inputs)`: the labels that a server gives; and the two protocols."""
    model = ServedModel("m", package.path)

    class Asked:
        v1 = V1(package.signature, 100)
        v2 = V2(package.signature, "m", "1", 100)

        def __call__(self, inputs: Any) -> list[str]:
            return model.predict([inputs]).values.tolist()

    return Asked()


def records(accounts: list[Any]) -> list[dict[str, Any]]:
    return [{"when": "2024-01-05", "account": account, "city": "Bern", "size": 1.5} for account in accounts]


def tensors(accounts: list[Any], datatype: str = "INT64") -> list[dict[str, Any]]:
    rows = len(accounts)
    return [
        {"name": "account", "shape": [rows], "datatype": datatype, "data": accounts},
        {"name": "when", "shape": [rows], "datatype": "BYTES", "data": ["2024-01-05"] * rows},
        {"name": "city", "shape": [rows], "datatype": "BYTES", "data": ["Bern"] * rows},
        {"name": "size", "shape": [rows], "datatype": "FP32", "data": [1.5] * rows},
    ]


def raw(accounts: list[Any], datatype: str, letter: str) -> tuple[bytes, bytes]:
    """A v2 body whose accounts are raw bytes, and the length of its JSON."""
    inputs = tensors(accounts)
    content = struct.pack(f"<{len(accounts)}{letter}", *accounts)
    inputs[0] |= {"datatype": datatype, "parameters": {"binary_data_size": len(content)}}
    del inputs[0]["data"]
    header = json.dumps({"inputs": inputs}).encode()
    return header + content, str(len(header)).encode()


def call(accounts: list[Any], datatype: str, field: str) -> ModelInferRequest:
    """A gRPC request whose accounts are in a field of contents."""
    request = ModelInferRequest(model_name="m")
    for tensor in tensors(accounts):
        added = request.inputs.add(name=tensor["name"], shape=tensor["shape"], datatype=tensor["datatype"])
        contents = {"BYTES": "bytes_contents", "FP32": "fp32_contents"}.get(tensor["datatype"], field)
        values = [each.encode() if isinstance(each, str) else each for each in tensor["data"]]
        getattr(added.contents, contents).extend(values)
    request.inputs[0].datatype = datatype
    return request


@pytest.mark.parametrize("number", [int, float])
def test_json_of_v1_and_v2_distinguishes_account_numbers(ask: Any, number: type) -> None:
    accounts = [number(account) for account in ACCOUNTS]
    rows = records(accounts)
    bodies = [
        {"instances": rows},
        {"instances": [list(row.values()) for row in rows]},
        {"inputs": {name: [row[name] for row in rows] for name in rows[0]}},
    ]
    for body in bodies:
        assert ask(ask.v1.parse(json.dumps(body).encode())) == LABELS
    for account, label in zip(accounts, LABELS, strict=True):
        assert ask(ask.v1.parse(json.dumps({"instances": records([account])}).encode())) == [label]
    for datatype in ("INT64", "FP64", "FP32"):  # of JSON, the datatype is only a word
        columns, _ = ask.v2.read(json.dumps({"inputs": tensors(accounts, datatype)}).encode(), None)
        assert ask(ask.v2.inputs(columns)) == LABELS


@pytest.mark.parametrize(("datatype", "letter"), [("INT64", "q"), ("UINT64", "Q"), ("FP64", "d")])
def test_raw_tensors_distinguish_account_numbers(ask: Any, datatype: str, letter: str) -> None:
    columns, _ = ask.v2.read(*raw(ACCOUNTS, datatype, letter))
    assert ask(ask.v2.inputs(columns)) == LABELS


@pytest.mark.parametrize(
    ("datatype", "field"), [("INT64", "int64_contents"), ("UINT64", "uint64_contents"), ("FP64", "fp64_contents")]
)
def test_grpc_distinguishes_account_numbers(ask: Any, datatype: str, field: str) -> None:
    assert ask(ask.v2.inputs(columns_of(call(ACCOUNTS, datatype, field), 100)[0])) == LABELS


def test_what_float32_has_merged_already_is_refused(ask: Any) -> None:
    with pytest.raises(UserError, match="column 'account' has values that FP32 cannot distinguish; send FP64"):
        ask.v2.inputs(ask.v2.read(*raw(ACCOUNTS, "FP32", "f"))[0])
    with pytest.raises(UserError, match="column 'account' has values that FP32 cannot distinguish; send FP64"):
        ask.v2.inputs(columns_of(call([1.0] * 3, "FP32", "fp32_contents"), 100)[0])


INEXACT = {
    2**53 + 1: "holds 9999999999999999 in row 0, which float64 does not hold exactly",
    -(2**53) - 1: "holds -9999999999999999 in row 0, which float64 does not hold exactly",
    2**63 - 1: "holds 9999999999999999999 in row 0, which float64 does not hold exactly",
    2**70 + 1: "(does not hold exactly|does not keep whole numbers beyond 64 bits)",
    10**400: "(no finite float32|not JSON)",
    1e300: "holds 9e.999 in row 0, which is no finite float32",
    "12": "takes numbers, but row 0 holds '99'",
}


@pytest.mark.parametrize("value", INEXACT)
def test_a_number_that_would_change_on_the_way_is_refused(ask: Any, value: Any) -> None:
    one_row = records([value])
    for instances in (one_row, [list(row.values()) for row in one_row]):
        with pytest.raises(UserError, match=INEXACT[value]):
            ask.v1.parse(json.dumps({"instances": instances}).encode())
    with pytest.raises(UserError, match=INEXACT[value]):
        ask.v2.inputs(ask.v2.read(json.dumps({"inputs": tensors([value])}).encode(), None)[0])


def test_whole_numbers_that_float64_does_not_hold_are_refused_as_raw_tensors_too(ask: Any) -> None:
    with pytest.raises(UserError, match="holds 9999999999999999 in row 1, which float64 does not hold exactly"):
        ask.v2.inputs(ask.v2.read(*raw([1, 2**53 + 1], "INT64", "q"))[0])
    assert ask.v2.read(*raw([1, 2**60], "INT64", "q"))


def test_missing_account_numbers_are_missing(ask: Any) -> None:
    (found,) = ask(ask.v1.parse(json.dumps({"instances": records([None])}).encode()))
    assert found in LABELS
    nothing = ask.v1.parse(json.dumps({"instances": records([None, float("nan"), 1])}).encode())
    assert np.isnan(nothing.doubles[1]).tolist() == [True, True, False]


def test_the_server_answers_as_the_package_does(ask: Any, package: ModelPackage) -> None:
    frame = package.golden()
    expected = package.predictor(threads=1).predict(frame)
    golden = GoldenRows.of(package)
    assert ask(ask.v1.parse(json.dumps({"instances": golden.records}).encode())) == expected.values.tolist()


def test_the_documents_name_the_datatype_and_the_payload_log_keeps_the_number(ask: Any, package: ModelPackage) -> None:
    assert {"name": "account", "datatype": "FP64", "shape": [-1, 1]} in ask.v2.input_metadata
    assert "which becomes a float64" in json.dumps(document(package.signature, "m", "1", ask.v2.output_metadata))
    inputs = ask.v1.parse(json.dumps({"instances": records(ACCOUNTS)}).encode())
    predictions = ServedModel("m", package.path).predict([inputs])
    exchange = Exchange("v1", "id", "", "", 0.0, 0.0, 200, "", 3, inputs, predictions)
    logged = PayloadTable("m", "1", package.signature).batch([exchange])
    assert logged.column("account").to_pylist() == ACCOUNTS
    assert logged.column("size").to_pylist() == [1.5] * 3


def test_a_real_server_distinguishes_account_numbers(package: ModelPackage, tmp_path: Any) -> None:
    with serve(package, tmp_path) as served:
        assert served.v1({"instances": records(ACCOUNTS)})[1]["predictions"] == LABELS
        status, answer = served.v1({"instances": records([2**53 + 1])})
        assert (status, "float64 does not hold exactly" in answer["error"]) == (400, True)
