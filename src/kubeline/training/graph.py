"""Nodes appended to an ONNX graph, and dropped."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

    from kubeline.model_package.signature import Feature


class Graph:
    """Adds nodes to an ONNX graph; what adds one returns its name."""

    def __init__(self, model: "ModelProto"):
        self._graph = model.graph
        self._count = 0

    def _name(self) -> str:
        self._count += 1
        return f"appended.{self._count}"

    def constant(self, value: Any, floats: type = np.float32) -> str:
        """A constant of `floats`, or of int64."""
        from onnx import numpy_helper

        array = np.asarray(value)
        name = self._name()
        array = array.astype(floats) if array.dtype.kind == "f" else array.astype(np.int64)
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """One node with one output."""
        from onnx import helper

        name = self._name()
        self._graph.node.append(helper.make_node(operation, list(inputs), [name], name=name, **attributes))
        return name

    def named(self, tensor: str, name: str) -> str:
        """Give the tensor of the last node that was added another name, and return it."""
        node = self._graph.node[-1]
        if list(node.output) != [tensor]:
            raise ValueError(f"'{tensor}' is not of the last node")
        node.output[:] = [name]
        return name

    def column(self, probabilities: str, k: int) -> str:
        """Column `k` of a matrix, shape (rows, 1)."""
        return self.add("Gather", probabilities, self.constant(np.array([k])), axis=1)

    def needed(self, output: str) -> "list[NodeProto]":
        """The nodes that `output` needs; they stand in an order in which they can be computed."""
        needed, kept = {output}, []
        for node in reversed(self._graph.node):
            if needed & set(node.output):
                needed |= set(node.input)
                kept.append(node)
        return kept[::-1]

    def prune(self, output: str) -> None:
        """Drop the nodes that `output` does not need."""
        kept = self.needed(output)
        del self._graph.node[:]
        self._graph.node.extend(kept)


def attributes(node: "NodeProto") -> dict[str, Any]:
    """The attributes of a node, by name."""
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def column(feature: "Feature", name: str) -> "ValueInfoProto":
    """An input of shape (rows, 1) as a model reads a column."""
    from onnx import TensorProto, helper

    kind = TensorProto.DOUBLE if feature.is_double else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, TensorProto.STRING if feature.kind == "category" else kind, [None, 1])


def prefix_beside(names: Collection[str]) -> str:
    """A prefix for the tensors of a graph that none of its columns has."""
    prefix = "internal."
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    return prefix


def drop_unused(graph: "GraphProto") -> None:
    """Drop the constants that no node reads."""
    used = {name for node in graph.node for name in node.input}
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name not in used:
            del graph.initializer[place]
