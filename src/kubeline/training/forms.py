"""Tensors of an ONNX graph that are nothing but columns side by side, and the nodes between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from onnx import NodeProto, TensorProto, numpy_helper

from kubeline.model_package.blocks import Block
from kubeline.training.graph import attributes
from kubeline.typing import Array

_FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64}
_LARGEST_TABLE = 1_000_000  # values


@dataclass(frozen=True, eq=False)
class Lookup:
    """What texts become: the row of `table` that `rows` names, or the last one for every other text."""

    rows: Mapping[str, int]
    table: Array


class Piece(NamedTuple):
    """A column of a block; of a category its text, or what a lookup makes of it."""

    block: Block
    place: int
    lookup: Lookup | None = None

    @property
    def width(self) -> int:
        """The columns that it takes in a tensor."""
        return 1 if self.lookup is None else self.lookup.table.shape[1]


class Form(NamedTuple):
    """A tensor of pieces side by side, of shape (rows, width), or (rows, 1, width) when it is deep."""

    pieces: tuple[Piece, ...]
    is_deep: bool = False

    @property
    def width(self) -> int:
        """The columns of the tensor."""
        return sum(piece.width for piece in self.pieces)


@dataclass(frozen=True)
class _Step:
    """A node, and what it reads: forms and whole numbers where these are known."""

    forms: list[Form | None]
    numbers: list[Array | None]
    attributes: dict[str, Any]


def form_of(node: NodeProto, forms: Mapping[str, Form], constants: Mapping[str, TensorProto]) -> Form | None:
    """The form of a node's output, or None when it is another tensor.

    Args:
        node: of the graph.
        forms: of the tensors before it, by name.
        constants: of the graph, by name.
    """
    rule = _RULES.get((node.domain, node.op_type))
    if rule is None or not node.input or node.input[0] not in forms:
        return None
    return rule(
        _Step(
            [forms.get(name) for name in node.input],
            [_whole_numbers(constants.get(name)) for name in node.input],
            attributes(node),
        )
    )


def positions(form: Form, keys: Sequence[bytes]) -> Form | None:
    """Positions, int64, in `keys`, and behind them of every other text; None when two keys are equal."""
    if form.width != 1 or not _different(keys):
        return None
    return _looked_up(form, keys, np.arange(len(keys) + 1)[:, None])


def _whole_numbers(tensor: TensorProto | None) -> Array | None:
    """The values of a constant of int64; None for others."""
    return numpy_helper.to_array(tensor) if tensor is not None and tensor.data_type == TensorProto.INT64 else None


def _same(step: _Step) -> Form | None:
    return step.forms[0]


def _joined(step: _Step) -> Form | None:
    forms = [form for form in step.forms if form is not None]
    is_deep = forms[0].is_deep
    side_by_side = step.attributes.get("axis", 0) in (-1, 2 if is_deep else 1)
    if not side_by_side or len(forms) < len(step.forms):
        return None
    return Form(tuple(piece for form in forms for piece in form.pieces), is_deep)


def _chosen(step: _Step) -> Form | None:
    """Some columns of the first input, as the second one says; ArrayFeatureExtractor has no axis but the last."""
    form, places = step.forms[0], step.numbers[1]
    if form is None or form.is_deep or places is None or form.width != len(form.pieces):
        return None
    return Form(tuple(form.pieces[place] for place in places.reshape(-1)))


def _gathered(step: _Step) -> Form | None:
    places = step.numbers[1]
    flat = places is not None and places.ndim == 1
    return _chosen(step) if flat and step.attributes.get("axis", 0) in (-1, 1) else None


def _reshaped(step: _Step) -> Form | None:
    form, shape = step.forms[0], step.numbers[1]
    if form is None or shape is None or shape.tolist() != [-1, form.width]:
        return None
    return Form(form.pieces)


def _cast(step: _Step) -> Form | None:
    """Only of what lookups have made: there it is done now."""
    form, kind = step.forms[0], _FLOATS.get(step.attributes.get("to", 0))
    if form is None or kind is None:
        return None
    pieces = []
    for piece in form.pieces:
        if piece.lookup is None:
            return None
        pieces.append(piece._replace(lookup=Lookup(piece.lookup.rows, piece.lookup.table.astype(kind))))
    return Form(tuple(pieces), form.is_deep)


def _labelled(step: _Step) -> Form | None:
    form, given = step.forms[0], step.attributes
    if "values_int64s" in given:
        values = np.array([*given["values_int64s"], given.get("default_int64", -1)], dtype=np.int64)
    elif "values_floats" in given:
        values = np.array([*given["values_floats"], given.get("default_float", -0.0)], dtype=np.float32)
    else:
        return None
    keys = given.get("keys_strings", [])
    return None if form is None or not _different(keys) else _looked_up(form, keys, values[:, None])


def _one_hot(step: _Step) -> Form | None:
    form, keys = step.forms[0], step.attributes.get("cats_strings", [])
    if form is None or form.width != 1 or not step.attributes.get("zeros", 1):  # else an unseen text is an error
        return None
    if not _different(keys) or len(keys) ** 2 > _LARGEST_TABLE:
        return None
    return _looked_up(form, keys, np.eye(len(keys) + 1, len(keys), dtype=np.float32), is_deep=True)


def _different(keys: Sequence[bytes]) -> bool:
    return 0 < len(keys) == len(set(keys))


def _looked_up(form: Form, keys: Sequence[bytes], table: Array, is_deep: bool = False) -> Form:
    """The rows of a table, one for each key and at last that of every other text."""
    lookup = Lookup({key.decode(): row for row, key in enumerate(keys)}, table)
    return Form(tuple(piece._replace(lookup=lookup) for piece in form.pieces), is_deep)


_ML = "ai.onnx.ml"
_RULES: Mapping[tuple[str, str], Callable[[_Step], Form | None]] = {
    ("", "Identity"): _same,
    ("", "Concat"): _joined,
    ("", "Gather"): _gathered,
    (_ML, "ArrayFeatureExtractor"): _chosen,
    ("", "Reshape"): _reshaped,
    ("", "Cast"): _cast,
    (_ML, "LabelEncoder"): _labelled,
    (_ML, "OneHotEncoder"): _one_hot,
}
