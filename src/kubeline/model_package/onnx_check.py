"""Refuses an ONNX model that could take all memory, never end, or read what is no part of it, before it is loaded.

A model comes as a file that anybody may have made, and ONNX can express any program. What training exports needs a few
operators (:mod:`kubeline.model_package.onnx_shapes`), constants that are in the file, and rows that stay rows; nothing
else is loaded, whoever made it.
"""

import math
from collections.abc import Collection, Iterator, Mapping

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from kubeline.errors import UserError, listed
from kubeline.model_package.onnx_parts_pb2 import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto
from kubeline.model_package.onnx_shapes import ML, RULES, Shape, ShapeError, Step, size, whole_numbers
from kubeline.wire import fields

_MAX_FIELDS = 500_000  # of the graph, its operators and its constants: each takes a hundred bytes and more
_MAX_EMPTY = 1_000_000  # texts of less than two bytes each, on average, in one attribute
_MAX_NOTES = 64 * 2**10  # bytes of an attribute in fields that are not read
_MAX_VALUES = 2**24  # of one tensor for one row: 64 MiB
_MAX_CONSTANTS = 2**26  # that are computed from constants, when the model is loaded, in all of its tensors
_MAX_WORK = 2**31  # multiplications and values for one row, without trees

# By their numbers, the fields that onnx_parts.proto leaves out and that do no harm: names, notes, numbers and texts.
# Among the others are functions, graphs, sparse tensors, and data outside the file.
_HARMLESS = {
    ModelProto: {1, 2, 3, 4, 5, 6, 8, 14},
    GraphProto: {2, 10, 13, 16},
    NodeProto: {3, 6, 9},
    AttributeProto: {2, 4, 13, 20, 21},
    TensorProto: {4, 5, 10, 12},
}
_HARMFUL = {
    (ModelProto, 20): "training",
    (ModelProto, 25): "functions",
    (GraphProto, 15): "sparse tensors",
    (AttributeProto, 5): "a tensor",
    (AttributeProto, 6): "a graph",
    (AttributeProto, 11): "graphs",
    (TensorProto, 6): "texts",
    (TensorProto, 13): "external data",
    (TensorProto, 14): "external data",
}
_VALUES = {1: 4, 6: 4, 7: 8, 9: 1, 11: 8}  # bytes of float, int32, int64, bool, double
_OF_TREES = ("nodes_", "target_", "class_")  # no shape hangs on them, and those of a forest fill all the memory

# What is parsed at once, by the numbers of fields: the graph, its operators, constants, inputs and outputs.
_Parts = dict[int, "_Parts"]
_LEAF: _Parts = {}
_VALUE: _Parts = {2: {1: {2: {1: _LEAF}}}}
_PARTS: _Parts = {7: {1: _LEAF, 5: _LEAF, 11: _VALUE, 12: _VALUE}, 8: _LEAF}

_TEXT_BYTES = 4096  # of a class label


def check(file: str, model: bytes, inputs: Mapping[str, Shape], output: str, width: int) -> None:
    """Make sure that a model is only what training exports.

    Args:
        file: name of the file, for the sentence.
        model: its content.
        inputs: the shape of each, by name.
        output: name of what it answers.
        width: columns that the answer has.

    Raises:
        UserError: names what it holds that is not run.
    """
    try:
        _check_fields(model)
        found = ModelProto.FromString(model)
        _only_known(found, "the model")
        _check(found.graph, inputs, output, width)
    except _RefusedError as error:
        raise UserError(f"{file} is not loaded: it has {error}; train the model again, or export it anew") from error
    except (DecodeError, TypeError) as error:  # TypeError: a name that is no text is read as bytes
        raise UserError(f"ONNX Runtime cannot run {file}: it is damaged or of another format ({error})") from error


def require_parsable(file: str, model: bytes) -> None:
    """Make sure that a model can be parsed at all without taking all memory.

    Args:
        file: what it is called in the sentence.
        model: its content.

    Raises:
        UserError: when it has more fields than any model needs.
    """
    try:
        _check_fields(model)
    except _RefusedError as error:
        raise UserError(f"{file} is not loaded: it has {error}; export it anew") from error


class _RefusedError(Exception):
    """What a model has that is not run, as the middle of a sentence."""


def _check(graph: GraphProto, expected: Mapping[str, Shape], output: str, width: int) -> None:
    _only_known(graph, "its graph")
    constants = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    inputs = [value.name for value in graph.input]
    if sorted(inputs) != sorted(expected) or set(inputs) & set(shapes):
        raise _RefusedError(f"the inputs {listed(sorted(inputs))}; its package says {listed(sorted(expected))}")
    shapes |= expected
    _Walk(shapes, {name: tensor for name, tensor in constants.items() if tensor is not None}).all(graph.node)
    if shapes.get(output) != (None, width) or output not in [value.name for value in graph.output]:
        raise _RefusedError(f"no output '{output}' with one row for each row and {width} columns, as its package says")


