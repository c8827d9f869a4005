"""A model that has an input for each column, changed to read blocks of columns.

ONNX Runtime takes longer to accept twenty tensors, and texts from Python, than to walk the trees of a usual model for a
row. The changed model answers the same to the bit: only how columns are put side by side, and what becomes of texts, is
computed otherwise. A step that is not known here stays as it is, and is given the columns that it reads.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from kubeline.model_package.onnx_parts_pb2 import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorShapeProto,
    TypeProto,
    ValueInfoProto,
)
from kubeline.model_package.signature import Signature
from kubeline.typing import Array
from kubeline_serving.codec.inputs import Columns
from kubeline_serving.inference.blocks import BLOCKS, Block, Blocks
from kubeline_serving.inference.forms import Form, Piece, form_of

_INT, _INTS = 2, 7  # types of attributes
_TYPES = {"float32": 1, "int32": 6, "int64": 7, "float64": 11}  # of tensors
_OF_BLOCK = {"numbers": _TYPES["float32"], "codes": _TYPES["int32"], "doubles": _TYPES["float64"]}
_GATHERS_ELEMENTS = 11  # the first version of ONNX's operators that does


def reading_blocks(model: bytes, signature: Signature) -> tuple[bytes, Blocks]:
    """The same model with blocks for its inputs, and what makes them.

    Args:
        model: ONNX, with an input of shape (rows, 1) for each column, by its name.
        signature: of the model.
    """
    changed = ModelProto.FromString(model)
    del model  # a forest takes hundreds of megabytes, and is not held twice for longer than it must be
    blocks = _Rewriting(changed, Columns(signature)).done()
    return changed.SerializeToString(), blocks


class _Rewriting:
    """Changes a model in place.

    Nodes are not copied, as those of a forest are large: new ones are added at the end, and then all are sorted.
    """

    def __init__(self, model: ModelProto, columns: Columns):
        self._graph = graph = model.graph
        self._columns = columns
        self._of_block = {"numbers": columns.numbers, "codes": columns.categories, "doubles": columns.doubles}
        self._forms = {
            name: Form((Piece(block, place),)) for block in BLOCKS for place, name in enumerate(self._of_block[block])
        }
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._prefix = _unused_prefix(graph.node, [*self._constants, *self._forms])
        self._opset = max((opset.version for opset in model.opset_import if not opset.domain), default=1)
        self._made: dict[Form, str] = {}  # the tensors that nodes read, by what they are
        self._order: dict[str, int] = {}  # the nodes that stay, by an output
        self._tables: dict[str, list[Piece]] = {}
        self._rare: list[dict[str, int]] = [{} for _ in columns.categories]
        self._texts: set[int] = set()
        self._count = 0

    def done(self) -> Blocks:
        """Change everything."""
        gone = []
        for place, node in enumerate(list(self._graph.node)):
            form = form_of(node, self._forms, self._constants)
            if form is None:
                node.input[:] = [self._read(name) for name in node.input]
                self._order[_key(node)] = len(self._order)
            else:
                self._forms[node.output[0]] = form
                self._learn_texts(form)
                gone.append(place)
        for output in self._graph.output:
            if output.name in self._forms:
                self._add("Identity", self._read(output.name), output=output.name)
        for place in reversed(gone):
            del self._graph.node[place]
        self._graph.node.sort(key=lambda node: self._order[_key(node)])
        for name, pieces in self._tables.items():
            self._constant(self._table(pieces), name)
        return Blocks(self._columns, self._declare_inputs(), self._rare, sorted(self._texts))

    def _learn_texts(self, form: Form) -> None:
        """Give codes to the texts that the model tells apart, though they are in no vocabulary."""
        for piece in form.pieces:
            if piece.lookup is not None:
                rare, known = self._rare[piece.place], {*self._columns.vocabularies[piece.place]}
                for text in piece.lookup.rows:
                    if text not in known:  # the code between is of all other texts
                        rare.setdefault(text, len(known) + 1 + len(rare))

    def _read(self, name: str) -> str:
        """The name of a tensor that a node reads, which is made when it is not there any more."""
        form = self._forms.get(name)
        if form is None:
            return name
        if form not in self._made:
            parts = list(self._parts(form.pieces))
            made = parts[0] if len(parts) == 1 else self._add("Concat", *parts, axis=1)
            if form.is_deep:
                made = self._add("Reshape", made, self._constant(np.array([-1, 1, form.width])))
            self._made[form] = made
        return self._made[form]

    def _parts(self, pieces: Sequence[Piece]) -> Iterator[str]:
        """Tensors of shape (rows, columns) that hold the pieces."""
        for (block, kind), run in groupby(pieces, self._kind):
            same = list(run)
            if block != "codes":
                yield self._chosen(block, same)
            elif kind == "as it came":
                yield from self._named(same)
            elif kind == "wide":
                yield from (self._looked_up(piece) for piece in same)
            else:
                yield self._looked_up_together(same)

    def _kind(self, piece: Piece) -> tuple[Block, str]:
        """Pieces of one kind, side by side, are made together."""
        if piece.lookup is None:
            return piece.block, "as it came"
        return piece.block, "narrow" if piece.width == 1 and self._opset >= _GATHERS_ELEMENTS else "wide"

    def _named(self, pieces: Sequence[Piece]) -> Iterator[str]:
        for piece in pieces:
            self._texts.add(piece.place)
            yield self._columns.categories[piece.place]

    def _chosen(self, block: Block, pieces: Sequence[Piece]) -> str:
        """Columns of a block, shape (rows, columns)."""
        every = Form(tuple(Piece(block, place) for place in range(len(self._of_block[block]))))
        if every not in self._made:
            self._made[every] = self._add("Transpose", self._prefix + block, perm=[1, 0])
        places = np.array([piece.place for piece in pieces])
        if np.array_equal(places, np.arange(len(every.pieces))):
            return self._made[every]
        return self._add("Gather", self._made[every], self._constant(places), axis=1)

    def _looked_up(self, piece: Piece) -> str:
        codes = self._add("Gather", self._prefix + "codes", self._constant(np.array(piece.place)), axis=0)
        return self._add("Gather", self._add_table([piece]), codes, axis=0)

    def _looked_up_together(self, pieces: list[Piece]) -> str:
        """Several lookups of one column each by one node, which takes the time of one."""
        codes = self._prefix + "codes"
        places = np.array([piece.place for piece in pieces])
        if not np.array_equal(places, np.arange(len(self._columns.categories))):
            codes = self._add("Gather", codes, self._constant(places), axis=0)
        found = self._add("GatherElements", self._add_table(pieces), codes, axis=1)
        return self._add("Transpose", found, perm=[1, 0])

    def _add_table(self, pieces: list[Piece]) -> str:
        name = self._name()
        self._tables[name] = pieces
        return name

    def _table(self, pieces: Sequence[Piece]) -> Array:
        """What becomes of each code: (codes, width) of a wide piece, (pieces, codes) of several."""
        found = []
        for piece in pieces:
            assert piece.lookup is not None  # noqa: S101 - the caller's
            row_of = piece.lookup.rows
            known, rare = self._columns.vocabularies[piece.place], self._rare[piece.place]
            rows = [*(row_of.get(text, -1) for text in known), -1, *(row_of.get(text, -1) for text in rare)]
            found.append(piece.lookup.table[rows])
        if self._kind(pieces[0])[1] == "wide":
            return found[0]
        longest = max(map(len, found))
        return np.stack([np.pad(column[:, 0], (0, longest - len(column))) for column in found])

    def _add(self, operation: str, *inputs: str, output: str = "", **attributes: int | list[int]) -> str:
        """Add a node, and return the name of its output."""
        output = output or self._name()
        self._order[output] = len(self._order)
        self._graph.node.add(
            op_type=operation,
            input=inputs,
            output=[output],
            attribute=[_attribute(name, value).SerializeToString() for name, value in attributes.items()],
        )
        return output

    def _constant(self, values: Array, name: str = "") -> str:
        name = name or self._name()
        kind = _TYPES[values.dtype.name]
        self._graph.initializer.add(name=name, dims=values.shape, data_type=kind, raw_data=values.tobytes())
        return name

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    def _declare_inputs(self) -> dict[Block, str]:
        """Put blocks in the place of the columns."""
        inputs = self._graph.input
        kept = {self._columns.categories[place] for place in self._texts}
        for place in reversed(range(len(inputs))):
            if inputs[place].name in self._forms and inputs[place].name not in kept:
                del inputs[place]
        names = {block: self._prefix + block for block in BLOCKS if self._of_block[block]}
        for block, name in names.items():
            inputs.append(_input(name, _OF_BLOCK[block], len(self._of_block[block])))
        return names


def _key(node: NodeProto) -> str:
    return next(filter(None, node.output), "")


def _unused_prefix(nodes: Sequence[NodeProto], names: Sequence[str]) -> str:
    """The beginning of new names, with which no other name begins."""
    used = {*names, *(name for node in nodes for name in (*node.input, *node.output))}
    prefix = "kubeline."
    while any(name.startswith(prefix) for name in used):
        prefix = f"_{prefix}"
    return prefix


def _attribute(name: str, value: int | list[int]) -> AttributeProto:
    if isinstance(value, int):
        return AttributeProto(name=name, type=_INT, i=value)
    return AttributeProto(name=name, type=_INTS, ints=value)


def _input(name: str, kind: int, columns: int) -> ValueInfoProto:
    dimension = TensorShapeProto.Dimension
    shape = TensorShapeProto(dim=[dimension(dim_value=columns), dimension(dim_param="rows")])
    return ValueInfoProto(name=name, type=TypeProto(tensor_type=TypeProto.Tensor(elem_type=kind, shape=shape)))
