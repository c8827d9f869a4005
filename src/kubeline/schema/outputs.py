"""The datasets that validation writes: valid rows, and quarantined rows with the reason."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from kubeline.artifacts import Artifact, describe, publish
from kubeline.data.dataset import DatasetWriter, iter_batches, open_dataset
from kubeline.data.quarantine import divide, quarantine_schema
from kubeline.errors import PlatformError
from kubeline.schema.examine import Examination
from kubeline.schema.protection import Protection
from kubeline.schema.types import read_column, target_type


def write_outputs(
    dataset: Artifact,
    valid: Artifact,
    quarantine: Artifact,
    found: Examination,
    quarantines: bool,
    protected: Protection,
) -> tuple[int, int]:
    """Write both datasets, and return their rows.

    Without a bad row and without a column to convert or to protect, the part files are linked (or copied where links do
    not work) and the metadata carried over.

    Args:
        dataset: The table that was examined.
        valid: Gets the valid rows.
        quarantine: Gets the bad rows as they came, with a column that says why and one with their number in the table.
        found: What the checks found.
        quarantines: Whether bad rows go to the quarantine; otherwise all rows are passed on.
        protected: Which columns neither of the two gets as they came.

    Raises:
        PlatformError: when the table changed since it was examined.
    """
    source = open_dataset(dataset.path)
    has_quarantine = quarantines and found.tally.bad_rows > 0
    schema = _valid_schema(source.schema, found, has_quarantine)
    with publish(valid.path) as valid_folder, publish(quarantine.path) as quarantine_folder:
        bad_schema = quarantine_schema(source.schema)
        with DatasetWriter(quarantine_folder, protected.schema(bad_schema)) as bad:
            unchanged = not has_quarantine and not protected and schema.equals(source.schema)
            if unchanged and "fingerprint" in dataset.metadata:
                _link(source.files, valid_folder)
                metadata, rows = dict(dataset.metadata), found.tally.rows
            else:
                with DatasetWriter(valid_folder, protected.schema(schema)) as good:
                    for good_rows, bad_rows in _divide(dataset.path, found, schema, bad_schema, has_quarantine):
                        good.write(protected.apply(good_rows))
                        if bad_rows.num_rows:
                            bad.write(protected.apply(bad_rows))
                metadata, rows = good.metadata(_source(dataset)), good.rows
        bad_metadata = bad.metadata(_source(dataset))
        if rows + bad.rows != found.tally.rows:
            raise PlatformError(
                f"the dataset at '{dataset.path}' changed while it was validated ({found.tally.rows:,} rows, then "
                f"{rows + bad.rows:,}); run the step again"
            )
    describe(valid, {**metadata, "personal": sorted(found.personal)})  # later steps show no value of these columns
    describe(quarantine, bad_metadata)
    return rows, bad.rows


def _source(dataset: Artifact) -> str:
    return str(dataset.metadata.get("source") or dataset.uri)


def _valid_schema(stored: pa.Schema, found: Examination, has_quarantine: bool) -> pa.Schema:
    """The stored columns, with those converted that hold no value that cannot be."""
    fields = []
    for item in stored:
        expected = found.schema.columns.get(item.name)
        unread = f"{item.name}: not {expected.type}" if expected else ""
        clean = has_quarantine or not found.tally.counts[unread]
        problem = any(p.check == "type" and p.column == item.name for p in found.problems)
        kind = target_type(item.type, expected.type) if expected and clean and not problem else item.type
        fields.append(pa.field(item.name, kind, item.nullable))
    return pa.schema(fields, stored.metadata)


def _divide(
    path: str, found: Examination, schema: pa.Schema, bad_schema: pa.Schema, has_quarantine: bool
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Chunk by chunk, the valid rows and the quarantined ones."""
    start = 0
    for batch in iter_batches(path):
        broken = found.checker.broken(batch, start) if has_quarantine else {}
        valid, bad = divide(batch, broken, start, bad_schema)
        yield _convert(valid, found, schema), bad
        start += batch.num_rows


def _convert(batch: pa.RecordBatch, found: Examination, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for column, item in zip(batch.columns, schema, strict=True):
        if column.type != item.type:
            column = read_column(column, found.schema.columns[item.name].type)[0].cast(item.type)  # noqa: PLW2901
        columns.append(column)
    return pa.record_batch(columns, schema=schema)


def _link(files: list[str], folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        part = folder / f"part-{number:05d}.parquet"
        try:
            os.link(file, part)
        except OSError:  # another file system, or one without links
            shutil.copy2(file, part)
