"""An ONNX file of someone else, opened without running it: what it reads, where its answer is, and its classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from kubeline.errors import UserError, listed
from kubeline.model_package.onnx_check import require_parsable
from kubeline.typing import Array

TYPES: Mapping[int, type] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.BOOL: np.bool_,
    TensorProto.STRING: object,
}
WHOLE = (TensorProto.INT32, TensorProto.INT64)
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.UNDEFINED)
# What ONNX Runtime 1.31 promises to run: https://onnxruntime.ai/docs/reference/compatibility.html,
# and from 9 on there are Where and IsNaN, which the portable form needs
_IR, _OPSETS = (3, 13), {"": (9, 26), "ai.onnx.ml": (1, 5)}
_LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
_PASSING = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze")  # between a label and what chooses it


@dataclass(frozen=True)
class OnnxInput:
    """One input of the file: its name, its type as ONNX has it, and how many columns it takes; None is not said."""

    name: str
    type: int
    width: int | None


@dataclass(frozen=True)
class OnnxFile:
    """What is known of the file.

    Attributes:
        source: its name, for messages.
        model: its content, with constants as such and without ZipMap.
        inputs: in its order.
        scores: the tensor of the answer, probabilities or a number.
        width: of the answer, where the file says it.
        rank: of the answer, where the file says it.
        type: of the answer as ONNX has it.
        labels: the tensor of the labels; empty where it has none.
        classes: as the file names them, in the order of `scores`; None where it does not.
    """

    source: str
    model: ModelProto
    inputs: list[OnnxInput]
    scores: str
    width: int | None
    rank: int | None
    type: int
    labels: str
    classes: list[Any] | None

    @property
    def producer(self) -> str:
        """What wrote the file, as it says."""
        return f"{self.model.producer_name} {self.model.producer_version}".strip() or "unknown"

    @property
    def types(self) -> list[int]:
        """The type of each column that it reads, as ONNX has it."""
        return [one.type for one in self.inputs for _ in range(one.width or 1)]

    def copy(self) -> ModelProto:
        """Its content, to be changed."""
        model = ModelProto()
        model.CopyFrom(self.model)
        return model

    @property
    def opset(self) -> int:
        """The version of ONNX's operators."""
        return next((one.version for one in self.model.opset_import if one.domain in ("", "ai.onnx")), 1)


def open_file(source: str, content: bytes) -> OnnxFile:
    """Parse a file and find its inputs and its answer; nothing is run, and no other file is read.

    Args:
        source: its name, for messages.
        content: of the file.

    Raises:
        UserError: when it is damaged, of a version that is not run, or of another form.
    """
    require_parsable(f"the source '{source}'", content)
    try:
        model = ModelProto.FromString(content)
    except DecodeError as error:
        raise UserError(f"the source '{source}' is no ONNX model, or damaged ({error}); export it again") from error
    if not model.graph.node:
        raise UserError(f"the source '{source}' is no ONNX model: it has no operators; export it again")
    _require_versions(source, model)
    _fold_constants(model)
    inputs = list(_inputs(source, model))
    scores, labels, classes = _outputs(source, model)
    kind, shape = _declared(scores)
    return OnnxFile(
        source=source,
        model=model,
        inputs=inputs,
        scores=scores.name,
        width=shape[-1] if shape is not None and len(shape) > 1 else None,
        rank=None if shape is None else len(shape),
        type=kind,
        labels=labels,
        classes=classes or (_named(model, labels) if labels else None),
    )


def _require_versions(source: str, model: ModelProto) -> None:
    versions = [("IR", model.ir_version, _IR)]
    for one in model.opset_import:
        domain = "" if one.domain == "ai.onnx" else one.domain
        if domain in _OPSETS:
            versions.append((f"operators {domain or 'ai.onnx'}", one.version, _OPSETS[domain]))
    for what, found, (least, most) in versions:
        if not least <= found <= most:
            raise UserError(
                f"the source '{source}' has version {found} of ONNX's {what}; versions {least} to {most} are run here: "
                "export it for one of them"
            )


