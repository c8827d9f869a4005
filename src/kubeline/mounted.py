"""Small files that are mounted or configured, such as keys and tokens: not of pipes and devices."""

import errno
import os
import stat
from pathlib import Path

from kubeline.errors import UserError

MOST_BYTES = 2**20


def mounted_text(path: str, encoding: str = "utf-8") -> str:
    """The text of a file; links are followed, since Kubernetes mounts secrets as such.

    Raises:
        OSError: when it cannot be read, is no regular file (a pipe would be waited for, a device has no end), or has
            more than a MiB.
        UnicodeDecodeError: when it is no text in that encoding.
    """
    file = os.open(Path(path).expanduser(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", path)
        with os.fdopen(file, "rb", closefd=False) as stream:
            content = stream.read(MOST_BYTES + 1)
    finally:
        os.close(file)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, "it has more than a MiB", path)
    return content.decode(encoding)


def refuse_irregular(uri: str, what: str) -> None:
    """Raise a :class:`UserError` for a local path to a pipe, a device or a socket; not for one that is not there."""
    place = Path(uri.removeprefix("file://"))
    try:
        mode = place.stat().st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(f"{what} '{uri}' is no regular file, and a pipe or a device may never end; copy it to a file")
