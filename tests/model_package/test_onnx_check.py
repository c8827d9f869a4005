"""A model that could take all memory, never end, or read another file is refused before anything loads it."""

import resource
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kubeline.errors import UserError
from kubeline.model_package.onnx_check import check
from kubeline.model_package.onnx_shapes import Shape
from tests.support.packages import write_tiny_package
from tests.support.server_process import serve

ML = "ai.onnx.ml"
ANSWER = "output.prediction"
INPUTS: dict[str, Shape] = {"a": (None, 1), "b": (None, 1)}


def node(operation: str, inputs: str, output: str, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operation, inputs.split(), output.split(), domain=domain, **attributes)


def value(name: str, kind: int, shape: list[int | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, Any] | None = None) -> onnx.ModelProto:
    """A model of a number `a` and a text `b`, that ends with `ANSWER`."""
    inputs = [value("a", TensorProto.FLOAT, [None, 1]), value("b", TensorProto.STRING, [None, 1])]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, [value(ANSWER, TensorProto.FLOAT, [None, 1])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)])


def checked(model: onnx.ModelProto) -> None:
    check("model.onnx", model.SerializeToString(), INPUTS, ANSWER, 1)


def refused(model: onnx.ModelProto) -> str:
    with pytest.raises(UserError) as error:
        checked(model)
    assert "\n" not in str(error.value)
    return str(error.value)


ENDLESS = helper.make_graph(
    [helper.make_node("Identity", ["go_on"], ["goes_on"])],
    "body",
    [value("turn", TensorProto.INT64, []), value("go_on", TensorProto.BOOL, [])],
    [value("goes_on", TensorProto.BOOL, [])],
)
SHAPE = {"shape": np.array([1_100_000_000])}
LARGE = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])


@pytest.mark.parametrize(
    "step",
    [
        node("Loop", "", "never", body=ENDLESS),
        node("Scan", "a", "scanned", body=ENDLESS, num_scan_inputs=1),
        node("If", "a", "chosen", then_branch=ENDLESS, else_branch=ENDLESS),
        node("SequenceMap", "a", "mapped", body=ENDLESS),
        node("ConstantOfShape", "shape", "large", value=LARGE),
        node("Expand", "a shape", "large"),
        node("Tile", "a shape", "large"),
        node("Range", "a a a", "large"),
        node("Pad", "a shape", "large"),
        node("Resize", "a a a shape", "large"),
        node("OneHot", "a shape a", "large"),
        node("EyeLike", "a", "large"),
        node("RandomNormal", "", "large", shape=[1_100_000_000]),
        node("Constant", "", "large", value=LARGE),
        node("Shape", "a", "computed"),
        node("Attention", "a", "other", domain="com.microsoft"),
        node("PyOp", "a", "other", domain="ai.onnx.contrib"),
    ],
    ids=lambda step: step.op_type,
)
def test_an_operator_that_training_does_not_export_is_refused_by_its_name(step: onnx.NodeProto) -> None:
    sentence = refused(model_of([step, node("Identity", "a", ANSWER)], SHAPE))
    assert f"{step.op_type}, which is not run; these are: Abs, Add" in sentence


W = {"w": np.ones((2, 3), np.float32), "axes": np.array([0]), "deep": np.array([0] * 9)}


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (node("Gemm", "ab w", "c", transA=1), "mixes rows"),
        (node("Gemm", "ab w ab", "c"), "shapes do not go together"),
        (node("Gemm", "a w", "c"), "multiplies what are no matrices that go together"),
        (node("Flatten", "ab", "c", axis=0), "mixes rows"),
        (node("Squeeze", "ab axes", "c"), "leaves out an axis of other than one value"),
        (node("Unsqueeze", "ab deep", "c"), "adds the axes"),
        (node("ReduceMax", "ab axes", "c"), "mixes rows"),
    ],
)
def test_the_operators_of_a_network_do_not_mix_rows(step: onnx.NodeProto, why: str) -> None:
    nodes = [node("Concat", "a a", "ab", axis=1), step, node("Identity", "a", ANSWER)]
    assert why in refused(model_of(nodes, W))


