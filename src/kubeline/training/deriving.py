"""Derived columns inside a model: in front of its scikit-learn form, and of its ONNX graph."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kubeline.model_package.signature import Feature, Signature
from kubeline.training.graph import column
from kubeline.transform.nodes import Nodes
from kubeline.transform.transform import Derived, Transform
from kubeline.typing import Array

if TYPE_CHECKING:
    from onnx import ModelProto

OPSETS = {"": 18, "ai.onnx.ml": 3}
_PREFIX = "derived."


class Deriving:
    """A fitted model behind the columns that it derives.

    Args:
        model: that reads encoded columns and derived ones.
        transform: how these are derived.
    """

    def __init__(self, model: Any, transform: Transform):
        self.model = model
        self._transform = transform.to_json()  # as text, whose bytes are the same in every process

    @property
    def transform(self) -> Transform:
        """How the columns are derived."""
        return Transform.from_json(self._transform)

    def predict(self, X: pd.DataFrame) -> Array:
        """Of encoded columns; see :class:`kubeline.model_package.raw_table.RawTable`."""
        answer: Array = self.model.predict(self._all(X))
        return answer

    def predict_proba(self, X: pd.DataFrame) -> Array:
        """Of encoded columns."""
        answer: Array = self.model.predict_proba(self._all(X))
        return answer

    def _all(self, columns: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([columns, self.transform.columns(columns)], axis=1)


def input_types(signature: Signature, transform: Transform, names: list[str]) -> list[tuple[str, Any]]:
    """The columns that a model reads, for skl2onnx.

    Args:
        signature: of the columns of the table.
        transform: the columns that are derived.
        names: of the model's columns, in its order.
    """
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    def of_feature(feature: Feature) -> Any:
        kinds = {"category": StringTensorType, "number": FloatTensorType, "boolean": FloatTensorType}
        return DoubleTensorType if feature.is_double else kinds[feature.kind]

    def of_derived(derived: Derived) -> Any:
        if derived.kind == "category":
            return Int64TensorType
        return DoubleTensorType if derived.double else FloatTensorType

    types = {feature.name: of_feature(feature) for feature in signature.features}
    types |= {derived.name: of_derived(derived) for derived in transform.derived}
    return [(name, types[name]([None, 1])) for name in names]


def derive_inside(model: "ModelProto", signature: Signature, transform: Transform, names: list[str]) -> None:
    """Change a model that reads derived columns as inputs into one that computes them, in place.

    Args:
        model: with an input of shape (rows, 1) for each of its columns.
        signature: of the columns of the table, which become the inputs, in its order.
        transform: the columns that are derived.
        names: of the model's columns, in the order of its inputs.
    """
    from onnx import helper

    if not transform:
        return
    graph = model.graph
    for opset in model.opset_import:  # skl2onnx states the least that its own nodes need
        opset.version = OPSETS[opset.domain]
    if "ai.onnx.ml" not in [opset.domain for opset in model.opset_import]:
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", OPSETS["ai.onnx.ml"]))
    given = dict(zip(names, graph.input, strict=True))
    inputs = []
    for place, feature in enumerate(signature.features):
        inputs.append(given.get(feature.name) or column(feature, f"{_PREFIX}input.{place}"))
    nodes = Nodes({name: value.name for name, value in zip(signature.names, inputs, strict=True)}, _PREFIX)
    wanted = [derived for derived in transform.derived if derived.name in given]
    for derived, result in zip(wanted, nodes.outputs(transform.steps, [each.place for each in wanted]), strict=True):
        dtype = derived.encoded(np.empty(0)).dtype
        nodes.add("Cast", result, output=given[derived.name].name, to=helper.np_dtype_to_tensor_dtype(dtype))
    for node in reversed(nodes.nodes):
        graph.node.insert(0, node)
    graph.initializer.extend(nodes.constants)
    inputs = [type(value).FromString(value.SerializeToString()) for value in inputs]
    del graph.input[:]
    graph.input.extend(inputs)
