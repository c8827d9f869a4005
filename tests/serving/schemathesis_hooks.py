"""What the schemas of the OpenAPI document cannot say, for Schemathesis, which loads this file."""

from typing import Any

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("date-time-local", st.datetimes().map(lambda time: time.isoformat()))


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """All columns of a v1 request are of one length."""
    columns = body.get("inputs") if isinstance(body, dict) and "instances" not in body else None
    if not isinstance(columns, dict):
        return True
    return len({len(values) if isinstance(values, list) else -1 for values in columns.values()}) == 1
