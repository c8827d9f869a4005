"""Columns of Arrow as a client of the model server sends them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from kubeline.columns import Kind
from kubeline.model_package.plain_values import plain_values

NEW_YEAR = datetime.fromisoformat("2013-01-01T05:00")


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (pa.array([1, None, 2**53 + 1]), "number", [1, None, 2**53 + 1]),
        (pa.array([0.5, float("nan"), None]), "number", [0.5, None, None]),
        (pa.array([0.5, float("nan")], pa.float16()), "number", [0.5, None]),
        (pa.array([Decimal("1.25"), None]), "number", [1.25, None]),
        (pa.array([True, None, False]), "boolean", [True, None, False]),
        (pa.array(["UA", None, "UA"]).dictionary_encode(), "category", ["UA", None, "UA"]),
        (pa.array([NEW_YEAR, None], pa.timestamp("s")), "datetime", ["2013-01-01T05:00:00", None]),
        (
            pa.array([1357016400123456789, -1], pa.timestamp("ns")),
            "datetime",
            ["2013-01-01T05:00:00.123456", "1969-12-31T23:59:59.999999"],
        ),
        (pa.array([NEW_YEAR], pa.timestamp("us", "America/New_York")), "datetime", ["2013-01-01T05:00:00+00:00"]),
        (pa.array([date(2013, 1, 1), None]), "datetime", ["2013-01-01", None]),
        (pa.array(["2013-01-01T05:00", None]), "datetime", ["2013-01-01T05:00", None]),
    ],
)
def test_values_are_those_of_json(column: pa.Array, kind: Kind, values: list[Any]) -> None:
    for given in (column, pa.chunked_array([column])):
        found = plain_values(given, kind)
        assert found == values
        assert list(map(type, found)) == list(map(type, values))
