"""An ONNX file of someone else becomes a package like any other, or is refused in a sentence before any of it runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from components.evaluate.component import evaluate
from components.infra_validate.component import infra_validate
from kubeline.errors import UserError
from tests.support.artifacts import Maker
from tests.support.imported_models import HELD, NUMBERS, SEEN, Import, rows

FILLED = {"seen": SEEN.fillna({"age": 50.0}), "held": HELD.fillna({"age": 50.0})}
ZIPPED = {"zipmap": True}


def pipeline(model: Any, target: str = "y") -> Pipeline:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = ColumnTransformer([("n", numbers, NUMBERS), ("c", OneHotEncoder(handle_unknown="ignore"), ["carrier"])])
    return Pipeline([("columns", columns), ("model", model)]).fit(SEEN[[*NUMBERS, "carrier"]], SEEN[target])


def converted(model: Any, inputs: list[Any], options: dict[Any, Any] | None = None) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn

    return convert_sklearn(model, initial_types=inputs, options=options, target_opset={"": 18, "ai.onnx.ml": 3})


def by_column() -> list[Any]:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    return [*((name, FloatTensorType([None, 1])) for name in NUMBERS), ("carrier", StringTensorType([None, 1]))]


def saved(folder: Path, model: onnx.ModelProto) -> str:
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return str(file)


def network(*tail: onnx.NodeProto, width: int = 2, rows: str | int = "rows", **constants: Any) -> onnx.ModelProto:
    """As torch exports one: an input of two columns, Gemm with its weights, and `tail`, which ends with `answer`."""
    draw = np.random.default_rng(0)
    values = {
        "w1": draw.normal(size=(4, 2)),
        "b1": np.zeros(4),
        "w2": draw.normal(size=(width, 4)),
        "b2": np.zeros(width),
        **constants,
    }
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in values.items()]
    scale = numpy_helper.from_array(np.array([1.0, 60.0], np.float32))
    nodes = [
        helper.make_node("Constant", [], ["scale"], value=scale),
        helper.make_node("Div", ["x", "scale"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "w1", "b1"], ["h1"], transB=1),
        helper.make_node("Relu", ["h1"], ["h2"]),
        helper.make_node("Gemm", ["h2", "w2", "b2"], ["logits"], transB=1),
        *tail,
    ]
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 2])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [rows, width])],
        tensors,
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, producer_name="pytorch", opset_imports=opsets, ir_version=9)


SOFTMAX = helper.make_node("Softmax", ["logits"], ["answer"], axis=1)
SIGMOID = helper.make_node("Sigmoid", ["logits"], ["answer"])


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_classifier_of_skl2onnx_is_served_as_it_was_fitted(zipmap: bool, bring: Import, tmp_path: Path) -> None:
    model = pipeline(HistGradientBoostingClassifier(max_iter=10) if zipmap else LogisticRegression())
    source = saved(tmp_path, converted(model, by_column(), {id(model): {"zipmap": zipmap}}))
    package = bring(source=source)
    found = package.predictor(1).predict(HELD)
    assert found.probabilities is not None
    assert package.signature.classes == ["early", "late"]
    assert np.abs(found.probabilities - model.predict_proba(HELD)).max() < 1e-5
    assert [one.kind for one in package.signature.features] == ["number", "number", "category"]
    assert package.manifest.format == 3
    assert "model.joblib" not in package.manifest.files
    assert len(package.golden()) > 0
    page = (tmp_path / "report").read_text(encoding="utf-8")
    assert "cannot be checked here" in page
    with pytest.raises(UserError, match="was imported from ONNX and has no scikit-learn form"):
        package.sklearn()


def test_a_regression_of_whole_numbers_and_doubles_reads_them_as_such(bring: Import, tmp_path: Path) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType

    frame = FILLED["seen"].assign(age=lambda table: table["age"].astype(np.int64))
    held = FILLED["held"].assign(age=lambda table: table["age"].astype(np.int64))
    columns = ColumnTransformer([("n", StandardScaler(), ["amount"]), ("a", StandardScaler(), ["age"])])
    model = make_pipeline(columns, Ridge()).fit(frame[NUMBERS], frame["price"])
    types = [("amount", DoubleTensorType([None, 1])), ("age", Int64TensorType([None, 1]))]
    package = bring(frame, held, source=saved(tmp_path, converted(model, types)), target="price")
    assert [one.dtype for one in package.signature.features] == ["float64", "float64"]
    found = package.predictor(1).predict(held)
    assert np.abs(found.values - model.predict(held[NUMBERS])).max() < 1e-5
    with pytest.raises(UserError, match="the model reads 'age' as int64, which nan of row"):
        bring(source=saved(tmp_path, converted(model, types)), target="price")


def test_a_model_of_lightgbm_names_its_classes_by_numbers_and_is_given_those_of_the_table(
    bring: Import, tmp_path: Path
) -> None:
    from lightgbm import LGBMClassifier
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    codes = (SEEN["y"] == "late").astype(int)
    model = LGBMClassifier(n_estimators=5, verbose=-1).fit(SEEN[NUMBERS].to_numpy(), codes)
    source = saved(tmp_path, convert_lightgbm(model, initial_types=[("input", FloatTensorType([None, 2]))]))
    package = bring(source=source, features=NUMBERS, classes=["early", "late"])
    found = package.predictor(1).predict(HELD)
    assert found.probabilities is not None
    assert np.abs(found.probabilities - model.predict_proba(HELD[NUMBERS].to_numpy())).max() < 1e-5
    for parameters, sentence in (
        ({"features": NUMBERS}, "the target has the class 'early', which the model does not know; it answers 0, 1"),
        ({"classes": ["early", "late"]}, "takes 2 columns and does not name them; give them by features"),
        ({"features": NUMBERS, "classes": ["a", "b", "c"]}, "classes names 3, but the model has 2: 0, 1"),
        ({"features": ["age"]}, "features names 1 columns, but the model reads 2"),
    ):
        with pytest.raises(UserError, match=sentence):
            bring(source=source, **parameters)


def test_a_network_passes_every_gate_of_a_trained_model(
    bring: Import, artifact: Maker, dataset: Maker, tmp_path: Path
) -> None:
    weights: dict[str, Any] = {
        "w1": [[1, 0], [0, 1], [0, 0], [0, 0]],
        "w2": [[-2, 3, 0, 0], [2, -3, 0, 0]],
        "b2": [1.5, -1.5],
    }
    package = bring(
        **FILLED, source=saved(tmp_path, network(SOFTMAX, **weights)), features=NUMBERS, classes=["early", "late"]
    )
    assert package.manifest.params["producer"] == "pytorch"
    model = artifact("Model", "imported")
    Path(model.path).symlink_to(package.path)
    model.metadata.update(package.metadata())
    outputs = [artifact("Dataset", "predictions"), artifact("Metrics", "metrics")]
    outputs += [artifact("ClassificationMetrics", "classification"), artifact("HTML", "page")]
    fresh = rows(300, 3).drop(columns="price").fillna({"age": 50.0})
    blessing = artifact("Artifact", "blessing")
    thresholds = {"roc_auc": 0.6}
    evaluate.python_func(dataset(fresh), model, blessing, *outputs, replicates=200, thresholds=thresholds)
    judged = json.loads(Path(blessing.path).read_text(encoding="utf-8"))
    assert judged["package_digest"] == package.digest
    served = artifact("Artifact", "served")
    verdict = infra_validate.python_func(model, served, artifact("Metrics", "m"), artifact("HTML", "h"), requests=20)
    assert verdict == "promote"


def test_one_probability_is_that_of_the_second_class(bring: Import, tmp_path: Path) -> None:
    source = saved(tmp_path, network(SIGMOID, width=1))
    package = bring(**FILLED, source=source, features=NUMBERS, classes=["late", "early"])
    found = package.predictor(1).predict(FILLED["held"])
    assert found.probabilities is not None
    assert np.allclose(found.probabilities.sum(axis=1), 1)
    flipped = bring(**FILLED, source=source, features=NUMBERS, classes=["early", "late"])
    other = flipped.predictor(1).predict(FILLED["held"])
    assert other.probabilities is not None
    assert np.array_equal(found.probabilities, other.probabilities)
    assert (found.values != other.values).all()


LOOP = helper.make_node("Loop", ["", ""], ["answer"], body=helper.make_graph([], "body", [], []))


def outside() -> onnx.ModelProto:
    """A network one of whose weights lies in another file."""
    model = network(SOFTMAX)
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model


def mislabelled() -> onnx.ModelProto:
    """Labels of the smallest probability."""
    lowest = helper.make_node("Neg", ["answer"], ["turned"])
    model = network(SOFTMAX, lowest, helper.make_node("ArgMax", ["turned"], ["place"], axis=1, keepdims=0))
    classes = numpy_helper.from_array(np.array(["early", "late"], dtype=object), "classes")
    model.graph.initializer.append(classes)
    model.graph.node.append(helper.make_node("Gather", ["classes", "place"], ["label"]))
    model.graph.output.append(helper.make_tensor_value_info("label", TensorProto.STRING, ["rows"]))
    return model


def of(opset: int, ir: int) -> onnx.ModelProto:
    model = network(SOFTMAX)
    model.opset_import[0].version, model.ir_version = opset, ir
    return model


NAMED = {"features": NUMBERS, "classes": ["early", "late"]}


@pytest.mark.parametrize(
    ("model", "parameters", "sentence"),
    [
        (network(LOOP), NAMED, "it has the operator Loop, which is not run"),
        (network(helper.make_node("Attention", ["logits"], ["answer"], domain="com.microsoft")), NAMED, "the operator "
         "com.microsoft.Attention, which is not run"),
        (outside(), NAMED, "it has external data in constant"),
        (of(99, 9), NAMED, "has version 99 of ONNX's operators ai.onnx; versions 9 to"),
        (of(18, 99), NAMED, "has version 99 of ONNX's IR; versions 3 to"),
        (network(SOFTMAX), {"features": NUMBERS}, "does not name the classes of its answer; give them by classes"),
        (network(SOFTMAX), {**NAMED, "classes": ["early"]}, "2 numbers for each row, but the classes are early"),
        (network(SOFTMAX, rows=1), NAMED, "takes 1 rows at a time; export it with a first axis of any length"),
        (network(SOFTMAX), {**NAMED, "features": ["amount", "carrier"]}, "'carrier' as float, but it is a category"),
        (network(SOFTMAX), {**NAMED, "features": ["amount", "none"]}, "reads column 'none', which is no feature"),
        (network(SOFTMAX), {**NAMED, "target": "price"}, "is a classifier, but the target is predicted as a number"),
        (network(helper.make_node("Identity", ["logits"], ["answer"])), NAMED, "are no probabilities"),
        (network(helper.make_node("Softmax", ["logits"], ["answer"], axis=0)), NAMED, "no probabilities|beside others"),
        (mislabelled(), {"features": NUMBERS}, "but the largest of its probabilities"),
        (network(helper.make_node("Softmax", ["nothing"], ["answer"])), NAMED, "nothing', which is not there before"),
    ],
)  # fmt: skip
def test_what_is_no_model_of_this_table_or_is_not_run_is_refused_and_nothing_is_written(
    model: onnx.ModelProto, parameters: dict[str, Any], sentence: str, bring: Import, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        bring(**FILLED, source=saved(tmp_path, model), **parameters)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model").exists()


def test_bytes_that_are_no_model_are_refused(bring: Import, tmp_path: Path) -> None:
    for content in (b"", b"\x00\x01nothing", b"\x08"):
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(UserError, match="is no ONNX model"):
            bring(source=str(tmp_path / "model.onnx"))


def test_a_row_is_answered_by_itself(bring: Import, tmp_path: Path) -> None:
    shifted = helper.make_node("ReduceMean", ["logits", "axis"], ["mean"], keepdims=1)
    model = network(shifted, helper.make_node("Sub", ["logits", "mean"], ["turned"]),
                    helper.make_node("Softmax", ["turned"], ["answer"], axis=1))  # fmt: skip
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
    with pytest.raises(UserError, match="mixes rows"):
        bring(**FILLED, source=saved(tmp_path, model), **NAMED)


def test_a_missing_whole_number_is_read_as_zero_as_the_page_says(bring: Import, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["age"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["number", "half"], ["answer"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("age", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(np.array(0.5, np.float32), "half")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    package = bring(**FILLED, source=saved(tmp_path, model), target="price")
    found = package.predictor(1).predict(pd.DataFrame({"age": [40.0, None]}))
    assert found.values.tolist() == [20.0, 0.0]
    assert "let validate require them" in (tmp_path / "report").read_text(encoding="utf-8")
