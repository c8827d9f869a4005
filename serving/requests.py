"""The requests of the KServe v1 and v2 protocols, read into columns."""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from kserve import InferInput
from kserve.utils.numpy_codec import to_np_dtype

from kubeline.errors import UserError, listed
from kubeline.model_package.signature import Signature
from serving.columns import Values, require


def parse_json(body: bytes) -> Any:
    """JSON, with the NaN that many clients write for a missing value although the standard does not have it.

    Raises:
        UserError: when it is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in body:
            raise UserError(f"the body is not JSON: {error}") from error
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the body is not JSON: {error}") from error


def v1_columns(payload: Any, signature: Signature) -> dict[str, Values]:
    """The columns of a v1 request.

    ``instances`` holds one entry for each row: a record ``{"column": value, …}``, or a list of values in the order
    of the model's columns. ``inputs`` may stand for ``instances``, or hold columns: ``{"column": [value, …], …}``.

    Raises:
        UserError: when it is neither, or names the row that is malformed.
    """
    if not isinstance(payload, dict) or not ({"instances", "inputs"} & payload.keys()):
        raise UserError('a v1 request is {"instances": [row, …]}, each row a record or a list of values')
    key = "instances" if "instances" in payload else "inputs"
    rows = payload[key]
    if key == "inputs" and isinstance(rows, dict):
        return _same_length(rows)
    if not isinstance(rows, list):
        raise UserError(f'"{key}" is {_kind(rows)}, but must be a list of rows')
    if not rows:
        raise UserError(f'"{key}" is empty; send at least one row')
    if isinstance(rows[0], dict):
        return _from_records(rows, signature)
    return _from_lists(rows, signature)


def v2_columns(tensors: Sequence[InferInput], signature: Signature) -> dict[str, Values]:
    """The columns of a v2 request: one tensor for each column, of shape [rows] or [rows, 1], in any order.

    Raises:
        UserError: names the tensor that is absent, given twice or malformed.
    """
    columns: dict[str, Values] = {}
    for tensor in tensors:
        if tensor.name in columns:
            raise UserError(f"input '{tensor.name}' is given twice")
        columns[tensor.name] = _tensor_values(tensor)
    require(columns, signature)
    return _same_length({name: columns[name] for name in signature.names})


def _from_records(rows: list[Any], signature: Signature) -> dict[str, Values]:
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UserError(f"row {number} is {_kind(row)}, but the first row is a record; send all rows in one form")
        if not row.keys() >= set(signature.names):
            require(row, signature, where=f" in row {number}")
    return {name: [row[name] for row in rows] for name in signature.names}


def _from_lists(rows: list[Any], signature: Signature) -> dict[str, Values]:
    names = signature.names
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            raise UserError(f"row {number} is {_kind(row)}, but must be a record or a list of {len(names)} values")
        if len(row) != len(names):
            raise UserError(
                f"row {number} has {len(row)} values, but the model takes {len(names)} in this order: "
                f"{listed(names, 40)}"
            )
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def _tensor_values(tensor: InferInput) -> Values:
    if to_np_dtype(tensor.datatype) is None:
        raise UserError(f"input '{tensor.name}' has datatype '{tensor.datatype}'; expected BOOL, INT64, FP32, BYTES, …")
    shape = list(tensor.shape)
    if not shape or shape[1:] not in ([], [1]):
        raise UserError(
            f"input '{tensor.name}' has shape {shape}; this model takes one tensor of shape [rows, 1] for each column"
        )
    values = tensor.data
    if tensor._raw_data is not None:  # KServe has no other access to it
        values = _raw(tensor)
    elif values and isinstance(values[0], list):
        values = [value for row in values for value in (row if isinstance(row, list) else [row])]
    if len(values) != shape[0]:
        raise UserError(f"input '{tensor.name}' has shape {shape}, but {len(values)} values")
    return _text(tensor.name, values) if tensor.datatype == "BYTES" else values


def _raw(tensor: InferInput) -> Values:
    try:
        return tensor.as_numpy().reshape(-1)
    except (ValueError, TypeError, struct.error) as error:
        raise UserError(f"the bytes of input '{tensor.name}' do not fill its shape {list(tensor.shape)}") from error


def _text(name: str, values: Values) -> list[Any]:
    try:
        return [value.decode("utf-8") if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError as error:
        raise UserError(f"column '{name}' holds bytes that are not UTF-8 text") from error


def _same_length(columns: Mapping[str, Any]) -> dict[str, Values]:
    lengths: dict[str, int] = {}
    for name, values in columns.items():
        if isinstance(values, (str, dict)) or not hasattr(values, "__len__"):
            raise UserError(f"column '{name}' is {_kind(values)}, but must be a list of values")
        lengths[name] = len(values)
    rows = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != rows:
            raise UserError(f"column '{name}' has {length} values, but column '{next(iter(lengths))}' has {rows}")
    if not rows:
        raise UserError("the request is empty; send at least one row")
    return dict(columns)


def _kind(value: Any) -> str:
    names = {dict: "a record", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
