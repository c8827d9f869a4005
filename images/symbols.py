"""Cut the symbols for debuggers off shared libraries: ``python symbols.py FOLDER``.

A linker puts them, and the list of sections, behind the last segment: what a process never maps. ``strip`` would be a
package of the system in every build, and moves segments, which breaks libraries that auditwheel has changed.
"""

import struct
import sys
from pathlib import Path

_HEADER = "<16sHHIQQQIHHHHHH"  # of ELF, 64 bits, little-endian
_SHARED = 3  # a library, or what may be one
_LEAST = 2**16  # smaller gains are not worth another file


def main(folder: str) -> None:
    """Cut every shared library below this folder."""
    for file in sorted(Path(folder).rglob("*.so*")):
        if file.is_file() and not file.is_symlink() and (content := cut(file.read_bytes())):
            new = file.with_name(f"{file.name}.cut")  # and not in place, where a cache may have the same file
            new.write_bytes(content)
            new.chmod(file.stat().st_mode)
            new.replace(file)


def cut(content: bytes) -> bytes:
    """The library up to the end of its last segment, in a header that names no sections; empty: it stays as it is."""
    if content[:6] != b"\x7fELF\x02\x01":
        return b""
    fields = list(struct.unpack_from(_HEADER, content))
    kind, programs, sections, size, count = fields[1], fields[5], fields[6], fields[9], fields[10]
    segments = (struct.unpack_from("<8xQ16xQ", content, programs + size * place) for place in range(count))
    end = max(programs + size * count, *(begin + length for begin, length in segments))
    if kind != _SHARED or not end <= sections or len(content) - end < _LEAST:
        return b""
    fields[6], fields[12], fields[13] = 0, 0, 0
    return struct.pack(_HEADER, *fields) + content[struct.calcsize(_HEADER) : end]


if __name__ == "__main__":
    main(*sys.argv[1:])
