"""What DuckDB says when it cannot read a file, told as one sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from kubeline.data.engine import first_line
from kubeline.data.limits import ADVICE, CSV_LINE, JSON_LINE, memory, readable, scaled
from kubeline.errors import KubelineError, PlatformError, UserError

# The first pattern that is found decides. {place} is the line or the file, {told} DuckDB's own first line.
_FAILURES: list[tuple[str, type[KubelineError], str]] = [
    (
        r"Expected Number of Columns: (?P<expected>\d+) Found: (?P<found>\d+)",
        UserError,
        "{place} has {found} fields, but the header has {expected}; mend the line, quote what holds delimiters",
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
    (
        r"\[libpq\] (?P<why>[^\n]*)",
        PlatformError,
        "the query broke off while its rows were read ({why}); mend the query, or try again when the server is well",
    ),
    (r"expected records", UserError, "'{name}' is not JSON lines; expected one object on each line"),
    (
        r"Out of Memory",
        PlatformError,
        f"'{{name}}' needs more memory than {{memory}} for a chunk of rows ({{told}}); take fewer columns ({ADVICE})",
    ),
    (
        r"No space left",
        PlatformError,
        "the temporary folder filled up while '{name}' was read; make room or set TMPDIR",
    ),
    (
        r"Conversion Error|Could not (convert|cast|parse string)",
        UserError,
        "a value of '{name}' does not have the type that `types` or `where` takes it for ({told}); mend one of them",
    ),
    (r"", UserError, "'{name}' cannot be read ({told}); check that it is whole and of the format that its name says"),
]


def explain(name: str, message: str) -> KubelineError:
    """The error to raise for DuckDB's `message` on the file or query called `name`."""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    known = {
        "name": name,
        "place": f"line {int(line.group(1)):,} of '{name}'" if line else f"'{name}'",
        "told": first_line(message),
        "line": f"{readable(scaled(CSV_LINE))} for CSV or {readable(scaled(JSON_LINE))} for JSON",
        "memory": readable(memory() << 20),
    }
    for pattern, kind, sentence in _FAILURES:
        found = re.search(pattern, message)
        if found:
            return kind(sentence.format(**known, **found.groupdict()))
    raise AssertionError(message)  # the last pattern matches everything


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Tell what goes wrong while the rows of a file are read in one sentence."""
    import duckdb

    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        raise explain(name, str(error)) from error
    except OSError as error:
        if error.errno is not None:  # of the disk; what an Arrow stream tells of its source has none
            raise
        raise explain(name, str(error)) from error
