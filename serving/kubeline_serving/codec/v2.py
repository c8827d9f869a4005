"""The Open Inference Protocol (KServe v2) over HTTP: one tensor for each column, in JSON or as raw bytes behind it.

Specification: Open Inference Protocol, with its binary tensor data extension.
"""

import json
from collections.abc import Collection, Mapping
from types import GenericAlias
from typing import Annotated, Any, Literal, NamedTuple, Union

import msgspec
import orjson

from kubeline.errors import UserError, listed
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Feature, Signature
from kubeline.open_inference.tensors import (
    DATATYPES,
    datatype_of,
    decode_base64,
    decode_raw,
    encode_raw,
    unknown_datatype,
)
from kubeline.typing import Array
from kubeline_serving.codec.columns import Encoder, Values, getter, refuse_booleans
from kubeline_serving.codec.estimate import ALWAYS_READ, check_json
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.codec.parsing import LARGE, NOT_TYPED, check_rows, json_type, kind_of, parse_json, require
from kubeline_serving.codec.refusals import show
from kubeline_serving.codec.slices import discard
from kubeline_serving.errors import too_many_rows
from kubeline_serving.limits import RequestLimits

HEADER_LENGTH = b"inference-header-content-length"
_LONG = 2_000  # values of a column that is not freed as one
_LONGEST_SIZE = 18  # digits; Python refuses to read thousands of them
_DATATYPES = {"number": "FP32", "boolean": "BOOL", "category": "BYTES", "datetime": "BYTES"}


def datatype_of_feature(feature: Feature) -> str:
    """The datatype that the protocol's metadata names for a column."""
    return "FP64" if feature.dtype == "float64" else _DATATYPES[feature.kind]


class OutputSelection(NamedTuple):
    """What a request asks of its answer: the names of outputs (empty: all), and which of them as raw bytes."""

    id: str = ""
    names: Collection[str] = ()
    binary: Collection[str] = ()


