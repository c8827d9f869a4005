"""The dataset artifact: a folder of ``part-*.parquet`` files, read and written in chunks of bounded size."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from kubeline.artifacts import Artifact, describe
from kubeline.errors import UserError, listed

CHUNK_ROWS = 65_536  # rows held in memory at a time, and rows of a Parquet row group
PART_ROWS = 16 * CHUNK_ROWS  # rows of one part file


def open_dataset(path: str | os.PathLike[str]) -> pads.Dataset:
    """Open a dataset folder (or one Parquet file) without reading its rows.

    Raises:
        UserError: when there is nothing there, or it is not Parquet.
    """
    place = Path(path)
    files = [str(place)] if place.is_file() else sorted(str(file) for file in place.glob("*.parquet"))
    if not files:
        raise UserError(f"there is no dataset at '{path}'; expected a folder of part-*.parquet files, as load writes")
    try:
        return pads.dataset(files, format="parquet")
    except pa.ArrowInvalid as error:
        raise UserError(f"the dataset at '{path}' is damaged ({error}); load it again") from error


def require_columns(dataset: pads.Dataset, names: Iterable[str], role: str) -> None:
    """Raise a :class:`UserError` that lists the columns there are when one of `names` is not among them.

    `role` is what the column was asked for as: ``target``, ``feature``, ``group``, …
    """
    for name in names:
        if name not in dataset.schema.names:
            raise UserError(f"{role} '{name}' is not a column of this table; it has: {listed(dataset.schema.names)}")


def read_frame(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The whole table, or some of its columns, as a pandas frame with a fresh index."""
    dataset = open_dataset(path)
    if columns is not None:
        require_columns(dataset, columns, "column")
    return dataset.to_table(columns=list(columns) if columns is not None else None).to_pandas()


def iter_batches(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows in order, in batches of at most `CHUNK_ROWS`, with memory bounded by a few batches."""
    scanner = open_dataset(path).scanner(
        columns=list(columns) if columns is not None else None,
        batch_size=CHUNK_ROWS,
        batch_readahead=2,
        fragment_readahead=1,
    )
    for batch in scanner.to_batches():
        if batch.num_rows:
            yield batch


class DatasetWriter:
    """Writes batches to ``part-*.parquet`` files of a folder and fingerprints what it writes.

    The fingerprint is the SHA-256 of the columns' names, types and values in row order. It does not depend on how
    the rows came in batches, on the number of part files, or on the Parquet writer's version.
    """

    def __init__(self, folder: Path, schema: pa.Schema):
        self.schema = pa.schema([field.with_metadata(None) for field in schema])
        self.rows = 0
        self._folder = folder
        self._folder.mkdir(parents=True)
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._writer: pq.ParquetWriter | None = None
        self._part_rows = 0
        self._parts = 0
        self._digest = hashlib.sha256(str(self.schema).encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush(self._pending_rows)
            if not self._parts:  # an empty table still has columns
                self._write(pa.table({field.name: pa.array([], field.type) for field in self.schema}))
        if self._writer is not None:
            self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; complete chunks go to disk."""
        self._pending.append(batch.cast(self.schema))
        self._pending_rows += batch.num_rows
        if self._pending_rows >= CHUNK_ROWS:
            self._flush(self._pending_rows - self._pending_rows % CHUNK_ROWS)

    def metadata(self, source: str) -> dict[str, Any]:
        """The metadata keys of a dataset artifact, to be called after the writer is closed."""
        return {
            "rows": self.rows,
            "columns": len(self.schema),
            "bytes": sum(file.stat().st_size for file in self._folder.glob("*.parquet")),
            "fingerprint": self._digest.hexdigest(),
            "source": source,
        }

    def _flush(self, rows: int) -> None:
        table = pa.Table.from_batches(self._pending, self.schema)
        for start in range(0, rows, CHUNK_ROWS):
            self._write(table.slice(start, min(CHUNK_ROWS, rows - start)).combine_chunks())
        rest = table.slice(rows).combine_chunks()
        self._pending = rest.to_batches()
        self._pending_rows = rest.num_rows

    def _write(self, chunk: pa.Table) -> None:
        if self._writer is None or self._part_rows >= PART_ROWS:
            if self._writer is not None:
                self._writer.close()
            name = f"part-{self._parts:05d}.parquet"
            self._writer = pq.ParquetWriter(self._folder / name, self.schema, compression="zstd")
            self._parts += 1
            self._part_rows = 0
        self._writer.write_table(chunk, row_group_size=CHUNK_ROWS)
        self._part_rows += chunk.num_rows
        self.rows += chunk.num_rows
        for column in chunk.columns:
            _hash_column(self._digest, column)


def _hash_column(digest: "hashlib._Hash", column: pa.ChunkedArray) -> None:
    """Hash validity and values of one chunk, free of offsets, padding and what stands under a null."""
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    digest.update(pc.cast(array.is_valid(), pa.uint8()).to_numpy().tobytes())
    if pa.types.is_primitive(array.type) and not pa.types.is_boolean(array.type):
        values = array.drop_null()
        width = values.type.bit_width // 8
        if len(values):
            digest.update(values.buffers()[1].slice(values.offset * width, len(values) * width))
        return
    text = pc.cast(array, pa.large_string()).drop_null() if not pa.types.is_nested(array.type) else None
    if text is None:  # nested values have no canonical buffer of their own
        digest.update(repr(array.to_pylist()).encode())
        return
    digest.update(pc.binary_length(text).to_numpy(zero_copy_only=False).tobytes())
    digest.update("".join(text.to_pylist()).encode())


def write_dataset(
    artifact: Artifact, schema: pa.Schema, batches: Iterable[pa.RecordBatch], folder: Path, source: str
) -> DatasetWriter:
    """Write all `batches` into `folder` (as :func:`kubeline.artifacts.publish` yields) and describe the artifact."""
    with DatasetWriter(folder, schema) as writer:
        for batch in batches:
            writer.write(batch)
    describe(artifact, writer.metadata(source))
    return writer
