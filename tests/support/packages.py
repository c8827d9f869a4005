"""A model package of a hand-made ONNX graph: every kind of column, loaded in milliseconds, answers known."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper

from kubeline.model_package import Feature, ModelPackage, Predictions, Predictor, Signature
from tests.support.handmade_packages import golden, write_by_hand

FEATURES = [
    Feature(name="amount", kind="number"),
    Feature(name="carrier", kind="category", categories=["AA", "UA"]),
    Feature(name="rush", kind="boolean"),
    Feature(name="departure", kind="datetime"),
]
ROWS = pd.DataFrame(
    {
        "amount": [1.5, np.nan, -3.0, 0.25],
        "carrier": ["AA", "UA", None, "never seen"],
        "rush": pd.Series([True, False, None, True], dtype="boolean"),
        "departure": pd.to_datetime(["2013-01-01T06:00:00", "2013-10-01T23:59:59", None, "2013-07-04T12:30:00"]),
    }
)
CLASSES = {"binary": ["False", "True"], "multiclass": ["early", "on time", "late"], "regression": None}
Task = Literal["binary", "multiclass", "regression"]


def write_tiny_package(
    folder: Path,
    task: Task = "binary",
    wrong_by: float = 0.0,
    rows: int = len(ROWS),
    model: bytes | None = None,
    reference: dict[str, Any] | None = None,
    turned: bool = False,
) -> ModelPackage:
    """Write a package whose digests are right.

    Args:
        folder: where it is written; must not exist.
        task: what it answers.
        wrong_by: added to the recorded probabilities or numbers.
        rows: number of golden rows.
        model: stands in for ``serving.onnx``.
        reference: what ``reference.json`` holds.
        turned: whether a classification gives each class the probability that another one should have.
    """
    signature = Signature(features=FEATURES, target="late", task=task, classes=CLASSES[task])
    graph = _graph(task, turned).SerializeToString()
    answer = Predictor(graph, signature).predict(ROWS)
    if answer.probabilities is None:
        answer = Predictions(answer.values + wrong_by, None)
    else:
        answer = Predictions(answer.values, answer.probabilities + np.float32(wrong_by))
    return write_by_hand(
        folder,
        signature,
        graph,
        model,
        golden=golden(ROWS.head(rows), signature, answer.part(slice(rows))),
        reference=json.dumps(reference or {}).encode(),
    )


def _graph(task: Task, turned: bool = False) -> onnx.ModelProto:
    nodes = [
        *_known("amount", "amount"),
        *_known("rush", "rush"),
        helper.make_node("Cast", ["departure"], ["seconds"], to=TensorProto.FLOAT),
        *_known("seconds", "clock"),
        helper.make_node("Mod", ["clock_known", "day"], ["of_day"], fmod=1),
        helper.make_node("Div", ["of_day", "day"], ["part_of_day"]),
        helper.make_node(
            "LabelEncoder",
            ["carrier"],
            ["carrier_effect"],
            domain="ai.onnx.ml",
            keys_strings=["AA", "UA"],
            values_floats=[0.5, -0.5],
            default_float=0.1,
        ),
        helper.make_node("Sum", ["amount_known", "rush_known", "part_of_day", "carrier_effect"], ["score"]),
    ]
    width = {"binary": 2, "multiclass": 3, "regression": 1}[task]
    if task == "regression":
        nodes.append(helper.make_node("Identity", ["score"], ["output.prediction"]))
    else:
        nodes.append(helper.make_node("MatMul", ["score", "spread"], ["logits"]))
        nodes.append(helper.make_node("Softmax", ["logits"], ["output.probabilities"], axis=1))
    output = "output.prediction" if task == "regression" else "output.probabilities"
    spread = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(-1 if turned else 1)
    constants = {"zero": np.float32(0), "day": np.float32(86_400), "spread": spread[None, :]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("amount", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1]),
            helper.make_tensor_value_info("rush", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("departure", TensorProto.DOUBLE, [None, 1]),
        ],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, width])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _known(source: str, name: str) -> list[onnx.NodeProto]:
    """The values of `source` with 0 for the missing ones."""
    return [
        helper.make_node("IsNaN", [source], [f"{name}_missing"]),
        helper.make_node("Where", [f"{name}_missing", "zero", source], [f"{name}_known"]),
    ]
