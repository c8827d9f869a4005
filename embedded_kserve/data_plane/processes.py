"""Child processes that end with their parent."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kubeline.processes import bound_command, stop

_STOP_SECONDS = 15.0


class Child:
    """A Python module that ends with this process, in a process group of its own.

    Args:
        arguments: module and its arguments.
        log: file that its output is added to.
        environment: variables beside those of this process.
    """

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - no shell
                bound_command(*arguments),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End it: politely, then by force, and whatever it left behind in its group."""
        stop(self._process, _STOP_SECONDS, group=True)
        if self._process.stdin is not None:
            self._process.stdin.close()
