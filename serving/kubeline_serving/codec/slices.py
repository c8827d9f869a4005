"""Large JSON of any form, read and freed a slice after the other.

A parser keeps the interpreter from everything else until it has ended, and so does the end of what it made: for sixteen
megabytes of short values, half a second each. A slice ends at a comma. What is open there (lists and records, whose
kinds are known from the bytes) is closed behind it, opened again in front of the next one, and joined afterwards.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from kubeline.errors import UserError
from kubeline.typing import Array
from kubeline_serving.codec.estimate import Bytes, without_text

SLICE_BYTES = 256 * 1024  # take a few milliseconds
_FREED = 2_000  # values at a time
_SMALL = 50  # values of a list or record that is freed as one

# Stand for what was in front of a slice, and for what comes behind it; nobody can send them.
_BEFORE, _BEHIND = (secrets.token_hex(16) for _ in range(2))
_LIST, _RECORD = b"[{"


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
        found = parse(text)
        ends = _path_to_the_end(found, len(part.open_behind))
        if part.opened:
            _join(path, found)
        else:
            whole = found
        path = path[: part.kept] + ends[part.kept :]
    return whole


def discard(value: Any) -> None:
    """Free parsed JSON that nobody needs any more; large lists and records in it are emptied."""
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
    data = without_text(body)
    start = position = kept = 0
    opened = now_open = b""
    while position < len(data):
        part = data[position : position + most]
        opens = (part == _LIST) | (part == _RECORD)
        closes = (part == ord("]")) | (part == ord("}"))
        depth = np.cumsum(opens.view(np.int8) - closes.view(np.int8), dtype=np.int64) + len(now_open)
        if depth.min() < 0:
            raise UserError(f"the body is not JSON: it closes more than it opens, behind byte {position:,}")
        commas = np.flatnonzero((part == ord(",")) & (depth > 0))
        is_last = position + len(part) == len(data)
        size = len(part) if is_last or not len(commas) else int(commas[-1]) + 1
        now_open, least = _open_after(now_open, part[:size], opens[:size], depth[:size])
        kept = min(kept, least)
        position += size
        if is_last:
            yield _Slice(start, position, opened, b"", 0)
        elif len(commas):
            yield _Slice(start, position - 1, opened, now_open, kept)
            start, opened, kept = position, now_open, len(now_open)


def _open_after(before: bytes, part: Array, opens: Array, depth: Array) -> tuple[bytes, int]:
    """What is open behind a part, and how much of it was open all the time."""
    least, last = min(len(before), int(depth.min())), int(depth[-1])
    if last <= least:
        return before[:least], least
    newest = np.zeros(int(depth.max()) + 1, np.uint8)  # at each depth, the last that opened
    newest[depth[opens]] = part[opens]
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