def test_the_operators_of_a_network_are_run() -> None:
    constants = {
        "w": np.ones((3, 2), np.float32),
        "one": np.ones(3, np.float32),
        "last": np.array([1]),
        "v": np.ones((3, 1), np.float32),
    }
    nodes = [
        node("Concat", "a a", "ab", axis=1),
        node("Gemm", "ab w", "h", transB=1),
        node("BatchNormalization", "h one one one one", "n"),
        node("LeakyRelu", "n", "r"),
        node("Unsqueeze", "r last", "u"),
        node("Squeeze", "u last", "s"),
        node("Flatten", "s", "f"),
        node("Dropout", "f", "d"),
        node("ReduceMean", "d last", "m"),
        node("Sub", "d m", "e"),
        node("Gemm", "e v", ANSWER),
    ]
    checked(model_of(nodes, constants))


def doubled(times: int) -> list[onnx.NodeProto]:
    names = ["a", *(f"twice_{k}" for k in range(times))]
    return [node("Concat", f"{one} {one}", two, axis=1) for one, two in pairwise(names)]


SUM = {"axes": np.array([1])}
LARGE_ONES: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "a constant of 4.4 GB from two small ones": (
        [node("Add", "column row", "large")],
        {"column": np.zeros((33_000, 1), np.float32), "row": np.zeros((1, 33_000), np.float32)},
    ),
    "a product of 4.4 GB": (
        [node("MatMul", "column row", "large")],
        {"column": np.zeros((33_000, 1), np.float32), "row": np.zeros((1, 33_000), np.float32)},
    ),
    "five constants, none of which is too large alone": (
        [node("Add", "column row", f"large_{k}") for k in range(5)],
        {"column": np.zeros((4_000, 1), np.float32), "row": np.zeros((1, 4_000), np.float32)},
    ),
    "a tensor beside itself, thirty times": (doubled(30), {}),
    "a tensor gathered for each of many places": (
        [node("Gather", "table places", "large", axis=0)],
        {"table": np.zeros((1, 10_000), np.float32), "places": np.zeros(10_000, np.int64)},
    ),
    "many products, one after the other": (
        [node("MatMul", f"m{k} m{k}", f"m{k + 1}") for k in range(3)],
        {"m0": np.zeros((1_000, 1_000), np.float32)},
    ),
    "a thousand million targets of a tree": (
        [node("TreeEnsembleRegressor", "a", "large", domain=ML, n_targets=2**30)], {}),
    "a thousand million targets of a line": (
        [node("LinearRegressor", "a", "large", domain=ML, targets=2**30, coefficients=[1.0])], {}),
}  # fmt: skip


@pytest.mark.parametrize("case", LARGE_ONES)
def test_what_would_take_all_memory_is_refused_by_its_size(case: str) -> None:
    nodes, constants = LARGE_ONES[case]
    sentence = refused(model_of([*nodes, node("Identity", "a", ANSWER)], constants))
    assert " values for one row (" in sentence


def test_a_class_label_that_is_no_label_is_refused() -> None:
    """Each answer repeats its row's label."""
    classes = [b"no", b"x" * 5_000]
    step = node("TreeEnsembleClassifier", "a", "label scores", domain=ML, classlabels_strings=classes)
    assert "a class label of more than 4,096 bytes" in refused(model_of([step, node("Identity", "a", ANSWER)], {}))


MIXING: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "rows times rows": ([node("Reshape", "a turned", "row"), node("MatMul", "a row", "square")],
                        {"turned": np.array([1, -1])}),
    "rows below rows": ([node("Concat", "a a", "longer", axis=0)], {}),
    "one row chosen": ([node("Gather", "a first", "one", axis=0)], {"first": np.array([0])}),
    "rows added up": ([node("ReduceSum", "a first", "one")], {"first": np.array([0])}),
    "rows in columns": ([node("Concat", "a a", "two", axis=1), node("Reshape", "two flat", "longer")],
                        {"flat": np.array([-1, 1])}),
    "a shape that is computed": ([node("Cast", "a", "shape", to=7), node("Reshape", "a shape", "other")], {}),
    "another number of rows": ([node("Add", "a three", "other")], {"three": np.zeros((3, 1), np.float32)}),
    "an input that comes later": ([node("Neg", "later", "one"), node("Neg", "a", "later")], {}),
    "no inputs": ([node("Concat", "", "one", axis=1)], {}),
    "an axis that is not there": ([node("Concat", "a a", "one", axis=7)], {}),
}  # fmt: skip


