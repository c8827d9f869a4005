"""Programs as nodes of an ONNX graph: what serves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kubeline.transform.program import Instruction, execute

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto


class Nodes:
    """The back end, see :class:`kubeline.transform.program.BackEnd`; results are names of tensors of shape (rows, 1).

    Attributes:
        nodes: in an order in which they can be computed.
        constants: that they read.
    """

    def __init__(self, names: dict[str, str], prefix: str):
        """Begin with nothing.

        Args:
            names: of the tensor of each column.
            prefix: of the names of all that is added.
        """
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._names, self._prefix = names, prefix

    def outputs(self, steps: Sequence[Instruction], wanted: Sequence[int]) -> list[str]:
        """The names of the results of a program, float64."""
        found: list[str] = execute(steps, wanted, self)
        return found

    def column(self, name: str) -> str:
        return self._cast(self._names[name], "DOUBLE")

    def constant(self, value: float) -> str:
        return self._constant(np.array(value, dtype=np.float64))

    def texts(self, name: str, numbers: Sequence[tuple[str, float]], other: float) -> str:
        found = self.add(
            "LabelEncoder",
            self._names[name],
            domain="ai.onnx.ml",
            keys_strings=[text for text, _ in numbers],
            values_floats=[number for _, number in numbers],
            default_float=other,
        )
        return self._cast(found, "DOUBLE")

    def table(self, positions: str, numbers: Sequence[float]) -> str:
        last = self.constant(len(numbers))
        return self.add(
            "Gather",
            self._constant(np.array([*numbers, np.nan])),
            self.whole(self.add("Where", self.add("IsNaN", positions), last, positions)),
            axis=0,
        )

    def rounded(self, value: str) -> str:
        return self._cast(value, "FLOAT")

    def number(self, mask: str) -> str:
        return self._cast(mask, "DOUBLE")

    def whole(self, value: str) -> str:
        """The same as int64."""
        return self._cast(value, "INT64")

    def apply(self, operator: str, *values: Any) -> str:
        return self.add(operator, *values)

    def add(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        from onnx import helper

        output = output or self._new()
        self.nodes.append(helper.make_node(operation, list(inputs), [output], name=output, **attributes))
        return output

    def _cast(self, value: str, kind: str) -> str:
        from onnx import TensorProto

        return self.add("Cast", value, to=TensorProto.DataType.Value(kind))

    def _constant(self, values: Any) -> str:
        from onnx import numpy_helper

        name = self._new()
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _new(self) -> str:
        return f"{self._prefix}{len(self.nodes) + len(self.constants)}"
