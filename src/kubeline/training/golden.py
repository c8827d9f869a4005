"""Golden rows: a few held-out rows with the answers ONNX gave in training, to hold a server against."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kubeline.model_package.package import EXPECTED_PREDICTION, EXPECTED_PROBABILITY
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.training.table import TrainingTable
from kubeline.typing import Array

ROWS = 20


def golden_rows(table: TrainingTable, signature: Signature, held: Array, found: Predictions) -> bytes:
    """A Parquet file of up to `ROWS` held-out rows.

    Every class and every column with missing values is among them where the number of rows allows.

    Args:
        table: the table.
        signature: whose features are kept, as they came.
        held: positions of the held-out rows.
        found: predictions of ONNX for these rows.
    """
    shown = table.raw.select(signature.names).take(pa.array(held))
    chosen = np.array(_choose(table, shown, held))
    rows = _plain(shown.take(pa.array(chosen)))
    rows = rows.append_column(EXPECTED_PREDICTION, pa.array(found.values[chosen]))
    if found.probabilities is not None:
        for k, label in enumerate(signature.classes or ()):
            column = pa.array(found.probabilities[chosen, k].astype(np.float64))
            rows = rows.append_column(f"{EXPECTED_PROBABILITY}{label}", column)
    stream = io.BytesIO()
    pq.write_table(rows.replace_schema_metadata(), stream)
    return stream.getvalue()


def _plain(rows: pa.Table) -> pa.Table:
    """With texts for dictionaries of them."""
    kinds = [(one.name, one.type.value_type if pa.types.is_dictionary(one.type) else one.type) for one in rows.schema]
    return rows.cast(pa.schema(kinds))


def _choose(table: TrainingTable, shown: pa.Table, held: Array) -> list[int]:
    """Places in `held`: the first row of each class, the first with each column missing, then rows evenly spread."""
    places: list[int] = []
    if table.classes is not None:
        places += np.unique(table.y[held], return_index=True)[1].tolist()
    for column in shown.columns:
        missing = np.flatnonzero(column.is_null(nan_is_null=True).to_numpy())
        places += missing[:1].tolist()
    places += np.linspace(0, len(held) - 1, num=min(len(held), 2 * ROWS)).round().astype(int)[::2].tolist()
    places += range(len(held))
    return sorted(list(dict.fromkeys(places))[:ROWS])