def _check_fields(model: bytes) -> None:
    """Count the fields in the bytes of a model: empty ones of two bytes would take a gigabyte when they are parsed."""
    count = 0
    waiting = [(_PARTS, 0, len(model))]
    while waiting:
        parts, start, end = waiting.pop()
        for number, begin, stop in fields(model, start, end):
            count += 1
            if count > _MAX_FIELDS:
                raise _RefusedError(f"more than {_MAX_FIELDS:,} fields")
            if number in parts:
                waiting.append((parts[number], begin, stop))


def _only_known(message: Message, where: str) -> None:
    for field in UnknownFieldSet(message):
        if field.field_number not in _HARMLESS[type(message)]:
            what = _HARMFUL.get((type(message), field.field_number), f"field {field.field_number} of ONNX")
            raise _RefusedError(f"{what} in {where}, which no model needs")


def _constant(tensor: TensorProto) -> TensorProto:
    """The tensor, when its values are numbers and in the file."""
    _only_known(tensor, f"constant '{tensor.name}'")
    if tensor.data_type not in _VALUES:
        raise _RefusedError(f"constant '{tensor.name}' of type {tensor.data_type} of ONNX; only numbers are taken")
    values = math.prod(tensor.dims)
    # raw bytes, or one byte at least for each value of the other forms
    there = len(tensor.raw_data) // _VALUES[tensor.data_type] if tensor.raw_data else tensor.ByteSize()
    if min(tensor.dims, default=1) < 0 or values > there:
        raise _RefusedError(f"constant '{tensor.name}' of shape {[*tensor.dims]} without its values")
    return tensor


class _Walk:
    """Goes through the operators in their order, and adds up what they make."""

    def __init__(self, shapes: dict[str, Shape], constants: dict[str, TensorProto]):
        self._shapes = shapes
        self._constants = constants
        self._computed = self._work = 0

    def all(self, nodes: Collection[NodeProto]) -> None:
        for node in nodes:
            kind = (node.domain, node.op_type)
            if kind not in RULES:
                name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
                known = sorted(operation for _, operation in RULES)
                raise _RefusedError(f"the operator {name}, which is not run; these are: {listed(known, 80)}")
            try:
                made = RULES[kind](self._step(node))
            except ShapeError as error:
                raise _RefusedError(f"an operator {node.op_type} that {error} ('{_name(node)}')") from error
            except (IndexError, ValueError) as error:
                raise _RefusedError(f"an operator {node.op_type} with too few inputs ('{_name(node)}')") from error
            for name, shape in zip(node.output, made, strict=False):
                self._add(node, name, shape)

    def _step(self, node: NodeProto) -> Step:
        _only_known(node, f"operator '{_name(node)}'")
        absent = [name for name in node.input if name and name not in self._shapes]
        if absent:
            raise ShapeError(f"reads '{absent[0]}', which is not there before it")
        names = [name for name in node.input if name]
        numbers = [whole_numbers(self._constants.get(name)) for name in names]
        return Step([self._shapes[name] for name in names], numbers, dict(_attributes(node)))

    def _add(self, node: NodeProto, name: str, shape: Shape) -> None:
        if name in self._shapes:
            raise _RefusedError(f"two tensors '{name}'")
        if shape.count(None) > 1:
            raise _RefusedError(f"an operator {node.op_type} that makes a square of rows ('{name}')")
        values = size(shape)
        inner = size(self._shapes[node.input[0]]) if node.op_type in ("Gemm", "MatMul") else 1
        self._work += values * (inner or 1)
        self._computed += 0 if None in shape else values
        if values > _MAX_VALUES or self._computed > _MAX_CONSTANTS or self._work > _MAX_WORK:
            raise _RefusedError(f"an operator {node.op_type} that makes {values:,} values for one row ('{name}')")
        self._shapes[name] = shape


def _attributes(node: NodeProto) -> Iterator[tuple[str, AttributeProto]]:
    for content in node.attribute:
        attribute = _attribute(content, node)
        name = attribute.name
        if node.domain == ML and name in ("values_strings", "default_string"):
            raise _RefusedError(f"an operator {node.op_type} that makes texts ('{_name(node)}')")
        if name == "classlabels_strings" and any(len(label) > _TEXT_BYTES for label in attribute.strings):
            raise _RefusedError(f"a class label of more than {_TEXT_BYTES:,} bytes")
        if not name.startswith(_OF_TREES):
            yield name, attribute


def _attribute(content: bytes, node: NodeProto) -> AttributeProto:
    attribute: AttributeProto = AttributeProto.FromString(content)
    texts = attribute.strings
    if len(texts) > _MAX_EMPTY and sum(map(len, texts)) < 2 * len(texts):
        raise _RefusedError(
            f"an operator {node.op_type} with {len(texts):,} texts, most of them empty ('{_name(node)}')"
        )
    whole = attribute.ByteSize()
    attribute.DiscardUnknownFields()  # by their bytes: as objects, millions of them would take all memory
    if whole - attribute.ByteSize() > _MAX_NOTES:
        raise _RefusedError(f"an operator {node.op_type} with fields that no model needs ('{_name(node)}')")
    if whole > attribute.ByteSize():
        _only_known(AttributeProto.FromString(content), f"operator '{_name(node)}'")
    return attribute


def _name(node: NodeProto) -> str:
    return next(filter(None, node.output), "")[:100]
