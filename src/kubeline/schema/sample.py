"""Some rows of a table, gathered while it is read."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.schema.document import TableSchema
from kubeline.schema.types import is_readable, read_column, series_of


class Sample:
    """A random choice of the rows, made before any of them is read; always the same of the same number of rows.

    Args:
        rows: Of the table.
        most: At most so many are chosen.
    """

    def __init__(self, rows: int, most: int):
        self._chosen = np.sort(np.random.default_rng(0).choice(rows, min(rows, most), replace=False))
        self._parts: dict[str, list[pa.Array]] = defaultdict(list)

    def add(self, batch: pa.RecordBatch, start: int) -> None:
        """Take the chosen ones of a chunk of some columns, whose first row is the `start`-th of the table."""
        low, high = np.searchsorted(self._chosen, [start, start + batch.num_rows])
        taken = batch.take(pa.array(self._chosen[low:high] - start))
        for name, column in zip(taken.schema.names, taken.columns, strict=True):
            self._parts[name].append(column)

    def frame(self, stored: pa.Schema, schema: TableSchema) -> pd.DataFrame:
        """The rows, in the schema's types where they can be read as such."""
        columns = {}
        for field in stored:
            values = pa.chunked_array(self._parts[field.name], field.type).combine_chunks()
            expected = schema.columns[field.name].type if field.name in schema.columns else "any"
            expected = expected if is_readable(values.type, expected) else "any"
            columns[field.name] = series_of(read_column(values, expected)[0])
        return pd.DataFrame(columns)
