"""Typed values of an expression, and what is common to all kinds: comparison, choice, truth, texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce

from kubeline.columns import MISSING_CATEGORY, NOUN, Kind
from kubeline.transform.program import Builder, Term

MAX_TEXTS = 10_000  # of a column that are distinguished; rarer and unseen ones are one
_MAX_PAIRS = 100_000  # texts that putting texts together may make
_MAX_JOINED = 10_000_000  # characters of these
OTHERS = "(other)"  # what stands for those
NAN = float("nan")


class WrongError(Exception):
    """What an expression does that it cannot, as the end of a sentence about it."""


@dataclass(frozen=True)
class RawColumn:
    """A column as a model reads it.

    Attributes:
        kind: of its values.
        wide: whether it is float64.
        texts: of a category, those of the table that are distinguished, most frequent first.
    """

    kind: Kind
    wide: bool = False
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Typed:
    """A value and what it means; missing ones are NaN.

    Attributes:
        kind: None of `null`, which is of every kind.
        value: the number, 1 and 0 of true and false, seconds since 1970 UTC, or of texts the position in `texts`.
        wide: whether float32 would merge values that are different.
        texts: that the positions stand for.
        column: of text that is a column as it is, its name.
        literal: whether it is a text in quotes.
    """

    kind: Kind | None
    value: Term
    wide: bool = False
    texts: tuple[str, ...] = ()
    column: str = ""
    literal: bool = False

    @classmethod
    def of_column(cls, builder: Builder, name: str, column: RawColumn) -> "Typed":
        """A column of the table."""
        if column.kind != "category":
            wide = column.wide or column.kind == "datetime"
            return cls(column.kind, builder.add("column", value=name), wide)
        texts = (*column.texts, OTHERS)
        return cls("category", _looked_up(builder, name, texts), texts=texts, column=name)

    @classmethod
    def of_text(cls, builder: Builder, text: str) -> "Typed":
        """A text in quotes."""
        if text == MISSING_CATEGORY:
            raise WrongError("compares with an empty text, which is a missing value; write is null, or coalesce")
        return cls("category", builder.constant(0), texts=(text,), literal=True)

    @property
    def builder(self) -> Builder:
        """Of the program."""
        return self.value.builder

    def require(self, *kinds: Kind) -> "Typed":
        """Itself, or a refusal where it is of another kind."""
        if self.kind is None or self.kind in kinds:
            return self
        raise WrongError(f"has {_noun(self)} where {' or '.join(NOUN[kind] for kind in kinds)} is expected")

    def mask(self) -> Term:
        """Where it is true."""
        return self.require("boolean").value.equal(1.0)

    def or_missing(self, missing: Term | None, **changes: object) -> "Typed":
        """Itself, missing where a mask holds."""
        return self if missing is None else replace(self, value=missing.choose(NAN, self.value))


def compare(operator: str, left: Typed, right: Typed) -> Typed:
    """``=``, ``<>``, ``<``, ``<=``, ``>`` or ``>=``; missing where one side is.

    Numbers are compared as float32, as which a model reads them, unless one side is float64: 0.1 of a table is then
    equal to the 0.1 of the expression.
    """
    left, right = _of_one_kind(left, right)
    if left.kind == "category":
        return _compare_texts(operator, left, right)
    one, other = left.value, right.value
    missing = missing_of(left, right)
    if not (left.wide or right.wide):
        one, other = one.rounded(), other.rounded()
    if operator in (">", ">="):
        one, other, operator = other, one, operator.replace(">", "<")
    mask = {"<": one.less, "<=": one.at_most}.get(operator, one.equal)(other)
    return _truth(mask.apply("Not") if operator == "<>" else mask, missing)


def is_one_of(value: Typed, others: Sequence[Typed]) -> Typed:
    """``in (…)``."""
    if value.column and all(other.literal for other in others):
        numbers = ((MISSING_CATEGORY, NAN), *dict.fromkeys((other.texts[0], 1.0) for other in others))
        return Typed("boolean", value.builder.add("texts", value=(value.column, numbers, 0.0)))
    return reduce(either, [compare("=", value, other) for other in others])


def both(left: Typed, right: Typed) -> Typed:
    """``and`` of SQL: false where one is false, though the other is missing."""
    one, other = left.require("boolean").value, right.require("boolean").value
    return Typed("boolean", (one.equal(0.0) | other.equal(0.0)).choose(0.0, one * other))


def either(left: Typed, right: Typed) -> Typed:
    """``or`` of SQL: true where one is true, though the other is missing."""
    one, other = left.require("boolean").value, right.require("boolean").value
    return Typed("boolean", (one.equal(1.0) | other.equal(1.0)).choose(1.0, one + other))


def negated(value: Typed) -> Typed:
    """``not``."""
    return Typed("boolean", value.builder.constant(1.0) - value.require("boolean").value)


def choose(mask: Term, yes: Typed, no: Typed) -> Typed:
    """One value where a mask holds, and another elsewhere."""
    (yes, no), texts = _unified([yes, no])
    kind = yes.kind or no.kind
    return Typed(kind, mask.choose(yes.value, no.value), yes.wide or no.wide, texts)


def coalesced(values: Sequence[Typed]) -> Typed:
    """The first value that is not missing."""
    return reduce(lambda rest, value: choose(value.value.missing(), rest, value), reversed(values))


def joined(left: Typed, right: Typed) -> Typed:
    """``||`` of SQL: both texts, missing where one is."""
    left.require("category"), right.require("category")
    number = len(left.texts) * len(right.texts)
    if number > _MAX_PAIRS:
        raise WrongError(
            f"makes {number:,} different texts, and at most {_MAX_PAIRS:,} are distinguished; group them before"
        )
    characters = len(right.texts) * sum(map(len, left.texts)) + len(left.texts) * sum(map(len, right.texts))
    if characters > _MAX_JOINED:
        raise WrongError(
            f"makes texts of {characters:,} characters, and {_MAX_JOINED:,} may be made; put shorter ones together"
        )
    texts = tuple(one + other for one in left.texts for other in right.texts)
    return Typed("category", left.value * float(len(right.texts)) + right.value, texts=texts)


def missing_of(*values: Typed) -> Term | None:
    """Where one of the values is missing; None where none ever is."""
    masks = [each.value.missing() for each in values if not _is_there(each)]
    return reduce(lambda one, other: one | other, masks) if masks else None


def moment(text: str) -> float:
    """Seconds since 1970 of a time in quotes; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise WrongError(f"has '{text}' where a time is expected; write it as '2013-10-01 12:30:00'") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def as_time(value: Typed) -> Typed:
    """A time, also from a text in quotes."""
    if value.literal:
        return Typed("datetime", value.builder.constant(moment(value.texts[0])), wide=True)
    return value.require("datetime")


