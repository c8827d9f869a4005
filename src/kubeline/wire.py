"""Fields of protocol buffers, found in their bytes before anything is parsed: a parsed field takes many times as much.

The format: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator


def fields(message: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of the content of each field; ends where something is malformed.

    Args:
        message: holds them between `start` and `end`.
        start: of the first one.
        end: of the last one.
    """
    while start < end:
        tag, start = _varint(message, start, end)
        kind = tag & 7
        if kind == 2:
            size, start = _varint(message, start, end)
        elif kind == 0:
            size = _varint(message, start, end)[1] - start
        else:  # what stands between the tags of a group is counted like what stands beside it
            size = {1: 8, 3: 0, 4: 0, 5: 4}.get(kind, end + 1)
        stop = start + size
        if stop > end or stop < start:
            return
        yield tag >> 3, start, stop
        start = stop


def _varint(message: bytes, start: int, end: int) -> tuple[int, int]:
    """A number, and where it ends; behind the end when it is cut off."""
    value = shift = 0
    while start < end and shift < 70:
        byte = message[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
    return 0, end + 1
