"""What must not be shown of a run: the secrets among its parameters and in the environment, wherever they turn up."""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from kubeline.addresses import HIDDEN, credentials, redact
from kubeline.masking import trace_of
from kubeline.printable import printable

# Names whose value is a secret. `secret` alone, `token_file`, `token_env` and the shell's PWD are places.
_NAMED = re.compile(
    r"(?i)(?:password|passwd|[_-]pwd|(?-i:^pwd)|passphrase|(?:^|[_-])token|api[_-]?key|access[_-]?key(?:[_-]?id)?|secret[_-]?key|"
    r"private[_-]?key|account[_-]?key|client[_-]?secret|hash[_-]?key|notify[_-]?urls|signature|authorization|connection[_-]?string)$"
)
# Of a private key in PEM, whatever name it has, the lines that are the key.
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", re.DOTALL)
_SHORTEST = 5  # a shorter word would be hidden in every sentence that has it


class Secrets:
    """The secrets of a run, to be taken out of text and of values."""

    def __init__(self, given: Any, environment: Mapping[str, str] = os.environ):
        """Look for them in what a run was given, and in the variables of its environment."""
        words = {word for word in _secrets(given) if len(word) >= _SHORTEST}
        words |= {word for word in _secrets(dict(environment)) if len(word) >= _SHORTEST}
        forms = words | {json.dumps(word)[1:-1] for word in words}  # as they stand in a log of JSON
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def hidden(self, text: str) -> str:
        """The text without them, and without the credentials of every address in it."""
        return redact(self._pattern.sub(HIDDEN, text) if self._pattern else text)

    def cleaned(self, value: Any, name: str = "") -> Any:
        """The same value without them: a mapping, a list, a text or a number."""
        if isinstance(value, Mapping):
            names = {key: str(value["name"]) if key == "value" and "name" in value else str(key) for key in value}
            return {key: self.cleaned(item, names[key]) for key, item in value.items()}
        if isinstance(value, list):
            return [self.cleaned(item, name) for item in value]
        if _NAMED.search(name) and value not in ("", None):
            return HIDDEN
        return self.hidden(value) if isinstance(value, str) else value


class Formatter(logging.Formatter):
    """Writes a record without the secrets of this process and without the values that an exception holds, and so that a
    name from a table is read and does nothing.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback where there is one."""
        return printable(Secrets({}).hidden(super().format(record)))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """The traceback."""
        return trace_of(ei[1]).rstrip("\n") if ei[1] is not None else super().formatException(ei)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line; what follows a line feed in it is indented, and looks like no line of its own."""
        return Secrets({}).hidden(super().formatMessage(record)).replace("\n", "\n    ")


def _secrets(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(item, str(value["name"]) if key == "value" and "name" in value else str(key))
    elif isinstance(value, list | Set):
        for item in value:
            yield from _secrets(item, name)
    elif isinstance(value, str):
        yield from credentials(value)
        for key in _PRIVATE_KEY.findall(value):
            yield from key.split()
        if _NAMED.search(name):
            yield from value.split()
