"""The parser of the command line."""

import argparse
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from kubeline.errors import UserError, suggestion

_CHOICE = re.compile(r"invalid choice: '(?P<given>.*)' \(choose from (?P<known>.*)\)$", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one sentence, as every other failure; the usage is in the help."""

    def error(self, message: str) -> NoReturn:
        """End with what is wrong and where help is."""
        words = " ".join(_with_suggestion(message).split())
        self.exit(UserError.exit_code, f"{self.prog}: {words}; see {self.prog} --help\n")


def add_command(
    commands: Any, name: str, words: str, run: Callable[[argparse.Namespace], int | None], **more: Any
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: that it is one of.
        name: of the command.
        words: what it does, for its own help and that of the commands.
        run: does it; returns the exit code where it is not 0.
        more: arguments of the parser.
    """
    parser: argparse.ArgumentParser = commands.add_parser(name, **{"help": words, "description": words, **more})
    parser.set_defaults(command=run)
    return parser


def _with_suggestion(message: str) -> str:
    found = _CHOICE.search(message)
    if found is None:
        return message
    hint = suggestion(found["given"], re.findall(r"[^\s,']+", found["known"]), "there are")
    return f"{message[: found.start()]}'{found['given']}' is not one of the choices; {hint}"


def seconds(text: str) -> float:
    """The value of an option: a time that ends."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds, 0 or more")
    return value


def whole(least: int, most: int) -> Callable[[str], int]:
    """The value of an option: a whole number between two, both included."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least:,} to {most:,}")
        return int(text)

    return read
