"""A program of a few operators over columns, which arrays and an ONNX graph run alike.

Every value is float64 of shape (rows, 1) and NaN where it is missing, or a mask that says where something holds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

OPERATORS = frozenset({
    *("Add", "Sub", "Mul", "Div", "Abs", "Floor", "Sqrt", "Log", "Exp", "Sin", "Cos"),  # by their names in ONNX
    *("Less", "LessOrEqual", "Equal", "IsNaN", "And", "Or", "Not", "Where"),  # masks, and what is taken by one
})  # fmt: skip


class Instruction(NamedTuple):
    """One operation on the results of earlier ones.

    `operation` is of `OPERATORS`, or: ``column`` (`value`: its name), ``constant`` (a float), ``texts`` (name of a
    column of text, the number of each text, that of any other), ``table`` (of positions the numbers at them, a missing
    one where the position is missing), ``rounded`` (to float32) and ``number`` (of a mask, 1 and 0).
    """

    operation: str
    inputs: tuple[int, ...] = ()
    value: Any = None


class BackEnd(Protocol):
    """What runs a program; whatever it computes with."""

    def column(self, name: str) -> Any:
        """The numbers of a column."""

    def constant(self, value: float) -> Any:
        """One number for all rows."""

    def texts(self, name: str, numbers: Sequence[tuple[str, float]], other: float) -> Any:
        """Numbers in the place of the texts of a column."""

    def table(self, positions: Any, numbers: Sequence[float]) -> Any:
        """Numbers in the place of their positions."""

    def rounded(self, value: Any) -> Any:
        """The same numbers as float32."""

    def number(self, mask: Any) -> Any:
        """1 where the mask holds, 0 elsewhere."""

    def apply(self, operator: str, *values: Any) -> Any:
        """One of `OPERATORS`."""


class Builder:
    """Makes a program; an operation that is there already is not added again."""

    def __init__(self) -> None:
        self.steps: list[Instruction] = []
        self._places: dict[Instruction, int] = {}

    def add(self, operation: str, *inputs: "Term", value: Any = None) -> "Term":
        """The result of an operation."""
        step = Instruction(operation, tuple(each.place for each in inputs), value)
        if step not in self._places:
            self._places[step] = len(self.steps)
            self.steps.append(step)
        return Term(self, self._places[step])

    def constant(self, value: float) -> "Term":
        """One number for all rows."""
        return self.add("constant", value=float(value))


@dataclass(frozen=True)
class Term:
    """A result of a program that is being made; operators of Python add to it, and comparisons make masks."""

    builder: Builder
    place: int

    @property
    def step(self) -> Instruction:
        """What makes it."""
        return self.builder.steps[self.place]

    def apply(self, operator: str, *others: "Term | float") -> "Term":
        """An operator on this value and others."""
        wrapped = [other if isinstance(other, Term) else self.builder.constant(other) for other in others]
        return self.builder.add(operator, self, *wrapped)

    def __add__(self, other: "Term | float") -> "Term":
        return self.apply("Add", other)

    def __sub__(self, other: "Term | float") -> "Term":
        return self.apply("Sub", other)

    def __mul__(self, other: "Term | float") -> "Term":
        return self.apply("Mul", other)

    def __rmul__(self, other: float) -> "Term":
        return self.builder.constant(other) * self

    def __truediv__(self, other: "Term | float") -> "Term":
        return self.apply("Div", other)

    def __and__(self, other: "Term") -> "Term":
        return self.apply("And", other)

    def __or__(self, other: "Term") -> "Term":
        return self.apply("Or", other)

    def less(self, other: "Term | float") -> "Term":
        """Where it is less; nowhere where one is missing."""
        return self.apply("Less", other)

    def at_most(self, other: "Term | float") -> "Term":
        """Where it is less or equal; nowhere where one is missing."""
        return self.apply("LessOrEqual", other)

    def equal(self, other: "Term | float") -> "Term":
        """Where it is equal; nowhere where one is missing."""
        return self.apply("Equal", other)

    def missing(self) -> "Term":
        """Where it is missing."""
        return self.apply("IsNaN")

    def choose(self, yes: "Term | float", no: "Term | float") -> "Term":
        """Of a mask: one value where it holds, and another elsewhere."""
        return self.apply("Where", yes, no)

    def number(self) -> "Term":
        """Of a mask: 1 and 0."""
        return self.builder.add("number", self)

    def rounded(self) -> "Term":
        """As float32, in which only a comparison may follow."""
        return self.builder.add("rounded", self)

    def floor(self) -> "Term":
        """The greatest whole number that is not above it."""
        return self.apply("Floor")


def execute(steps: Sequence[Instruction], wanted: Sequence[int], on: BackEnd) -> list[Any]:
    """Run the part of a program that some results need.

    Args:
        steps: of the program.
        wanted: places of the results.
        on: what runs it.
    """
    needed = set(wanted)
    for place in range(len(steps) - 1, -1, -1):
        if place in needed:
            needed.update(steps[place].inputs)
    made: dict[int, Any] = {}
    for place in sorted(needed):
        made[place] = _run(steps[place], [made[each] for each in steps[place].inputs], on)
    return [made[place] for place in wanted]


def _run(step: Instruction, inputs: Sequence[Any], on: BackEnd) -> Any:
    special: Mapping[str, Callable[[], Any]] = {
        "column": lambda: on.column(step.value),
        "constant": lambda: on.constant(step.value),
        "texts": lambda: on.texts(*step.value),
        "table": lambda: on.table(inputs[0], step.value),
        "rounded": lambda: on.rounded(inputs[0]),
        "number": lambda: on.number(inputs[0]),
    }
    return special[step.operation]() if step.operation in special else on.apply(step.operation, *inputs)
