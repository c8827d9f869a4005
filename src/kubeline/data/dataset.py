"""The dataset artifact: a folder of ``part-*.parquet`` files, read and written in chunks of bounded size."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubeline.artifacts import Artifact, describe, publish
from kubeline.data.ahead import ahead
from kubeline.errors import UserError, listed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.dataset as pads  # it brings pandas, for which load has no use

CHUNK_ROWS = 65_536  # rows held in memory at a time, and rows of a Parquet row group; see chunk_rows
_CHUNK_CELLS = 64 * CHUNK_ROWS
PART_ROWS = 16 * CHUNK_ROWS  # rows of one part file
_COMPRESSION = "zstd"
_TRIED_ROWS = 8_192  # by which it is decided how a part is written
_REFUSED = "refused.txt"  # in place of the part files: why there is no table


def open_dataset(path: str | os.PathLike[str]) -> "pads.Dataset":
    """Open a dataset folder (or one Parquet file) without reading its rows.

    Raises:
        UserError: when there is nothing there, it is not Parquet, or the step that should have written it refused.
    """
    import pyarrow.dataset as pads

    place = Path(path)
    files = [str(place)] if place.is_file() else sorted(str(file) for file in place.glob("*.parquet"))
    if not files:
        if (place / _REFUSED).is_file():
            raise UserError((place / _REFUSED).read_text(encoding="utf-8"))
        raise UserError(f"there is no dataset at '{path}'; expected a folder of part-*.parquet files, as load writes")
    try:
        return pads.dataset(files, format="parquet")
    except pa.ArrowInvalid as error:
        raise UserError(f"the dataset at '{path}' is damaged and cannot be read as Parquet; load it again") from error


def refuse(artifact: Artifact, sentence: str) -> None:
    """Write a dataset that has no table: every step that opens it fails with `sentence`."""
    with publish(artifact.path) as folder:
        folder.mkdir()
        (folder / _REFUSED).write_text(sentence, encoding="utf-8")
    describe(artifact, {"verdict": "refused"})


def require_columns(dataset: "pads.Dataset", names: Iterable[str], role: str) -> None:
    """Raise a :class:`UserError` that lists the columns there are when one of `names` is not among them.

    `role` is what the column was asked for as: ``target``, ``feature``, ``group``, …
    """
    known = set(dataset.schema.names)
    for name in names:
        if name not in known:
            raise UserError(f"{role} '{name}' is not a column of this table; it has: {listed(dataset.schema.names)}")


def read_frame(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """The whole table, or some of its columns, as a pandas frame with a fresh index."""
    dataset = open_dataset(path)
    if columns is not None:
        require_columns(dataset, columns, "column")
    return to_frame(dataset.to_table(columns=list(columns) if columns is not None else None))


def to_frame(table: pa.Table | pa.RecordBatch) -> "pd.DataFrame":
    """The rows as a pandas frame, every value exact.

    pandas has no missing integer, so that a column with missing values becomes one of doubles; where a double would
    round one of its values, it becomes one of nullable integers instead.
    """
    import pandas as pd

    frame = table.to_pandas()
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if pa.types.is_integer(column.type) and column.null_count and is_large(column):
            nullable = pd.UInt64Dtype() if pa.types.is_unsigned_integer(column.type) else pd.Int64Dtype()
            frame[name] = column.cast(pa.uint64() if nullable.kind == "u" else pa.int64()).to_pandas(
                types_mapper=lambda _, nullable=nullable: nullable
            )
    return frame


def is_large(column: pa.Array | pa.ChunkedArray) -> bool:
    """Whether a double would round one of these integers."""
    bounds = pc.min_max(column).as_py()
    return bounds["min"] is not None and (bounds["min"] < -(2**53) or bounds["max"] > 2**53)


def iter_batches(
    path: "str | os.PathLike[str] | pads.Dataset",
    columns: Sequence[str] | None = None,
    most: int = CHUNK_ROWS,
    *,
    coded: bool = False,
) -> Iterator[pa.RecordBatch]:
    """The rows in order, in batches of at most `most`, of which three are held: the next is read meanwhile.

    Where texts are to be counted, `coded` gives them as dictionaries, which is how files hold them.
    """
    dataset = open_dataset(path) if isinstance(path, (str, os.PathLike)) else path
    if columns is not None:
        require_columns(dataset, columns, "column")
    names = list(columns) if columns is not None else dataset.schema.names
    schema = pa.schema([dataset.schema.field(name) for name in names])
    texts = [field.name for field in schema if coded and pa.types.is_string(field.type)]
    for name in texts:
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.dictionary(pa.int32(), pa.string())))

    def batches() -> Iterator[pa.RecordBatch]:
        for file in dataset.files:
            # A dataset scanner reads ahead, file by file, more than it says; a buffer that is filled before it is
            # asked for grows to the size of the file.
            with pq.ParquetFile(file, read_dictionary=texts, pre_buffer=False) as parquet:
                for batch in parquet.iter_batches(min(most, chunk_rows(dataset.schema)), columns=names):
                    yield batch.select(names).cast(schema)

    yield from ahead(batches())


class Fingerprint:
    """The SHA-256 of a table's content: its columns' names, types and values in row order.

    It does not depend on how the rows come in batches, on the part files, on dictionary encoding or on the Parquet
    writer's version: each column has digests of its own for validity, lengths and values, joined at the end.
    """

    def __init__(self, schema: pa.Schema):
        self._schema = schema
        self._columns = [(hashlib.sha256(), hashlib.sha256(), hashlib.sha256()) for _ in schema]

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        for (validity, lengths, values), array in zip(self._columns, batch.columns, strict=True):
            is_whole = not array.null_count  # of most columns, and a byte of each value is made at once then
            validity.update(b"\1" * len(array) if is_whole else _bytes(array.is_valid().cast(pa.uint8())))
            _hash_values(lengths, values, array.drop_null())

    def hexdigest(self) -> str:
        """The fingerprint of the rows so far, 64 hexadecimal digits."""
        whole = hashlib.sha256(json.dumps([(field.name, str(field.type)) for field in self._schema]).encode())
        for digests in self._columns:
            for digest in digests:
                whole.update(digest.digest())
        return whole.hexdigest()


def fingerprint(path: str | os.PathLike[str]) -> str:
    """The fingerprint of a dataset on disk, the same as the metadata key that `load` wrote for these rows."""
    total = Fingerprint(_plain_schema(open_dataset(path).schema))
    for batch in iter_batches(path):
        total.update(batch.cast(_plain_schema(batch.schema)))
    return total.hexdigest()


class DatasetWriter:
    """Writes batches to ``part-*.parquet`` files of a new folder and fingerprints what it writes.

    Holds one chunk of rows in memory. The files, too, do not depend on how the rows came in batches.
    """

    def __init__(self, folder: Path, schema: pa.Schema):
        self.schema = _plain_schema(schema)
        self.rows = 0
        self._folder = folder
        self._folder.mkdir(parents=True)
        self._chunk_rows = chunk_rows(self.schema)
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self.pending_bytes = 0  # of the rows that wait for their chunk to be complete
        self._writer: pq.ParquetWriter | None = None
        self._part_rows = 0
        self._parts = 0
        self._bytes = 0
        self._fingerprint = Fingerprint(self.schema)
        self._hasher = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush(self._pending_rows)
                if not self._parts:  # an empty table still has columns
                    self._write(pa.RecordBatch.from_pylist([], schema=self.schema))
        finally:
            self._hasher.shutdown()
            if self._writer is not None:
                self._writer.close()
        self._bytes = sum(file.stat().st_size for file in self._folder.glob("*.parquet"))

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; complete chunks go to disk."""
        self._pending.append(batch if batch.schema == self.schema else batch.cast(self.schema))
        self._pending_rows += batch.num_rows
        self.pending_bytes += batch.nbytes
        if self._pending_rows >= self._chunk_rows:
            self._flush(self._pending_rows - self._pending_rows % self._chunk_rows)

    def metadata(self, source: str) -> dict[str, Any]:
        """The metadata keys of a dataset artifact, to be called after the writer is closed."""
        return {
            "rows": self.rows,
            "columns": len(self.schema),
            "bytes": self._bytes,
            "fingerprint": self._fingerprint.hexdigest(),
            "source": source,
        }

    def _flush(self, rows: int) -> None:
        table = pa.Table.from_batches(self._pending, self.schema)
        for start in range(0, rows, self._chunk_rows):
            for chunk in table.slice(start, min(self._chunk_rows, rows - start)).combine_chunks().to_batches():
                self._write(chunk)
        self._pending = table.slice(rows).combine_chunks().to_batches()
        self._pending_rows -= rows
        self.pending_bytes = sum(batch.nbytes for batch in self._pending)

    def _write(self, chunk: pa.RecordBatch) -> None:
        if self._writer is None or self._part_rows >= PART_ROWS:
            if self._writer is not None:
                self._writer.close()
            name = f"part-{self._parts:05d}.parquet"
            self._writer = pq.ParquetWriter(self._folder / name, self.schema, **_encodings(chunk))
            self._parts += 1
            self._part_rows = 0
        hashing = self._hasher.submit(self._fingerprint.update, chunk)  # both leave the other its core
        self._writer.write_batch(chunk, row_group_size=max(1, chunk.num_rows))
        hashing.result()
        self._part_rows += chunk.num_rows
        self.rows += chunk.num_rows


