"""A model package as a KServe model."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput
from kserve.utils.numpy_codec import from_np_dtype

from kubeline.errors import UserError, listed
from kubeline.model_package import ModelPackage, Predictions, Predictor, Signature
from serving.columns import encode
from serving.requests import parse_json, v1_columns, v2_columns

_DATATYPES = {"number": "FP32", "boolean": "BOOL", "category": "BYTES", "datetime": "BYTES"}


class RefusedInput(InvalidInput):
    """A request that cannot be answered, told in one sentence; HTTP 400, gRPC INVALID_ARGUMENT."""


class PackageModel(Model):
    """Answers predictions of a model package, which is verified before any of it is loaded.

    Args:
        name: of the model in URLs.
        folder: the model package.
        threads: that ONNX Runtime takes for one prediction.
        digest: of the only package that may be served; empty for any.
    """

    def __init__(self, name: str, folder: Path, threads: int = 1, digest: str = ""):
        super().__init__(name)
        self.folder = folder
        self.threads = threads
        self.digest = digest
        self.version = ""
        self._predictor: Predictor
        self._outputs: list[InferOutput] = []

    def load(self) -> bool:
        """Verify the package, load it, and let it answer one row of missing values.

        Raises:
            UserError: when a file of the package is missing or was changed, it is another package than the blessed one,
                or the model cannot be loaded.
        """
        package = ModelPackage.open(self.folder)
        if self.digest and package.digest != self.digest:
            raise UserError(
                f"the package at '{self.folder}' is {package.digest[:12]}, but {self.digest[:12]} was blessed for this "
                "deployment; deploy this package with blessings of its own, or correct the storage URI"
            )
        try:
            self._predictor = package.predictor(threads=self.threads)
            self._outputs = self._tensors(self._predict({name: [None] for name in self.signature.names}))
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise UserError(f"ONNX Runtime cannot run model.onnx of the package at '{self.folder}': {error}") from error
        self.version = package.digest[:12]
        self.ready = True
        return self.ready

    @property
    def signature(self) -> Signature:
        """What the model reads and answers."""
        return self._predictor.signature

    def get_input_types(self) -> list[dict[str, Any]]:
        """The columns, in the order in which lists of values are read; -1 stands for any number of rows."""
        return [
            {"name": feature.name, "datatype": _DATATYPES[feature.kind], "shape": [-1, 1]}
            for feature in self.signature.features
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The tensors of an answer; -1 stands for any number of rows."""
        return [
            {"name": output.name, "datatype": output.datatype, "shape": [-1, *output.shape[1:]]}
            for output in self._outputs
        ]

    async def predict(
        self, payload: Any, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> dict[str, Any] | InferResponse:
        """Answer a request in a worker thread, so that health checks never wait for a prediction.

        Args:
            payload: the JSON bytes or the parsed body of a v1 request, or a v2 request.
            headers: of the request; not read.
            response_headers: not written.

        Raises:
            RefusedInput: names what is wrong with the request.
        """
        try:
            return await asyncio.to_thread(self._answer, payload)
        except UserError as error:
            raise RefusedInput(str(error)) from error

    def _answer(self, payload: Any) -> dict[str, Any] | InferResponse:
        if isinstance(payload, InferRequest):
            return self._v2(payload)
        body = parse_json(payload) if isinstance(payload, bytes) else payload
        return self._v1(self._predict(v1_columns(body, self.signature)))

    def _predict(self, columns: Any) -> Predictions:
        return self._predictor.predict_inputs(encode(columns, self.signature))

    def _v1(self, predictions: Predictions) -> dict[str, Any]:
        answer: dict[str, Any] = {"predictions": predictions.values.tolist()}
        if predictions.probabilities is not None:
            answer["classes"] = self.signature.classes
            answer["probabilities"] = predictions.probabilities.tolist()
        return answer

    def _v2(self, request: InferRequest) -> InferResponse:
        wanted = [output.name for output in request.request_outputs or []]
        unknown = [name for name in wanted if name not in {output.name for output in self._outputs}]
        if unknown:
            known = listed(output.name for output in self._outputs)
            raise UserError(f"the model has no output '{unknown[0]}'; it has: {known}")
        outputs = self._tensors(self._predict(v2_columns(request.inputs, self.signature)))
        return InferResponse(
            response_id=request.id or str(uuid.uuid4()),
            model_name=self.name,
            model_version=self.version,
            infer_outputs=[output for output in outputs if not wanted or output.name in wanted],
            from_grpc=request.from_grpc,
            # gRPC always answers raw: arrays do, and KServe fails on them when told so
            use_binary_outputs=request.use_binary_outputs and not request.from_grpc,
            requested_outputs=request.request_outputs,
        )

    def _tensors(self, predictions: Predictions) -> list[InferOutput]:
        outputs = [_tensor("prediction", predictions.values)]
        if predictions.probabilities is not None:
            classes = {"classes": json.dumps(self.signature.classes)}  # a parameter of the protocol is no list
            outputs.append(_tensor("probability", predictions.probabilities, classes))
        return outputs


def _tensor(name: str, values: np.ndarray[Any, Any], parameters: dict[str, str] | None = None) -> InferOutput:
    return InferOutput(name, list(values.shape), from_np_dtype(values.dtype), data=values, parameters=parameters)
