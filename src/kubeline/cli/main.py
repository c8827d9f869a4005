"""The command ``kubeline``."""

import argparse
import signal
import sys
from collections.abc import Sequence

from kubeline import __version__
from kubeline.cli import lint, rollout, run, schedule, serve, submit
from kubeline.errors import KubelineError
from kubeline.printable import printable
from kubeline.secrets import Secrets


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 a step failed, 2 bad input, 3 a broken world, 4 not known."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end in order, as on Ctrl-C
    try:
        return int(options.command(options))
    except KubelineError as error:
        print(printable(Secrets({}).hidden(f"kubeline: {error}")), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("kubeline: interrupted; the running steps were ended", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubeline", description="From a table to a canaried model.")
    parser.add_argument("--version", action="version", version=f"kubeline {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    for command in (run, lint, submit, schedule, rollout, serve):
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
