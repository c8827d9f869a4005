"""The command ``kubeline``."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence

from kubeline import __version__
from kubeline.artifacts import machine_failure
from kubeline.cli import catalogue, compare, lint, new, rollout, run, schedule, serve, submit
from kubeline.cli.parser import Parser
from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.printable import printable
from kubeline.secrets import Secrets

_CODES = """\
exit codes: 0 done; 1 something unexpected; 2 what was given is wrong; 3 something outside failed; 4 what was
asked of a rollout is not known; 130 interrupted; 141 what was printed was not read.
run has that of the first step that failed.
"""


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code, as ``kubeline --help`` lists them."""
    parser = make_parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what could follow
        import argcomplete

        argcomplete.autocomplete(parser)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a character is no reason to end
    try:
        _refuse_bytes(sys.argv[1:] if arguments is None else arguments)
        return _run(parser, arguments)
    except KubelineError as error:
        print(printable(Secrets({}).hidden(f"kubeline: {error}")), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
        return 128 + signal.SIGPIPE
    except OSError as error:
        reason = machine_failure(error)
        if not reason:
            raise
        print(Secrets({}).hidden(f"kubeline: {reason}"), file=sys.stderr)
        return PlatformError.exit_code


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Refuse arguments that are no text in the locale's encoding, which Python holds as lone surrogates."""
    for word in arguments:
        if not word.isprintable() and any("\ud800" <= character <= "\udfff" for character in word):
            raise UserError(f"{word!a} is no text in the encoding of this shell; set LANG=C.UTF-8")


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    try:
        options = parser.parse_args(arguments)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # end in order, as on Ctrl-C
        return int(options.command(options) or 0)
    finally:
        sys.stdout.flush()  # here, where a closed pipe is still an error of ours


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command and of every command below it."""
    parser = Parser(
        prog="kubeline",
        description="From a table to a canaried model.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kubeline {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    for command in (catalogue, run, compare, lint, submit, schedule, rollout, serve, new):
        command.add_parser(commands)
    return parser