def _fold_constants(model: ModelProto) -> None:
    """Constants as such, where operators make them: so torch writes them."""
    graph = model.graph
    kept = []
    for node in graph.node:
        value = {one.name: one for one in node.attribute}.get("value")
        if node.op_type == "Constant" and not node.domain and value is not None and len(node.output) == 1:
            tensor = graph.initializer.add()
            tensor.CopyFrom(value.t)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)


def _inputs(source: str, model: ModelProto) -> Iterator[OnnxInput]:
    constants = {tensor.name for tensor in model.graph.initializer}  # which are inputs too before version 4
    for value in model.graph.input:
        if value.name in constants:
            continue
        kind, shape = _declared(value)
        if kind not in TYPES:
            raise UserError(
                f"the input '{value.name}' of the source '{source}' has type {kind} of ONNX; expected float, double, "
                "int32, int64, bool or string"
            )
        if shape is None or len(shape) != 2:
            raise UserError(
                f"the input '{value.name}' of the source '{source}' has the shape {shape}; expected (rows, columns): "
                "rows of a table"
            )
        if shape[0]:
            raise UserError(
                f"the input '{value.name}' of the source '{source}' takes {shape[0]} rows at a time; export it with "
                "a first axis of any length (dynamic_axes or dynamic_shapes of torch.onnx.export)"
            )
        yield OnnxInput(value.name, kind, shape[1])


def _declared(value: ValueInfoProto) -> tuple[int, list[int | None] | None]:
    """The type and the shape of a tensor; a length that is not fixed is None, and so is a shape that is not said."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return tensor.elem_type, None
    return tensor.elem_type, [one.dim_value or None for one in tensor.shape.dim]


def _outputs(source: str, model: ModelProto) -> tuple[ValueInfoProto, str, list[Any] | None]:
    """The tensor of the answer, the name of the labels, and the classes where a ZipMap names them."""
    makers = {name: node for node in model.graph.node for name in node.output}
    scores, labels, others = [], [], []
    classes = None
    for value in model.graph.output:
        maker = makers.get(value.name)
        if maker is not None and maker.op_type == "ZipMap" and maker.domain == "ai.onnx.ml":
            classes = _attribute(maker, _LABELS)
            scores.append(helper.make_tensor_value_info(maker.input[0], TensorProto.FLOAT, None))
        elif not value.type.HasField("tensor_type"):
            others.append(value.name)
        elif value.type.tensor_type.elem_type in _FLOATS:
            scores.append(value)
        else:
            labels.append(value.name)
    if len(scores) != 1 or len(labels) > 1 or others:
        raise UserError(
            f"the source '{source}' has the outputs {listed([value.name for value in model.graph.output])}; expected "
            "one of float (a number, or probabilities, also behind a ZipMap) and at most one of labels"
        )
    return scores[0], labels[0] if labels else "", classes


def _attribute(node: NodeProto, names: tuple[str, ...]) -> list[Any] | None:
    for attribute in node.attribute:
        if attribute.name in names:
            found = helper.get_attribute_value(attribute)
            if found:
                return [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in found]
    return None


def _named(model: ModelProto, labels: str) -> list[Any] | None:
    """The classes by what chooses the label: a constant that is indexed, the keys of an encoder, or a classifier."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    node = makers.get(labels)
    while node is not None and node.op_type in _PASSING:
        node = makers.get(node.input[0])
    if node is None:
        return None
    if node.op_type in ("ArrayFeatureExtractor", "Gather") and node.input[0] in constants:
        return _texts(numpy_helper.to_array(constants[node.input[0]]))
    if node.op_type == "LabelEncoder":
        keys = _attribute(node, ("keys_int64s",)) or []
        values = _attribute(node, ("values_strings", "values_int64s"))
        return values if values and keys == list(range(len(values))) else None
    return _attribute(node, _LABELS)


def _texts(values: Array) -> list[Any]:
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in values.reshape(-1).tolist()]
