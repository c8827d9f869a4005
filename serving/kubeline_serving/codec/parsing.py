"""What the JSON requests of both protocols have in common."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

import msgspec
import orjson

from kubeline.columns import Kind
from kubeline.errors import UserError, listed
from kubeline.model_package.signature import Feature, Signature
from kubeline_serving.codec import slices
from kubeline_serving.codec.estimate import Bytes
from kubeline_serving.errors import too_many_rows

# of the values of a column, as most requests have them; integers become floats where these are exact enough
_JSON_TYPES: dict[Kind, Any] = {
    "number": float | None,
    "boolean": bool | float | None,
    "category": str | None,
    "datetime": str | None,
}
NOT_TYPED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # from decoding something else
LARGE = 2 * slices.SLICE_BYTES  # bytes of a body that is not parsed as one
_COMPARED = 200  # names that are compared with a misspelt one, which takes 20 µs each


def json_type(feature: Feature) -> Any:
    """The type of a column's values in JSON."""
    return int | float | None if feature.dtype == "float64" else _JSON_TYPES[feature.kind]


def parse_json(body: Bytes) -> Any:
    """JSON, with the NaN that many clients write for a missing value although the standard does not have it.

    What is large is read in slices, and to be freed by :func:`kubeline_serving.codec.slices.discard`.

    Raises:
        UserError: when it is not JSON.
    """
    return slices.read(body, _parse) if len(body) > LARGE else _parse(body)


def _parse(body: Bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in bytes(body):
            raise UserError(f"the body is not JSON: {error}") from error
    try:
        return _with_nan(bytes(body))
    except (ValueError, RecursionError) as error:
        raise UserError(f"the body is not JSON: {error}") from error


def _with_nan(body: bytes) -> Any:
    value = json.loads(body)
    if b"\\u" in body:  # half of a surrogate pair, which this reader lets pass, is not text
        json.dumps(value, ensure_ascii=False).encode()
    return value


def require(given: Mapping[str, Any], signature: Signature, where: str = "") -> None:
    """Refuse when a column of the model is absent; `where` says in which row.

    An absent column is never taken as missing values: a misspelt name would change predictions in silence.
    """
    for name in signature.names:
        if name not in given:
            others = [str(other) for other in islice(given, _COMPARED) if other not in signature.names]
            close = get_close_matches(name, others, n=1)
            found = f"did you write '{close[0]}' for it?" if close else f"given: {listed(given) or 'none'}"
            raise UserError(f"column '{name}' is absent{where}; send null where its value is not known; {found}")


def check_rows(rows: int, limit: int) -> None:
    """Refuse a request without rows, or with more than the limit."""
    if not rows:
        raise UserError("the request is empty; send at least one row")
    if rows > limit:
        raise too_many_rows(rows, limit)


def kind_of(value: Any) -> str:
    """What a JSON value is, for an error."""
    names = {dict: "a record", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