@pytest.mark.parametrize("case", MIXING)
def test_what_mixes_rows_or_has_no_known_shape_is_refused(case: str) -> None:
    nodes, constants = MIXING[case]
    assert "an operator " in refused(model_of([*nodes, node("Identity", "a", ANSWER)], constants))


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add(dims=[2**40])


def function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="own")


def without_values(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].dims[:] = [2**30]


def texts(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(["x"], dtype=object), "text"))


def hidden_body(model: onnx.ModelProto) -> None:
    """In an attribute that says it is a number."""
    attribute = model.graph.node[0].attribute.add(name="axis", type=onnx.AttributeProto.INT, i=1)
    attribute.g.CopyFrom(ENDLESS)


def made_texts(model: onnx.ModelProto) -> None:
    model.graph.node.append(node("LabelEncoder", "a", "t", ML, keys_floats=[0.0], values_strings=["x" * 10_000_000]))


def another_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(value("c", TensorProto.FLOAT, [None, 1]))


def open_constant(model: onnx.ModelProto) -> None:
    """Old ONNX: an input that has a value when it is not given."""
    model.graph.input.append(value("one", TensorProto.FLOAT, [1]))


def other_width(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Concat"
    model.graph.node[-1].input.append("a")
    model.graph.node[-1].attribute.append(helper.make_attribute("axis", 1))


def no_answer(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external, "external data in constant 'one'"),
        (sparse, "sparse tensors in its graph"),
        (function, "functions in the model"),
        (without_values, "constant 'one' of shape [1073741824] without its values"),
        (texts, "texts in constant 'text'"),
        (hidden_body, "a graph in operator 'more'"),
        (made_texts, "an operator LabelEncoder that makes texts ('t')"),
        (another_input, "the inputs a, b, c; its package says a, b"),
        (open_constant, "the inputs a, b, one; its package says a, b"),
        (other_width, f"no output '{ANSWER}' with one row for each row and 1 columns"),
        (no_answer, f"no output '{ANSWER}'"),
    ],
)
def test_what_is_no_part_of_a_model_of_ours_is_refused(change: Callable[[onnx.ModelProto], None], words: str) -> None:
    model = model_of([node("Add", "a one", "more"), node("Identity", "more", ANSWER)], {"one": np.ones(1, np.float32)})
    checked(model)
    change(model)
    assert words in refused(model)


BLOCKS: dict[str, Shape] = {"numbers": (2, None), "codes": (3, None)}
SIDE_BY_SIDE = [
    node("Transpose", "numbers", "n", perm=[1, 0]),
    node("GatherElements", "table codes", "looked_up", axis=1),
    node("Transpose", "looked_up", "c", perm=[1, 0]),
    node("Concat", "n c", "all", axis=1),
    node("Gather", "all first", ANSWER, axis=1),
]
OF_BLOCKS: dict[str, tuple[list[onnx.NodeProto], str]] = {
    "columns taken for rows": ([node("Identity", "numbers", ANSWER)], "no output"),
    "rows beside columns": ([node("Concat", "numbers codes", "mixed", axis=1)], "mixes rows"),
    "an order that is none": ([node("Transpose", "numbers", "n", perm=[0, 0])], "puts axes in the order [0, 0]"),
    "rows as a table": ([node("GatherElements", "numbers codes", "n", axis=1)], "mixes rows"),
    "a table of other axes": ([node("GatherElements", "first codes", "n", axis=0)], "whose shapes do not go together"),
    "rows times rows": (
        [
            node("Transpose", "numbers", "n"),
            node("MatMul", "n numbers", "square"),
        ],
        "a square of rows",
    ),
}


