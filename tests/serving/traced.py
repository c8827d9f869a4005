"""Exchanges that belong to a trace."""

from typing import Any

from kubeline_serving.exchange import Exchange


def exchange(traceparent: str = "", **facts: Any) -> Exchange:
    given: dict[str, Any] = {"protocol": "v2", "status": 200, "tracestate": "", **facts}
    return Exchange(
        request_id="r-1",
        traceparent=traceparent,
        time=1_700_000_000.0,
        arrived=0.0,
        rows=3,
        queue_seconds=0.001,
        parse_seconds=0.002,
        predict_seconds=0.003,
        serialise_seconds=0.004,
        total_seconds=0.0125,
        **given,
    )
