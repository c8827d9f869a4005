"""The bare limit: uvicorn, orjson and ONNX Runtime, with no contract at all.

Nothing is checked, counted, limited or logged: the least that can be done to answer this model over HTTP in Python.

    python -m benchmarks.serving.peers.bare_asgi --model_dir FOLDER --http_port N
"""

import argparse
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson
import uvicorn

Scope = dict[str, Any]


def application(folder: Path) -> Callable[..., Awaitable[None]]:
    """Answers probabilities to v1 records and to v2 tensors, distinguished by their keys."""
    features = json.loads((folder / "schema.json").read_text(encoding="utf-8"))["features"]
    columns = [
        (feature["name"], np.dtype(object if feature["kind"] == "category" else np.float32)) for feature in features
    ]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)

    def answer(body: bytes) -> bytes:
        if not body:  # a question for readiness
            return b"{}"
        request = orjson.loads(body)
        rows = request.get("instances")
        if rows is not None:
            values = {name: [row[name] for row in rows] for name, _ in columns}
        else:
            values = {tensor["name"]: tensor["data"] for tensor in request["inputs"]}
        inputs = {name: np.array(values[name], dtype=dtype).reshape(-1, 1) for name, dtype in columns}
        probabilities = session.run(["output.probabilities"], inputs)[0]
        if rows is not None:
            return orjson.dumps({"predictions": probabilities}, option=orjson.OPT_SERIALIZE_NUMPY)
        output = {
            "name": "probability",
            "datatype": "FP32",
            "shape": probabilities.shape,
            "data": probabilities.reshape(-1),
        }
        return orjson.dumps({"model_name": "flights", "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY)

    async def app(scope: Scope, receive: Callable[[], Awaitable[Scope]], send: Callable[[Scope], Any]) -> None:
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        content = answer(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_dir", type=Path, required=True)
    parser.add_argument("--http_port", type=int, required=True)
    arguments = parser.parse_args()
    uvicorn.run(
        application(arguments.model_dir), host="127.0.0.1", port=arguments.http_port, log_level="warning",
        access_log=False, loop="uvloop", http="httptools", lifespan="off",
    )  # fmt: skip
