"""What becomes of the shape of tensors in the operators that a model may have.

These are the operators that training exports, those of a small neural network, and others that change numbers one by
one. With them the size of every
tensor is known before the model is loaded; a loop, a tensor whose shape is computed, or an operator of somebody else is
not among them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kubeline.model_package.onnx_parts_pb2 import AttributeProto, TensorProto
from kubeline.typing import Array

Shape = tuple[int | None, ...]  # None is the number of rows, which no operator may mix with another number

_INT64 = 7  # as the type of a tensor
_MAX_RANK = 8


class ShapeError(Exception):
    """The size of a tensor is not known: why, as the end of a sentence about its operator."""


@dataclass(frozen=True)
class Step:
    """What an operator reads.

    Attributes:
        shapes: of its inputs, without those left out at the end.
        numbers: the values of its inputs where these are constants of whole numbers, else None.
        attributes: by name.
    """

    shapes: Sequence[Shape]
    numbers: Sequence[Array | None]
    attributes: Mapping[str, AttributeProto]

    def whole(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        return self.attributes[name].i if name in self.attributes else default

    def constant(self, place: int) -> list[int]:
        """The whole numbers of an input that must be a constant."""
        found = self.numbers[place] if place < len(self.numbers) else None
        if found is None:
            raise ShapeError("takes a shape or an axis that is computed")
        return [int(number) for number in found.reshape(-1)]


def whole_numbers(tensor: TensorProto | None) -> Array | None:
    """The values of a constant of int64; None for others."""
    if tensor is None or tensor.data_type != _INT64:
        return None
    flat = np.frombuffer(tensor.raw_data, np.int64) if tensor.raw_data else np.array(tensor.int64_data, dtype=np.int64)
    return flat.reshape(tuple(tensor.dims))


def size(shape: Shape) -> int:
    """The values that a tensor has for one row."""
    return math.prod(1 if dimension is None else dimension for dimension in shape)


def _axis(axis: int, shape: Shape) -> int:
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"has no axis {axis}")
    return axis % len(shape)


def _fixed(dimension: int | None) -> int:
    if dimension is None:
        raise ShapeError("mixes rows")
    return dimension


def _broadcast(*shapes: Shape) -> Shape:
    found: list[int | None] = []
    longest = max(map(len, shapes))
    for across in zip(*((1,) * (longest - len(shape)) + tuple(shape) for shape in shapes), strict=True):
        different = {dimension for dimension in across if dimension != 1}
        if len(different) > 1:
            raise ShapeError("reads tensors whose shapes do not go together")
        found.append(different.pop() if different else 1)
    return tuple(found)


def _elementwise(step: Step) -> list[Shape]:
    return [_broadcast(*step.shapes)]


def _concat(step: Step) -> list[Shape]:
    first = step.shapes[0]
    axis = _axis(step.whole("axis", 0), first)
    if any(len(shape) != len(first) for shape in step.shapes):
        raise ShapeError("reads tensors whose shapes do not go together")
    width = sum(_fixed(shape[axis]) for shape in step.shapes)
    rest = _broadcast(*((*shape[:axis], 1, *shape[axis + 1 :]) for shape in step.shapes))
    return [(*rest[:axis], width, *rest[axis + 1 :])]


def _gather(step: Step) -> list[Shape]:
    data, places = step.shapes
    axis = _axis(step.whole("axis", 0), data)
    _fixed(data[axis])
    return [data[:axis] + places + data[axis + 1 :]]


def _gather_elements(step: Step) -> list[Shape]:
    data, places = step.shapes
    if None in data:
        raise ShapeError("mixes rows")
    if len(data) != len(places):
        raise ShapeError("reads tensors whose shapes do not go together")
    return [places]


def _transpose(step: Step) -> list[Shape]:
    (shape,) = step.shapes
    order = list(step.attributes["perm"].ints) if "perm" in step.attributes else list(range(len(shape)))[::-1]
    if sorted(order) != list(range(len(shape))):
        raise ShapeError(f"puts axes in the order {order}")
    return [tuple(shape[axis] for axis in order)]


def _features(step: Step) -> list[Shape]:
    data, places = step.shapes
    if not data or None in places:
        raise ShapeError("mixes rows")
    return [(*data[:-1], size(places))]


def _matmul(step: Step) -> list[Shape]:
    left, right = step.shapes
    if len(left) != 2 or len(right) != 2 or _fixed(left[1]) != _fixed(right[0]):
        raise ShapeError("multiplies what are no matrices that go together")
    return [(left[0], right[1])]


def _gemm(step: Step) -> list[Shape]:
    left, right, *added = step.shapes
    if step.whole("transA", 0):
        raise ShapeError("mixes rows")
    made = _matmul(Step([left, right[::-1] if step.whole("transB", 0) else right], (), {}))
    if added and _broadcast(made[0], added[0]) != made[0]:
        raise ShapeError("reads tensors whose shapes do not go together")
    return made


def _as_first(step: Step) -> list[Shape]:
    """Of operators that change the first input by others that are smaller, such as the statistics of its columns."""
    return [step.shapes[0]]


def _flatten(step: Step) -> list[Shape]:
    shape = step.shapes[0]
    axis = step.whole("axis", 1)
    if axis != 1 or not shape or None in shape[1:]:
        raise ShapeError("mixes rows")
    return [(shape[0], size(shape[1:]))]


def _squeeze(step: Step) -> list[Shape]:
    shape = step.shapes[0]
    gone = {_axis(axis, shape) for axis in _axes(step)}
    if any(shape[axis] != 1 for axis in gone):
        raise ShapeError("leaves out an axis of other than one value")
    return [tuple(dimension for axis, dimension in enumerate(shape) if axis not in gone)]


def _unsqueeze(step: Step) -> list[Shape]:
    shape, axes = step.shapes[0], _axes(step)
    whole = len(shape) + len(axes)
    new = {axis % whole for axis in axes if -whole <= axis < whole}
    if len(new) < len(axes) or whole > _MAX_RANK:
        raise ShapeError(f"adds the axes {axes[:5]}")
    rest = iter(shape)
    return [tuple(1 if axis in new else next(rest) for axis in range(whole))]


def _axes(step: Step) -> list[int]:
    return list(step.attributes["axes"].ints) if "axes" in step.attributes else step.constant(1)


def _reduce(step: Step) -> list[Shape]:
    shape = step.shapes[0]
    gone = {_axis(axis, shape) for axis in _axes(step)}
    for axis in gone:
        _fixed(shape[axis])
    if step.whole("keepdims", 1):
        return [tuple(1 if axis in gone else dimension for axis, dimension in enumerate(shape))]
    return [tuple(dimension for axis, dimension in enumerate(shape) if axis not in gone)]


def _reshape(step: Step) -> list[Shape]:
    """Rows stay rows: of the new shape, one number is left open or copied, and it is that of the rows."""
    shape, wanted = step.shapes[0], step.constant(1)
    found: list[int | None] = []
    for place, number in enumerate(wanted):
        if number == 0:
            if place >= len(shape):
                raise ShapeError(f"has no axis {place}")
            found.append(shape[place])
        else:
            found.append(number)
    if -1 in found:
        rest = size(tuple(1 if number == -1 else number for number in found))
        open_rows = None in shape and None not in found
        filled = None if open_rows and rest == size(shape) else size(shape) // max(rest, 1)
        found[found.index(-1)] = filled
    result = tuple(found)
    if size(result) != size(shape) or result.count(None) != shape.count(None):
        raise ShapeError("mixes rows")
    return [result]


def _one_hot(step: Step) -> list[Shape]:
    values = max(len(step.attributes[name].strings or step.attributes[name].ints) for name in step.attributes)
    return [(*step.shapes[0], values)]


def _regressor(step: Step) -> list[Shape]:
    return [(step.shapes[0][0], max(step.whole("n_targets", 1), step.whole("targets", 1)))]


def _classifier(step: Step) -> list[Shape]:
    labels = max(
        [len(found.ints) + len(found.strings) for name, found in step.attributes.items() if name[:11] == "classlabels"],
        default=0,
    )
    rows = step.shapes[0][0]
    return [(rows,), (rows, max(labels, 2))]


ML = "ai.onnx.ml"
_NUMBER_BY_NUMBER = (
    "Abs Add And Cast Ceil Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid Identity IsNaN "
    "LeakyRelu Less LessOrEqual Log LogSoftmax Max Mean Min Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu "
    "Sigmoid Sign Sin Softmax Softplus Softsign Sqrt Sub Sum Tanh Where"
)
RULES: Mapping[tuple[str, str], Callable[[Step], list[Shape]]] = {
    **{("", name): _elementwise for name in _NUMBER_BY_NUMBER.split()},
    **{(ML, name): _elementwise for name in ("Imputer", "LabelEncoder", "Normalizer", "Scaler")},
    **{("", name): _as_first for name in ("BatchNormalization", "Dropout", "LayerNormalization")},
    **{("", name): _reduce for name in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")},
    ("", "Concat"): _concat,
    ("", "Flatten"): _flatten,
    ("", "Gather"): _gather,
    ("", "GatherElements"): _gather_elements,
    ("", "Gemm"): _gemm,
    ("", "MatMul"): _matmul,
    ("", "Reshape"): _reshape,
    ("", "Squeeze"): _squeeze,
    ("", "Transpose"): _transpose,
    ("", "Unsqueeze"): _unsqueeze,
    (ML, "ArrayFeatureExtractor"): _features,
    (ML, "LinearClassifier"): _classifier,
    (ML, "LinearRegressor"): _regressor,
    (ML, "OneHotEncoder"): _one_hot,
    (ML, "TreeEnsembleClassifier"): _classifier,
    (ML, "TreeEnsembleRegressor"): _regressor,
}
