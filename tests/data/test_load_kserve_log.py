"""What KServe's own logger writes: CloudEvents that a sink collected, and its files in blob storage."""

import base64
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.errors import UserError
from tests.data.kserve_events import V1, V1_ANSWER, event, pair, write
from tests.support.loading import Load

V2 = {
    "inputs": [
        {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1.5, None]},
        {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["Oslo", "Rome"]},
    ]
}
V2_ANSWER = {
    "outputs": [
        {"name": "prediction", "shape": [2], "datatype": "BYTES", "data": ["no", "yes"]},
        {
            "name": "probability",
            "shape": [2, 2],
            "datatype": "FP32",
            "data": [0.9, 0.1, 0.2, 0.8],
            "parameters": {"classes": '["no", "yes"]'},
        },
    ]
}
LISTS = {"instances": [[1.5, "Oslo"], [None, "Rome"]]}
TENSOR = {"inputs": [{"name": "input-0", "shape": [2, 2], "datatype": "FP64", "data": [[1.5, 7], [2.5, 8]]}]}


@pytest.mark.parametrize(
    ("request_", "answer", "columns"),
    [
        (V1, V1_ANSWER, []),
        (V2, V2_ANSWER, []),
        (LISTS, V1_ANSWER, ["x", "city"]),
        ({"inputs": {"x": [1.5, None], "city": ["Oslo", "Rome"]}}, V1_ANSWER, []),
    ],
)
def test_each_instance_becomes_a_row_with_its_answer(
    tmp_path: Path, load: Load, request_: Any, answer: Any, columns: list[Any]
) -> None:
    events = write(tmp_path / "events.jsonl", pair("a", request_, answer))
    found = load(events, format="kserve", columns=columns).frame
    assert found["x"].tolist()[0] == 1.5
    assert found["x"].isna().tolist() == [False, True]
    assert found["city"].tolist() == ["Oslo", "Rome"]
    assert found["request.id"].tolist() == ["a", "a"]
    assert found["request.row"].tolist() == [0, 1]
    assert found["request.time"].astype(str).tolist() == ["2024-05-01 12:00:00.123456+00:00"] * 2
    assert found["model.name"].tolist() == ["trips"] * 2
    assert found["output.prediction"].tolist() == ["no", "yes"]
    assert found["output.probability.yes"].tolist() == [0.1, 0.8]


BASE64 = [base64.b64encode(city.encode()).decode() for city in ("Oslo", "Rome")]


@pytest.mark.parametrize(
    "request_",
    [
        {"inputs": [V2["inputs"][0], {**V2["inputs"][1], "data": BASE64, "parameters": {"content_type": "base64"}}]},
        {"instances": [{"x": 1.5, "city": {"b64": BASE64[0]}}, {"x": None, "city": {"b64": BASE64[1]}}]},
    ],
)
def test_text_that_says_it_is_base64_is_read_as_text(tmp_path: Path, load: Load, request_: dict[str, Any]) -> None:
    events = write(tmp_path / "events.jsonl", pair("a", request_, V1_ANSWER))
    assert load(events, format="kserve").frame["city"].tolist() == ["Oslo", "Rome"]


def test_a_wide_tensor_takes_its_columns_from_the_parameter(tmp_path: Path, load: Load) -> None:
    events = write(tmp_path / "events.jsonl", pair("a", TENSOR, {"predictions": [10, 20]}))
    found = load(events, format="kserve", columns=["x", "y"]).frame
    assert found[["x", "y", "output.prediction"]].to_numpy().tolist() == [[1.5, 7, 10], [2.5, 8, 20]]


def test_responses_find_their_requests_whatever_comes_between(tmp_path: Path, load: Load) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    first, second = pair("a", V1, V1_ANSWER), pair("b", V1, V1_ANSWER)
    write(folder / "1.jsonl", [second[1], first[0], first[0], second[0]])
    write(folder / "2.jsonl", [first[1]])
    assert load(folder, format="kserve").frame["request.id"].tolist() == ["a", "a", "b", "b"]


