"""Reading the Parquet files of a package, a few of whose bytes may stand for any number of rows."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from kubeline.errors import UserError


def read_table(content: bytes, most: int, what: str) -> pa.Table:
    """The table that a Parquet file holds.

    Args:
        content: of the file.
        most: bytes that the table may take, when each of its rows took all that is encoded in the file: values that
            many rows share are in a file once.
        what: it is, for errors.

    Raises:
        UserError: when it is no Parquet file, or the table could take more.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        rows = file.metadata.num_rows
        encoded = sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
        if rows * encoded > most:
            raise UserError(f"{what} has {rows:,} rows of {encoded:,} encoded bytes, which is more than is read")
        return file.read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{what} is no Parquet file or is damaged ({' '.join(str(error).split())})") from error
