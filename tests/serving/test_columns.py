"""Values of a request become the same ONNX inputs that a DataFrame would."""

import contextlib
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeline.errors import UserError
from kubeline.model_package import Feature, Signature, blocks
from kubeline_serving.codec.columns import Encoder
from kubeline_serving.codec.inputs import InputColumns
from kubeline_serving.codec.parsing import parse_json
from kubeline_serving.codec.v1 import V1
from kubeline_serving.codec.v2 import V2
from tests.serving.exchanges import texts_of
from tests.support.packages import FEATURES

SIGNATURE = Signature(features=FEATURES, target="late", task="binary", classes=["False", "True"])
V1_OF_IT = V1(SIGNATURE, max_rows=100)
V2_OF_IT = V2(SIGNATURE, "tiny", "1", max_rows=100)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "amount": st.none() | st.integers(-(2**53), 2**53) | st.floats(width=32, allow_infinity=False),
    "carrier": st.none() | st.text(),
    "rush": st.none() | st.booleans() | st.sampled_from([0, 1, 0.0, 1.0]),
    "departure": st.none()
    | st.datetimes(min_value=pd.Timestamp(1700, 1, 1), max_value=pd.Timestamp(2200, 1, 1)).map(
        lambda time: time.isoformat()
    ),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*VALUES, "other"]), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=6))
def test_requests_are_encoded_as_the_signature_encodes_a_frame(rows: list[dict[str, Any]]) -> None:
    columns = {name: [row[name] for row in rows] for name in VALUES}
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    expected = {name: column[:, 0] for name, column in SIGNATURE.encode(frame).items()}
    inputs = Encoder(SIGNATURE).encode(list(columns.values()), len(rows))
    carriers = texts_of(InputColumns(SIGNATURE), inputs, 0)
    found = dict(zip(VALUES, [inputs.numbers[0], carriers, inputs.numbers[1], inputs.doubles[0]], strict=True))
    for name in VALUES:
        assert found[name].dtype == expected[name].dtype
        np.testing.assert_array_equal(found[name], expected[name])
    read = blocks.Columns(SIGNATURE).inputs_of(SIGNATURE.encode(frame))
    for name, tensor in InputColumns(SIGNATURE).tensors(inputs).items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


@settings(max_examples=300, deadline=None)
@given(
    tensors=st.fixed_dictionaries(
        {name: st.lists(values | JSON, min_size=1, max_size=3) for name, values in VALUES.items()}
    ),
    shape=st.sampled_from([[1], [1, 1], [2], [2, 1], [3, 1], [1, 3], [True], "3", None]),
    datatype=st.sampled_from(["FP32", "BYTES", "BOOL", "FP99"]),
)
def test_usual_v2_requests_are_read_as_those_that_need_a_closer_look(
    tensors: dict[str, list[Any]], shape: Any, datatype: str
) -> None:
    inputs = [{"name": name, "shape": shape, "datatype": datatype, "data": data} for name, data in tensors.items()]
    bodies: tuple[dict[str, Any], ...] = ({"inputs": inputs}, {"inputs": inputs, "parameters": {}})
    usual, closer = (json.dumps(body).encode() for body in bodies)
    assert reported_of_v2(usual) == reported_of_v2(closer)


def reported_of_v2(body: bytes) -> str:
    try:
        inputs = V2_OF_IT.inputs(V2_OF_IT.read(body, None)[0])
    except UserError as error:
        return str(error)
    return repr((inputs.rows, inputs.numbers.tolist(), inputs.codes.tolist(), inputs.unseen, inputs.doubles.tolist()))


@settings(max_examples=400, deadline=None)
@given(body=st.fixed_dictionaries({"instances": JSON}) | st.fixed_dictionaries({"inputs": JSON}) | JSON)
def test_any_json_is_answered_or_refused_with_a_sentence(body: Any) -> None:
    with contextlib.suppress(UserError):
        inputs = V1_OF_IT.inputs(body)
        assert all(len(column) == inputs.rows for column in (*inputs.numbers, *inputs.codes, *inputs.doubles))


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=40) | st.text(alphabet='{}[]",:NaN1e', max_size=40).map(str.encode))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    with contextlib.suppress(UserError):
        parse_json(body)


def test_a_misspelt_column_is_named_with_the_one_that_was_given() -> None:
    with pytest.raises(UserError, match=r"column 'carrier' is absent; .*did you write 'carrer' for it"):
        V1_OF_IT.inputs({"inputs": {"amount": [1], "carrer": ["AA"], "rush": [True], "departure": [None]}})


def test_an_absent_column_is_not_taken_as_missing_values() -> None:
    with pytest.raises(UserError, match="column 'carrier' is absent; send null where its value is not known"):
        V1_OF_IT.inputs({"inputs": {"amount": [1], "rush": [True], "departure": [None]}})


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(st.lists(st.none() | st.sampled_from(["AA", "UA", "x", "y"]) | st.text(), min_size=1), min_size=1)
)
def test_requests_that_are_joined_keep_their_categories_also_those_that_training_did_not_see(
    parts: list[list[str | None]],
) -> None:
    encoder, columns = Encoder(SIGNATURE), InputColumns(SIGNATURE)
    requests = [
        encoder.encode([[1] * len(part), part, [True] * len(part), [None] * len(part)], len(part)) for part in parts
    ]
    carriers = texts_of(columns, columns.joined(requests), 0)
    assert carriers.tolist() == [value or "" for part in parts for value in part]


def test_large_whole_numbers_are_rounded_as_float32_rounds() -> None:
    signature = Signature(features=[Feature(name="n", kind="number")], target="t", task="regression")
    (values,) = Encoder(signature).encode([[2**24 + 1, 10**30, math.nan, None]], 4).numbers
    np.testing.assert_array_equal(values, np.array([2**24, 1e30, math.nan, math.nan], dtype=np.float32))


@pytest.mark.parametrize("value", [1e300, -1e39, math.inf, -math.inf, 10**400, "1", b"1", [], {}, 0.5])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_row_alone_is_encoded_or_refused_as_among_others(place: int, value: Any) -> None:
    row: list[Any] = [1.5, "AA", True, "2013-01-01"]
    row[place] = value
    assert reported_of_columns([[value] for value in row]) == reported_of_columns([[value, value] for value in row])


def reported_of_columns(columns: list[Any]) -> str:
    try:
        inputs = Encoder(SIGNATURE).encode(columns, len(columns[0]))
    except UserError as error:
        return str(error)
    return repr([block[:, 0].tolist() for block in (inputs.numbers, inputs.codes, inputs.doubles)])


@pytest.mark.parametrize("dtype", ["?", "u1", "<u2", "<u8", "i1", "<i4", "<i8", "<f2", "<f4", "<f8"])
def test_tensors_of_every_datatype_are_encoded_as_their_numbers(dtype: str) -> None:
    numbers = np.array([0, 1, 1], dtype=dtype)
    found = Encoder(SIGNATURE).encode([numbers, ["AA"] * 3, numbers, [""] * 3], 3)
    assert found.numbers.dtype == np.float32
    np.testing.assert_array_equal(found.numbers, [[0, 1, 1]] * 2)  # amount and rush
