"""Estimates, from its bytes, the memory that a large request takes when it is parsed.

Sixteen megabytes of ``[[],[],…`` become six hundred of Python objects, and reading them holds up everything else. So
values are counted first, in the time that a copy of the bytes would take. The estimates are upper bounds of what
CPython, orjson, msgspec and protobuf's upb take for each kind of value.
"""

import sys
from typing import NamedTuple

import numpy as np

from kubeline.typing import Array
from kubeline.wire import fields
from kubeline_serving.errors import TooLarge, too_many_rows

Bytes = bytes | bytearray | memoryview

ALWAYS_READ = 128 * 1024  # bytes; what is smaller cannot become so large that it would matter
_CHUNK = 256 * 1024  # bytes that are counted in one step, within the cache of a CPU

_VALUE, _TEXT, _LIST, _RECORD = 40, 48, 192, 192  # bytes of a number and its place in a list, and what others take more
_WIDEST = 4  # bytes of a character of text that is not ASCII
_DEPTH_OF_ROWS = 2  # in {"instances": [

_TENSOR = 1024  # bytes of a tensor without its values, and what Python makes of it
_FIELD = 160  # the same of an element of bytes
_PART = 1024  # weight of all that is no value: parameters, dimensions, …; honest requests have few, and many take long
_NUMBER = 48  # bytes of a number in an array that grows, and of Python's float or int
_SHORTEST = 2  # bytes of a field
_FEW = 64  # bytes below which values are not counted
_INPUTS, _OUTPUTS, _RAW = 5, 6, 7  # numbers of fields of ModelInferRequest
_SHAPE, _CONTENTS = 3, 5  # of InferInputTensor
_BYTES = 8  # of InferTensorContents
_TEXT_TAG = _BYTES << 3 | 2  # in front of the length of an element
_WIDTHS = {6: 4, 7: 8}  # fp32_contents, fp64_contents: bytes of a number


def check_json(body: Bytes, most_bytes: int, most_rows: int | None = None) -> None:
    """Refuse JSON that would take too much memory.

    Args:
        body: JSON, or anything else.
        most_bytes: that it may take.
        most_rows: that it may have, where each row is a list or a record in a list in the outermost record.

    Raises:
        TooLarge: when it would take more, or has more.
    """
    counts = _counts(np.frombuffer(body, np.uint8))
    few = most_rows is None or counts.lists + counts.records <= most_rows
    if few and _memory(counts, body) <= most_bytes:
        return
    data = without_text(body)
    counts = _counts(data)
    if most_rows is not None and (rows := _rows(data)) > most_rows:
        raise too_many_rows(rows, most_rows)
    memory = _memory(counts, body)
    if memory > most_bytes:
        raise _too_large(counts.commas + counts.lists + counts.records, memory, most_bytes)


def check_message(message: bytes, most_bytes: int, most_rows: int = sys.maxsize) -> None:
    """Refuse a ModelInferRequest that would take too much memory.

    Args:
        message: in protobuf's encoding, or anything else: what is malformed is refused by protobuf.
        most_bytes: that it may take.
        most_rows: values that one tensor may have.

    Raises:
        TooLarge: when it would take more, or has more.
    """
    _Walk(message, most_bytes, most_rows).run()


class _Counts(NamedTuple):
    commas: int
    lists: int
    records: int
    quotes: int


def _counts(data: Array) -> _Counts:
    found = [0, 0, 0, 0]
    for start in range(0, len(data), _CHUNK):
        part = data[start : start + _CHUNK]
        for place, byte in enumerate(b',[{"'):
            found[place] += int(np.count_nonzero(part == byte))
    return _Counts(*found)


def without_text(body: Bytes) -> Array:
    """JSON with zeros for what stands between quotes, as bytes in an array."""
    data = np.empty(len(body), np.uint8)
    inside = False
    start = 0
    while start < len(body):
        part = bytes(body[start : start + _CHUNK])
        if (len(part) - len(part.rstrip(b"\\"))) % 2:  # it ends within an escape
            part = bytes(body[start : start + len(part) + 1])
        plain = np.frombuffer(part.replace(b"\\\\", b"__").replace(b'\\"', b"__"), np.uint8)
        quotes = plain == ord('"')
        opened = np.logical_xor.accumulate(quotes) ^ inside
        inside = bool(opened[-1])
        data[start : start + len(part)] = np.where(opened & ~quotes, 0, plain)
        start += len(part)
    return data


