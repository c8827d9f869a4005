"""The rows of a large JSON body in pieces: a parser holds the GIL until it has ended."""

import re
from collections.abc import Iterator

PIECE_BYTES = 256 * 1024  # takes a few milliseconds
_LONGEST_ROW = 64 * 1024  # bytes in which the end of a row is searched

_HEAD = re.compile(rb'\s*\{\s*"instances"\s*:\s*\[')
_TAIL = re.compile(rb"\]\s*\}\s*\Z")
_BETWEEN = re.compile(rb"(?<=[\]}])\s*(,)\s*(?=[\[{])")


def pieces(body: bytes | bytearray) -> Iterator[bytes]:
    """The list ``instances`` of a body as several lists in JSON.

    It is cut where one row seems to end and the next to begin. That may be wrong, in a text or deeper inside a row;
    the piece in front of such a cut is then no JSON.

    Args:
        body: of v1.

    Yields:
        Lists, which together are the one, if all of them are JSON; nothing when the body has another form, or no second
        row.
    """
    head, tail = _HEAD.match(body), _TAIL.search(body, max(0, len(body) - 100))
    if head is None or tail is None:
        return
    start, end = head.end(), tail.start()
    while end - start > PIECE_BYTES:
        cut = _BETWEEN.search(body, start + PIECE_BYTES, min(end, start + PIECE_BYTES + _LONGEST_ROW))
        if cut is None and start == head.end():
            return
        if cut is None:
            break
        yield b"[%b]" % bytes(body[start : cut.start(1)])
        start = cut.end(1)
    yield b"[%b]" % bytes(body[start:end])
