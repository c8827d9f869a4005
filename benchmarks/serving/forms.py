"""The forms in which a server is asked the same question: bytes of requests, and probabilities out of answers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.serving.flights import Question
from benchmarks.serving.http_load import post
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline.open_inference.tensors import encode_raw
from kubeline.typing import Array

TEXTS = frozenset({"carrier", "origin", "dest"})
TOLERANCE = 1e-5  # float32 of ONNX Runtime against float64 of scikit-learn


@dataclass(frozen=True)
class Form:
    """One form of a request.

    Attributes:
        name: the row of the table that it stands in: ``v1``, ``v2``, ``v2 binary`` or ``gRPC``.
        build: a question's bytes, for HTTP a whole request.
        read: an answer's probabilities, shape (rows, classes).
    """

    name: str
    build: Callable[[Question], bytes]
    read: Callable[[bytes, Question], Array]

    @property
    def is_grpc(self) -> bool:
        """Whether it is asked over gRPC."""
        return self.name == "gRPC"

    def differs(self, answer: bytes, question: Question) -> bool:
        """Whether an answer is not that of the scikit-learn pipeline."""
        found = self.read(answer, question)
        return found.shape != question.expected.shape or not any(
            np.allclose(found, expected, atol=TOLERANCE) for expected in (question.expected, question.of_plain_frame)
        )


def records(path: str, key: str = "predictions") -> Form:
    """``{"instances": [record, …]}``, answered by a list of lists under `key`."""
    return Form("v1", lambda question: post(path, _json({"instances": question.rows})), _reader(key))


def columns(path: str) -> Form:
    """v1 as KServe's own path takes it: one instance that holds a list for each column.

    A plain record of scalars is answered with 500, and with one instance a row each becomes a DataFrame of its own.
    """
    return Form(
        "v1",
        lambda question: post(path, _json({"instances": [_columns(question)]})),
        _reader("predictions"),
    )


def v2(path: str, output: str = "probability", extra: dict[str, Any] | None = None, text: Any = None) -> Form:
    """The Open Inference Protocol in JSON; `extra` stands in the request, `text` in tensors of text."""

    def build(question: Question) -> bytes:
        tensors = [
            {**_tensor(question, name), "data": values, **(text if text and name in TEXTS else {})}
            for name, values in _columns(question).items()
        ]
        return post(path, _json({"inputs": tensors, **(extra or {})}))

    def read(answer: bytes, question: Question) -> Array:
        tensor = _named(json.loads(answer)["outputs"], output)
        return np.asarray(tensor["data"]).reshape(tensor["shape"])

    return Form("v2", build, read)


def v2_binary(path: str, output: str = "probability", extra: dict[str, Any] | None = None) -> Form:
    """The Open Inference Protocol with raw tensors behind the JSON, in requests and answers."""

    def build(question: Question) -> bytes:
        raws = {name: _raw(name, values) for name, values in _columns(question).items()}
        tensors = [
            {**_tensor(question, name), "parameters": {"binary_data_size": len(raw)}} for name, raw in raws.items()
        ]
        header = _json({"inputs": tensors, "parameters": {**(extra or {}), "binary_data_output": True}})
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(header))}
        return post(path, b"".join([header, *raws.values()]), headers)

    def read(answer: bytes, question: Question) -> Array:
        content, start = json.JSONDecoder().raw_decode(answer.decode("latin-1"))
        for tensor in content["outputs"]:
            size: int | None = (tensor.get("parameters") or {}).get("binary_data_size")
            if size is None:
                if tensor["name"] == output:
                    return np.asarray(tensor["data"]).reshape(tensor["shape"])
                continue
            if tensor["name"] == output:
                return _from_raw(answer[start : start + size], tensor["datatype"], tensor["shape"])
            start += size
        raise ValueError(f"the answer has no output '{output}'")

    return Form("v2 binary", build, read)


def grpc_form(
    model: str, output: str = "probability", raw: bool = True, pandas: bool = False, text: bool = False
) -> Form:
    """ModelInfer, with raw tensors or, unless `raw`, typed ones; `pandas` and `text` are hints some servers need."""

    def build(question: Question) -> bytes:
        request = messages.ModelInferRequest(model_name=model)
        if pandas:
            request.parameters["content_type"].string_param = "pd"
        for name, values in _columns(question).items():
            tensor = request.inputs.add(**_tensor(question, name))
            if text and name in TEXTS:
                tensor.parameters["content_type"].string_param = "str"
            if raw:
                request.raw_input_contents.append(_raw(name, values))
            elif name in TEXTS:
                tensor.contents.bytes_contents.extend(value.encode() for value in values)
            else:
                tensor.contents.fp32_contents.extend(values)
        content: bytes = request.SerializeToString()
        return content

    def read(answer: bytes, question: Question) -> Array:
        response = messages.ModelInferResponse.FromString(answer)
        names = [tensor.name for tensor in response.outputs]
        place = names.index(output)
        tensor = response.outputs[place]
        if response.raw_output_contents:
            return _from_raw(response.raw_output_contents[place], tensor.datatype, tensor.shape)
        contents = tensor.contents.fp64_contents or tensor.contents.fp32_contents
        return np.asarray(contents).reshape(tuple(tensor.shape))

    return Form("gRPC", build, read)


def _reader(key: str) -> Callable[[bytes, Question], Array]:
    return lambda answer, question: np.asarray(json.loads(answer)[key])


def _columns(question: Question) -> dict[str, list[Any]]:
    return {name: [row[name] for row in question.rows] for name in question.rows[0]}


def _tensor(question: Question, name: str) -> dict[str, Any]:
    return {"name": name, "shape": [len(question.rows), 1], "datatype": "BYTES" if name in TEXTS else "FP32"}


def _named(outputs: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(output for output in outputs if output["name"] == name)


def _raw(name: str, values: Sequence[Any]) -> bytes:
    return encode_raw(values if name in TEXTS else np.array(values, dtype=np.float32))


def _from_raw(raw: bytes, datatype: str, shape: Sequence[int]) -> Array:
    return np.frombuffer(raw, {"FP32": np.float32, "FP64": np.float64}[datatype]).reshape(tuple(shape))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
