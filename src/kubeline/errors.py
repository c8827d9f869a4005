"""The kinds of failure that a user can act on; each has an exit code."""

import difflib
from collections.abc import Collection
from itertools import islice


class KubelineError(Exception):
    """A failure with a one-sentence message: what was given, what was expected, what to do."""

    exit_code = 1


class UserError(KubelineError):
    """The input is wrong: the same call can never succeed until someone changes it."""

    exit_code = 2


class PlatformError(KubelineError):
    """Something outside this process failed (disk, network, permission, server): a retry may succeed.

    Attributes:
        retry_after: seconds after which a server asked to be called again; 0 where none did.
    """

    exit_code = 3

    def __init__(self, sentence: str = "", retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class NotKnownError(PlatformError):
    """What was asked for could not be learnt, or whether what was asked was done: neither yes nor no."""

    exit_code = 4


def listed(names: object, limit: int = 12) -> str:
    """Names joined for an error message, cut after `limit`: ``month, carrier, …``."""
    items = [str(name) for name in islice(names, limit + 1)]  # type: ignore[call-overload]
    return ", ".join(items[:limit]) + (", …" if len(items) > limit else "")


def suggestion(given: str, known: Collection[str], otherwise: str, limit: int = 40) -> str:
    """The name that was meant, where one is like it; else the names that there are, behind words such as ``it has``."""
    close = difflib.get_close_matches(given, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"{otherwise}: {listed(known, limit)}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 slice``, ``2,000 slices``, ``2 categories``."""
    plural = f"{noun}es" if noun.endswith("ss") else f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