def _encodings(chunk: pa.RecordBatch) -> dict[str, Any]:
    """How a part that begins with these rows is written, as arguments of the Parquet writer.

    Whole numbers and times are tried: as a dictionary, or as differences in as few bits as these take, most take less
    room, and less time to be written and read. Of numbers with fractions a dictionary takes twice the time, and
    more room than the numbers themselves.
    """
    kinds = (pa.types.is_integer, pa.types.is_timestamp)
    tried = [field.name for field in chunk.schema if any(is_one(field.type) for is_one in kinds)]
    few = chunk.slice(0, _TRIED_ROWS).select(tried)
    as_differences = dict.fromkeys(tried, "DELTA_BINARY_PACKED")
    coded = _sizes(few, use_dictionary=True)
    packed = _sizes(few, use_dictionary=False, column_encoding=as_differences)
    plain = _sizes(few, use_dictionary=False)
    dictionaries = [field.name for field in chunk.schema if not pa.types.is_primitive(field.type)]
    for name in tried:
        least = min(coded[name], packed[name], plain[name])
        if coded[name] == least:
            dictionaries.append(name)
        if packed[name] != least or coded[name] == least:
            del as_differences[name]
    return {"compression": _COMPRESSION, "use_dictionary": dictionaries, "column_encoding": as_differences}


