"""What sentences say of a cell's value: its form, and never the value, which may be of someone.

Whether a column holds personal data is known after `validate` only, and a log is read by more people than a table is:
so errors and warnings name the column, the row and the form of a value, whatever the column.
"""

import re
import reprlib
import traceback
import unicodedata
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

_LONGEST = 40  # characters of a form
_MASKS = {"Lu": "A", "Lt": "A", "L": "a", "M": "", "N": "9", "Z": " ", "P": None, "S": None}

_NUMBER = re.compile(r"[-+]?[\d.,]+[eE][-+]?\d+|[0:. -]+")  # 1e400 keeps its e, and 0000-00-00 is shown as it is

# Words behind which a quoted text is a name or a format, and no value.
_NAMES = (
    r"columns?|fields?|identifier|table|relation|view|function|operator|type|dtype|specifier|format|schema|database|"
    r"catalog|warehouse|file|folder|path|near|user|role|host|server|module|attribute|named|called|extension|option|codec|"
    r"cast to|schema from|input source|is this an?|host name|with name|did you mean|object|index|constraint|setting"
)
_NAMED = re.compile(rf"(?i)(?:^|\W)(?:{_NAMES})\s*\(?$")
# It opens behind no letter, and closes before none: those of "can't" and of 'O'Brien' do neither.
_QUOTED = re.compile(r"""(?<!\w)(['"`])(.+?)\1(?!\w)""", re.DOTALL)
# Quoted values by what is before and behind them, since they may hold quotes themselves.
_ENDED = re.compile(
    r"""(?im)((?:could not (?:convert|cast|parse) string|syntax for type [\w ]+:|to float:|base \d+:|parse string:|"""
    r"""invalid value) )(['"])(.*?)\2(?= to [A-Z]| when | according |, at |, expected| as a |[.;)]*$)"""
)
# The last words of our own SQL, and whole lines of a table that parsers repeat.
_REST = re.compile(r"(?m)(\bconvert the value: )(.*)$")
_LINE = re.compile(r"(\bgot \d+: |\bOriginal Line: ).*")
# Values that libraries do not quote: "Could not convert abc", "with value 300 can't be cast", "Bad double value: abc".
_BARE = re.compile(
    r"(?i)(\bvalue (?=[-+]?\d)|\bvalue: |\bcould not convert |\bunable to parse: |\bdate: |\btimestamp: )"
    r"(?!string\b|the\b|value\b|of\b|is\b|in\b|to\b|['\"`])([^'\"`\n]*?)"
    r"(?= can't| cannot| could| was| is | not in| to [A-Z]{3,}|, | at position|[;()'\"`\n]|$)"
)
_IN_PYTHON = (ValueError, LookupError)  # whose words hold values; those of pyarrow and pandas are such, too


def form_of(value: Any) -> str:
    """The form of a value, as a sentence shows it: ``'Aaaa-Aaaa 99'`` of Anna-Lena 12, ``99.9`` of 37.5.

    Letters become ``a`` or ``A``, digits ``9``; punctuation, currencies and spaces stay, which are what makes a value
    of another notation than its neighbours. What is no letter of any script, no digit and no sign becomes ``·``.

    Args:
        value: of a cell: text in quotes, numbers, times, lists; true and false are named together.
    """
    if isinstance(value, str):
        return f"'{_masked(value)}'"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int) and abs(value) >= 10**_LONGEST:  # Python refuses to print what is very long
        return f"a whole number of {value.bit_length()} bits"
    if value is None or isinstance(value, (int, float, Decimal, date, time, timedelta)) or hasattr(value, "dtype"):
        return re.sub(r"\d", "9", _cut(str(value)))  # with the e, inf and nan of numbers
    return _masked(reprlib.repr(value))  # which ends, however deep it is


def _masked(text: str) -> str:
    if _NUMBER.fullmatch(text[: 2 * _LONGEST]):
        return _cut(re.sub(r"\d", "9", text) if text.strip("0:. -") else text)
    return _cut("".join(map(_mask, text[: 2 * _LONGEST])))


def _mask(character: str) -> str:
    kind = unicodedata.category(character)
    found = _MASKS.get(kind, _MASKS.get(kind[0], "·"))
    return character if found is None else found


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def without_values(said: str) -> str:
    """The words of a library, a database or a server about values that it cannot take, with their forms instead.

    What is quoted behind such words as `column` or `type` is a name and stays; any other quoted text is taken for a
    value.
    """
    said = _LINE.sub(r"\1…", said)
    said = _ENDED.sub(lambda found: f"{found[1]}{found[2]}{_masked(found[3])}{found[2]}", said)
    said = _REST.sub(lambda found: found[1] + _masked(found[2]), said)
    bare = _BARE.sub(lambda found: found[1] + _masked(found[2]), said)
    return _QUOTED.sub(lambda found: _shown(bare[: found.start()], found), bare)


def _shown(before: str, found: "re.Match[str]") -> str:
    return found[0] if _NAMED.search(before) else f"{found[1]}{_masked(found[2])}{found[1]}"


def words_of(error: BaseException) -> str:
    """The words of an exception that nobody expected, without the values that it may hold."""
    said = str(error)
    return without_values(said) if isinstance(error, _IN_PYTHON) or _is_of_an_engine(error) else said


def trace_of(error: BaseException) -> str:
    """Its traceback, without the values that it and its causes may hold."""
    text = "".join(traceback.format_exception(error))
    for each in _chain(error):
        said = str(each)
        text = text.replace(said, words_of(each)) if said else text
    return text


def _is_of_an_engine(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("pyarrow", "duckdb", "pandas", "_duckdb", "sqlite3")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
