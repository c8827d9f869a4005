"""Messages of gRPC: requests to columns, predictions to answers."""

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from kubeline.errors import UserError
from kubeline.model_package.predictor import Predictions
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline.open_inference.tensors import datatype_of, decode_raw, encode_raw, unknown_datatype
from kubeline_serving.codec.columns import Values
from kubeline_serving.codec.estimate import ALWAYS_READ, check_message
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.codec.v2 import V2, OutputSelection, rows_of
from kubeline_serving.errors import NotFound, too_many_rows
from kubeline_serving.exchange import Exchange
from kubeline_serving.grpc.calls import Call
from kubeline_serving.ids import new_id, usable
from kubeline_serving.limits import RequestLimits

SERVICE = "inference.GRPCInferenceService"
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class InferCall:
    """One ModelInfer: its message to inputs, and predictions to its answer."""

    __slots__ = ("_call", "_exchange", "_limits", "_name", "_v2", "_version", "_wanted")

    def __init__(self, v2: V2, name: str, version: str, call: Call, exchange: Exchange, limits: RequestLimits):
        self._v2, self._name, self._version = v2, name, version
        self._call, self._exchange, self._limits = call, exchange, limits
        self._wanted = OutputSelection()

    def parse(self) -> Inputs:
        """The inputs of the request.

        Raises:
            UserError: names the tensor that is malformed.
            TooLarge: when it has too many values or rows.
            NotFound: when it asks for another model or version.
        """
        message = self._call.message
        if len(message) > ALWAYS_READ:
            check_message(message, self._limits.parsed_bytes, self._v2.max_rows)
        request = parsed(messages.ModelInferRequest, message)
        exchange = self._exchange
        exchange.request_id = exchange.request_id or usable(request.id) or new_id()
        check_model(request.model_name, request.model_version, self._name, self._version)
        names = [output.name for output in request.outputs]
        self._v2.check_outputs(names)
        self._wanted = OutputSelection(request.id, names)
        columns, booleans = columns_of(request, self._v2.max_rows)
        if booleans:
            self._v2.refuse_booleans(columns)
        return self._v2.inputs(columns)

    def serialise(self, predictions: Predictions) -> bytes:
        """The answer, its tensors as raw bytes."""
        response = messages.ModelInferResponse(
            model_name=self._name, model_version=self._version, id=self._wanted.id or self._exchange.request_id
        )
        raws = []
        for name, values in self._v2.outputs(predictions, self._wanted.names).items():
            output = response.outputs.add(name=name, datatype=datatype_of(values), shape=values.shape)
            for key, value in self._v2.parameters(name).items():
                output.parameters[key].string_param = value
            raws.append(encode_raw(values))
        response.raw_output_contents.extend(raws)
        content: bytes = response.SerializeToString()
        return content


def columns_of(request: messages.ModelInferRequest, max_rows: int) -> tuple[dict[str, Values], bool]:
    """The columns of a request, whose tensors are raw or typed, and whether one of them has booleans.

    Raises:
        TooLarge: when the shape of one has more rows than these.
        UserError: names the tensor that is malformed.
    """
    raws = list(request.raw_input_contents)
    if raws and len(raws) != len(request.inputs):
        raise UserError(
            f"the request has {len(request.inputs)} inputs, but {len(raws)} raw_input_contents; send one for each "
            "input, in the same order, or none"
        )
    columns: dict[str, Values] = {}
    booleans = False
    for place, tensor in enumerate(request.inputs):
        name, datatype, shape = tensor.name, tensor.datatype, tensor.shape
        if name in columns:
            raise UserError(f"input '{name}' is given twice")
        booleans = booleans or datatype == "BOOL"
        dimensions = len(shape)
        # the two usual shapes without the detour by a list
        count = shape[0] if dimensions == 1 or (dimensions == 2 and shape[1] == 1) else -1
        if count < 0:
            count = rows_of(name, list(shape))
        if not raws:
            columns[name] = _contents(name, datatype, tensor.contents, count, max_rows)
        elif tensor.HasField("contents"):
            raise UserError(f"input '{name}' has contents beside the raw_input_contents of the request; send either")
        else:
            content = raws[place]
            if max_rows < count <= len(content):
                raise too_many_rows(count, max_rows)
            columns[name] = decode_raw(name, datatype, content, count)
    return columns, booleans


def check_model(name: str, version: str, served: str, served_version: str) -> None:
    """Refuse another model or version than is served; an empty version is any."""
    if name != served:
        raise NotFound(f"there is no model '{name[:60]}' here; there is: {served}")
    if version and version != served_version:
        raise NotFound(f"model '{served}' has no version '{version[:60]}' here; it has: {served_version}")


def _contents(name: str, datatype: str, contents: messages.InferTensorContents, count: int, max_rows: int) -> Values:
    field = _CONTENTS.get(datatype)
    if field is None:
        if datatype == "FP16":
            raise UserError(f"input '{name}' has datatype FP16, which the protocol has raw only: raw_input_contents")
        raise unknown_datatype(name, datatype)
    sent = getattr(contents, field)
    if len(sent) != count:
        raise UserError(
            f"input '{name}' has {len(sent)} values in {field}, but its shape says {count}; {datatype} goes there, "
            "or into raw_input_contents"
        )
    if count > max_rows:
        raise too_many_rows(count, max_rows)
    values = list(sent)
    if datatype == "FP32":
        return np.array(values, dtype=np.float32)  # what they were, before Python had them
    if datatype != "BYTES":
        return values
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise UserError(f"input '{name}' holds bytes that are not UTF-8 text") from error


def parsed(kind: type[Any], message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise UserError(f"the message is not a {kind.__name__} of {SERVICE}: {error}") from error
