"""Exchanges as the server makes them, without a server."""

import json
import time
from typing import Any

import numpy as np
import pandas as pd

from kubeline.model_package import ModelPackage, Signature
from kubeline.typing import Array
from kubeline_serving.codec.columns import Encoder
from kubeline_serving.codec.inputs import InputColumns, Inputs
from kubeline_serving.exchange import Exchange, ProtocolName
from kubeline_serving.inference.model import ServedModel
from tests.support.packages import ROWS

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


def encoded(signature: Signature, frame: pd.DataFrame) -> Inputs:
    """The rows of a frame, as the server reads them of a request."""
    rows = json.loads(frame[signature.names].to_json(orient="values", date_format="iso", date_unit="us"))
    return Encoder(signature).encode(list(zip(*rows, strict=True)), len(frame))


def texts_of(columns: InputColumns, inputs: Inputs, place: int) -> Array:
    """The values of a category column, as text in an object array of shape (rows,)."""
    unseen = inputs.unseen[place] if inputs.unseen else []
    return np.array([*columns.vocabularies[place], *unseen], dtype=object)[inputs.codes[place]]


def answered(
    package: ModelPackage, frame: pd.DataFrame = ROWS, protocol: ProtocolName = "v2", **facts: Any
) -> Exchange:
    """The exchange of a request with these rows, answered by the package's own model."""
    inputs = encoded(package.signature, frame)
    predictions = ServedModel("tiny", package.path).predict([inputs])
    durations = {
        "queue_seconds": 0.00002,
        "parse_seconds": 0.0004,
        "predict_seconds": 0.003,
        "serialise_seconds": 0.0002,
        "total_seconds": 0.004,
    }
    given = {"request_id": "r-1", "traceparent": "", "tracestate": "", "time": time.time(), **durations, **facts}
    return Exchange(
        protocol,
        arrived=time.perf_counter(),
        status=200,
        rows=len(frame),
        inputs=inputs,
        predictions=predictions,
        **given,
    )


def refused(status: int, error: str = "", protocol: ProtocolName = "v2", **facts: Any) -> Exchange:
    """The exchange of a request that was not answered."""
    given = {"request_id": "r-2", "traceparent": "", "tracestate": "", "time": time.time(), **facts}
    return Exchange(protocol, arrived=time.perf_counter(), status=status, error=error, total_seconds=0.001, **given)
