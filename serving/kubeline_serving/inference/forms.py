"""Tensors of an ONNX graph that are nothing but columns side by side, and the nodes between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kubeline.model_package.onnx_parts_pb2 import AttributeProto, NodeProto, TensorProto
from kubeline.model_package.onnx_shapes import whole_numbers
from kubeline.typing import Array
from kubeline_serving.inference.blocks import Block

_FLOATS = {1: np.float32, 11: np.float64}
_LARGEST_TABLE = 1_000_000  # values; ONNX Runtime encodes columns of more categories from their texts, as ever


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
    attributes: dict[str, AttributeProto]

    def whole(self, name: str, default: int) -> int:
        return self.attributes[name].i if name in self.attributes else default


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
    attributes = [AttributeProto.FromString(attribute) for attribute in node.attribute]
    return rule(
        _Step(
            [forms.get(name) for name in node.input],
            [whole_numbers(constants.get(name)) for name in node.input],
            {attribute.name: attribute for attribute in attributes},
        )
    )


def _same(step: _Step) -> Form | None:
    return step.forms[0]


def _joined(step: _Step) -> Form | None:
    forms = [form for form in step.forms if form is not None]
    is_deep = forms[0].is_deep
    side_by_side = step.whole("axis", 0) in (-1, 2 if is_deep else 1)
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
    return _chosen(step) if flat and step.whole("axis", 0) in (-1, 1) else None


def _reshaped(step: _Step) -> Form | None:
    form, shape = step.forms[0], step.numbers[1]
    if form is None or shape is None or shape.tolist() != [-1, form.width]:
        return None
    return Form(form.pieces)


def _cast(step: _Step) -> Form | None:
    """Only of what lookups have made: there it is done now."""
    form, kind = step.forms[0], _FLOATS.get(step.whole("to", 0))
    if form is None or kind is None:
        return None
    pieces = []
    for piece in form.pieces:
        if piece.lookup is None:
            return None
        pieces.append(piece._replace(lookup=Lookup(piece.lookup.rows, piece.lookup.table.astype(kind))))
    return Form(tuple(pieces), form.is_deep)


def _labelled(step: _Step) -> Form | None:
    if "values_int64s" in step.attributes:
        values = np.array(step.attributes["values_int64s"].ints, dtype=np.int64)
        other: Any = np.int64(step.whole("default_int64", -1))
    elif "values_floats" in step.attributes:
        values = np.array(step.attributes["values_floats"].floats, dtype=np.float32)
        given = step.attributes.get("default_float")
        other = np.float32(-0.0 if given is None else given.f)
    else:
        return None
    return _looked_up(step, "keys_strings", lambda keys: np.append(values, other)[:, None], is_deep=False)


def _one_hot(step: _Step) -> Form | None:
    form = step.forms[0]
    if form is None or form.width != 1 or not step.whole("zeros", 1):  # else an unseen text is an error
        return None
    return _looked_up(step, "cats_strings", lambda keys: np.eye(keys + 1, keys, dtype=np.float32), is_deep=True)


def _looked_up(step: _Step, keys: str, table: Callable[[int], Array], is_deep: bool) -> Form | None:
    """Lookups of the texts that the attribute `keys` lists; `table` makes their table, for so many texts."""
    form = step.forms[0]
    texts = [key.decode() for key in step.attributes[keys].strings] if keys in step.attributes else []
    rows: dict[str, int] = {text: row for row, text in enumerate(texts)}
    if form is None or not texts or len(rows) < len(texts) or (is_deep and len(texts) ** 2 > _LARGEST_TABLE):
        return None
    lookup = Lookup(rows, table(len(texts)))
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