def of_blocks(nodes: list[onnx.NodeProto]) -> None:
    constants = {"table": np.zeros((3, 5), np.float32), "first": np.array([0])}
    read = {name for step in nodes for name in step.input}
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items() if name in read]
    inputs = [value("numbers", TensorProto.FLOAT, [2, None]), value("codes", TensorProto.INT32, [3, None])]
    graph = helper.make_graph(nodes, "g", inputs, [value(ANSWER, TensorProto.FLOAT, [None, 1])], tensors)
    check("serving.onnx", helper.make_model(graph).SerializeToString(), BLOCKS, ANSWER, 1)


def test_blocks_of_columns_have_their_rows_last() -> None:
    of_blocks(SIDE_BY_SIDE)


@pytest.mark.parametrize("case", OF_BLOCKS)
def test_what_mixes_the_rows_and_columns_of_blocks_is_refused(case: str) -> None:
    nodes, words = OF_BLOCKS[case]
    with pytest.raises(UserError, match=r"^serving\.onnx is not loaded: it has ") as error:
        of_blocks([*nodes, *([] if nodes[-1].output[0] == ANSWER else SIDE_BY_SIDE)])
    assert words in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\xff\xff\xff\xff\x7f", b"\x3a\x02\x0a\x00" * 1000])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(UserError, match=r"model\.onnx"):
        check("model.onnx", content, {"a": (None, 1)}, ANSWER, 1)


@pytest.mark.parametrize("name", [b"axis", b"Add"])
def test_a_name_that_is_no_text_is_refused(name: bytes) -> None:
    nodes = [node("Add", "a one", "more"), node("Concat", "more", ANSWER, axis=1)]
    content = model_of(nodes, {"one": np.ones(1, np.float32)}).SerializeToString()
    with pytest.raises(UserError, match=r"model\.onnx"):
        check("model.onnx", content.replace(name, b"\xff" * len(name)), INPUTS, ANSWER, 1)


def of_fields(*tags: int, count: int = 8_000_000) -> bytes:
    """A model of empty fields, two bytes each, inside the fields with these numbers."""
    *outer, last = tags
    content = bytes([last << 3 | 2, 0]) * count
    for number in reversed(outer):
        size, length = len(content), []
        while size >= 0x80:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        content = bytes([number << 3 | 2, *length, size]) + content
    return content


FIELDS = {
    "operators": (7, 1), "inputs of an operator": (7, 1, 1), "attributes": (7, 1, 5), "constants": (7, 5),
    "notes of a constant": (7, 5, 12), "inputs": (7, 11), "dimensions": (7, 11, 2, 1, 2, 1), "notes": (7, 10),
    "operator sets": (8,), "names": (2,),
}  # fmt: skip


@pytest.mark.parametrize("case", FIELDS)
def test_sixteen_megabytes_of_empty_fields_are_refused_before_they_are_parsed(case: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="it has more than 500,000 fields"):
        check("model.onnx", of_fields(*FIELDS[case]), INPUTS, ANSWER, 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10


@pytest.mark.parametrize(
    ("number", "words"), [(9, "2,000,000 texts, most of them empty"), (15, "with fields that no model needs")]
)
def test_an_attribute_of_empty_fields_is_refused(number: int, words: str) -> None:
    attribute = of_fields(number, count=2_000_000)
    model = model_of([node("Identity", "a", ANSWER)])
    (step,) = model.graph.node
    step.attribute.add(name="anything").MergeFromString(attribute)
    assert words in refused(model)


@pytest.mark.parametrize("domain_of_endless", ["Loop", "external"])
def test_the_server_does_not_start_with_such_a_model(tmp_path: Path, domain_of_endless: str) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    model = onnx.load(package.path / "serving.onnx")
    if domain_of_endless == "Loop":
        model.graph.node.insert(0, node("Loop", "", "never", body=ENDLESS))
    else:
        external(model)
    write_tiny_package(tmp_path / "package", model=model.SerializeToString())
    ended = serve(tmp_path / "package")
    assert ended.returncode == 2
    (sentence,) = ended.stderr.strip().splitlines()
    assert sentence.startswith("error: serving.onnx is not loaded: it has ")
