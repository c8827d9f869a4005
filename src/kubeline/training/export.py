"""Export to ONNX: the portable form of a model."""

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from kubeline.errors import UserError
from kubeline.model_package.predictor import PREDICTION, PROBABILITIES, check_onnx
from kubeline.model_package.signature import Signature
from kubeline.training import calibration, target, transformers
from kubeline.training.calibration import Calibrated
from kubeline.training.deriving import OPSETS, derive_inside, input_types
from kubeline.training.graph import Graph, prefix_beside
from kubeline.training.target import Moved
from kubeline.training.trees import with_one_score
from kubeline.transform.transform import Transform

if TYPE_CHECKING:
    from onnx import ModelProto


# The prefix of a library's classes, and where onnxmltools has their converter.
_CONVERTERS = {
    "lightgbm": ("LGBM", "LightGbm", "convert_lightgbm"),
    "xgboost": ("XGB", "XGBoost", "convert_xgboost"),
}


def to_onnx(pipeline: Any, signature: Signature, transform: Transform, names: list[str]) -> bytes:
    """The pipeline as an ONNX model: one input of shape (rows, 1) for each column, by its name; one output.

    The output is ``output.probabilities`` (rows, classes), float32, or ``output.prediction`` (rows, 1), of a
    :class:`Moved` regressor float64.

    Args:
        pipeline: the fitted model.
        signature: of the columns of the table.
        transform: the columns that are derived from these inside the model.
        names: of the columns that the pipeline reads, derived ones among them.
    """
    from onnx import TensorProto, helper

    classification = signature.classes is not None
    model = _converted(pipeline, input_types(signature, transform, names), classification)
    derive_inside(model, signature, transform, names)
    output = model.graph.output[1 if classification else 0].name
    _side_by_side(model)
    graph = Graph(model)
    if classification:
        graph.prune(output)  # of the labels, which nothing reads
        with_one_score(model, graph)
        if isinstance(pipeline, Calibrated):
            output = calibration.append(graph, output, pipeline)
        # sums in float32 may end a little above one
        output = graph.add("Clip", output, graph.constant(np.float32(0.0)), graph.constant(np.float32(1.0)))
    moved = isinstance(pipeline, Moved)
    if moved:
        output = target.append(graph, output, pipeline)
    kind = TensorProto.DOUBLE if moved else TensorProto.FLOAT
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(output, kind, [None, None if classification else 1]))
    _rename(model, signature.names, output, PROBABILITIES if classification else PREDICTION)
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)  # skl2onnx takes them from a set
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    content: bytes = model.SerializeToString(deterministic=True)
    check_onnx(content, signature)  # what is refused later must not be written now
    return content


def _converted(pipeline: Any, inputs: list[tuple[str, Any]], classification: bool) -> "ModelProto":
    """What skl2onnx makes of it."""
    from skl2onnx import convert_sklearn

    _register()
    try:
        model: ModelProto = convert_sklearn(
            _inner(pipeline),
            name="kubeline",
            initial_types=inputs,
            options={"zipmap": False} if classification else None,
            target_opset=OPSETS,
        )
    except (
        ArithmeticError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:  # converters have no error of theirs
        raise UserError(
            f"the model cannot be exported to ONNX with these parameters ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); leave out what is unusual among them"
        ) from error
    return model


def _side_by_side(model: "ModelProto") -> None:
    """Put columns beside each other by the plain operator: what skl2onnx takes before a step that reads all of them."""
    from onnx import helper

    for node in model.graph.node:
        if node.op_type == "FeatureVectorizer":
            node.op_type, node.domain = "Concat", ""
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("axis", 1))


def _inner(model: Any) -> Any:
    """What skl2onnx converts; what is around it is appended to the graph."""
    if isinstance(model, Calibrated):
        return model.classifier
    return model.regressor if isinstance(model, Moved) else model


def _register() -> None:
    """Make known to skl2onnx what it cannot convert by itself."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    transformers.register()
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    for library, (prefix, place, function) in _CONVERTERS.items():
        module = sys.modules.get(library)
        if module is None:  # then the model is not of this library, and need not wait for its import
            continue
        convert = getattr(import_module(f"onnxmltools.convert.{library}.operator_converters.{place}"), function)
        if library == "xgboost":
            convert = partial(_convert_xgboost, convert)
        update_registered_converter(
            getattr(module, f"{prefix}Classifier"),
            f"Kubeline{prefix}Classifier",
            calculate_linear_classifier_output_shapes,
            convert,
            options=options,
        )
        update_registered_converter(
            getattr(module, f"{prefix}Regressor"),
            f"Kubeline{prefix}Regressor",
            calculate_linear_regressor_output_shapes,
            convert,
        )


def _convert_xgboost(convert: Callable[..., None], scope: Any, operator: Any, container: Any) -> None:
    """Convert, and put right where the sum of a model of two classes begins.

    onnxmltools takes the probability itself for its log-odds when the first tree is a single leaf of zero, as where
    min_child_weight is more than the rows weigh.
    """
    convert(scope, operator, container)
    model = operator.raw_operator
    if len(getattr(model, "classes_", ())) != 2:
        return
    learner = json.loads(model.get_booster().save_config())["learner"]
    (share,) = json.loads(learner["learner_model_param"]["base_score"])
    node = container.nodes[-1]
    kept = [attribute for attribute in node.attribute if attribute.name != "base_values"]
    del node.attribute[:]
    node.attribute.extend(kept)
    from onnx import helper

    start = -np.log(1 / np.float32(share) - 1.0)
    node.attribute.append(helper.make_attribute("base_values", [float(start)]))


def _rename(model: "ModelProto", inputs: Sequence[str], output: str, final: str) -> None:
    """Give the graph's inputs the names of the columns, which skl2onnx changes, and its output."""
    graph = model.graph
    names = {value.name: name for value, name in zip(graph.input, inputs, strict=True)}
    names[output] = final

    prefix = prefix_beside(inputs)

    def renamed(name: str) -> str:
        return names.get(name, prefix + name) if name else name  # an empty name is an absent optional input

    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = renamed(value.name)
    for node in graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