class V2:
    """Reads and writes v2 requests of one model.

    Args:
        signature: of the model.
        model_name: of the model in URLs.
        model_version: that answers name.
        max_rows: of one request.
        parsed_bytes: of memory that one request may take.
    """

    def __init__(
        self,
        signature: Signature,
        model_name: str,
        model_version: str,
        max_rows: int,
        parsed_bytes: int = RequestLimits.parsed_bytes,
    ):
        self._signature = signature
        self._names = signature.names
        self._in_order = getter(self._names)
        self._numbers = {feature.name: feature for feature in signature.features if feature.kind == "number"}
        self._encoder = Encoder(signature)
        self._typed, self._name_of = _typed_tensors(signature)
        self._model_name = model_name
        self._model_version = model_version
        self.max_rows = max_rows
        self._parsed_bytes = parsed_bytes
        # a parameter of the protocol is no list
        self._probability_parameters = {"classes": json.dumps(signature.classes)}
        self.output_names = ["prediction"] if signature.classes is None else ["prediction", "probability"]

    @property
    def input_metadata(self) -> list[dict[str, Any]]:
        """The columns, in the order in which lists of values are read; -1 stands for any number of rows."""
        return [
            {"name": feature.name, "datatype": datatype_of_feature(feature), "shape": [-1, 1]}
            for feature in self._signature.features
        ]

    @property
    def output_metadata(self) -> list[dict[str, Any]]:
        """The tensors of an answer; -1 stands for any number of rows."""
        classes = self._signature.classes
        if classes is None:
            return [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]
        return [
            {"name": "prediction", "datatype": "BYTES", "shape": [-1]},
            {"name": "probability", "datatype": "FP32", "shape": [-1, len(classes)]},
        ]

    def read(self, body: bytes | bytearray, header_length: bytes | None) -> tuple[dict[str, Values], OutputSelection]:
        """The columns of a request, and what it wants.

        Args:
            body: JSON, and behind it the raw bytes of tensors that have ``binary_data_size``.
            header_length: header ``Inference-Header-Content-Length``: bytes of the JSON; None when all is JSON.

        Raises:
            UserError: names the tensor that is malformed.
            TooLarge: when it has too many rows or values.
        """
        raw = memoryview(b"")
        if header_length is not None:
            if not header_length.isdigit() or len(header_length) > _LONGEST_SIZE or int(header_length) > len(body):
                raise UserError(
                    "the header Inference-Header-Content-Length must be the number of bytes of the JSON in front of "
                    f"the tensors, at most the {len(body):,} bytes of the body"
                )
            view = memoryview(body).toreadonly()
            body, raw = bytes(view[: int(header_length)]), view[int(header_length) :]
        if len(body) > ALWAYS_READ:
            check_json(body, self._parsed_bytes)
        if len(body) <= LARGE:
            try:
                return self._read_typed(body, raw)
            except NOT_TYPED:  # another form, a NaN, or what is refused below
                pass
        request = parse_json(body)
        try:
            return self._read(request, raw)
        finally:
            discard(request)

    def _read(self, request: Any, raw: memoryview) -> tuple[dict[str, Values], OutputSelection]:
        tensors = request.get("inputs") if isinstance(request, dict) else None
        if not isinstance(tensors, list):
            raise UserError('a v2 request is {"inputs": [tensor, …]}, with one tensor for each column')
        columns: dict[str, Values] = {}
        for place, tensor in enumerate(tensors):
            name, values, raw = _values(place, tensor, raw, self.max_rows)
            if name in columns:
                raise UserError(f"input '{name}' is given twice")
            columns[name] = values
        self.refuse_booleans(columns)
        if raw:
            raise UserError(f"{len(raw):,} bytes are left behind the last binary tensor; check each binary_data_size")
        return columns, self._wanted(request)

    def _read_typed(self, body: bytes | bytearray, raw: memoryview) -> tuple[dict[str, Values], OutputSelection]:
        columns: dict[str, Values] = {}
        name_of, unset, request = self._name_of, msgspec.UNSET, self._typed.decode(body)
        rows, shapes, start = -1, ([0], [0]), 0
        for tensor in request.inputs:
            data, name = tensor.data, name_of[type(tensor)]
            if data is unset:
                start, data = self._from_raw(name, tensor, raw, start)
            elif tensor.parameters is not unset:
                raise msgspec.ValidationError
            if len(data) != rows:
                rows = len(data)
                shapes = [rows, 1], [rows]
            if tensor.shape not in shapes:
                raise msgspec.ValidationError
            columns[name] = data
        if len(columns) != len(request.inputs) or start != len(raw):
            raise msgspec.ValidationError
        all_binary = self.output_names if request.parameters.binary_data_output else ()
        return columns, OutputSelection(request.id, (), all_binary)

    def _from_raw(self, name: str, tensor: Any, raw: memoryview, start: int) -> tuple[int, Values]:
        """Where the raw bytes of a tensor end, and their values."""
        if tensor.parameters is msgspec.UNSET or not tensor.shape:
            raise msgspec.ValidationError
        count, end = tensor.shape[0], start + tensor.parameters.binary_data_size
        if end > len(raw) or not 0 <= count <= self.max_rows or (tensor.datatype == "BOOL" and name in self._numbers):
            raise msgspec.ValidationError
        return end, decode_raw(name, tensor.datatype, raw[start:end], count)

    def refuse_booleans(self, columns: dict[str, Values]) -> None:
        """Refuse true and false in columns of numbers."""
        refuse_booleans(self._numbers.values(), map(columns.get, self._numbers))

    def inputs(self, columns: dict[str, Values]) -> Inputs:
        """The inputs of tensors that are read, and are no more afterwards.

        Raises:
            UserError: names the column that is absent or malformed.
        """
        try:
            return self._inputs(columns)
        finally:
            if max(map(len, columns.values()), default=0) > _LONG:
                for values in columns.values():
                    discard(values)

    def _inputs(self, columns: dict[str, Values]) -> Inputs:
        try:
            values = self._in_order(columns)
        except KeyError:
            require(columns, self._signature)
            raise
        rows = len(values[0])
        if len(set(map(len, values))) > 1:
            other = next(name for name in self._names if len(columns[name]) != rows)
            raise UserError(
                f"column '{other}' has {len(columns[other])} values, but column '{self._names[0]}' has {rows}"
            )
        check_rows(rows, self.max_rows)
        return self._encoder.encode(values, rows)

    def outputs(self, predictions: Predictions, wanted: Collection[str] = ()) -> dict[str, Array]:
        """The tensors of an answer by name; all of them unless some are wanted."""
        tensors = {"prediction": predictions.values}
        if predictions.probabilities is not None:
            tensors["probability"] = predictions.probabilities
        return {name: values for name, values in tensors.items() if name in wanted} if wanted else tensors

    def parameters(self, output: str) -> dict[str, str]:
        """The parameters of an output tensor: the classes that probabilities are in the order of, as a JSON list."""
        return self._probability_parameters if output == "probability" else {}

    def serialise(self, predictions: Predictions, wanted: OutputSelection, request_id: str) -> tuple[bytes, int | None]:
        """The answer's body, and the bytes of its JSON when raw tensors follow."""
        outputs: list[dict[str, Any]] = []
        raws: list[bytes] = []
        for name, values in self.outputs(predictions, wanted.names).items():
            tensor: dict[str, Any] = {"name": name, "shape": values.shape, "datatype": datatype_of(values)}
            parameters: Mapping[str, Any] = self.parameters(name)
            if name in wanted.binary:
                raws.append(encode_raw(values))
                parameters = {**parameters, "binary_data_size": len(raws[-1])}
            else:
                tensor["data"] = values.reshape(-1) if values.dtype.kind == "f" else values.tolist()
            if parameters:
                tensor["parameters"] = parameters
            outputs.append(tensor)
        answer = {
            "model_name": self._model_name,
            "model_version": self._model_version,
            "id": wanted.id or request_id,
            "outputs": outputs,
        }
        header = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        return (b"".join([header, *raws]), len(header)) if raws else (header, None)

    def check_outputs(self, names: Collection[str]) -> None:
        """Refuse outputs that the model does not have."""
        for name in names:
            if name not in self.output_names:
                raise UserError(f"the model has no output '{name}'; it has: {listed(self.output_names)}")

    def _wanted(self, request: dict[str, Any]) -> OutputSelection:
        if "outputs" not in request and "parameters" not in request and "id" not in request:
            return OutputSelection()
        identity = request.get("id") or ""
        if not isinstance(identity, str):
            raise UserError(f'"id" is {kind_of(identity)}, but must be text')
        all_binary = _parameters(request, "the request").get("binary_data_output") is True
        given = request.get("outputs") or []
        if not isinstance(given, list) or not all(isinstance(output, dict) for output in given):
            raise UserError('"outputs" must be a list of {"name": …}')
        names = [output.get("name") for output in given]
        if not all(isinstance(name, str) for name in names):
            raise UserError('each of "outputs" must have a "name"')
        self.check_outputs(names)
        binary = [
            output["name"]
            for output in given
            if _parameters(output, f"output '{output['name']}'").get("binary_data", all_binary) is True
        ]
        return OutputSelection(identity, names, self.output_names if all_binary and not names else binary)


