"""The portable form of an ONNX file of someone else: one input for each column, and one output."""

from collections.abc import Iterator, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from kubeline.model_package.predictor import PREDICTION, PROBABILITIES, check_onnx
from kubeline.model_package.signature import Feature, Signature
from kubeline.training.graph import Graph, column, drop_unused, prefix_beside
from kubeline.training.onnx_file import WHOLE, OnnxFile


def portable_form(file: OnnxFile, signature: Signature) -> bytes:
    """``model.onnx`` of a file, as :func:`kubeline.training.export.to_onnx` describes it.

    Args:
        file: whose inputs read the columns of the signature in its order.
        signature: of the columns and classes.

    Raises:
        UserError: names what it holds that is not run: loops, operators of others, data in other files.
    """
    model = file.copy()
    prefix = prefix_beside(signature.names)
    compose.add_prefix(model, prefix, rename_nodes=False, inplace=True)  # which may be named as columns are
    graph = Graph(model)
    graph.prune(f"{prefix}{file.scores}")  # of labels and the like
    output, kind = _answer(graph, file, f"{prefix}{file.scores}", signature)
    before = list(_reading(model, file, signature.features, prefix))
    for node in reversed(before):
        model.graph.node.insert(0, node)
    drop_unused(model.graph)
    del model.graph.input[:]
    model.graph.input.extend(column(feature, feature.name) for feature in signature.features)
    del model.graph.output[:]
    width = None if signature.classes is not None else 1
    model.graph.output.append(helper.make_tensor_value_info(output, kind, [None, width]))
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString(deterministic=True)
    check_onnx(content, signature, f"the source '{file.source}'")  # before ONNX Runtime has it
    return content


def _answer(graph: Graph, file: OnnxFile, scores: str, signature: Signature) -> tuple[str, int]:
    """The nodes behind the scores, and the name and type of the output."""
    if signature.classes is None:
        shaped = graph.add("Reshape", scores, graph.constant(np.array([-1, 1])))
        return graph.named(shaped, PREDICTION), file.type or TensorProto.FLOAT
    if file.type == TensorProto.DOUBLE:
        scores = graph.add("Cast", scores, to=TensorProto.FLOAT)
    if file.rank == 1:
        scores = graph.add("Reshape", scores, graph.constant(np.array([-1, 1])))
    if one_score(file):
        first = graph.add("Sub", graph.constant(np.float32(1.0)), scores)
        scores = graph.add("Concat", first, scores, axis=1)
    # sums in float32 may end a little above one; Clip has other inputs before version 11 of the operators
    raised = graph.add("Max", scores, graph.constant(np.float32(0.0)))
    clipped = graph.add("Min", raised, graph.constant(np.float32(1.0)))
    return graph.named(clipped, PROBABILITIES), TensorProto.FLOAT


def one_score(file: OnnxFile) -> bool:
    """Whether the answer of a classification is one number, the probability of the second class."""
    return file.rank == 1 or file.width == 1


def _reading(model: ModelProto, file: OnnxFile, features: Sequence[Feature], prefix: str) -> Iterator[NodeProto]:
    """The nodes that make the file's inputs of columns."""
    zero = f"{prefix}zero"
    rest = iter(features)
    for place, one in enumerate(file.inputs):
        parts = []
        for number, feature in enumerate(next(rest) for _ in range(one.width or 1)):
            name, own = f"{prefix}read.{place}.{number}", TensorProto.DOUBLE if feature.is_double else TensorProto.FLOAT
            if one.type in (TensorProto.STRING, own):
                parts.append(feature.name)
                continue
            read = feature.name
            if one.type in (*WHOLE, TensorProto.BOOL):  # which have no missing value: it is read as 0
                typed = f"{zero}.{own}"
                if typed not in {tensor.name for tensor in model.graph.initializer}:
                    kind = helper.tensor_dtype_to_np_dtype(own)
                    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, kind), typed))
                yield helper.make_node("IsNaN", [read], [f"{name}.missing"])
                yield helper.make_node("Where", [f"{name}.missing", typed, read], [f"{name}.there"])
                read = f"{name}.there"
            yield helper.make_node("Cast", [read], [name], to=one.type)
            parts.append(name)
        if len(parts) > 1:
            yield helper.make_node("Concat", parts, [f"{prefix}{one.name}"], axis=1)
        else:
            yield helper.make_node("Identity", parts, [f"{prefix}{one.name}"])
