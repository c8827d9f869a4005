"""A dataset into train and test sets: the implementation of the component `split`."""
# ruff: noqa: S608 - names and paths in queries are quoted

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data import assignment
from kubeline.data.dataset import DatasetWriter, iter_batches, open_dataset, require_columns
from kubeline.errors import UserError, listed

DUPLICATES_MEMORY = "256MB"
WAYS = ("random", "stratified", "group", "time")


@step
def run(
    dataset: Artifact,
    train: Artifact,
    test: Artifact,
    report: Artifact,
    by: str = "random",
    column: str = "",
    test_fraction: float = 0.2,
    cutoff: str = "",
    seed: int = 0,
) -> None:
    """Write each row of `dataset` to `train` or to `test`, in their order.

    Memory: the one column that decides, one byte for each row, and a chunk of rows.

    Args:
        dataset: The table.
        train: Output, the rows that are not for the test.
        test: Output, the rows for the test.
        report: Output, Markdown.
        by: One of `WAYS`.
        column: The class, group or time column.
        test_fraction: Share of the test rows, between 0 and 1.
        cutoff: The first instant of the test set, by time.
        seed: Seed of the random choice.

    Raises:
        UserError: when the parameters do not fit the table, or one set would be empty.
    """
    check(by, column, test_fraction, cutoff)
    mask, first = _assign(dataset.path, by, column, test_fraction, cutoff, seed)
    with publish(train.path) as train_folder, publish(test.path) as test_folder, publish(report.path) as page:
        writers = _write(dataset.path, mask, train_folder, test_folder)
        duplicates = count_duplicates(train_folder, test_folder)
        choice = {"by": by} | ({"column": column} if column else {}) | ({"first of test": first} if first else {})
        choice |= {} if by == "time" else {"seed": str(seed)}
        page.write_text(_report(writers[0].rows, writers[1].rows, duplicates, choice), encoding="utf-8")
        parts = [writer.metadata(str(dataset.metadata.get("source", ""))) for writer in writers]
    parent = {"parent_fingerprint": dataset.metadata.get("fingerprint", "")}
    describe(train, parts[0] | parent)
    describe(test, parts[1] | parent | {"duplicates": duplicates})


def count_duplicates(train: Path, test: Path) -> int:
    """How many rows of `test` are in `train` as well, equal in every column (missing equals missing).

    Rows are compared by a 64-bit hash: at 100 million rows the chance of a false one is below 0.1 %. Memory is
    bounded; what does not fit is spilled to the temporary folder.
    """
    from kubeline.data import engine

    row = ", ".join(map(engine.identifier, open_dataset(train).schema.names))
    with TemporaryDirectory(prefix="kubeline-split-") as scratch:
        hashes, files = [], []
        for name, folder in (("train", train), ("test", test)):
            link = Path(scratch) / name  # a path without the characters of a glob
            link.symlink_to(folder.absolute())
            parts = sorted(link.glob("*.parquet"))
            files += parts
            listed_parts = ", ".join(engine.literal(str(part)) for part in parts)
            hashes.append(f"SELECT hash({row}) AS row_hash FROM read_parquet([{listed_parts}])")
        with engine.connect(Path(scratch), files, memory=DUPLICATES_MEMORY) as connection:
            engine.lock(connection)
            query = f"SELECT count(*) FROM ({hashes[1]}) SEMI JOIN ({hashes[0]}) USING (row_hash)"
            return int(engine.fetch(connection, query)[0][0])


def check(by: str, column: str, test_fraction: float, cutoff: str) -> None:
    """Raise a :class:`UserError` for parameters that no table fits."""
    if by not in WAYS:
        raise UserError(f"by='{by}' is not a way to split; expected one of: {listed(WAYS)}")
    if not 0 < test_fraction < 1:
        raise UserError(f"test_fraction is {test_fraction}; expected a share between 0 and 1, such as 0.2")
    if by == "random" and column:
        raise UserError(
            f"column '{column}' has no meaning for by='random'; expected by to be one of: {listed(WAYS[1:])}"
        )
    if by != "random" and not column:
        raise UserError(f"by='{by}' needs a column; say which one holds the {_ROLES[by]}")
    if cutoff and by != "time":
        raise UserError(f"cutoff '{cutoff}' has no meaning for by='{by}'; give it with by='time'")


_ROLES = {"stratified": "class", "group": "group", "time": "time"}


def _assign(path: str, by: str, column: str, fraction: float, cutoff: str, seed: int) -> tuple[assignment.Mask, str]:
    dataset = open_dataset(path)
    if by == "random":
        return assignment.by_chance(dataset.count_rows(), fraction, seed), ""
    require_columns(dataset, [column], f"{_ROLES[by]} column")
    values = dataset.to_table(columns=[column]).column(0)
    if len(values) < 2:
        raise UserError(f"a table of {len(values)} rows cannot be split into two sets; expected at least two rows")
    if by == "stratified":
        return assignment.by_class(values, column, fraction, seed), ""
    if by == "group":
        return assignment.by_group(values, column, fraction, seed), ""
    return assignment.by_time(values, column, fraction, cutoff)


def _write(path: str, mask: assignment.Mask, train: Path, test: Path) -> tuple[DatasetWriter, DatasetWriter]:
    schema = open_dataset(path).schema
    start = 0
    with DatasetWriter(train, schema) as train_writer, DatasetWriter(test, schema) as test_writer:
        for batch in iter_batches(path):
            chosen = mask[start : start + batch.num_rows]
            test_writer.write(batch.filter(pa.array(chosen)))
            train_writer.write(batch.filter(pa.array(np.logical_not(chosen))))
            start += batch.num_rows
    return train_writer, test_writer


def _report(train_rows: int, test_rows: int, duplicates: int, choice: Mapping[str, Any]) -> str:
    total = train_rows + test_rows
    lines = [
        "# Train and test sets",
        "",
        "| set | rows | share |",
        "|---|---:|---:|",
        f"| train | {train_rows:,} | {train_rows / total:.2%} |",
        f"| test | {test_rows:,} | {test_rows / total:.2%} |",
        "",
        *(f"- {name}: `{value}`" for name, value in choice.items()),
        "",
    ]
    if duplicates:
        lines.append(
            f"**{duplicates:,} test rows ({duplicates / test_rows:.2%}) are in the train set as well**, equal in every "
            "column. A model can remember them, so its score on them says little. Drop duplicates, or split by group."
        )
    else:
        lines.append("No test row is in the train set as well.")
    return "\n".join(lines) + "\n"
