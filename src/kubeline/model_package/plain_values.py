"""Columns of a package's tables as a client of the model server sends them; needs neither pandas nor a model."""

import math
from datetime import UTC, date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from kubeline.columns import Kind

if TYPE_CHECKING:
    import pyarrow as pa


def plain_values(column: "pa.Array | pa.ChunkedArray", kind: Kind) -> list[Any]:
    """The values as JSON has them: None where one is missing, times as ISO 8601 text (those of a zone in UTC).

    Args:
        column: of any type that a feature of this kind may have.
        kind: of the feature.
    """
    import pyarrow as pa

    if kind != "datetime":
        return [_plain(value) for value in column.to_pylist()]
    if not pa.types.is_timestamp(column.type):
        return [value.isoformat() if isinstance(value, date) else value for value in column.to_pylist()]
    zone = UTC if column.type.tz else None
    # By NumPy, since Python has no nanoseconds, and Arrow takes pandas for them.
    moments = column.to_numpy(zero_copy_only=False).astype("datetime64[us]").astype(object)
    return [None if moment is None else moment.replace(tzinfo=zone).isoformat() for moment in moments]


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    return float(value) if isinstance(value, Decimal) else value