# The two schemas of KServe's Parquet files, and its JSON.
ARROW = {"bytes": pa.binary(), "req_type": pa.string(), "id": pa.string(), "inference_service": pa.string()}
TEXT = {"bytes": pa.string(), "reqType": pa.string(), "id": pa.string(), "inferenceService": pa.string()}


@pytest.mark.parametrize("schema", [ARROW, TEXT])
def test_the_parquet_files_of_blob_storage_are_read(tmp_path: Path, load: Load, schema: Any) -> None:
    for one in pair("a", V1, V1_ANSWER):
        data = json.dumps(one["data"]).encode()
        body = data if schema is ARROW else base64.b64encode(data).decode()
        table = pa.table([[body], [one["type"]], ["a"], ["trips"]], schema=pa.schema(schema))
        pq.write_table(table, tmp_path / f"a-{one['type'].rpartition('.')[2]}.parquet")
    found = load(tmp_path, format="kserve").frame
    assert found["output.prediction"].tolist() == ["no", "yes"]
    assert found["model.name"].tolist() == ["trips", "trips"]
    assert found["request.time"].isna().all()


def test_the_json_files_of_blob_storage_are_read(tmp_path: Path, load: Load) -> None:
    records = [
        {"Id": "a", "ReqType": one["type"], "Bytes": base64.b64encode(json.dumps(one["data"]).encode()).decode()}
        for one in pair("a", V1, V1_ANSWER)
    ]
    found = load(write(tmp_path / "a-response.json", [records]), format="kserve").frame
    assert found["x"].tolist()[0] == 1.5


BROKEN = [
    "no object",
    {"id": "x", "type": "com.example.other", "data": {}},
    event("", "request", V1),
    event("b", "request", V1),
    *pair("c", {"instances": []}, V1_ANSWER),
    *pair("d", V1, {"predictions": [1]}),
    *pair("e", V1, {"error": "no model"}),
    *pair("f", LISTS, V1_ANSWER),
    *pair("g", {"inputs": [{"name": "x", "shape": ["?"], "datatype": "FP32", "data": [1]}]}, V1_ANSWER),
    {**event("h", "request", None), "data_base64": "?"},
    event("i", "request", "{cut"),
    event("i", "response", V1_ANSWER),
]


def test_broken_events_are_counted_and_left_out(tmp_path: Path, load: Load, caplog: pytest.LogCaptureFixture) -> None:
    events = write(tmp_path / "events.jsonl", [*BROKEN, *pair("good", V1, V1_ANSWER)])
    events.write_text(events.read_text() + "not JSON\n")
    with caplog.at_level(logging.WARNING):
        assert set(load(events, format="kserve").frame["request.id"]) == {"good"}
    (reported,) = [line for line in caplog.messages if "KServe" in line]
    assert reported.startswith("12 events of KServe's log were left out: 1 x ")


def test_a_log_of_broken_events_alone_is_refused(tmp_path: Path, load: Load) -> None:
    events = write(tmp_path / "events.jsonl", [event("b", "request", V1), event("c", "request", V1)])
    sentence = r"events\.jsonl' holds no request with its response \(2 x a request has no response\); check the log$"
    with pytest.raises(UserError, match=sentence):
        load(events, format="kserve")


def test_lists_without_names_are_reported(tmp_path: Path, load: Load) -> None:
    events = write(tmp_path / "events.jsonl", pair("a", LISTS, V1_ANSWER))
    with pytest.raises(UserError, match=r"lists of 2 values, and columns names 0; give columns the names of all"):
        load(events, format="kserve")


@pytest.mark.parametrize(
    "broken",
    [pair("\ud800", V1, V1_ANSWER), pair("2", {"instances": [{"x": 1, "city": "\ud800"}]}, {"predictions": ["no"]})],
    ids=["in an id", "in a value"],
)
def test_half_of_a_surrogate_pair_is_no_text_and_its_event_is_left_out(
    tmp_path: Path, load: Load, broken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    events = write(tmp_path / "events.jsonl", [*broken, *pair("1", V1, V1_ANSWER)])
    assert load(events, format="kserve").frame["request.id"].tolist() == ["1", "1"]
    assert "not JSON" in caplog.text
