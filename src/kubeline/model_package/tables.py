"""Reading the Parquet file of a package, a few of whose bytes may stand for any number of rows."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from kubeline.errors import UserError

# Bytes that a byte of a compressed page may become. Others, which may become thousands, no package has.
_EXPANSION = {"UNCOMPRESSED": 1, "SNAPPY": 22}
_FIXED = {"BOOLEAN": 1, "INT32": 8, "INT64": 8, "FLOAT": 8, "DOUBLE": 8, "INT96": 12}  # of a value in memory, at most
_MAX_GROUPS = 1_000_000  # row groups, times columns


def read_table(content: bytes, most: int, what: str) -> pa.Table:
    """The table that a Parquet file holds.

    What the file says of its sizes counts only as far as it binds the reader: the rows of each group, and where the
    bytes of its columns are. What a row takes at most follows from these bytes.

    Args:
        content: of the file.
        most: bytes that the table may take: values that many rows share are in a file once.
        what: it is, for errors.

    Raises:
        UserError: when it is no Parquet file, or the table takes more.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        metadata = file.metadata
        if metadata.num_row_groups * metadata.num_columns > _MAX_GROUPS:
            raise UserError(f"{what} has {metadata.num_row_groups:,} groups of rows, which are more than are read")
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        rows = sum(group.num_rows for group in groups)
        if min([metadata.num_rows, *(group.num_rows for group in groups)]) < 0 or rows != metadata.num_rows:
            raise UserError(f"{what} says that it has {metadata.num_rows:,} rows, but its groups say {rows:,}")
        if (bound := sum(_most_bytes(group, len(content), what) for group in groups)) > most:
            raise UserError(f"{what} has {rows:,} rows that could take {bound:,} bytes, which is more than is read")
        return file.read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{what} is no Parquet file or is damaged ({' '.join(str(error).split())})") from error


def _most_bytes(group: pq.RowGroupMetaData, size: int, what: str) -> int:
    """What the rows of a group could take, if each had all that is encoded of a column for all of them."""
    total = 0
    for place in range(group.num_columns):
        column = group.column(place)
        expansion = _EXPANSION.get(column.compression)
        if expansion is None:
            raise UserError(f"{what} is compressed with {column.compression}; Parquet with Snappy or none is read")
        if not 0 <= column.total_compressed_size <= size:
            raise UserError(f"{what} says that a column has {column.total_compressed_size:,} bytes, more than the file")
        longest = _FIXED.get(column.physical_type) or expansion * column.total_compressed_size
        total += group.num_rows * longest
    return total
