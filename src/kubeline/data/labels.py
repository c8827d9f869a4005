"""Labels that come later than what they are of: the rows of a log, joined with what became of them by request id."""
# ruff: noqa: S608 - names and paths in queries are quoted

from collections.abc import Sequence
from pathlib import Path

from kubeline.data.dataset import open_dataset
from kubeline.data.duck import Connection
from kubeline.data.engine import connect, fetch, identifier, literal
from kubeline.errors import UserError, listed

ID, ROW = "request.id", "request.row"


def join(rows: Path, labels: Path, scratch: Path, into: Path) -> list[str]:
    """Write the rows, in their order, with the columns that the labels have for their request; missing where none.

    A request of several rows is joined by its id and the number of the row, from 0, or, where the labels have no such
    column, by its id alone. Labels that came twice are one. Two that differ are none, since neither is known to be
    right, and are reported.

    Args:
        rows: A dataset with ``request.id`` and, where requests have several rows, ``request.row``.
        labels: A dataset with ``request.id`` and further columns.
        scratch: A folder that holds both, for what does not fit into memory.
        into: The Parquet file to write.

    Returns:
        Warnings.

    Raises:
        UserError: when a column is missing or is in both, or when the labels do not distinguish the rows of a request.
    """
    of_rows, of_labels = open_dataset(rows).schema.names, open_dataset(labels).schema.names
    _check(of_rows, of_labels)
    keys = [name for name in (ID, ROW) if name in of_rows and name in of_labels]
    columns = [name for name in of_labels if name not in (ID, ROW)]
    connection = connect(scratch)
    table = f"read_parquet({literal(str(rows / '*.parquet'))}, filename = true, file_row_number = true)"
    if ROW in of_rows and ROW not in keys:
        _require_single(connection, table)
    known = f"read_parquet({literal(str(labels / '*.parquet'))})"
    key = ", ".join(_key(name) for name in keys)
    alike = " AND ".join(f"count(DISTINCT {identifier(name)}) <= 1" for name in columns)
    first = ", ".join(f"max({identifier(name)}) AS {identifier(name)}" for name in columns)
    once = (
        f"SELECT {key}, {first}, {alike} AS alike FROM {known} GROUP BY {', '.join(map(str, range(1, len(keys) + 1)))}"
    )
    ((differing, seen),) = fetch(connection, f"SELECT count(*) FILTER (NOT alike), count(*) FROM ({once})")
    taken = ", ".join(
        [f"log.{identifier(name)}" for name in of_rows] + [f"label.{identifier(name)}" for name in columns]
    )
    on = " AND ".join(f"{_key(name, 'log', named=False)} = label.{identifier(f'key.{name}')}" for name in keys)
    connection.execute(
        f"COPY (SELECT {taken} FROM {table} AS log LEFT JOIN (SELECT * FROM ({once}) WHERE alike) AS label ON {on} "
        f"ORDER BY log.filename, log.file_row_number) TO {literal(str(into))} (FORMAT parquet)"
    )
    connection.close()
    if not differing:
        return []
    note = "of which the right one is not known, and are left without"
    return [f"{differing:,} of {seen:,} requests have labels that differ, {note}"]


def _check(of_rows: Sequence[str], of_labels: Sequence[str]) -> None:
    for what, names in (("the rows", of_rows), ("the labels", of_labels)):
        if ID not in names:
            raise UserError(f"labels are joined by '{ID}', which {what} do not have (there are: {listed(names)})")
    if not set(of_labels) - {ID, ROW}:
        raise UserError(
            f"the labels have no column but {listed(of_labels)}; expected the label of each request as well"
        )
    if both := [name for name in of_labels if name in of_rows and name not in (ID, ROW)]:
        raise UserError(f"column '{both[0]}' is in the rows and in the labels; leave it out of one of them")
    if ROW in of_labels and ROW not in of_rows:
        raise UserError(f"the labels have '{ROW}', which the rows do not have; leave it out of the labels")


def _require_single(connection: Connection, table: str) -> None:
    ((several,),) = fetch(connection, f"SELECT count(*) FROM {table} WHERE {identifier(ROW)} > 0")
    if several:
        raise UserError(
            f"{several:,} rows are of requests with more than one row, and the labels do not say of which: give them a "
            f"column '{ROW}', from 0 in each request"
        )


def _key(name: str, table: str = "", named: bool = True) -> str:
    """A column that is joined by: an id as text, whatever a file without quotes made of it; a row as a whole number."""
    column = f"{table}.{identifier(name)}" if table else identifier(name)
    value = f"CAST({column} AS {'VARCHAR' if name == ID else 'BIGINT'})"
    return f"{value} AS {identifier(f'key.{name}')}" if named else value
