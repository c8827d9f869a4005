"""The command line."""

import signal
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code, as ``kubeline --help`` lists them."""
    try:
        from kubeline.cli import program  # here, so that Ctrl-C while it is being imported is no traceback

        return program.execute(arguments)
    except KeyboardInterrupt:
        print("kubeline: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
