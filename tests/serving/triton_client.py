"""Asks a server with Triton's own client and prints what it answered as JSON; a process of its own.

``tritonclient`` registers the same protobuf messages as KServe's SDK, so that one process can hold only one of them.

    python triton_client.py http|grpc|http-async|grpc-async ADDRESS MODEL VERSION
"""

import asyncio
import inspect
import json
import sys
from importlib import import_module
from typing import Any

import numpy as np

COLUMNS = {
    "departure": ("BYTES", np.array([["2013-01-01T06:00:00"], [""]], dtype=object)),
    "rush": ("FP32", np.array([[1], [np.nan]], dtype=np.float32)),
    "carrier": ("BYTES", np.array([[b"AA"], ["né"]], dtype=object)),
    "amount": ("FP64", np.array([[1.5], [np.nan]], dtype=np.float64)),
}


async def ask(kind: str, address: str, model: str, version: str) -> dict[str, Any]:
    """Everything that a client does before, with and after a prediction, in JSON."""
    library = import_module(f"tritonclient.{kind.replace('-async', '.aio')}")
    client = library.InferenceServerClient(address)
    over_grpc = kind.startswith("grpc")
    as_json = {"as_json": True} if over_grpc else {}

    async def call(method: str, *arguments: Any, **options: Any) -> Any:
        answer = getattr(client, method)(*arguments, **options)
        return await answer if inspect.isawaitable(answer) else answer

    found = {
        "live": await call("is_server_live"),
        "ready": await call("is_server_ready"),
        "model ready": await call("is_model_ready", model, version),
        "server": await call("get_server_metadata", **as_json),
        "model": await call("get_model_metadata", model, **as_json),
    }
    if not over_grpc:  # KServe's protocol has no index by gRPC
        found["index"] = await call("get_model_repository_index")
    for form in ("raw", *([] if over_grpc else ["JSON"])):
        inputs = _tensors(library, form)
        raw = [] if over_grpc else [form == "raw"]
        wanted = [library.InferRequestedOutput(output, *raw) for output in ("prediction", "probability")]
        answer = await call("infer", model, inputs, version, outputs=wanted, request_id="42")
        labels = answer.as_numpy("prediction").tolist()
        found[form] = {
            "prediction": [label.decode() if isinstance(label, bytes) else label for label in labels],
            "probability": answer.as_numpy("probability").tolist(),
        }
    try:
        await call("infer", model, inputs[1:])
    except import_module("tritonclient.utils").InferenceServerException as refused:
        found["refused"] = refused.message()
    await call("close")
    return found


def _tensors(library: Any, form: str) -> list[Any]:
    """Raw bytes for both rows; in JSON the first row only, because the second one holds NaN, which JSON has not."""
    tensors = []
    for column, (datatype, both) in COLUMNS.items():
        values = both if form == "raw" else both[:1]
        tensors.append(library.InferInput(column, list(values.shape), datatype))
        tensors[-1].set_data_from_numpy(values, **({"binary_data": False} if form == "JSON" else {}))
    return tensors


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(*sys.argv[1:]))))
