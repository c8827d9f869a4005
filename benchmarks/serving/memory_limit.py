"""A group of processes with a limit of memory, as a pod's container has one."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryLimit:
    """A control group of Linux.

    Attributes:
        folder: of it.
    """

    folder: Path

    def around(self, command: Sequence[str]) -> list[str]:
        """The command that starts another one inside."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs"), *command]


@contextlib.contextmanager
def memory_limit(size: int, name: str) -> Iterator[MemoryLimit | None]:
    """A group with a limit of so many bytes, beyond which the kernel ends a process of it.

    It is inside the group of this process, where that may be made (version 1 or 2 of cgroups); None elsewhere.
    """
    for folder, file in _places():
        group = folder / name
        try:
            group.mkdir()
            (group / file).write_text(str(size), encoding="ascii")
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        try:
            yield MemoryLimit(group)
        finally:
            with contextlib.suppress(OSError):  # somebody is still in there
                group.rmdir()
        return
    yield None


def _places() -> Iterator[tuple[Path, str]]:
    """Where a group could be made, and the file with its limit."""
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            yield _ROOT / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
        elif not controllers:
            yield _ROOT / path.lstrip("/"), "memory.max"
