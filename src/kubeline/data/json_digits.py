"""Numbers of JSON lines with more digits than the engine reads: like most readers, it makes doubles of them."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

_DIGITS = 17  # that a double is written with at most
_CHUNK = 1 << 20
_MANY = re.compile(rb"[0-9.]{%d,}" % (_DIGITS + 2))  # digits and a point
_MAX = 1_000_000  # different values that are held to be compared


class Rounded(NamedTuple):
    """How many values of a column lose digits, and how many different ones then equal another one."""

    values: int
    merged: int


class _Written(str):
    """A number with a fraction, as it was written."""


def rounded(path: Path) -> dict[str, Rounded]:
    """The columns of a file of JSON lines whose numbers have digits that no double keeps.

    Only lines with a long number are parsed; a file without them costs one search through its bytes.
    """
    counts: Counter[str] = Counter()
    texts: dict[str, set[str]] = {}
    for line in _lines_with_many_digits(path):
        try:
            record = json.loads(line, parse_float=_Written)
        except (ValueError, RecursionError):  # is reported by the reader
            continue
        for name, value in record.items() if isinstance(record, dict) else ():
            for number in _numbers(value):
                if Decimal(number) != Decimal(repr(float(number))):
                    counts[name] += 1
                    known = texts.setdefault(name, set())
                    if len(known) < _MAX:
                        known.add(number)
    return {
        name: Rounded(count, len(texts[name]) - len(set(map(float, texts[name])))) for name, count in counts.items()
    }


def warnings(found: Iterable[Mapping[str, Rounded]], chosen: Iterable[str]) -> list[str]:
    """The warning of each column, from what each file has of it."""
    files = list(found)
    messages = []
    for name in chosen:
        parts = [each[name] for each in files if name in each]
        if parts:
            values, merged = (sum(numbers) for numbers in zip(*parts, strict=True))
            least = "at least " if values > _MAX or len(parts) > 1 else ""  # values of two files are not compared
            messages.append(
                f"column '{name}' has {values:,} numbers of more digits than JSON's readers keep (a double, 15 to 17); "
                f"rounded, {least}{merged:,} of its different values equal another one: write them as text to keep them"
            )
    return messages


def _lines_with_many_digits(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        rest = b""
        while chunk := stream.read(_CHUNK):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            yield from _matching(whole + newline)
        yield from _matching(rest)


def _matching(text: bytes) -> Iterator[bytes]:
    end = 0
    for match in _MANY.finditer(text):
        if match.start() >= end and len(match[0].replace(b".", b"").lstrip(b"0")) > _DIGITS:
            end = text.find(b"\n", match.end())
            end = len(text) if end < 0 else end
            yield text[text.rfind(b"\n", 0, match.start()) + 1 : end]


def _numbers(value: Any) -> Iterator[_Written]:
    """The numbers with fractions in a value of any form."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, _Written):
            yield each
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
