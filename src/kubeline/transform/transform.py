"""The derived columns of a table: declared as expressions, checked against its columns, computed from its rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from kubeline.columns import Kind
from kubeline.data.conditions import shown
from kubeline.errors import UserError, listed
from kubeline.printable import is_text
from kubeline.transform.arrays import compute
from kubeline.transform.language import Compiler, columns_of, parse
from kubeline.transform.program import Builder, Instruction, Term
from kubeline.transform.typed import NAN, RawColumn, Typed, WrongError
from kubeline.typing import Array

MOST = 200  # derived columns
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Derived:
    """A column that is computed from others.

    Attributes:
        name: of the column.
        expression: as it was declared.
        kind: of its values.
        reads: the columns of the table that it is computed from.
        place: of its result in the program.
        double: whether a model reads it as float64.
        texts: of a category, in the order of its codes, the rarest first.
    """

    name: str
    expression: str
    kind: Kind
    reads: tuple[str, ...]
    place: int
    double: bool = False
    texts: tuple[str, ...] = ()

    def encoded(self, values: Array) -> Array:
        """Its values as a model reads them: float32 or float64, and of a category int64 codes, shape (rows,)."""
        if self.kind == "category":
            return values.astype(np.int64)
        return values.astype(np.float64 if self.double else np.float32)


@dataclass(frozen=True)
class Transform:
    """What is derived from a table's columns; nothing, where nothing is declared.

    Attributes:
        derived: the columns.
        only_read: columns of the table that are read by expressions alone, and are no features.
        steps: of the program that computes them.
    """

    derived: tuple[Derived, ...] = ()
    only_read: frozenset[str] = frozenset()
    steps: tuple[Instruction, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.derived)

    def to_json(self) -> str:
        """All of it as text, whose bytes are the same in every process."""
        return json.dumps([[astuple(each) for each in self.derived], sorted(self.only_read), self.steps])

    @classmethod
    def from_json(cls, content: str) -> "Transform":
        """What :meth:`to_json` wrote."""
        derived, only_read, steps = _tuples(json.loads(content))
        columns = tuple(Derived(*each) for each in derived)
        return cls(columns, frozenset(only_read), tuple(Instruction(*each) for each in steps))

    @property
    def expressions(self) -> dict[str, str]:
        """As it was declared."""
        found = {**dict.fromkeys(self.only_read, ""), **{each.name: each.expression for each in self.derived}}
        return dict(sorted(found.items()))

    def read_by(self, names: Sequence[str]) -> set[str]:
        """The columns of the table that some of the derived columns are computed from."""
        return {read for each in self.derived if each.name in names for read in each.reads}

    def columns(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The derived columns of some rows, as a model reads them; see :meth:`Derived.encoded`.

        Args:
            frame: the columns of the table as :meth:`kubeline.model_package.signature.Signature.encode` makes them.
        """
        found = compute(self.steps, [each.place for each in self.derived], frame)
        columns = zip(self.derived, found, strict=True)
        return pd.DataFrame({each.name: each.encoded(values) for each, values in columns}, index=frame.index)


