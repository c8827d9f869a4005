"""The serving form reads blocks of columns, and answers what the portable form answers, to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from kubeline.errors import UserError
from kubeline.model_package import Feature, ModelPackage, Predictor, Signature
from kubeline.model_package.predictor import ServingPredictor
from kubeline.training.serving_form import serving_form
from kubeline_serving.codec.columns import Encoder
from kubeline_serving.codec.inputs import InputColumns
from kubeline_serving.inference.model import ServedModel
from tests.serving.exchanges import encoded
from tests.support.training import trained
from tests.support.training_tables import SMALL, for_task, fresh_rows, mixed_table

BLOCKS = ["kubeline.numbers", "kubeline.codes", "kubeline.doubles"]
TEXT_READERS = {"LabelEncoder", "OneHotEncoder"}
BINARY = for_task(mixed_table(), "binary")
RARE = BINARY.assign(city=[f"c{k % 9}" if k % 3 else "common" for k in range(600)])

KINDS: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {
    **{
        f"{estimator}, {task}": (for_task(mixed_table(), task), {"estimator": estimator})
        for estimator in SMALL
        for task in ("binary", "multiclass", "regression")
    },
    "one-hot, trees": (BINARY, {"params": {"max_iter": 5, "category_encoding": "one_hot"}}),
    "target encoding": (BINARY, {"params": {"max_iter": 5, "category_encoding": "target"}}),
    "values distinguished that are not in the signature": (
        RARE,
        {"params": {"max_iter": 5, "category_encoding": "target", "max_categories": 3}},
    ),
    "rare values": (RARE, {"params": {"max_iter": 5, "max_categories": 3}}),
    "ordinal, linear": (BINARY, {"estimator": "linear", "params": {"category_encoding": "ordinal"}}),
    "sigmoid": (BINARY, {"calibration": "sigmoid", "validation_fraction": 0.3, "params": {"max_iter": 5}}),
    "isotonic": (
        for_task(mixed_table(), "multiclass"),
        {"calibration": "isotonic", "validation_fraction": 0.3, "params": {"max_iter": 5}},
    ),
    "two dates": (BINARY.assign(bought=BINARY["sold/at"] - pd.Timedelta("9D")), {"params": {"max_iter": 5}}),
    "numbers": (BINARY[["size", "rooms", "y"]], {"params": {"max_iter": 5}}),
    "one number": (BINARY[["rooms", "y"]], {"params": {"max_iter": 5}}),
    "one category": (BINARY[["city", "y"]], {"params": {"max_iter": 5}}),
    "one category, linear": (BINARY[["city", "y"]], {"estimator": "linear"}),
    "one date": (BINARY[["sold/at", "y"]], {"params": {"max_iter": 5}}),
}


def package_of(folder: Path, frame: pd.DataFrame, given: dict[str, Any]) -> ModelPackage:
    small = SMALL[given.get("estimator", "hist_gradient_boosting")]
    return ModelPackage.open(trained(folder, frame, **{"params": small, **given})["model"].path)


@pytest.mark.parametrize("kind", KINDS)
def test_both_forms_of_a_trained_model_answer_the_same_here_and_in_a_server(kind: str, tmp_path: Path) -> None:
    table, given = KINDS[kind]
    package = package_of(tmp_path, table, given)
    portable, serving = Predictor(package.onnx(), package.signature, 1), package.predictor(threads=1)
    served = ServedModel("m", package.path)
    rows = fresh_rows(table)  # unseen and missing values of every kind
    rows.loc[50:100, "city"] = "c7"
    rows["bought"] = rows["sold/at"]
    frames = [rows, *(rows.iloc[[row]] for row in (0, 15, 25, 40, 60, 399))]
    inputs = [encoded(package.signature, frame) for frame in frames]
    for frame, one in zip(frames, inputs, strict=True):
        expected = portable.predict(frame)
        assert_same(serving.predict(frame), expected)
        assert_same(served.predict([one]), expected)
    assert_same(served.predict(inputs), portable.predict(pd.concat(frames)))


@pytest.mark.parametrize("kind", ["linear, multiclass", "one-hot, trees", "target encoding", "two dates"])
def test_the_serving_form_is_valid_and_reads_blocks_and_no_text(kind: str, tmp_path: Path) -> None:
    package = package_of(tmp_path, *KINDS[kind])
    model = onnx.load(package.path / "serving.onnx")
    onnx.checker.check_model(model, full_check=True)  # also that nodes stand in order
    assert {value.name for value in model.graph.input} <= {*BLOCKS}
    assert {node.op_type for node in model.graph.node} & TEXT_READERS == set()
    read = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= read


def test_columns_side_by_side_are_one_step_and_categories_another(tmp_path: Path) -> None:
    """Each step more takes as long as twenty trees for a row."""
    package = package_of(tmp_path, BINARY.drop(columns="sold/at"), {"params": {"max_iter": 5}})
    steps = [node.op_type for node in onnx.load(package.path / "serving.onnx").graph.node]
    before = steps[: steps.index("TreeEnsembleRegressor")]
    assert sorted(before) == ["Concat", "GatherElements", "Transpose", "Transpose"]


def test_the_signature_lists_rare_values_that_the_model_distinguishes(tmp_path: Path) -> None:
    package = package_of(tmp_path, *KINDS["values distinguished that are not in the signature"])
    (city,) = (feature for feature in package.signature.features if feature.name == "city")
    assert len(city.categories or []) == 3
    assert {*(city.categories or []), *city.rare} == {*RARE["city"]}


SIGNATURE = Signature(
    features=[
        Feature(name="a", kind="number"),
        Feature(name="color", kind="category", categories=["red", "green"]),
        Feature(name="b", kind="number"),
        Feature(name="flag", kind="boolean"),
        Feature(name="first", kind="datetime"),
        Feature(name="shape", kind="category", categories=["", "round", "flat", "long"]),
        Feature(name="last", kind="datetime"),
    ],
    target="y",
    task="regression",
)
ROWS = pd.DataFrame(
    {
        "a": [1.5, np.nan, -3.0, 0.25, 7.0],
        "color": ["red", "green", None, "blue", "violet"],
        "b": [2.0, 3.0, np.nan, 4.0, 5.0],
        "flag": pd.Series([True, False, None, True, False], dtype="boolean"),
        "first": pd.to_datetime(["2013-01-01", None, "1969-07-20", "2013-07-04", "2100-01-01"]),
        "shape": ["flat", "never seen", "long", "", "round"],
        "last": pd.to_datetime(["2014-01-01", "2015-01-01", None, "2016-01-01", "2017-01-01"]),
    }
)
TYPES = {"number": 1, "boolean": 1, "category": 8, "datetime": 11}
ML = "ai.onnx.ml"


def node(operation: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operation, inputs.split(), [output], **attributes)


def labels(column: str, output: str, *keys: str, **attributes: Any) -> onnx.NodeProto:
    values = attributes or {"values_floats": np.arange(len(keys)) + 0.5}
    return helper.make_node("LabelEncoder", [column], [output], domain=ML, keys_strings=keys, **values)


def one_hot(column: str, output: str, *keys: str, zeros: int = 1) -> onnx.NodeProto:
    return node("OneHotEncoder", column, output, domain=ML, cats_strings=keys, zeros=zeros)


def to_float(name: str, output: str) -> onnx.NodeProto:
    return node("Cast", name, output, to=TensorProto.FLOAT)


CONSTANTS = {
    "zeroth": np.array([0]),
    "second": np.array([1]),
    "third": np.array([2]),
    "swapped": np.array([1, 0]),
    "swapped32": np.array([1, 0], dtype=np.int32),
    "scalar": np.array(1),
    "to_2": np.array([-1, 2]),
    "to_5": np.array([-1, 5]),
    "to_3002": np.array([-1, 3002]),
    "to_wrong": np.array([2, -1]),
    "blue": np.array(["blue"], dtype=object),
}
FINAL = "output.prediction"


def model_of(nodes: list[onnx.NodeProto], signature: Signature = SIGNATURE, opset: int = 19) -> bytes:
    """A model of these nodes, whose answer of any width stands in `FINAL`."""
    inputs = [helper.make_tensor_value_info(f.name, TYPES[f.kind], [None, 1]) for f in signature.features]
    outputs = [helper.make_tensor_value_info(FINAL, TensorProto.FLOAT, [None, None])]
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in CONSTANTS.items()]
    graph = helper.make_graph(nodes, "by hand", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def assert_same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found.values, expected.values)
    if expected.probabilities is not None:
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def changed_like(nodes: list[onnx.NodeProto], signature: Signature = SIGNATURE, opset: int = 19) -> list[str]:
    """Assert that the serving form answers what the model answers; the operators of its steps."""
    model = model_of(nodes, signature, opset)
    there = Predictor(model, signature, 1)
    changed, signature = serving_form(model, signature)
    onnx.checker.check_model(changed)
    here, columns = ServingPredictor(changed, signature, 1), InputColumns(signature)
    frame = ROWS.set_axis(signature.names, axis=1)
    for rows in (frame, *(frame.iloc[[row]] for row in range(len(frame)))):
        expected = there.predict(rows)
        assert_same(here.predict(rows), expected)
        assert_same(here.predict_blocks(columns.tensors(encoded(signature, rows))), expected)
    graph = onnx.load_from_string(changed).graph
    assert [value.name for value in graph.input] == BLOCKS
    return [node.op_type for node in graph.node]


ANSWERS = {
    "numbers in another order": [node("Concat", "flag b a", FINAL, axis=1)],
    "some of the numbers, from the last axis": [node("Concat", "b flag", FINAL, axis=-1)],
    "the same number twice": [node("Concat", "a a b", FINAL, axis=1)],
    "a number alone": [node("Neg", "b", FINAL)],
    "numbers chosen": [node("Concat", "a flag b", "all", axis=1), node("Gather", "all swapped", FINAL, axis=1)],
    "numbers chosen as features": [
        node("Concat", "a flag b", "all", axis=1),
        node("ArrayFeatureExtractor", "all second", FINAL, domain=ML),
    ],
    "numbers chosen by short positions": [
        node("Concat", "a flag b", "all", axis=1),
        node("Gather", "all swapped32", FINAL, axis=1),
    ],
    "a number chosen, without its axis": [
        node("Concat", "a flag b", "all", axis=1),
        node("Gather", "all scalar", "flat", axis=1),
        node("Add", "a flat", FINAL),
    ],
    "rows chosen": [node("Concat", "a flag b", "all", axis=1), node("Gather", "all zeroth", FINAL, axis=0)],
    "rows behind each other": [node("Concat", "a b", FINAL, axis=0)],
    "another shape": [
        node("Concat", "a b", "two", axis=1),
        node("Reshape", "two to_wrong", "other"),
        node("ReduceSum", "other second", FINAL),
    ],
    "the same shape": [node("Concat", "a b", "two", axis=1), node("Reshape", "two to_2", FINAL)],
    "a column as the answer": [node("Identity", "flag", FINAL)],
    "times": [node("Concat", "last first", "times", axis=1), to_float("times", FINAL)],
    "one time": [to_float("last", FINAL)],
    "a label": [labels("color", FINAL, "red", "blue", default_float=-2.0, values_floats=[1.0, 2.0])],
    "a label, by default": [labels("color", FINAL, "red")],
    "whole labels": [labels("color", "code", "green", values_int64s=[2**40 + 1]), to_float("code", FINAL)],
    "whole labels, as twice as many digits": [
        labels("color", "code", "green", values_int64s=[2**40 + 1]),
        node("Cast", "code", "wide", to=TensorProto.DOUBLE),
        to_float("wide", FINAL),
    ],
    "labels, cut to whole numbers": [
        labels("color", "c", "red", "green", values_floats=[1.5, -2.5]),
        node("Cast", "c", "whole", to=TensorProto.INT64),
        to_float("whole", FINAL),
    ],
    "labels of two columns": [
        labels("color", "c", "red", "green"),
        labels("shape", "s", "long", "", "flat"),
        node("Concat", "s c", "longest_first", axis=1),
        node("Concat", "c s", "longest_last", axis=1),
        node("Sub", "longest_first longest_last", FINAL),
    ],
    "labels of one column twice, and numbers between": [
        labels("color", "c", "red", "violet"),
        labels("color", "other", "green"),
        node("Concat", "c a other last32", FINAL, axis=1),
    ],
    "one encoder of two columns": [
        node("Concat", "shape color", "texts", axis=1),
        labels("texts", FINAL, "red", "round", "", "violet"),
    ],
    "a number for each value": [one_hot("shape", "deep", "round", "", "big"), node("Flatten", "deep", FINAL)],
    "a number for one value": [
        one_hot("shape", "deep", "round"),
        node("Gather", "deep zeroth", "still_deep", axis=1),
        node("ReduceSum", "still_deep third", FINAL, keepdims=0),
    ],
    "some numbers of values": [
        one_hot("shape", "deep", "round", "long"),
        node("Reshape", "deep to_2", "flat"),
        node("Gather", "flat swapped", FINAL, axis=1),
    ],
    "a number for each value of two columns": [
        one_hot("shape", "s", "round", "", "big"),
        one_hot("color", "c", "blue", "red"),
        node("Concat", "s c", "deep", axis=2),
        node("Reshape", "deep to_5", FINAL),
    ],
    "a number for each value, one below the other": [
        one_hot("shape", "s", "round", "long"),
        one_hot("color", "c", "blue", "red"),
        node("Concat", "s c", "deep", axis=1),
        node("ReduceSum", "deep second", FINAL, keepdims=0),
    ],
}


@pytest.mark.parametrize("opset", [19, 13])
@pytest.mark.parametrize("case", ANSWERS)
def test_what_moves_columns_and_looks_up_texts_answers_the_same(case: str, opset: int) -> None:
    nodes = [to_float("last", "last32")] if "last32" in str(ANSWERS[case]) else []
    steps = changed_like([*nodes, *ANSWERS[case]], opset=opset)
    assert set(steps) & TEXT_READERS == set()


def test_what_two_steps_read_is_made_once() -> None:
    read_twice = [labels("color", "c", "red"), node("Neg", "c", "less"), node("Abs", "c", "more")]
    steps = changed_like([*read_twice, node("Concat", "less more", FINAL, axis=1)])
    assert steps.count("GatherElements") == 1


def test_a_column_for_each_of_very_many_categories_needs_no_table_of_their_square() -> None:
    many = ["blue", "red", *map(str, range(3_000))]
    nodes = [one_hot("color", "deep", *many), node("Reshape", "deep to_3002", FINAL)]
    assert changed_like(nodes)[-2:] == ["OneHotEncoder", "Reshape"]
    assert len(serving_form(model_of(nodes), SIGNATURE)[0]) < 200_000


AS_TEXT = {
    "compared": [node("Equal", "color blue", "is"), to_float("is", FINAL)],
    "labels twice for a text": [labels("color", FINAL, "blue", "red", "blue")],
    "labels that are text": [
        labels("color", "name", "blue", values_strings=["red"], default_string="blue"),
        node("Equal", "name blue", "is"),
        to_float("is", FINAL),
    ],
    "an encoder for which unseen values are an error": [
        one_hot("color", "deep", "blue", zeros=0),
        node("Flatten", "deep", FINAL),
    ],
    "one encoder of several categories": [
        node("Concat", "color shape", "texts", axis=1),
        one_hot("texts", "deep", "blue", "long", "flat"),
        node("ReduceSum", "deep second", FINAL, keepdims=0),
    ],
}


@pytest.mark.parametrize("case", AS_TEXT)
def test_a_category_that_is_read_in_another_way_is_refused_by_its_name(case: str) -> None:
    with pytest.raises(UserError, match=r"cannot be served: its operator \w+ reads the text of the column 'color'"):
        serving_form(model_of(AS_TEXT[case]), SIGNATURE)


@pytest.mark.parametrize("name", ["kubeline.numbers", "kubeline.1", "kubeline.codes", "numbers", "a b"])
def test_columns_may_have_any_name(name: str) -> None:
    features = [f.model_copy(update={"name": name}) if f.name == "color" else f for f in SIGNATURE.features]
    signature = SIGNATURE.model_copy(update={"features": features})
    encoder = labels(name, "c", "red", "violet")
    changed_like([encoder, node("Concat", "a c b", FINAL, axis=1)], signature)


def test_an_answer_to_a_request_with_unseen_values_leaves_their_codes_to_the_log() -> None:
    _, signature = serving_form(model_of([labels("color", FINAL, "violet")]), SIGNATURE)
    inputs = encoded(signature, ROWS)
    before = inputs.codes.copy()
    assert InputColumns(signature).tensors(inputs)["kubeline.codes"].tolist() == [[0, 1, 2, 3, 4], [1, 4, 2, 3, 0]]
    np.testing.assert_array_equal(inputs.codes, before)


def test_a_request_without_unseen_values_is_not_copied() -> None:
    inputs = Encoder(SIGNATURE).encode([[1], ["red"], [2], [True], [None], ["flat"], [None]], 1)
    tensors = InputColumns(SIGNATURE).tensors(inputs)
    assert tensors["kubeline.codes"] is inputs.codes
    assert tensors["kubeline.numbers"] is inputs.numbers
