"""Large JSON of any form, read and freed a slice after the other.

A parser holds the GIL until it has ended, and so does the release of what it made: for sixteen megabytes of short
values, half a second each. A slice ends at a comma. What is open there (lists and records, whose
kinds are known from the bytes) is closed behind it, opened again in front of the next one, and joined afterwards.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from kubeline.errors import UserError
from kubeline_serving.codec.estimate import Bytes

SLICE_BYTES = 256 * 1024  # take a few milliseconds
_FREED = 2_000  # values at a time
_SMALL = 50  # values of a list or record that is freed as one

# Sentinels for what was in front of a slice, and for what comes behind it; no request can contain them.
_BEFORE, _BEHIND = (secrets.token_hex(16) for _ in range(2))
_LIST, _RECORD = b"[{"
_BRACKETS_AND_QUOTE = b'[]{}"'
_NO_MARKS = bytes(set(range(256)) - set(b'[]{}",'))


class _Slice(NamedTuple):
    """Bytes from `start` to `end`; what is open there, outermost first; and how much of that is open all the time."""

    start: int
    end: int
    opened: bytes
    open_behind: bytes
    kept: int


def read(body: Bytes, parse: Callable[[bytes], Any], size: int = SLICE_BYTES) -> Any:
    """Parse JSON, whatever its form.

    Args:
        body: JSON, or anything else.
        parse: reads JSON; a UserError says why it is none.
        size: bytes of a slice, unless there is no comma in so many.

    Raises:
        UserError: when it is no JSON, or a list or record stands in a record under a key that came before.
    """
    whole: Any = None
    path: list[Any] = []  # what is open at the end of the last slice, outermost first
    for part in _slices(body, size):
        text = _opening(part.opened) + bytes(body[part.start : part.end]) + _closing(part.open_behind)
        try:
            found = parse(text)
        except UserError as error:
            if not part.start:
                raise
            begin = max(0, part.start - len(_opening(part.opened)))
            raise UserError(f"{error}, counted from byte {begin:,}") from error
        ends = _path_to_the_end(found, len(part.open_behind))
        if part.opened:
            _join(path, found)
        else:
            whole = found
        path = path[: part.kept] + ends[part.kept :]
    return whole


def discard(value: Any) -> None:
    """Free parsed JSON in steps; large lists and records in it are emptied."""
    waiting = [value] if isinstance(value, (list, dict)) else []
    while waiting:
        container = waiting.pop()
        while container:
            if isinstance(container, list):
                some = container[-_FREED:]
                del container[-_FREED:]
            else:
                some = [container.popitem()[1] for _ in range(min(len(container), _FREED))]
            waiting += [child for child in some if isinstance(child, (list, dict)) and len(child) > _SMALL]


def _slices(body: Bytes, most: int) -> Iterator[_Slice]:
    start = position = kept = 0
    opened = now_open = b""
    in_text = False
    while len(part := _part(body, position, most)) < len(body) - position:
        cut, brackets, in_text = _last_comma(part, in_text)
        now_open, least = _open_after(now_open, brackets)
        kept = min(kept, least)
        position += len(part) if cut is None else cut + 1
        if cut is not None:
            if not now_open:
                raise UserError(f"the body is not JSON: a comma stands outside of all lists, at byte {position - 1:,}")
            yield _Slice(start, position - 1, opened, now_open, kept)
            start, opened, kept = position, now_open, len(now_open)
    yield _Slice(start, len(body), opened, b"", 0)


def _part(body: Bytes, start: int, most: int) -> bytes:
    """The next bytes, which do not end within an escape; without escapes, in the same length."""
    part = bytes(body[start : start + most])
    if b"\\" not in part:
        return part
    if (len(part) - len(part.rstrip(b"\\"))) % 2:
        part = bytes(body[start : start + len(part) + 1])
    return part.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def _last_comma(part: bytes, in_text: bool) -> tuple[int | None, bytes, bool]:
    """Where the last comma of a part stands that is in no text; the brackets in front; and whether text is open.

    Without such a comma, all brackets of the part, and whether text is open at its end.

    Args:
        part: without escapes.
        in_text: whether it begins within text.
    """
    if not in_text and not any(mark in part for mark in _BRACKETS_AND_QUOTE) and b"," in part:
        return part.rindex(b","), b"", False  # numbers: nearly all of a large request
    marks = np.frombuffer(part.translate(None, _NO_MARKS), np.uint8)
    quotes = marks == ord('"')
    within = np.cumsum(quotes, dtype=np.uint8) % 2 != in_text  # only whether it is odd counts
    commas = marks == ord(",")
    outside = np.flatnonzero(commas & ~within)
    end = int(outside[-1]) if len(outside) else len(marks)
    brackets = marks[:end][~(within | quotes | commas)[:end]].tobytes()
    if not len(outside):
        return None, brackets, bool(within[-1]) if len(within) else in_text
    behind = int(np.count_nonzero(commas[end:]))
    return int(np.flatnonzero(np.frombuffer(part, np.uint8) == ord(","))[-behind]), brackets, False


def _open_after(before: bytes, brackets: bytes) -> tuple[bytes, int]:
    """What is open behind brackets, and how much of it was open all the time."""
    if not brackets:
        return before, len(before)
    marks = np.frombuffer(brackets, np.uint8)
    opens = (marks == _LIST) | (marks == _RECORD)
    depth = np.cumsum(np.where(opens, 1, -1)) + len(before)
    least, last = min(len(before), int(depth.min())), int(depth[-1])
    if least < 0:
        raise UserError("the body is not JSON: it closes more lists and records than it opens")
    if last <= least:
        return before[:least], least
    newest = np.zeros(int(depth.max()) + 1, np.uint8)  # at each depth, the last that opened
    newest[depth[opens]] = marks[opens]
    return before[:least] + newest[least + 1 : last + 1].tobytes(), least


def _opening(kinds: bytes) -> bytes:
    """What is open in front of a slice, with one value in front of the comma where it was cut."""
    if not kinds:
        return b""
    starts = {_LIST: b"[", _RECORD: b'{"%b":' % _BEFORE.encode()}
    return b"".join(starts[kind] for kind in kinds) + b"0,"


def _closing(kinds: bytes) -> bytes:
    """The end of what is open behind a slice, with one value behind the comma."""
    if not kinds:
        return b""
    mark = b',"%b"' % _BEHIND.encode()
    return (
        mark + (b":0" if kinds[-1] == _RECORD else b"") + bytes({_LIST: 93, _RECORD: 125}[kind] for kind in kinds[::-1])
    )


def _path_to_the_end(found: Any, depth: int) -> list[Any]:
    """What the end of a slice closed, outermost first, without the value that :func:`_closing` put there."""
    path: list[Any] = []
    value = found
    for _ in range(depth):
        path.append(value)
        value = next(reversed(value if isinstance(value, list) else value.values()), None)
        if len(path) < depth and not isinstance(value, (list, dict)):
            break
    if path and isinstance(path[-1], list) and path[-1][-1:] == [_BEHIND]:
        path[-1].pop()
    elif path and (isinstance(path[-1], list) or path[-1].pop(_BEHIND, None) is None):
        raise UserError("a record of the body has one key twice; send each once")
    return path


def _join(path: list[Any], found: Any) -> None:
    """Add to what was open in front of a slice what the slice found behind."""
    for whole in path:
        if isinstance(whole, list):
            child = found.pop(0)
            whole.extend(found)
        else:
            child = found.pop(_BEFORE)
            whole.update(found)
        found = child
