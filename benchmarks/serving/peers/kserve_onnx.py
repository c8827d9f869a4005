"""KServe's SDK with ONNX Runtime: its protocols, and a model that needs no DataFrame.

python -m benchmarks.serving.peers.kserve_onnx --model_dir FOLDER --model_name NAME --http_port N --grpc_port N
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.utils.utils import generate_uuid


class OnnxModel(Model):  # type: ignore[misc]  # kserve's are not known here
    """Answers probabilities by ONNX Runtime."""

    def __init__(self, name: str, folder: Path):
        super().__init__(name)
        signature = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
        self._columns = [
            (feature["name"], object if feature["kind"] == "category" else np.float32)
            for feature in signature["features"]
        ]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self.ready = True

    def predict(self, payload: Any, headers: Any = None) -> Any:
        """Probabilities of one request."""
        if isinstance(payload, InferRequest):
            tensors = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
            answer = self._answer({name: _converted(tensors[name], dtype) for name, dtype in self._columns})
            output = InferOutput("probability", list(answer.shape), "FP32")
            output.set_data_from_numpy(answer, binary_data=payload.use_binary_outputs)
            # without an id KServe's REST endpoint refuses the answer
            return InferResponse(
                payload.id or generate_uuid(), self.name, [output], use_binary_outputs=payload.use_binary_outputs
            )
        rows = payload["instances"]
        columns = {
            name: np.array([row[name] for row in rows], dtype=dtype).reshape(-1, 1) for name, dtype in self._columns
        }
        return {"predictions": self._answer(columns).tolist()}

    def _answer(self, columns: dict[str, Any]) -> Any:
        return self._session.run(["output.probabilities"], columns)[0]


def _converted(values: Any, dtype: Any) -> Any:
    if dtype is object and isinstance(values.flat[0], bytes):  # raw tensors of text stay bytes
        return np.array([value.decode() for value in values.flat], dtype=object).reshape(values.shape)
    return values.astype(dtype)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser])
    parser.add_argument("--model_dir", type=Path, required=True)
    arguments = parser.parse_args()
    ModelServer().start([OnnxModel(arguments.model_name, arguments.model_dir)])
