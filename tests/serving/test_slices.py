"""Large JSON of any form is read in slices, to the same values and refusals as a whole."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.codec.parsing import LARGE, parse_json
from kubeline_serving.codec.slices import SLICE_BYTES, discard, read
from kubeline_serving.codec.v1 import V1
from kubeline_serving.codec.v2 import V2
from kubeline_serving.errors import TooLarge
from tests.serving.json_values import VALUES
from tests.support.packages import write_tiny_package

MARKS = st.sampled_from(list('[]{},:"\\0 ae-'))
SIZES = st.integers(1, 60)
ROWS = 20_000
COLUMNS: dict[str, tuple[str, list[Any]]] = {
    "amount": ("FP32", [float(row) for row in range(ROWS)]),
    "carrier": ("BYTES", [f"C{row % 7}" for row in range(ROWS)]),
    "rush": ("BOOL", [True, False, None, True] * (ROWS // 4)),
    "departure": ("BYTES", ["2013-01-01T06:00:00", None] * (ROWS // 2)),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_tiny_package(tmp_path_factory.mktemp("slices") / "package")


def outcome(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except UserError as error:
        return "one key twice" if "one key twice" in str(error) else "no JSON"


@given(VALUES, SIZES, st.sampled_from([0, orjson.OPT_INDENT_2]))
def test_any_json_is_read_in_slices_as_a_whole(value: Any, size: int, how: int) -> None:
    body = orjson.dumps(value, option=how)
    assert read(body, parse_json, size) == orjson.loads(body)


@given(st.lists(MARKS, min_size=1, max_size=40), SIZES)
def test_what_is_no_json_is_refused_in_slices_as_well(marks: list[str], size: int) -> None:
    body = "".join(marks).encode()
    assert outcome(lambda: read(body, parse_json, size)) in (outcome(lambda: parse_json(body)), "one key twice")


@given(VALUES, st.data(), SIZES)
def test_one_wrong_byte_is_found_wherever_it_stands(value: Any, data: st.DataObject, size: int) -> None:
    whole = orjson.dumps({"instances": [value, [1, {"a": [2, 3]}, "x"]]})
    place = data.draw(st.integers(0, len(whole)))
    body = whole[:place] + data.draw(MARKS).encode() + whole[place + data.draw(st.integers(0, 1)) :]
    assert outcome(lambda: read(body, parse_json, size)) in (outcome(lambda: parse_json(body)), "one key twice")


def test_a_refusal_of_a_slice_says_from_where_its_place_counts() -> None:
    body = b'{"instances":[' + b"1.5," * 200_000 + b"oops,1]}"
    with pytest.raises(UserError, match=r"not JSON: .*\(char \d+\), counted from byte [\d,]+$") as refused:
        read(body, parse_json)
    place, start = map(int, re.findall(r"(?:char|byte) (\d+)", str(refused.value).replace(",", "")))
    assert body[start + place :].startswith(b"oops")


def test_a_comma_outside_of_all_lists_is_no_json() -> None:
    with pytest.raises(UserError, match="a comma stands outside of all lists, at byte 3"):
        read(b"[1],[2],[3]", parse_json, 5)


def test_lists_under_one_key_twice_are_refused_where_a_cut_leaves_open_which_goes_on() -> None:
    assert read(b'{"a":[1,2],"a":[3,4]}', parse_json, 100) == {"a": [3, 4]}
    with pytest.raises(UserError, match="a record of the body has one key twice; send each once"):
        read(b'{"a":[1,2],"b":[9],"a":[3,4]}', parse_json, 26)


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[' + b"{}," * 200_000 + b"{}]}",
        b'{"instances":[[' + b"null," * 200_000 + b"null]]}",
        b'{"instances":[[' + b"NaN," * 200_000 + b"NaN]]}",
        b'{"instances":[{' + b",".join(b'"%d":1' % number for number in range(70_000)) + b"}]}",
        b'{"inputs":[],"parameters":{' + b",".join(b'"%d":{"a":[]}' % number for number in range(40_000)) + b"}}",
        b'{"inputs":[{"data":[' + b"[1]," * 200_000 + b"[1]]}]}",
        b"[" * 500 + b"1," * 300_000 + b"1" + b"]" * 500,
        b'["' + rb"\\\",[" * 40_000 + b'",' + rb'"[{\"",' * 100_000 + b'"]"]',
    ],
    ids=["records", "nulls", "NaN", "columns of a row", "parameters", "lists in a tensor", "deep", "texts"],
)
def test_no_form_of_a_large_body_keeps_a_parser_busy_for_long(body: bytes) -> None:
    sizes = []

    def parse(part: bytes) -> Any:
        sizes.append(len(part))
        return parse_json(part)

    found = read(body, parse)
    assert len(sizes) > 2
    assert max(sizes) < SLICE_BYTES + 50_000
    assert repr(found) == repr(json.loads(body))
    discard(found)
    assert not found


def as_v1() -> bytes:
    return json.dumps({"inputs": {name: values for name, (_, values) in COLUMNS.items()}}).encode()


def as_v2(nested: bool) -> bytes:
    tensors = [
        {
            "name": name,
            "datatype": datatype,
            "shape": [ROWS, 1],
            "data": [[value] for value in values] if nested else values,
        }
        for name, (datatype, values) in COLUMNS.items()
    ]
    return json.dumps({"inputs": tensors, "id": "1"}).encode()


@pytest.mark.parametrize("form", ["v1", "v2", "v2 nested"])
def test_a_large_request_by_columns_is_answered_whatever_its_protocol(package: ModelPackage, form: str) -> None:
    v1, v2 = V1(package.signature, ROWS), V2(package.signature, "m", "1", ROWS)
    body = as_v1() if form == "v1" else as_v2(nested=form == "v2 nested")
    assert len(body) > LARGE
    found: Inputs = v1.parse(body) if form == "v1" else v2.inputs(v2.read(body, None)[0])
    assert found.rows == ROWS
    assert found.numbers[0].tolist() == COLUMNS["amount"][1]
    assert found.numbers[1][:4].tolist() == pytest.approx([1, 0, np.nan, 1], nan_ok=True)
    assert found.doubles[0][:2].tolist() == pytest.approx([1_357_020_000, np.nan], nan_ok=True)


def test_a_tensor_of_more_rows_than_the_server_takes_is_refused_before_its_values_are_looked_at(
    package: ModelPackage,
) -> None:
    with pytest.raises(TooLarge, match="the request has 20,000 rows, but the server takes at most 19,999"):
        V2(package.signature, "m", "1", ROWS - 1).read(as_v2(nested=False), None)
