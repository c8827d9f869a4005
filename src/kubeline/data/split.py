"""A dataset into train and test sets: the implementation of the component `split`."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data import assignment
from kubeline.data.ahead import ahead
from kubeline.data.dataset import CHUNK_ROWS, DatasetWriter, iter_batches, open_dataset, require_columns
from kubeline.data.row_hash import Hashes, hash_rows, hash_values, salted
from kubeline.errors import UserError, listed
from kubeline.printable import markdown
from kubeline.progress import Progress
from kubeline.typing import Mask

Pair = tuple[pa.RecordBatch, Mask]  # rows, and which of them are for the test
_ROWS = CHUNK_ROWS // 4  # that are read at a time: several such chunks are on their way
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

    Drawn by chance or by group, each row is read once, and memory is a chunk of rows; else it is the one column that
    decides and nine bytes for each row besides.

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
    with publish(train.path) as train_folder, publish(test.path) as test_folder, publish(report.path) as page:
        folders, first = (train_folder, test_folder), ""
        writers = _at_once(dataset.path, by, column, test_fraction, seed, folders)
        if writers is None:
            mask, first = assign(dataset.path, by, column, test_fraction, cutoff, seed)
            writers = _write(_masked(dataset.path, mask), open_dataset(dataset.path).schema, folders)
        choice = {"by": by} | ({"column": column} if column else {}) | ({"first of test": first} if first else {})
        choice |= {} if by == "time" else {"seed": str(seed)}
        page.write_text(_report(writers[0].rows, writers[1].rows, choice), encoding="utf-8")
        parts = [writer.metadata(str(dataset.metadata.get("source", ""))) for writer in writers]
    parent = {"parent_fingerprint": dataset.metadata.get("fingerprint", "")}
    way = {"split_by": by, "split_column": column}  # what later steps need to know which rows belong together
    personal = {"personal": dataset.metadata["personal"]} if "personal" in dataset.metadata else {}
    describe(train, parts[0] | parent | way | personal)
    describe(test, parts[1] | parent | way | personal)


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


def assign(path: str, by: str, column: str, fraction: float, cutoff: str, seed: int) -> tuple[Mask, str]:
    dataset = open_dataset(path)
    if by == "random":
        return assignment.by_chance(_hashes(path), fraction, seed), ""
    _require(dataset, column, by)
    values = dataset.to_table(columns=[column]).column(0)
    if len(values) < 2:
        raise UserError(f"a table of {len(values)} rows cannot be split into two sets; expected at least two rows")
    if by == "stratified":
        return assignment.by_class(values, _hashes(path), column, fraction, seed), ""
    if by == "group":
        return assignment.by_group(values, column, fraction, seed), ""
    return assignment.by_time(values, column, fraction, cutoff)


def _require(dataset: pads.Dataset, column: str, by: str) -> None:
    require_columns(dataset, [column], f"{_ROLES[by]} column")


def _hashes(path: str) -> Hashes:
    batches = _read(open_dataset(path), "reading the rows")
    return np.concatenate([np.empty(0, dtype=np.uint64), *(hash_rows(batch) for batch in batches)])


def _at_once(
    path: str, by: str, column: str, fraction: float, seed: int, folders: tuple[Path, Path]
) -> tuple[DatasetWriter, DatasetWriter] | None:
    """Write each row as soon as it is read, where it alone decides on which side it is; None where it does not.

    What is true of the table as a whole (one set would be empty, a row has no group) is left to :func:`assign`.
    """
    if by not in ("random", "group"):
        return None
    dataset = open_dataset(path)
    if by == "group":
        _require(dataset, column, by)
        groups = dataset.schema.field(column).type

    def pairs() -> Iterator[Pair]:
        for batch in _read(dataset, "splitting"):
            if by == "random":
                hashes = hash_rows(batch)
            else:
                values = batch.column(column)
                if values.null_count or (pa.types.is_floating(groups) and pc.any(pc.is_nan(values)).as_py()):
                    return
                hashes = hash_values(values)
            yield batch, assignment.is_below(salted(hashes, seed), fraction)

    writers = _write(ahead(pairs()), dataset.schema, folders)
    rows = [writer.rows for writer in writers]
    if all(rows) and sum(rows) == dataset.count_rows():
        return writers
    for folder in folders:
        shutil.rmtree(folder)
    return None


def _masked(path: str, mask: Mask) -> Iterator[Pair]:
    start = 0
    for batch in _read(open_dataset(path), "writing"):
        yield batch, mask[start : start + batch.num_rows]
        start += batch.num_rows


def _read(dataset: pads.Dataset, doing: str) -> Iterator[pa.RecordBatch]:
    with Progress(doing, dataset.count_rows()) as progress:
        yield from progress.over(iter_batches(dataset, most=_ROWS))


def _write(pairs: Iterable[Pair], schema: pa.Schema, folders: tuple[Path, Path]) -> tuple[DatasetWriter, DatasetWriter]:
    with DatasetWriter(folders[0], schema) as train_writer, DatasetWriter(folders[1], schema) as test_writer:
        for batch, chosen in pairs:
            test_writer.write(batch.filter(pa.array(chosen)))
            train_writer.write(batch.filter(pa.array(np.logical_not(chosen))))
    return train_writer, test_writer


def _report(train_rows: int, test_rows: int, choice: Mapping[str, Any]) -> str:
    total = train_rows + test_rows
    lines = [
        "# Train and test sets",
        "",
        "| set | rows | share |",
        "|---|---:|---:|",
        f"| train | {train_rows:,} | {train_rows / total:.2%} |",
        f"| test | {test_rows:,} | {test_rows / total:.2%} |",
        "",
        *(f"- {markdown(name)}: {markdown(value)}" for name, value in choice.items()),
        "",
    ]
    if choice["by"] == "time":
        lines.append("No instant is in both sets.")
    else:
        drawn = "group" if choice["by"] == "group" else "row"
        lines.append(
            f"Each {drawn} is drawn by a hash of itself and the seed, so it stays on its side when the table grows, "
            "and equal rows are on one side. The share is therefore near the one asked for, and not exact."
        )
    return "\n".join(lines) + "\n"
