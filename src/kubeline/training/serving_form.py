"""The serving form of a model: the same graph, changed to read blocks instead of an input for each column.

It answers the same to the bit: only how columns are put side by side, and what becomes of the texts of categories, is
computed otherwise, by the same operators or by tables of what these make of each text.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from kubeline.columns import MISSING_CATEGORY
from kubeline.errors import UserError
from kubeline.model_package.blocks import DTYPES, PREFIX, Block, Columns
from kubeline.model_package.signature import Signature
from kubeline.training.forms import Form, Piece, form_of, positions
from kubeline.training.graph import attributes, drop_unused
from kubeline.typing import Array


def serving_form(model: bytes, signature: Signature) -> tuple[bytes, Signature]:
    """The serving form of a portable one, and the signature with the rare values that it distinguishes.

    Args:
        model: ``model.onnx``, with an input of shape (rows, 1) for each column, by its name.
        signature: of the model.

    Raises:
        UserError: when an operator does with the text of a category what no table can express.
    """
    changed = ModelProto.FromString(model)
    del model  # a forest takes hundreds of megabytes, and is not held twice for longer than it must be
    signature = _Rewriting(changed, signature).done()
    return changed.SerializeToString(deterministic=True), signature


class _Rewriting:
    """Changes a model in place, as the nodes of a forest are large.

    What nodes read is made of the inputs alone, so that all that is added stands before them.
    """

    def __init__(self, model: ModelProto, signature: Signature):
        self._graph = graph = model.graph
        constants = {tensor.name: tensor for tensor in graph.initializer}
        self._forms = {
            name: Form((Piece(block, place),))
            for block, names in Columns(signature).blocks.items()
            for place, name in enumerate(names)
        }
        gone = []
        for place, node in enumerate(graph.node):
            form = form_of(node, self._forms, constants)
            if form is not None:
                self._forms[node.output[0]] = form
                gone.append(place)
        for place in reversed(gone):
            del graph.node[place]
        self._one_hot = {node.output[0]: form for node in graph.node if (form := self._positions(node)) is not None}
        self._signature = _with_rare(signature, [*self._forms.values(), *self._one_hot.values()])
        self._columns = Columns(self._signature)
        self._added: list[NodeProto] = []
        self._made: dict[Form, str] = {}  # the tensors that nodes read, by what they are
        self._count = 0

    def done(self) -> Signature:
        """Change everything."""
        graph = self._graph
        for node in graph.node:
            if node.output[0] in self._one_hot:
                self._read_positions(node)
            else:
                node.input[:] = [self._read(name, node.op_type) for name in node.input]
        for output in graph.output:
            if output.name in self._forms:
                self._add("Identity", self._read(output.name, "Identity"), output=output.name)
        for node in reversed(self._added):
            graph.node.insert(0, node)
        drop_unused(graph)
        self._declare_inputs()
        return self._signature

    def _positions(self, node: NodeProto) -> Form | None:
        """What an encoder of more categories than a table is made for reads."""
        form = self._forms.get(next(iter(node.input), ""))
        if node.op_type != "OneHotEncoder" or form is None:
            return None
        given = attributes(node)
        return positions(form, given.get("cats_strings", [])) if given.get("zeros", 1) else None

    def _read_positions(self, node: NodeProto) -> None:
        keys = attributes(node)["cats_strings"]
        node.input[:] = [self._tensor(self._one_hot[node.output[0]], node.op_type)]
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("cats_int64s", range(len(keys))))
        node.attribute.append(helper.make_attribute("zeros", 1))

    def _read(self, name: str, operation: str) -> str:
        """The name of a tensor that a node reads, which is made when it is not there any more."""
        form = self._forms.get(name)
        return name if form is None else self._tensor(form, operation)

    def _tensor(self, form: Form, operation: str) -> str:
        if form not in self._made:
            parts = list(self._parts(form.pieces, operation))
            made = parts[0] if len(parts) == 1 else self._add("Concat", *parts, axis=1)
            if form.is_deep:
                made = self._add("Reshape", made, self._constant(np.array([-1, 1, form.width])))
            self._made[form] = made
        return self._made[form]

    def _parts(self, pieces: Sequence[Piece], operation: str) -> Iterator[str]:
        """Tensors of shape (rows, columns) that hold the pieces; those of one kind, side by side, are made together."""
        for (block, is_narrow), run in groupby(pieces, lambda piece: (piece.block, piece.width == 1)):
            same = list(run)
            if block != "codes":
                yield self._chosen(block, same)
                continue
            for piece in same:
                if piece.lookup is None:
                    raise UserError(
                        f"the model cannot be served: its operator {operation} reads the text of the column "
                        f"'{self._columns.categories[piece.place]}'; leave out the column, or encode it in another way"
                    )
            if is_narrow:
                yield self._looked_up_together(same)
            else:
                yield from map(self._looked_up, same)

    def _chosen(self, block: Block, pieces: Sequence[Piece]) -> str:
        """Columns of a block, shape (rows, columns)."""
        every = Form(tuple(Piece(block, place) for place in range(len(self._columns.blocks[block]))))
        if every not in self._made:
            self._made[every] = self._add("Transpose", self._columns.inputs[block], perm=[1, 0])
        places = np.array([piece.place for piece in pieces])
        if np.array_equal(places, np.arange(len(every.pieces))):
            return self._made[every]
        return self._add("Gather", self._made[every], self._constant(places), axis=1)

    def _looked_up(self, piece: Piece) -> str:
        codes = self._add("Gather", self._columns.inputs["codes"], self._constant(np.array(piece.place)), axis=0)
        return self._add("Gather", self._constant(self._table(piece)), codes, axis=0)

    def _looked_up_together(self, pieces: Sequence[Piece]) -> str:
        """Several lookups of one column each by one node, which takes the time of one."""
        codes = self._columns.inputs["codes"]
        places = np.array([piece.place for piece in pieces])
        if not np.array_equal(places, np.arange(len(self._columns.categories))):
            codes = self._add("Gather", codes, self._constant(places), axis=0)
        tables = [self._table(piece)[:, 0] for piece in pieces]
        longest = max(map(len, tables))
        table = np.stack([np.pad(column, (0, longest - len(column))) for column in tables])
        found = self._add("GatherElements", self._constant(table), codes, axis=1)
        return self._add("Transpose", found, perm=[1, 0])

    def _table(self, piece: Piece) -> Array:
        """What becomes of each code, shape (codes, width)."""
        assert piece.lookup is not None  # noqa: S101 - the caller's
        row_of = piece.lookup.rows
        known, rare = self._columns.vocabularies[piece.place], self._columns.rare[piece.place]
        rows = [*(row_of.get(text, -1) for text in known), -1, *(row_of.get(text, -1) for text in rare)]
        table: Array = piece.lookup.table[rows]
        return table

    def _add(self, operation: str, *inputs: str, output: str = "", **given: Any) -> str:
        """Add a node, and return the name of its output."""
        output = output or self._name()
        self._added.append(helper.make_node(operation, inputs, [output], **given))
        return output

    def _constant(self, values: Array) -> str:
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _name(self) -> str:
        self._count += 1
        return f"{PREFIX}{self._count}"

    def _declare_inputs(self) -> None:
        """Put blocks in the place of the columns."""
        del self._graph.input[:]
        for block, names in self._columns.blocks.items():
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES[block]))
            self._graph.input.append(
                helper.make_tensor_value_info(self._columns.inputs[block], kind, [len(names), "rows"])
            )


def _with_rare(signature: Signature, forms: Sequence[Form]) -> Signature:
    """The signature with the texts that some lookup distinguishes, though its column does not list them."""
    rare: dict[str, dict[str, None]] = {}
    columns = Columns(signature)
    for piece in (piece for form in forms for piece in form.pieces if piece.lookup is not None):
        found = rare.setdefault(columns.categories[piece.place], {})
        found.update(dict.fromkeys(piece.lookup.rows if piece.lookup else ()))
    features = []
    for feature in signature.features:
        listed = {MISSING_CATEGORY, *(feature.categories or [])}
        values = [text for text in rare.get(feature.name, {}) if text not in listed]
        features.append(feature.model_copy(update={"rare": values}) if values else feature)
    return signature.model_copy(update={"features": features})
