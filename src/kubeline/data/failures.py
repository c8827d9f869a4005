"""What DuckDB and databases say when they cannot read, as one sentence."""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

import pyarrow as pa

from kubeline.addresses import redact
from kubeline.data import duck
from kubeline.data.conditions import first_line
from kubeline.data.limits import ADVICE, CSV_LINE, JSON_LINE, memory, readable, scaled
from kubeline.errors import KubelineError, PlatformError, UserError, counted
from kubeline.masking import without_values

# The first pattern that is found decides. {place} is the line or the file, {message} DuckDB's own first line.
_FAILURES: list[tuple[str, type[KubelineError], str]] = [
    (
        r"Expected Number of Columns: (?P<expected>\d+) Found: (?P<found>\d+)",
        UserError,
        "{place} has {fields}, but the header has {expected}; fix the line, quote what holds delimiters",
    ),
    (r"(?i)utf-?8|unicode", UserError, "{place} is not UTF-8 text; convert the file to UTF-8"),
    (
        r"unterminated quote",
        UserError,
        '{place} has a quote that does not end; double a quote inside a quoted field ("")',
    ),
    (
        r"state machine",
        UserError,
        "'{name}' mixes line ends, or quotes against RFC 4180; write it with one kind of line end",
    ),
    (
        r"Maximum line size|maximum_object_size",
        UserError,
        f"{{place}} is longer than {{line}}; expected a table with one row on a line ({ADVICE})",
    ),
    (  # FATAL is of the connection, and these errors of the server's state
        r"ERROR:\s+(?P<why>(?!canceling|could not|out of|deadlock|no space|too many)[^\n]*)",
        UserError,
        "the query failed while its rows were read ({why}); fix it",
    ),
    (
        r"\[libpq\] (?P<why>[^\n]*)",
        PlatformError,
        "the query broke off while its rows were read ({why}); fix the query, or try again when the server is well",
    ),
    (r"expected records", UserError, "'{name}' is not JSON lines; expected one object on each line"),
    (
        r"Out of Memory",
        PlatformError,
        f"'{{name}}' needs more memory than {{memory}} for a chunk of rows ({{message}}); take fewer columns "
        f"({ADVICE})",
    ),
    (
        r"No space left",
        PlatformError,
        "the temporary folder filled up while '{name}' was read; make room or set TMPDIR",
    ),
    (
        r"Conversion Error|Could not (convert|cast|parse string)",
        UserError,
        "a value of '{name}' does not have the type that `types` or `where` takes it for ({message}); fix one of them",
    ),
    (
        r"",
        UserError,
        "'{name}' cannot be read ({message}); check that it is whole and of the format that its name says",
    ),
]


def explain(name: str, message: str) -> KubelineError:
    """The error to raise for DuckDB's `message` on the file or query called `name`."""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    known = {
        "name": name,
        "place": f"line {int(line.group(1)):,} of '{name}'" if line else f"'{name}'",
        "message": without_values(first_line(message)),
        "line": f"{readable(scaled(CSV_LINE))} for CSV or {readable(scaled(JSON_LINE))} for JSON",
        "memory": readable(memory() << 20),
        "fields": _fields(message),
    }
    for pattern, kind, sentence in _FAILURES:
        found = re.search(pattern, message)
        if found:
            said = {key: without_values(value) for key, value in found.groupdict().items()}
            return kind(sentence.format(**known, **said))
    raise AssertionError(message)  # the last pattern matches everything


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what goes wrong while the rows of a file are read into one sentence."""
    try:
        yield
    except (duck.errors(), pa.ArrowException) as error:
        raise explain(name, str(error)) from error
    except OSError as error:
        if error.errno is not None:  # of the disk; an error of an Arrow stream's source has none
            raise
        raise explain(name, str(error)) from error


def _fields(message: str) -> str:
    """How many fields a line has: DuckDB stops to count at the first one that is too many."""
    numbers = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    if numbers is None:
        return ""
    expected, found = map(int, numbers.groups())
    line, delimiter = re.search(r"Original Line: ([^\n]*)", message), re.search(r"delimiter = (.) ", message)
    if found > expected and line and delimiter:
        there = len(next(csv.reader([line[1]], delimiter=delimiter[1]), []))
        # A quoted field may go on in the next line: then it is not known how many there are.
        return counted(there, "field") if there >= found else f"more than {counted(expected, 'field')}"
    return counted(found, "field")


_WEB_PAGE = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)


def refuse_web_page(first: bytes, name: str) -> None:
    """Refuse a file that begins as HTML does: what a server sends to a browser, instead of the file or as a login form.

    Args:
        first: some hundred bytes of it.
        name: of the file, for the error.

    Raises:
        UserError: when it is a web page.
    """
    if _WEB_PAGE.match(first.removeprefix(b"\xef\xbb\xbf")):
        raise UserError(
            f"'{name}' is a web page (HTML), and no table; give the address of the file itself, and see whether the "
            "server wants a login"
        )


def database_words(error: Exception, source: str) -> str:
    """The database's own words, without the credentials that the address holds, and without values of its rows."""
    has_code = len(error.args) > 1 and isinstance(error.args[0], int)  # of MySQL, whose words stand behind it
    words = " ".join(str(error.args[1] if has_code else error).split())
    secrets = source.split("://", 1)[1].rsplit("@", 1)[0] if "@" in source else ""
    login, _, password = secrets.partition(":")
    # The server's client takes an address apart itself: of a password with a slash in it, a part may be the port.
    parts = {secrets, *secrets.split(":")[1:], unquote(password), *re.split(r"[:/?#]", password)}
    for secret in sorted(parts - {"", login}, key=len, reverse=True):
        words = words.replace(secret, "***")
    return without_values(redact(words))[:300]
