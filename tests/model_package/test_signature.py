"""Rows as they come, in the form a model reads them."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kubeline.errors import UserError
from kubeline.model_package import Feature, Predictor, Signature
from kubeline.model_package.encoding import labels

SIGNATURE = Signature(
    features=[
        Feature(name="number", kind="number"),
        Feature(name="category", kind="category", categories=["a"]),
        Feature(name="boolean", kind="boolean"),
        Feature(name="datetime", kind="datetime"),
    ],
    target="y",
    task="binary",
    classes=["no", "yes"],
)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.none() | FLOAT32 | st.integers(-(10**6), 10**6),
            "category": st.none() | st.text(),
            "boolean": st.none() | st.booleans(),
            "datetime": st.none() | st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001
        }
    ),
    min_size=1,
    max_size=20,
)


def encoded(name: str, values: object) -> list[Any]:
    column = pd.Series(values, name=name)
    others = {other: [None] * len(column) for other in SIGNATURE.names}
    return SIGNATURE.encode(pd.DataFrame({**others, name: column}))[name][:, 0].tolist()


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_every_row_is_encoded_by_value_whatever_the_other_rows_are(rows: Any) -> None:
    frame = pd.DataFrame(rows, columns=SIGNATURE.names)
    inputs = SIGNATURE.encode(frame)
    assert {name: (array.dtype, array.shape) for name, array in inputs.items()} == {
        "number": (np.float32, (len(rows), 1)),
        "category": (object, (len(rows), 1)),
        "boolean": (np.float32, (len(rows), 1)),
        "datetime": (np.float64, (len(rows), 1)),
    }
    for place, row in enumerate(rows):
        found = {name: array[place, 0] for name, array in inputs.items()}
        expected = {
            "number": np.nan if row["number"] is None else np.float32(row["number"]),
            "category": row["category"] or "",
            "boolean": np.nan if row["boolean"] is None else float(row["boolean"]),
            "datetime": np.nan if row["datetime"] is None else row["datetime"].replace(tzinfo=UTC).timestamp(),
        }
        assert found["category"] == expected["category"]
        for name in ("number", "boolean"):
            assert found[name] == expected[name] or (np.isnan(found[name]) and np.isnan(expected[name]))
        assert found["datetime"] == pytest.approx(expected["datetime"], abs=1e-5, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 100))
def test_the_order_of_rows_and_columns_and_further_columns_do_not_matter(rows: Any, seed: Any) -> None:
    frame = pd.DataFrame(rows, columns=SIGNATURE.names)
    order = np.random.default_rng(seed).permutation(len(frame))
    shuffled = frame.iloc[order][SIGNATURE.names[::-1]].assign(extra="x")
    one, other = SIGNATURE.encode(frame), SIGNATURE.encode(shuffled)
    for name, array in one.items():
        assert pd.Series(array[order, 0]).equals(pd.Series(other[name][:, 0]))


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("number", [1, 2.5, True], [1.0, 2.5, 1.0]),
        ("number", pd.array([1, None], dtype="Int64"), [1.0, np.nan]),
        ("number", [Decimal("1.25"), None], [1.25, np.nan]),
        ("boolean", pd.array([True, None], dtype="boolean"), [1.0, np.nan]),
        ("boolean", [0, 1.0], [0.0, 1.0]),
        ("category", pd.Categorical(["b", None, "a"]), ["b", "", "a"]),
        ("category", pd.array(["b", None], dtype="string"), ["b", ""]),
        ("category", pd.Categorical([None, None]), ["", ""]),
        ("category", [np.nan, np.nan], ["", ""]),
        (
            "datetime",
            ["1970-01-02", None, "1970-01-01T01:00:00+01:00", "1970-01-01 00:00:00.5"],
            [86400, np.nan, 0, 0.5],
        ),
        ("datetime", ["9999-12-31", "0001-01-01T00:00:00Z"], [253402214400.0, -62135596800.0]),
        ("datetime", [date(1970, 1, 2), None], [86400.0, np.nan]),
        ("datetime", pd.Series([np.datetime64("1970-01-02"), pd.NaT, pd.NA], dtype=object), [86400.0, np.nan, np.nan]),
        ("datetime", [None, np.nan], [np.nan, np.nan]),
        ("datetime", pd.Series([None], dtype="float64"), [np.nan]),
        ("datetime", [datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=1)))], [3600.0]),
        ("datetime", np.array(["1500-01-01"], dtype="datetime64[s]"), [-14831769600.0]),
    ],
)
def test_each_kind_takes_what_tables_and_json_hold(name: str, values: object, expected: list[Any]) -> None:
    assert encoded(name, values) == pytest.approx(expected, nan_ok=True) if name != "category" else True
    assert name != "category" or encoded(name, values) == expected


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("number", [1.0, "2"], "column 'number' holds '9' of type str where a number is expected"),
        ("number", [1.0, np.inf], "column 'number' holds inf in row 1"),
        ("number", [1e300], r"column 'number' holds 9e\+999 in row 0, which is infinite as float32"),
        ("category", [1, 2], "column 'category' holds 9 of type int where text is expected"),
        ("category", ["a", 2.0], "column 'category' holds 9.9 of type float where text"),
        ("boolean", ["true"], "column 'boolean' holds 'aaaa' of type str where true or false"),
        ("boolean", [2], "column 'boolean' holds 9 of type int where true or false"),
        ("datetime", ["1970-01-01", "soon"], "column 'datetime' holds 'aaaa' of type str where a date or time"),
        ("number", [1, [2]], r"column 'number' holds \[9\] of type list"),
        ("category", ["a", ["b"]], r"column 'category' holds \['a'\] of type list"),
        ("boolean", [True, [True]], r"column 'boolean' holds \[Aaaa\] of type list"),
        ("datetime", [None, {"a": 1}], "column 'datetime' holds {'a': 9} of type dict"),
        ("datetime", [12], "column 'datetime' holds 99"),
    ],
)
def test_a_value_of_another_type_is_refused_by_column_and_value(name: str, values: list[Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        encoded(name, values)


def test_a_missing_column_is_named_with_those_there_are() -> None:
    with pytest.raises(
        UserError, match="column 'boolean' is missing; the model needs number, category, boolean, datetime"
    ):
        SIGNATURE.encode(pd.DataFrame({"number": [1], "category": ["a"], "datetime": [None]}))


@pytest.mark.parametrize("values", [[True, False], ["yes", "no"], [1, 0], [1.0, 0.0]])
def test_labels_are_text_and_codes_are_positions(values: list[Any]) -> None:
    classes = sorted({str(int(v)) if isinstance(v, float) else str(v) for v in values})
    signature = SIGNATURE.model_copy(update={"classes": classes})
    frame = pd.DataFrame({"y": values})
    assert signature.truth(frame).tolist() == classes[::-1]
    assert signature.codes(frame).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.Series([1, True, "1", 1.0, 0.5], dtype=object), ["1", "True", "1", "1", "0.5"]),
        (pd.Series([0.1, 2.0], dtype="float32"), [str(float(np.float32(0.1))), "2"]),
        (pd.Series([-0.0, 0.0, 3.0]), ["0", "0", "3"]),
        (pd.Series([2**60 + 1, 1], dtype="Int64"), [str(2**60 + 1), "1"]),
        (pd.Series(pd.Categorical(["b", "a", "b"])), ["b", "a", "b"]),
    ],
)
def test_values_that_are_equal_are_one_label_and_values_written_otherwise_are_not(
    values: object, expected: list[Any]
) -> None:
    assert labels(values).tolist() == expected


def test_a_label_that_is_no_class_and_a_missing_one_are_refused() -> None:
    with pytest.raises(UserError, match="holds 'aaaaa', which is not a class of this model; it has: no, yes"):
        SIGNATURE.codes(pd.DataFrame({"y": ["no", "maybe"]}))
    with pytest.raises(UserError, match="target 'y' is missing in 1 of 2 rows"):
        SIGNATURE.truth(pd.DataFrame({"y": ["no", None]}))
    with pytest.raises(UserError, match="target 'y' is not a column of this table; it has: x"):
        SIGNATURE.truth(pd.DataFrame({"x": [1]}))


@pytest.mark.parametrize(
    "fields",
    [
        {"classes": None},
        {"classes": ["a"]},
        {"classes": ["a", "a"]},
        {"classes": ["a", "b", "c"]},
        {"task": "regression"},
        {"features": []},
        {"features": [{"name": "a", "kind": "number"}] * 2},
        {"features": [{"name": "a", "kind": "picture"}]},
        {"extra": 1},
    ],
)
def test_a_signature_that_contradicts_itself_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Signature.model_validate({**SIGNATURE.model_dump(), **fields})


def test_a_signature_survives_json() -> None:
    assert Signature.model_validate_json(SIGNATURE.model_dump_json()) == SIGNATURE


def test_no_row_gives_no_prediction(package: Any) -> None:
    from kubeline.model_package import ModelPackage

    opened = ModelPackage.open(package.path)
    predictor: Predictor = opened.predictor()
    found = predictor.predict(opened.golden().head(0))
    assert found.values.shape == (0,)
    assert found.probabilities.shape == (0, 2)
