"""The functions of expressions: by name, what they make of their arguments."""

import math
from collections.abc import Callable, Mapping
from functools import reduce

from kubeline.dates import date_parts
from kubeline.transform.program import Term
from kubeline.transform.typed import NAN, Typed, WrongError, as_time, choose, coalesced, compare

_DAY = 86_400.0
_GRID = 2.0**32


def _of_number(compute: Callable[[Term], Term], wide: bool = False) -> Callable[[Typed], Typed]:
    def function(value: Typed) -> Typed:
        return Typed("number", compute(value.require("number").value), wide and value.wide)

    return function


def _settled(value: Term) -> Term:
    """To the nearest multiple of 2**-32, much finer than float32 near 1.

    Libraries differ in the last bit of a sine or a logarithm, which is much where zero or a whole number is meant:
    sin(pi()) is 1.2e-16 to one and 0 to another, log10(1000) is 3 or a little less.
    """
    return (value * _GRID + 0.5).floor() / _GRID


def logarithm(value: Term, base: float = math.e) -> Term:
    """Missing of what is not positive."""
    found = value.builder.constant(0.0).less(value).choose(value, NAN).apply("Log")
    return _settled(found if base == math.e else found / math.log(base))


def quotient(one: Term, other: Term) -> Term:
    """Missing where it is divided by zero."""
    return other.equal(0.0).choose(NAN, one / other)


def _sign(value: Term) -> Term:
    zero = value.builder.constant(0.0)
    return zero.less(value).choose(1.0, value.less(zero).choose(-1.0, value))


def _ceil(value: Term) -> Term:
    return value.builder.constant(0.0) - (value.builder.constant(0.0) - value).floor()


def _round(value: Term) -> Term:
    """Halves away from zero."""
    return _sign(value) * (value.apply("Abs") + 0.5).floor()


def _trunc(value: Term) -> Term:
    return value.less(0.0).choose(_ceil(value), value.floor())


def power(base: Typed, exponent: Typed) -> Typed:
    """Of a whole exponent from 2 to 4, as a product, which is the same everywhere."""
    step = exponent.require("number").value.step
    if step.operation != "constant" or step.value not in (2.0, 3.0, 4.0):
        raise WrongError("raises to a power that is not 2, 3 or 4; other powers are exp(y * ln(x)), and sqrt(x)")
    return Typed("number", reduce(lambda product, one: product * one, [base.require("number").value] * int(step.value)))


def _extreme(operator: str) -> Callable[..., Typed]:
    """The least or greatest of several; as in DuckDB, missing ones do not count."""

    def of_two(one: Typed, other: Typed) -> Typed:
        one.require("number", "datetime"), other.require("number", "datetime")
        is_other = other.value.less(one.value) if operator == "<" else one.value.less(other.value)
        return choose(is_other | one.value.missing(), other, one)

    return lambda *values: reduce(of_two, values)


def _null_if(value: Typed, other: Typed) -> Typed:
    return choose(compare("=", value, other).mask(), Typed(None, value.builder.constant(NAN)), value)


def _if(condition: Typed, yes: Typed, no: Typed) -> Typed:
    return choose(condition.mask(), yes, no)


def _parts(seconds: Term) -> dict[str, Term]:
    """What SQL names of a moment."""
    days = (seconds / _DAY).floor()
    in_day = seconds - _DAY * days
    hour = (in_day / 3600.0).floor()
    minute = ((in_day - 3600.0 * hour) / 60.0).floor()
    date = date_parts(seconds, Term.floor)
    weekday = date["weekday"]
    return {
        "year": date["year"],
        "quarter": ((date["month"] + 2.0) / 3.0).floor(),
        "month": date["month"],
        "day": date["day"],
        "dayofweek": weekday.equal(6.0).choose(0.0, weekday + 1.0),
        "isodow": weekday + 1.0,
        "hour": hour,
        "minute": minute,
        "second": (in_day - 3600.0 * hour - 60.0 * minute).floor(),
        "epoch": seconds,
    }


PARTS = ("year", "quarter", "month", "day", "dayofweek", "isodow", "hour", "minute", "second", "epoch")


def _part(name: str) -> Callable[[Typed], Typed]:
    def function(value: Typed) -> Typed:
        return Typed("number", _parts(as_time(value).value)[name], wide=name == "epoch")

    return function


def _date_part(name: Typed, value: Typed) -> Typed:
    wanted = {"dow": "dayofweek", "weekday": "dayofweek"}.get(_word(name), _word(name))
    if wanted not in PARTS:
        raise WrongError(f"takes the part '{wanted}' of a time; there are: {', '.join(PARTS)}")
    return _part(wanted)(value)


def _date_diff(name: Typed, start: Typed, end: Typed) -> Typed:
    """How many borders of seconds, minutes, …, years lie between two times, as in SQL."""
    one, other = as_time(start).value, as_time(end).value
    lengths = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": _DAY}
    word = _word(name)
    if word in lengths:
        found = (other / lengths[word]).floor() - (one / lengths[word]).floor()
    elif word in ("month", "year"):
        found = _months(other, word) - _months(one, word)
    else:
        raise WrongError(f"counts '{word}' between times; there are: {', '.join([*lengths, 'month', 'year'])}")
    return Typed("number", found, wide=True)


def _months(seconds: Term, unit: str) -> Term:
    parts = _parts(seconds)
    return parts["year"] if unit == "year" else 12.0 * parts["year"] + parts["month"]


def _word(value: Typed) -> str:
    if not value.literal:
        raise WrongError("names the part of a time by what is no text in quotes")
    return value.texts[0].lower()


_ONE_NUMBER: Mapping[str, Callable[[Term], Term]] = {
    "abs": lambda x: x.apply("Abs"),
    "ceil": _ceil,
    "ceiling": _ceil,
    "cos": lambda x: _settled(x.apply("Cos")),
    "exp": lambda x: x.apply("Exp"),
    "floor": Term.floor,
    "ln": logarithm,
    "log": lambda x: logarithm(x, 10.0),
    "log10": lambda x: logarithm(x, 10.0),
    "log2": lambda x: logarithm(x, 2.0),
    "round": _round,
    "sign": _sign,
    "sin": lambda x: _settled(x.apply("Sin")),
    "sqrt": lambda x: x.apply("Sqrt"),
    "trunc": _trunc,
}
_WIDE = {"abs", "ceil", "ceiling", "floor", "round", "trunc"}  # which keep the size of their argument

# By name: the least and the most arguments, and the function.
FUNCTIONS: Mapping[str, tuple[int, int, Callable[..., Typed]]] = {
    **{name: (1, 1, _of_number(compute, name in _WIDE)) for name, compute in _ONE_NUMBER.items()},
    **{name: (1, 1, _part(name)) for name in PARTS},
    "greatest": (2, 100, _extreme(">")),
    "least": (2, 100, _extreme("<")),
    "coalesce": (1, 100, lambda *values: coalesced(values)),
    "ifnull": (2, 2, lambda *values: coalesced(values)),
    "nullif": (2, 2, _null_if),
    "if": (3, 3, _if),
    "pow": (2, 2, power),
    "power": (2, 2, power),
    "date_part": (2, 2, _date_part),
    "datepart": (2, 2, _date_part),
    "date_diff": (3, 3, _date_diff),
    "datediff": (3, 3, _date_diff),
}
