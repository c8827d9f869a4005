"""Whether an Arrow file (Feather 2) is what it says: how large its batches become, and whether they point out of them.

Source: Apache Arrow, ``format/Message.fbs`` and "Arrow Columnar Format", IPC; FlatBuffers, "Internals".
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from kubeline.data.limits import ADVICE, PAGES, RATIO, readable, scaled
from kubeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow.dataset as pads  # it brings pandas, for which load has no use

_MAGIC = 8  # bytes before the first message
_DICTIONARY, _BATCH = 2, 3  # kinds of messages


def check_batches(path: Path, name: str) -> None:
    """Refuse a file whose batches come to far more than they seem: each is unpacked whole.

    Raises:
        UserError: when one does.
    """
    for number, (packed, unpacked) in enumerate(_sizes(path), start=1):
        if unpacked > scaled(PAGES) and unpacked > RATIO * packed:
            raise UserError(
                f"batch {number:,} of '{name}' unpacks to {readable(unpacked)}, {unpacked // max(1, packed):,} times "
                f"what is stored; {ADVICE}"
            )


def check_values(dataset: "pads.Dataset") -> None:
    """Read every batch once, and check whether its offsets and indices point into it.

    Arrow takes them as they are stored, and DuckDB follows them out of memory that is its own: the process dies.

    Raises:
        pyarrow.ArrowException, OSError: when one does not, or cannot be unpacked.
    """
    for batch in dataset.to_batches(batch_readahead=1, fragment_readahead=1):
        batch.validate(full=True)


def _sizes(path: Path) -> Iterator[tuple[int, int]]:
    """The bytes of each batch and dictionary as it is stored, and unpacked."""
    with pa.memory_map(str(path)) as file:
        file.seek(_MAGIC)
        for message in pa.MessageReader.open_stream(file):
            packed = message.body.size if message.body is not None else 0
            head = message.metadata.to_pybytes()
            batch = _batch(head)
            if batch and packed:
                yield packed, sum(_lengths(head, batch, message.body))


def _batch(head: bytes) -> int:
    """Where a message's table of a record batch begins; 0 when it is of another kind, or nothing in it is packed."""
    root = _u32(head, 0)
    kind, header = _field(head, root, 1), _field(head, root, 2)
    if not kind or not header or head[kind] not in (_DICTIONARY, _BATCH):
        return 0
    table = header + _u32(head, header)
    if head[kind] == _DICTIONARY:
        data = _field(head, table, 1)
        table = data + _u32(head, data) if data else 0
    return table if table and _field(head, table, 3) else 0


def _lengths(head: bytes, batch: int, body: pa.Buffer) -> Iterator[int]:
    """Of each buffer, unpacked; it stands before the packed bytes, or is -1 where they are not packed."""
    buffers = _field(head, batch, 2)
    if not buffers:
        return
    vector = buffers + _u32(head, buffers)
    for place in range(_u32(head, vector)):
        offset, length = struct.unpack_from("<qq", head, vector + 4 + 16 * place)
        if length >= 8:
            (size,) = struct.unpack("<q", body.slice(offset, 8).to_pybytes())
            yield max(size, length) if size >= 0 else length


def _u32(data: bytes, place: int) -> int:
    return int(struct.unpack_from("<I", data, place)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a FlatBuffers table stands; 0 when it is not there."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    place = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + place)[0] if place + 2 <= size else 0
    return table + offset if offset else 0
