"""What the server answers, asked as clients ask: a real process over HTTP and gRPC."""

import asyncio
import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kserve import InferenceRESTClient, InferInput, InferRequest, InferResponse, RESTConfig

from kubeline.model_client.golden import GoldenRows
from kubeline.model_package import ModelPackage, Predictions
from tests.serving.requests import RECORD, TENSORS, ask_grpc
from tests.support.packages import ROWS
from tests.support.served import Served


def expected(package: ModelPackage, frame: pd.DataFrame) -> Predictions:
    return package.predictor(threads=1).predict(frame)


def probability_of_v1(served: Served, row: Any) -> list[float]:
    status, body = served.v1({"instances": [row]})
    assert status == 200, body
    return body["probabilities"][0]


def assert_equal(response: InferResponse, answer: Predictions) -> None:
    outputs = {output.name: output for output in response.outputs}
    values = [value.decode() if isinstance(value, bytes) else value for value in outputs["prediction"].as_numpy()]
    assert values == list(answer.values)
    if answer.probabilities is not None:
        np.testing.assert_array_equal(outputs["probability"].as_numpy(), answer.probabilities)


def tensors_of(frame: pd.DataFrame, binary: bool) -> list[InferInput]:
    """The tiny model's columns as tensors, last column first."""
    times = frame["departure"].map(pd.Timestamp.isoformat, na_action="ignore").fillna("")
    columns = {
        "departure": ("BYTES", times.to_numpy(dtype=object)),
        "rush": ("FP32", frame["rush"].astype("Float32").to_numpy(np.float32, na_value=np.nan)),
        "carrier": ("BYTES", frame["carrier"].fillna("").to_numpy(dtype=object)),
        "amount": ("FP64", frame["amount"].to_numpy()),
    }
    tensors = [InferInput(name, [len(frame), 1], datatype) for name, (datatype, _) in columns.items()]
    for tensor in tensors:
        values = columns[tensor.name][1]
        if binary:
            tensor.set_data_from_numpy(values[:, None], binary_data=True)
        else:
            tensor.data = [None if pd.isna(value) else value for value in values.tolist()]  # NaN is not JSON
    return tensors


def ask_rest(served: Served, tensors: list[InferInput]) -> InferResponse:
    async def ask() -> InferResponse:
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        try:
            return await client.infer(served.url, InferRequest(served.name, tensors), model_name=served.name)
        finally:
            await client.close()

    return asyncio.run(ask())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["records", "lists", "columns"])
def test_v1_answers_the_golden_flights_exactly(flight_server: Served, form: str) -> None:
    golden = GoldenRows.of(flight_server.package)
    bodies = {
        "records": {"instances": golden.records},
        "lists": {"instances": [list(record.values()) for record in golden.records]},
        "columns": {"inputs": pd.DataFrame(golden.records, dtype=object).to_dict("list")},
    }
    status, body = flight_server.v1(bodies[form])
    assert status == 200, body
    assert body["predictions"] == list(golden.expected.values)
    assert body["classes"] == golden.signature.classes
    np.testing.assert_array_equal(np.array(body["probabilities"], np.float32), golden.expected.probabilities)


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
def test_v2_answers_every_kind_of_column_and_missing_values(tiny: Served, binary: bool) -> None:
    assert_equal(ask_rest(tiny, tensors_of(ROWS, binary)), expected(tiny.package, ROWS))


def test_grpc_answers_every_kind_of_column_and_missing_values(tiny: Served) -> None:
    assert_equal(ask_grpc(tiny, tensors_of(ROWS, binary=True)), expected(tiny.package, ROWS))


def test_grpc_takes_typed_contents_as_well_as_raw_ones(tiny: Served) -> None:
    frame = ROWS.iloc[[0, 3]]
    assert_equal(ask_grpc(tiny, tensors_of(frame, binary=False)), expected(tiny.package, frame))


def test_v1_answers_every_kind_of_column_and_missing_values(tiny: Served) -> None:
    golden = GoldenRows.of(tiny.package)
    status, body = tiny.v1({"instances": golden.records})
    assert status == 200
    assert body["predictions"] == list(golden.expected.values)
    np.testing.assert_array_equal(np.array(body["probabilities"], np.float32), golden.expected.probabilities)


def test_regression_answers_numbers_and_no_probabilities(tiny_regression: Served) -> None:
    answer = expected(tiny_regression.package, ROWS)
    golden = GoldenRows.of(tiny_regression.package)
    assert tiny_regression.v1({"instances": golden.records}) == (200, {"predictions": answer.values.tolist()})
    response = ask_grpc(tiny_regression, tensors_of(ROWS, binary=True))
    assert [(output.name, output.datatype) for output in response.outputs] == [("prediction", "FP64")]
    assert_equal(response, answer)


