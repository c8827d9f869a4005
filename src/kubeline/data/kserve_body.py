"""Bodies of KServe's protocols, v1 and v2, as rows; distinguished by their form."""

import json
from collections.abc import Sequence
from typing import Any

from kubeline.errors import UserError
from kubeline.open_inference.tensors import decode_base64

Row = dict[str, Any]


def instances(body: Any, columns: Sequence[str]) -> list[Row]:
    """The rows that a request asks about.

    Args:
        body: ``instances`` or ``inputs`` of v1 (records, lists, or columns), or ``inputs`` of v2 (tensors).
        columns: names of the values of lists and of a tensor that has several in a row.

    Raises:
        UserError: when it has another form, or `columns` does not fit.
    """
    given = body.get("instances", body.get("inputs")) if isinstance(body, dict) else None
    if isinstance(given, dict):
        return _transposed(given)
    if not isinstance(given, list) or not given:
        raise UserError("a request has neither instances nor inputs")
    if all(isinstance(item, dict) and "datatype" in item and "shape" in item for item in given):
        return _transposed(_tensors(given, columns))
    rows = [item if isinstance(item, dict) else _named(item, columns) for item in given]
    return [{name: _plain(name, value) for name, value in row.items()} for row in rows]


def _plain(name: str, value: Any) -> Any:
    """The text of a value of v1 that stands in base64, ``{"b64": …}``; any other as it is."""
    return decode_base64(name, [value["b64"]])[0] if isinstance(value, dict) and set(value) == {"b64"} else value


def answers(body: Any) -> list[Row]:
    """``output.prediction`` and ``output.probability.<class>`` of each row that a response answers.

    Classes are named where the answer names them, as this project's server does, and numbered from 0 otherwise.

    Raises:
        UserError: when it is no answer of v1 or v2.
    """
    if isinstance(body, dict) and isinstance(body.get("predictions"), list):
        rows = [_prediction(item) for item in body["predictions"]]
        if isinstance(body.get("probabilities"), list):
            pairs = zip(rows, body["probabilities"], strict=False)
            return [row | _probabilities(each, body.get("classes")) for row, each in pairs]
        return rows
    if not isinstance(body, dict) or not isinstance(body.get("outputs"), list) or not body["outputs"]:
        raise UserError("a response has no predictions")
    columns: dict[str, list[Any]] = {}
    for tensor in body["outputs"]:
        columns |= _output(tensor)
    return _transposed(columns)


def _output(tensor: Any) -> dict[str, list[Any]]:
    width, values = _cells(tensor)
    if width == 1:
        return {"output.prediction": values}
    labels = (tensor.get("parameters") or {}).get("classes", "[]")
    rows = [_probabilities(values[at : at + width], json.loads(labels)) for at in range(0, len(values), width)]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _prediction(item: Any) -> Row:
    if isinstance(item, list):
        return _probabilities(item, None)
    if isinstance(item, dict):
        return {f"output.{name}": value for name, value in item.items()}
    return {"output.prediction": item}


def _probabilities(values: Any, labels: Any) -> Row:
    if not isinstance(values, list):
        raise UserError("the probabilities of a response are no lists")
    names = labels if isinstance(labels, list) and len(labels) == len(values) else range(len(values))
    return {f"output.probability.{name}": value for name, value in zip(names, values, strict=True)}


def _tensors(tensors: list[Row], columns: Sequence[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for tensor in tensors:
        width, values = _cells(tensor)
        if width == 1 and not (len(tensors) == 1 and len(columns) == 1):
            found[str(tensor.get("name"))] = values
        else:
            _check(columns, width)
            found |= {name: values[place::width] for place, name in enumerate(columns)}
    return found


def _cells(tensor: Any) -> tuple[int, list[Any]]:
    """Values in a row, and all values in the order of rows."""
    shape, values = (tensor.get("shape"), tensor.get("data")) if isinstance(tensor, dict) else (None, None)
    if not isinstance(shape, list) or len(shape) not in (1, 2) or not isinstance(values, list):
        raise UserError("a tensor is not of shape [rows] or [rows, columns] with its data as JSON")
    if values and isinstance(values[0], list):
        values = [value for row in values for value in row]
    rows, width = shape[0], shape[1] if len(shape) == 2 else 1
    if rows * width != len(values):
        raise UserError("a tensor has another number of values than its shape says")
    parameters = tensor.get("parameters")
    if (
        isinstance(parameters, dict)
        and parameters.get("content_type") == "base64"
        and tensor.get("datatype") == "BYTES"
    ):
        values = decode_base64(str(tensor.get("name")), values)
    return width, values


def _named(item: Any, columns: Sequence[str]) -> Row:
    values = item if isinstance(item, list) else [item]
    _check(columns, len(values))
    return dict(zip(columns, values, strict=True))


def _check(columns: Sequence[str], width: int) -> None:
    if len(columns) != width:
        raise UserError(
            f"a request has lists of {width} values, and columns names {len(columns)}; give columns the names of all, "
            "in their order"
        )


def _transposed(columns: dict[str, Any]) -> list[Row]:
    lengths = {len(values) if isinstance(values, list) else -1 for values in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise UserError("the columns of a body are not lists of one length")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
