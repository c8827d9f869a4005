"""``golden.json``: a few held-out rows and what ONNX answered, as a client sends and gets them over KServe's v1.

JSON and no table, since a package is read before anyone vouches for it, and a few bytes of a table may stand for any
number of rows; and so that what deploys and what serves can read it without a library for tables.
"""

import json
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from kubeline.errors import UserError
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature

_Record = dict[str, bool | int | float | str | None]


class _Content(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    instances: list[_Record]
    predictions: list[float] | list[str]
    probabilities: list[list[float]] | None = None


def to_bytes(records: list[dict[str, Any]], answers: Predictions) -> bytes:
    """The file.

    Args:
        records: a value for each feature by its name: of JSON, None where it is missing, times as ISO 8601 text.
        answers: of ONNX for them. Numbers of float32 are written with the digits of float64, so that they stay exact.
    """
    content: dict[str, Any] = {"instances": records, "predictions": answers.values.tolist()}
    if answers.probabilities is not None:
        content["probabilities"] = answers.probabilities.astype(np.float64).tolist()
    return f"{json.dumps(content, indent=1, ensure_ascii=False)}\n".encode()


def from_bytes(content: bytes, signature: Signature, what: str) -> tuple[list[dict[str, Any]], Predictions]:
    """The records and the answers of such a file.

    Args:
        content: of the file; what it takes in memory is a small multiple of its size.
        signature: of the model.
        what: it is, for errors.

    Raises:
        UserError: when it is damaged, or lacks a column or an answer that the model has.
    """
    try:
        found = _Content.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UserError(f"{what} is damaged ({first['msg']}); train the model again") from error
    names, rows = set(signature.names), len(found.instances)
    for record in found.instances:
        if other := sorted(names ^ set(record)):
            raise UserError(f"{what} {'lacks' if other[0] in names else 'has'} column '{other[0]}'; train it again")
    given, classes = found.probabilities, signature.classes
    kind = float if classes is None else str
    if len(found.predictions) != rows or not all(isinstance(one, kind) for one in found.predictions):
        raise UserError(f"{what} does not have an answer of the model for each of its rows; train it again")
    if (given is None) != (classes is None) or (
        given is not None and [len(row) for row in given] != [len(classes or ())] * rows
    ):
        raise UserError(f"{what} does not have the probability of each class for each of its rows; train it again")
    values = np.array(found.predictions, dtype=np.float64 if classes is None else object)
    probabilities = None if given is None else np.array(given, np.float64).reshape(rows, len(classes or ()))
    return [dict(record) for record in found.instances], Predictions(values, probabilities)
