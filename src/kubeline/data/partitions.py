"""Columns that both a file and the name of its folder hold: the file's are taken, with a warning where they differ."""
# ruff: noqa: S608 - names and values in queries are quoted

from collections.abc import Iterable, Sequence

from kubeline.data.duck import Connection
from kubeline.data.engine import fetch, identifier, literal
from kubeline.data.reading import Table
from kubeline.data.sources import SourceFile
from kubeline.errors import counted


def differing(connection: Connection, table: Table, file: SourceFile) -> dict[str, str]:
    """The columns of a file whose values are not those that its folder names, each with the words for it."""
    folders = {name.casefold(): value for name, value in file.partitions}
    both = {name: folders[name.casefold()] for name in table.raw if name.casefold() in folders}
    if not both:
        return {}
    counts = ", ".join(f"count(*) FILTER ({_differs(name, value)})" for name, value in both.items())
    rows = fetch(connection, f"SELECT {counts} FROM {table.relation}")[0]
    return {name: f"{counted(count, 'row')} of '{file.name}'" for name, count in zip(both, rows, strict=True) if count}


def _differs(name: str, value: str | None) -> str:
    """The condition: 7, 07 and 7.0 are one number, a day is its midnight, and an empty field is missing."""
    held = f"nullif(trim(CAST({identifier(name)} AS VARCHAR)), '')"
    if value is None:
        return f"{held} IS NOT NULL"
    said = literal(value)
    equal = [f"TRY_CAST({held} AS {kind}) = TRY_CAST({said} AS {kind})" for kind in ("DOUBLE", "TIMESTAMP", "BOOLEAN")]
    return " AND ".join(f"NOT coalesce({each}, false)" for each in [f"{held} = {said}", *equal])


def warnings(tables: Iterable[Table], chosen: Sequence[str]) -> list[str]:
    """Warnings about the columns that are taken."""
    messages = []
    tables = list(tables)
    for name in chosen:
        found = [table.beside[name] for table in tables if name in table.beside]
        if found:
            more = f" and {counted(len(found) - 1, 'more file')}" if len(found) > 1 else ""
            messages.append(
                f"column '{name}' has other values in the file than the name of its folder says: {found[0]}{more}; the "
                "file's values are taken"
            )
    return messages