def _sizes(rows: pa.RecordBatch, **encodings: Any) -> dict[str, int]:
    """The bytes of each column as Parquet."""
    file = pa.BufferOutputStream()
    with pq.ParquetWriter(file, rows.schema, compression=_COMPRESSION, **encodings) as writer:
        writer.write_batch(rows)
    group = pq.read_metadata(pa.BufferReader(file.getvalue())).row_group(0)
    return {name: group.column(place).total_compressed_size for place, name in enumerate(rows.schema.names)}


def chunk_rows(schema: pa.Schema) -> int:
    """Rows held in memory at a time: `CHUNK_ROWS`, and fewer when the table is wider than 64 columns."""
    return max(1_024, min(CHUNK_ROWS, _CHUNK_CELLS // max(1, len(schema))))


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    """Without metadata, dictionary encoding and other names of UTC: they are about storage and not about content."""

    def plain(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_timestamp(kind) and kind.tz in ("Etc/UTC", "+00:00"):
            return pa.timestamp(kind.unit, "UTC")
        return kind.value_type if pa.types.is_dictionary(kind) else kind

    return pa.schema([pa.field(field.name, plain(field.type)) for field in schema])


def _hash_values(lengths: "hashlib._Hash", values: "hashlib._Hash", array: pa.Array) -> None:
    """Hash values without nulls, free of offsets, padding and of what stands under a null."""
    kind = array.type
    if pa.types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif pa.types.is_nested(kind):  # nested values have no canonical buffer of their own
        array = pa.array([repr(value) for value in array.to_pylist()], pa.large_string())
    elif not pa.types.is_primitive(kind):
        array = array.cast(pa.large_binary() if _is_binary(kind) else pa.large_string())
    if pa.types.is_primitive(array.type):
        values.update(_bytes(array))
        return
    lengths.update(_bytes(pc.binary_length(array)))
    if len(array):
        offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
        if offsets[-1] > offsets[0]:
            values.update(array.buffers()[2].slice(offsets[0], offsets[-1] - offsets[0]))


def _bytes(array: pa.Array) -> "pa.Buffer | bytes":
    """The values of an array of numbers without nulls, as they lie in memory."""
    width = array.type.bit_width // 8
    return array.buffers()[1].slice(array.offset * width, len(array) * width) if len(array) else b""


def _is_binary(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(is_one(kind) for is_one in kinds)


def write_dataset(
    artifact: Artifact, schema: pa.Schema, batches: Iterable[pa.RecordBatch], folder: Path, source: str
) -> DatasetWriter:
    """Write all `batches` into `folder` (as :func:`kubeline.artifacts.publish` yields) and describe the artifact."""
    with DatasetWriter(folder, schema) as writer:
        for batch in batches:
            writer.write(batch)
    describe(artifact, writer.metadata(source))
    return writer