def _of_one_kind(left: Typed, right: Typed) -> tuple[Typed, Typed]:
    if "datetime" in (left.kind, right.kind):
        left, right = as_time(left), as_time(right)
    if left.kind and right.kind and left.kind != right.kind:
        raise WrongError(f"compares {_noun(left)} with {_noun(right)}")
    return left, right


def _compare_texts(operator: str, left: Typed, right: Typed) -> Typed:
    if operator not in ("=", "<>"):
        raise WrongError(f"puts texts in order by '{operator}'; texts are compared by =, <> and in")
    if left.literal and not right.literal:
        left, right = right, left
    if left.column and right.literal:
        found = is_one_of(left, [right])
    else:
        (one, other), texts = _unified([left, right])
        missing = missing_of(left, right)
        if left.column and right.column:  # two texts that the table did not have may be the same or not
            unknown = one.value.equal(float(len(texts) - 1)) & other.value.equal(float(len(texts) - 1))
            missing = unknown if missing is None else missing | unknown
        found = _truth(one.value.equal(other.value), missing)
    return negated(found) if operator == "<>" else found


def _unified(values: Sequence[Typed]) -> tuple[list[Typed], tuple[str, ...]]:
    """Values of one kind; those of texts as positions in the same ones, which are the second part."""
    kinds = {each.kind for each in values if each.kind}
    if len(kinds) > 1:
        one, other = [each for each in values if each.kind][:2]
        raise WrongError(f"chooses between {_noun(one)} and {_noun(other)}")
    if kinds != {"category"}:
        return list(values), ()
    every = dict.fromkeys(text for each in values for text in each.texts if text != OTHERS)
    if any(OTHERS in each.texts for each in values):
        every[OTHERS] = None
    texts = tuple(every)
    return [_repositioned(each, texts) for each in values], texts


def _repositioned(value: Typed, texts: tuple[str, ...]) -> Typed:
    if value.kind is None or value.texts == texts:
        return replace(value, texts=texts)
    builder, place = value.builder, {text: float(number) for number, text in enumerate(texts)}
    if value.literal:
        return replace(value, value=builder.constant(place[value.texts[0]]), texts=texts, literal=False)
    if value.column:  # also those of the other values, which its own rows may not have had
        return replace(value, value=_looked_up(builder, value.column, texts), texts=texts)
    moved = builder.add("table", value.value, value=tuple(place[text] for text in value.texts))
    return replace(value, value=moved, texts=texts)


def _looked_up(builder: Builder, column: str, texts: tuple[str, ...]) -> Term:
    """The position of each text of a column; the last one is of all others."""
    numbers = ((MISSING_CATEGORY, NAN), *((text, float(place)) for place, text in enumerate(texts) if text != OTHERS))
    return builder.add("texts", value=(column, numbers, float(len(texts) - 1)))


def _truth(mask: Term, missing: Term | None) -> Typed:
    return Typed("boolean", mask.number()).or_missing(missing)


def _is_there(value: Typed) -> bool:
    step = value.value.step
    return step.operation == "constant" and not math.isnan(step.value)


def _noun(value: Typed) -> str:
    noun = NOUN[value.kind] if value.kind else "null"
    return f"{noun} ('{value.column or value.texts[0]}')" if value.column or value.literal else noun