def _tuples(value: Any) -> Any:
    """JSON with tuples for lists."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def parsed(given: Any) -> dict[str, tuple[str, Any]]:
    """The declared expressions and their syntax trees by the name of the column.

    An empty expression, which has no tree, says that a column is only read by others.

    Raises:
        UserError: when they are anything else, or no SQL.
    """
    from kubeline.data.engine import in_memory

    if not isinstance(given, Mapping):
        raise UserError(f"derive is {given!r}; expected a mapping such as {{'log_amount': 'ln(1 + amount)'}}")
    if len(given) > MOST:
        raise UserError(f"derive has {len(given)} columns, and at most {MOST} are derived; leave some out")
    if not given:
        return {}
    found = {}
    with in_memory() as connection:
        for name, text in given.items():
            if not isinstance(name, str) or not name or "\0" in name or not is_text(name) or not isinstance(text, str):
                raise UserError(f"derive has {name!r}: {text!r}; expected the name of a column and an SQL expression")
            stripped = text.strip()
            found[name] = (stripped, parse(connection, name, stripped) if stripped else None)
    return found


def names_read(given: Any) -> list[str]:
    """The columns of the table that declared expressions read, and those that are only read.

    Raises:
        UserError: see :func:`parsed`.
    """
    return sorted(
        {read for name, (_, tree) in parsed(given).items() for read in (columns_of(tree) if tree else [name])}
    )


def declare(given: Any, frame: pd.DataFrame, kinds: Mapping[str, Kind], refused: Mapping[str, str]) -> Transform:
    """What is declared, checked on the columns and the rows of a table.

    Args:
        given: expressions by the name of the derived column.
        frame: the columns of the table as a model reads them.
        kinds: of its columns.
        refused: columns that no expression may read, and what they are.

    Raises:
        UserError: names the derived column and what is wrong with it.
    """
    declared = parsed(given)
    if not declared:
        return Transform()
    columns = {name: _column(frame[name], kind) for name, kind in kinds.items()}
    only_read = frozenset(name for name, (text, _) in declared.items() if not text)
    _require_names([*declared], only_read, columns, refused)
    builder = Builder()
    compiler = Compiler(builder, columns)
    derived = [_derived(name, text, tree, compiler, refused) for name, (text, tree) in declared.items() if text]
    transform = Transform(tuple(each for each, _ in derived), only_read)
    if idle := sorted(only_read - transform.read_by([each.name for each, _ in derived])):
        raise UserError(
            f"derive has no expression for '{idle[0]}', which says that others read it, and none does; write one that "
            "does, or exclude the column"
        )
    return _finished(builder, derived, transform, frame)


def _column(values: pd.Series, kind: Kind) -> RawColumn:
    if kind != "category":
        return RawColumn(kind, bool(values.dtype == np.float64))
    from kubeline.transform.typed import MAX_TEXTS

    return RawColumn(kind, texts=_frequent(values[values != ""], MAX_TEXTS))


def _frequent(values: pd.Series, most: int) -> tuple[Any, ...]:
    """The most frequent values, most frequent first, and in their order where equal."""
    counts = sorted(values.value_counts(sort=False).items(), key=lambda item: (-item[1], item[0]))
    return tuple(value for value, _ in counts[:most])


def _require_names(
    declared: Sequence[str], only_read: frozenset[str], columns: Mapping[str, RawColumn], refused: Mapping[str, str]
) -> None:
    for name in declared:
        if name in refused:
            raise UserError(f"derive names '{name}', which is {refused[name]}; choose another name")
        if name in columns and name not in only_read:
            raise UserError(
                f"derive gives an expression for '{name}', which the table has; choose a name that it does not have "
                f"(and '{name}': '' where the column is to be read by expressions alone)"
            )
    if absent := sorted(only_read - columns.keys()):
        raise UserError(
            f"derive has no expression for '{absent[0]}', which is no column with values; there are: "
            f"{listed(sorted(columns), 20)}"
        )


def _derived(name: str, text: str, tree: Any, compiler: Compiler, refused: Mapping[str, str]) -> tuple[Derived, Typed]:
    called, reads = f"the derived column '{name}', {shown(text)},", columns_of(tree)
    if forbidden := [read for read in reads if read in refused]:
        what = refused[forbidden[0]]
        raise UserError(
            f"{called} reads '{forbidden[0]}', which is {what}: a model does not have it when it predicts; leave it out"
        )
    if not reads:
        raise UserError(f"{called} reads no column, so it is the same in every row; name the columns it is made of")
    try:
        found = compiler.compile(tree)
    except WrongError as error:
        raise UserError(f"{called} {error}") from error
    if found.kind is None:
        raise UserError(f"{called} is always missing; write an expression that has a value")
    double = found.kind == "datetime" or (found.kind == "number" and found.wide)
    return Derived(name, text, found.kind, tuple(reads), found.value.place, double), found


def _finished(
    builder: Builder, derived: Sequence[tuple[Derived, Typed]], transform: Transform, frame: pd.DataFrame
) -> Transform:
    """The program with what its results become, where the values of the table decide that."""
    ranged = [_in_range(found) if each.kind == "number" else found.value for each, found in derived]
    values = compute(builder.steps, [value.place for value in ranged], frame)
    finished = []
    for (each, found), value, column in zip(derived, ranged, values, strict=True):
        _require_difference(each, column)
        if each.kind == "category":
            finished.append(_coded(each, found, column))
        else:
            finished.append(replace(each, place=value.place))
    return replace(transform, derived=tuple(finished), steps=tuple(builder.steps))


def _in_range(found: Typed) -> Term:
    """Missing beyond float32."""
    return found.value.apply("Abs").at_most(_LARGEST).choose(found.value, NAN)


def _require_difference(each: Derived, values: Array) -> None:
    """Refuse a column from which there is nothing to learn."""
    there = values[~np.isnan(values)]
    called = f"the derived column '{each.name}', {shown(each.expression)},"
    if not len(there):
        raise UserError(
            f"{called} is missing in every row; results that are no number (a division by zero, the logarithm of what "
            "is not positive) are missing, so change it, or leave it out"
        )
    if len(there) == len(values) and (there == there[0]).all():
        raise UserError(f"{called} is the same in every row; change it, or leave it out")


def _coded(each: Derived, found: Typed, positions: Array) -> Derived:
    """A category as codes: 0 of texts that the table does not have, then its own and a missing one, rarest first."""
    counted = pd.Series(np.where(np.isnan(positions), -1, positions).astype(np.int64))
    order = _frequent(counted, len(counted))[::-1]
    code = {position: float(place) for place, position in enumerate(order, start=1)}
    numbers = tuple(code.get(position, 0.0) for position in range(len(found.texts)))
    coded = found.builder.add("table", found.value, value=numbers)
    value = found.value.missing().choose(code.get(-1, 0.0), coded)
    texts = ("", *("" if position < 0 else found.texts[position] for position in order))
    return replace(each, place=value.place, texts=texts)
