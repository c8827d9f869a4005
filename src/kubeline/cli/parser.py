"""The parser of the command line."""

import argparse
import difflib
import math
import re
from collections.abc import Callable
from typing import NoReturn

from kubeline.errors import UserError

_CHOICE = re.compile(r"invalid choice: '(?P<given>.*)' \(choose from (?P<known>.*)\)$", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one sentence, as every other failure; the usage is in the help."""

    def error(self, message: str) -> NoReturn:
        """End with what is wrong and where help is."""
        words = " ".join(_with_suggestion(message).split())
        self.exit(UserError.exit_code, f"{self.prog}: {words}; see {self.prog} --help\n")


def _with_suggestion(message: str) -> str:
    found = _CHOICE.search(message)
    if found is None:
        return message
    known = re.findall(r"[^\s,']+", found["known"])
    close = difflib.get_close_matches(found["given"], known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known)}"
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