def _rows(data: Array) -> int:
    """Lists and records that begin in a list in the outermost record."""
    rows = depth = 0
    for start in range(0, len(data), _CHUNK):
        part = data[start : start + _CHUNK]
        opened = (part == ord("[")) | (part == ord("{"))
        closed = (part == ord("]")) | (part == ord("}"))
        after = np.cumsum(opened.view(np.int8) - closed.view(np.int8), dtype=np.int64) + depth
        rows += int(np.count_nonzero(opened & (after == _DEPTH_OF_ROWS + 1)))
        depth = int(after[-1])
    return rows


def _memory(counts: _Counts, body: Bytes) -> int:
    content = bytes(body) if isinstance(body, memoryview) else body
    width = 1 if content.isascii() and b"\\u" not in content else _WIDEST
    values = _VALUE * counts.commas + _LIST * counts.lists + _RECORD * counts.records + _TEXT * counts.quotes // 2
    return width * len(body) + values


def _too_large(values: int, memory: int, most_bytes: int) -> TooLarge:
    return TooLarge(
        f"the request has {values:,} values, which would take {memory / 2**20:,.0f} MiB of memory, but the server "
        f"takes at most {most_bytes / 2**20:,.0f} MiB for one request; split it"
    )


class _Walk:
    """Goes through the fields of a message, and adds up what they take."""

    def __init__(self, message: bytes, most_bytes: int, most_rows: int):
        self._message = message
        self._most = most_bytes
        self._most_rows = most_rows
        self._memory = 0
        self._values = 0

    def run(self) -> None:
        end = len(self._message)
        self._memory = end
        for number, start, stop in fields(self._message, 0, end):
            if number in (_INPUTS, _OUTPUTS):
                self._add(_TENSOR)
                self._tensor(start, stop)
            else:
                self._add(_PART + (2 * (stop - start) if number == _RAW else stop - start))

    def _tensor(self, start: int, end: int) -> None:
        for number, begin, stop in fields(self._message, start, end):
            if number == _CONTENTS:
                self._contents(begin, stop)
            elif number == _SHAPE:
                dimensions = self._varints(begin, stop)
                self._add(_PART * dimensions, dimensions)
            else:
                self._add(_PART + stop - begin)

    def _contents(self, start: int, end: int) -> None:
        start = self._short_texts(start, end)
        for number, begin, stop in fields(self._message, start, end):
            if number == _BYTES:
                if self._cannot_exceed(end - begin):
                    self._memory += (end - begin) // _SHORTEST * _FIELD
                    return
                self._add(_FIELD + 2 * (stop - begin))
            elif number in _WIDTHS:
                self._numbers((stop - begin) // _WIDTHS[number])
            else:
                self._numbers(self._varints(begin, stop))

    def _short_texts(self, start: int, end: int) -> int:
        """Count elements of bytes in front, as nearly all are; where something else begins."""
        message, count, most = self._message, 0, (self._most - self._memory) // _FIELD
        most = min(most, self._most_rows)
        if (end - start) // _SHORTEST <= most:
            return start
        while start + 1 < end and message[start] == _TEXT_TAG and message[start + 1] < 0x80 and count <= most:
            start += 2 + message[start + 1]
            count += 1
        self._check_rows(count)
        self._add(_FIELD * count, count)
        return min(start, end)

    def _cannot_exceed(self, size: int) -> bool:
        """Whether so many bytes of fields cannot take more than is left, whatever they hold."""
        return self._memory + size // _SHORTEST * _FIELD <= self._most

    def _varints(self, start: int, end: int) -> int:
        if end - start < _FEW:
            return end - start
        return int(np.count_nonzero(np.frombuffer(self._message, np.uint8, end - start, start) < 0x80))

    def _check_rows(self, count: int) -> None:
        if count > self._most_rows:
            raise too_many_rows(count, self._most_rows)

    def _numbers(self, count: int) -> None:
        self._check_rows(count)
        self._add(_FIELD + _NUMBER * count, count)

    def _add(self, size: int, values: int = 1) -> None:
        self._values += values
        self._memory += size
        if self._memory > self._most:
            raise _too_large(self._values, self._memory, self._most)