def _typed_tensors(signature: Signature) -> tuple["msgspec.json.Decoder[Any]", dict[type, str]]:
    """Decodes tensors of the model's columns, each with values of its type or the size of its raw bytes.

    Nearly all requests are such, with nothing else in them.

    For a single row, that takes half of the time of checking parsed JSON part by part.
    """
    datatypes = Literal[DATATYPES]  # type: ignore[valid-type]
    name_of: dict[type, str] = {}
    size: Any = Annotated[int, msgspec.Meta(ge=0)]
    raw = msgspec.defstruct("Raw", [("binary_data_size", size)], forbid_unknown_fields=True, gc=False)
    flags: Any = [("binary_data_output", bool, False)]
    wanted: Any = msgspec.defstruct("Wanted", flags, forbid_unknown_fields=True, gc=False, frozen=True)
    for place, feature in enumerate(signature.features):
        values: Any = GenericAlias(list, (json_type(feature),))
        fields: Any = [
            ("shape", list[int]),
            ("datatype", datatypes),
            ("data", values | msgspec.UnsetType, msgspec.UNSET),
            ("parameters", raw | msgspec.UnsetType, msgspec.UNSET),  # others say how data is encoded
        ]
        options: Any = {"tag_field": "name", "tag": feature.name, "gc": False, "forbid_unknown_fields": True}
        name_of[msgspec.defstruct(f"Column{place}", fields, **options)] = feature.name
    tensor: Any = Union[tuple(name_of)]  # noqa: UP007 - made of a list
    parts: Any = [("inputs", list[tensor]), ("id", str, ""), ("parameters", wanted, wanted())]
    request = msgspec.defstruct("Request", parts, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(request), name_of


def rows_of(name: str, shape: Any) -> int:
    """The rows of a tensor of shape [rows] or [rows, 1].

    Raises:
        UserError: for another shape.
    """
    if isinstance(shape, (list, tuple)) and len(shape) in (1, 2):
        rows, width = shape[0], shape[-1] if len(shape) == 2 else 1
        if type(rows) is int and rows >= 0 and type(width) is int and width == 1:
            return rows
    given = "no shape" if shape is None else f"shape {show(shape)}"
    raise UserError(f"input '{name}' has {given}; this model takes one tensor of shape [rows, 1] for each column")


def _values(place: int, tensor: Any, raw: memoryview, max_rows: int) -> tuple[str, Values, memoryview]:
    """Name and values of a tensor, and the raw bytes that are left for the next ones."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise UserError(f'input {place} must be a tensor: {{"name": …, "shape": …, "datatype": …, "data": …}}')
    name, datatype, data = tensor["name"], tensor.get("datatype"), tensor.pop("data", None)
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise unknown_datatype(name, datatype if isinstance(datatype, str) else show(datatype))
    count = rows_of(name, tensor.get("shape"))
    if data is None:
        size = _parameters(tensor, f"input '{name}'").get("binary_data_size")
        if type(size) is not int or not 0 <= size <= len(raw):
            raise UserError(
                f"input '{name}' has neither data nor a binary_data_size within the {len(raw):,} bytes that are left"
            )
        if max_rows < count <= size:
            raise too_many_rows(count, max_rows)
        return name, decode_raw(name, datatype, raw[:size], count), raw[size:]
    return name, _from_json(name, tensor, data, count, max_rows), raw


def _from_json(name: str, tensor: dict[str, Any], data: Any, count: int, max_rows: int) -> Values:
    if not isinstance(data, list):
        raise UserError(f"the data of input '{name}' is {kind_of(data)}, but must be a list of values")
    values = data
    if data and isinstance(data[0], list):
        values = [value for row in data for value in (row if isinstance(row, list) else [row])]
    if len(values) != count:
        raise UserError(f"input '{name}' has shape {json.dumps(tensor['shape'])}, but {len(values)} values")
    if count > max_rows:
        raise too_many_rows(count, max_rows)
    if tensor["datatype"] == "BYTES" and _parameters(tensor, f"input '{name}'").get("content_type") == "base64":
        return decode_base64(name, values)
    return values


def _parameters(holder: dict[str, Any], what: str) -> dict[str, Any]:
    parameters = holder.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise UserError(f"the parameters of {what} are {kind_of(parameters)}, but must be a record")
    return parameters
