"""Transformers that scikit-learn lacks, and their converters to ONNX."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from kubeline.dates import DATE_PARTS, date_parts
from kubeline.training.numbers import Differences
from kubeline.typing import Array, Mask


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Turns columns of float64 epoch seconds into float32 parts of the date: all parts of one column, then the next."""

    def __init__(self, parts: Sequence[str] = DATE_PARTS):
        self.parts = parts

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learns only the number of columns."""
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Array:
        """From shape (rows, columns) to (rows, columns x parts)."""
        seconds = np.asarray(X, dtype=np.float64)
        found = date_parts(seconds, np.floor)
        stacked = np.stack([found[part] for part in self.parts], axis=2)
        return stacked.reshape(len(seconds), -1).astype(np.float32)

    @property
    def n_features_out_(self) -> int:
        """Columns of the result."""
        return int(self.n_features_in_) * len(self.parts)


class MissingFlags(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Turns each column into a float32 column that is 1 where the value is missing."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learns only the number of columns."""
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Array:
        """Keeps the shape (rows, columns)."""
        missing: Mask = np.isnan(np.asarray(X))
        return missing.astype(np.float32)

    @property
    def n_features_out_(self) -> int:
        """Columns of the result."""
        return int(self.n_features_in_)


class _Node:
    """A value of an ONNX graph under construction, float64; each operation adds a node to the graph."""

    def __init__(self, name: str, scope: Any, container: Any):
        self.name, self.scope, self.container = name, scope, container

    def apply(self, operation: str, *others: Any) -> "_Node":
        names = [self.name, *(self._constant(other) for other in others)]
        output = self.scope.get_unique_variable_name("date_part")
        self.container.add_node(operation, names, output, name=self.scope.get_unique_operator_name(operation))
        return _Node(output, self.scope, self.container)

    def _constant(self, value: Any) -> str:
        from onnx import TensorProto

        if isinstance(value, _Node):
            return value.name
        name: str = self.scope.get_unique_variable_name("constant")
        self.container.add_initializer(name, TensorProto.DOUBLE, [], [value])
        return name

    def __add__(self, other: Any) -> "_Node":
        return self.apply("Add", other)

    def __sub__(self, other: Any) -> "_Node":
        return self.apply("Sub", other)

    def __rmul__(self, other: float) -> "_Node":
        return self.apply("Mul", other)

    def __truediv__(self, other: float) -> "_Node":
        return self.apply("Div", other)


def _floor(node: _Node) -> _Node:
    return node.apply("Floor")


def _convert_date_parts(scope: Any, operator: Any, container: Any) -> None:
    transformer: DateParts = operator.raw_operator
    found = date_parts(_Node(operator.inputs[0].full_name, scope, container), _floor)
    stacked = []
    for part in transformer.parts:
        name = scope.get_unique_variable_name("stacked")
        shape = scope.get_unique_variable_name("shape")
        container.add_initializer(shape, 7, [3], [0, -1, 1])  # (rows, columns) to (rows, columns, 1)
        container.add_node("Reshape", [found[part].name, shape], name, name=scope.get_unique_operator_name("Reshape"))
        stacked.append(name)
    joined, flat, shape = (scope.get_unique_variable_name(word) for word in ("joined", "flat", "shape"))
    container.add_node("Concat", stacked, joined, axis=2, name=scope.get_unique_operator_name("Concat"))
    container.add_initializer(shape, 7, [2], [-1, transformer.n_features_in_ * len(transformer.parts)])
    container.add_node("Reshape", [joined, shape], flat, name=scope.get_unique_operator_name("Reshape"))
    container.add_node("Cast", flat, operator.outputs[0].full_name, to=1, name=scope.get_unique_operator_name("Cast"))


def _convert_missing_flags(scope: Any, operator: Any, container: Any) -> None:
    flags = scope.get_unique_variable_name("missing")
    container.add_node("IsNaN", operator.inputs[0].full_name, flags, name=scope.get_unique_operator_name("IsNaN"))
    container.add_node("Cast", flags, operator.outputs[0].full_name, to=1, name=scope.get_unique_operator_name("Cast"))


def _convert_differences(scope: Any, operator: Any, container: Any) -> None:
    from onnx import TensorProto

    model: Differences = operator.raw_operator

    def add(operation: str, *inputs: str, output: str = "", **attributes: int) -> str:
        output = output or scope.get_unique_variable_name("difference")
        name = scope.get_unique_operator_name(operation)
        container.add_node(operation, list(inputs), output, name=name, **attributes)
        return output

    def constant(kind: int, values: Array) -> str:
        name: str = scope.get_unique_variable_name("constant")
        container.add_initializer(name, kind, list(values.shape), values.tolist())
        return name

    final = operator.outputs[0].full_name
    # The other way round and divided by minus the units: ONNX Runtime leaves out a subtraction of what is nearly zero,
    # though small numbers may differ in it alone.
    apart = add("Sub", constant(TensorProto.DOUBLE, model.origins_), operator.inputs[0].full_name)
    apart = add("Div", apart, constant(TensorProto.DOUBLE, -model.units_))
    if not model.rest_:
        add("Cast", apart, output=final, to=TensorProto.FLOAT)
        return
    near = add("Cast", apart, to=TensorProto.FLOAT)
    rest = add("Sub", apart, add("Cast", near, to=TensorProto.DOUBLE))
    rest = add("Gather", rest, constant(TensorProto.INT64, np.array(model.rest_)), axis=1)
    add("Concat", near, add("Cast", rest, to=TensorProto.FLOAT), output=final, axis=1)


def _parse(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    """Declare a float32 output, where the default parser takes the type of the input."""
    from skl2onnx.common.data_types import FloatTensorType

    alias = _ALIASES[type(model)]
    operator = scope.declare_local_operator(alias, model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("variable", FloatTensorType([None, model.n_features_out_])))
    outputs: list[Any] = operator.outputs
    return outputs


_ALIASES = {
    DateParts: "KubelineDateParts",
    MissingFlags: "KubelineMissingFlags",
    Differences: "KubelineDifferences",
}


def register() -> None:
    """Make the transformers known to skl2onnx."""
    from skl2onnx import update_registered_converter

    for kind, convert in (
        (DateParts, _convert_date_parts),
        (MissingFlags, _convert_missing_flags),
        (Differences, _convert_differences),
    ):
        update_registered_converter(kind, _ALIASES[kind], lambda operator: None, convert, parser=_parse)
