"""Golden rows: a few held-out rows with the answers ONNX gave in training, to hold a server against."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from kubeline.model_package.golden_rows import to_bytes
from kubeline.model_package.plain_values import plain_values
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.training.table import TrainingTable
from kubeline.typing import Array

ROWS = 20


def golden_rows(table: TrainingTable, signature: Signature, held: Array, found: Predictions) -> bytes:
    """``golden.json`` with up to `ROWS` held-out rows.

    Every class and every column with missing values is among them where the number of rows allows.

    Args:
        table: the table.
        signature: whose features are kept.
        held: positions of the held-out rows.
        found: predictions of ONNX for these rows.
    """
    chosen = np.array(_choose(table, signature.names, held))
    read = table.raw.select(signature.names)
    rows = pa.concat_tables([read.slice(place, 1) for place in held[chosen]])  # take would copy whole columns first
    columns = [plain_values(rows[feature.name], feature.kind) for feature in signature.features]
    records = [dict(zip(signature.names, row, strict=True)) for row in zip(*columns, strict=True)]
    return to_bytes(records, found.part(chosen))


def _choose(table: TrainingTable, names: Sequence[str], held: Array) -> list[int]:
    """Places in `held`: the first row of each class, the first with each column missing, then rows evenly spread."""
    places: list[int] = []
    if table.classes is not None:
        places += np.unique(table.y[held], return_index=True)[1].tolist()
    for name in names:
        places += np.flatnonzero(table.is_missing(name, held))[:1].tolist()
    places += np.linspace(0, len(held) - 1, num=min(len(held), 2 * ROWS)).round().astype(int)[::2].tolist()
    places += range(len(held))
    return sorted(list(dict.fromkeys(places))[:ROWS])