def test_the_order_of_columns_does_not_matter_and_others_are_ignored(tiny: Served) -> None:
    other = {"unknown": {"nested": [1]}, **dict(reversed(RECORD.items()))}
    assert probability_of_v1(tiny, other) == probability_of_v1(tiny, RECORD)
    status, body = tiny.v2(
        {"inputs": [{"name": "unknown", "shape": [1], "datatype": "FP32", "data": [0]}, *TENSORS[::-1]]}
    )
    assert status == 200
    assert body["outputs"][1]["data"] == probability_of_v1(tiny, RECORD)


@pytest.mark.parametrize("missing", ["null", "NaN"])
def test_null_and_nan_are_missing_values_in_every_column(tiny: Served, missing: str) -> None:
    nothing = pd.DataFrame({"amount": [np.nan], "carrier": [None], "rush": [None], "departure": [None]})
    answer = expected(tiny.package, nothing).probabilities
    status, body = tiny.v1(f'{{"instances": [[{missing}, {missing}, {missing}, {missing}]]}}'.encode())
    assert status == 200
    np.testing.assert_array_equal(np.array(body["probabilities"], np.float32), answer)


def test_v2_reads_text_that_says_it_is_base64(tiny: Served) -> None:
    """As it stands it would be an unseen category, and answered in silence."""
    texts = {1: "AA", 3: "2013-01-01T06:00:00"}
    plain = tiny.v2({"inputs": TENSORS})
    encoded = [
        {**tensor, "data": [base64.b64encode(texts[place].encode()).decode()], "parameters": {"content_type": "base64"}}
        if place in texts
        else tensor
        for place, tensor in enumerate(TENSORS)
    ]
    status, answer = tiny.v2({"inputs": encoded})
    assert (status, answer["outputs"]) == (200, plain[1]["outputs"])
    status, answer = tiny.v2({"inputs": [{**encoded[1], "data": ["AA?"]}, TENSORS[0], *TENSORS[2:]]})
    assert (status, answer["error"].partition(",")[0]) == (400, "input 'carrier' has content_type base64")


def test_an_unseen_category_is_answered(tiny: Served) -> None:
    assert probability_of_v1(tiny, {**RECORD, "carrier": "ZZ"}) != probability_of_v1(tiny, RECORD)


def test_times_with_an_offset_are_the_same_moment(tiny: Served) -> None:
    shifted = {**RECORD, "departure": "2013-01-01T01:00:00-05:00"}
    assert probability_of_v1(tiny, shifted) == probability_of_v1(tiny, RECORD)


def test_v1_is_read_whatever_the_content_type_says(tiny: Served) -> None:
    body = {"instances": [RECORD]}
    for content_type in ("application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"):
        assert tiny.v1(body, {"Content-Type": content_type})[0] == 200


def test_v1_answers_a_cloud_event(tiny: Served) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "test", "ce-type": "request"}
    status, body = tiny.v1({"instances": [RECORD]}, headers)
    assert status == 200
    assert body["predictions"] == ["True"]


def test_metadata_lists_the_real_columns_and_outputs(tiny: Served) -> None:
    status, body = tiny.get(f"/v2/models/{tiny.name}")
    assert status == 200
    assert [(item["name"], item["datatype"], item["shape"]) for item in body["inputs"]] == [
        ("amount", "FP32", [-1, 1]),
        ("carrier", "BYTES", [-1, 1]),
        ("rush", "BOOL", [-1, 1]),
        ("departure", "BYTES", [-1, 1]),
    ]
    assert [(item["name"], item["datatype"], item["shape"]) for item in body["outputs"]] == [
        ("prediction", "BYTES", [-1]),
        ("probability", "FP32", [-1, 2]),
    ]


def test_v2_names_the_package_and_the_classes(tiny: Served) -> None:
    status, body = tiny.v2({"id": "42", "inputs": TENSORS})
    assert status == 200
    assert body["id"] == "42"
    assert body["model_version"] == tiny.package.digest[:12]
    assert json.loads(body["outputs"][1]["parameters"]["classes"]) == ["False", "True"]


def test_v2_answers_only_the_outputs_asked_for(tiny: Served) -> None:
    status, body = tiny.v2({"inputs": TENSORS, "outputs": [{"name": "probability"}]})
    assert status == 200
    assert [output["name"] for output in body["outputs"]] == ["probability"]


@pytest.mark.parametrize("path", ["/", "/v2/health/live", "/v2/health/ready", "/v1/models/{}", "/v2/models/{}/ready"])
def test_probes_say_that_the_model_is_ready(tiny: Served, path: str) -> None:
    assert tiny.get(path.format(tiny.name))[0] == 200


def test_health_is_answered_while_a_large_request_is_predicted(tiny: Served) -> None:
    body = json.dumps({"instances": [list(RECORD.values())] * 100_000}).encode()
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(tiny.v1, body)
        answered_meanwhile = 0
        while not answer.done():
            assert tiny.get("/v2/health/live") == (200, {"live": True})
            answered_meanwhile += not answer.done()
        status, predictions = answer.result()
    assert status == 200
    assert len(predictions["predictions"]) == 100_000
    assert answered_meanwhile > 3  # one or two, when the request keeps the event loop to itself
