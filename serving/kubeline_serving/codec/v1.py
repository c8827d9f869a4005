"""The KServe v1 protocol: rows as records or lists, or columns, and the answer for them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from kubeline.errors import UserError, listed
from kubeline.model_package.explanations import Explanation
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline_serving.codec.columns import Encoder, getter, refuse_booleans
from kubeline_serving.codec.estimate import ALWAYS_READ, check_json
from kubeline_serving.codec.inputs import InputColumns, Inputs
from kubeline_serving.codec.parsing import LARGE, NOT_TYPED, check_rows, json_type, kind_of, parse_json, require
from kubeline_serving.codec.pieces import pieces
from kubeline_serving.codec.slices import discard
from kubeline_serving.limits import RequestLimits


class _Nothing(msgspec.Struct):
    nothing: msgspec.UnsetType


class V1:
    """Reads and writes v1 bodies of one model.

    Args:
        signature: of the model.
        max_rows: of one request.
        parsed_bytes: of memory that one request may take.
    """

    def __init__(self, signature: Signature, max_rows: int, parsed_bytes: int = RequestLimits.parsed_bytes):
        self._signature = signature
        self._names = signature.names
        self._row_of = getter(self._names)
        self._typed, self._typed_rows = _typed_records(signature)
        self._columns = InputColumns(signature)
        self._encoder = Encoder(signature)
        self._max_rows = max_rows
        self._parsed_bytes = parsed_bytes

    def check(self, body: bytes | bytearray, rows_as_usual: bool = True) -> None:
        """Refuse a body with too many values, or rows where these stand as usual, before any is parsed."""
        if len(body) > ALWAYS_READ:
            check_json(body, self._parsed_bytes, self._max_rows if rows_as_usual else None)

    def parse(self, body: bytes | bytearray) -> Inputs:
        """The inputs of a request.

        ``instances`` holds one entry for each row: a record ``{"column": value, …}``, or a list of values in the order
        of the model's columns. ``inputs`` may stand for ``instances``, or hold columns: ``{"column": [value, …], …}``.

        Raises:
            UserError: when it is neither, or names the row or column that is malformed.
            TooLarge: when it has too many rows or values.
        """
        self.check(body)
        if len(body) > LARGE and (inputs := self._in_pieces(body)) is not None:
            return inputs
        if self._typed is None or len(body) > LARGE:
            return self.inputs(parse_json(body))
        try:
            records = self._typed.decode(body).instances
        except NOT_TYPED:  # another form, a NaN, or what is refused below
            return self.inputs(parse_json(body))
        return self._encode(records)

    def _in_pieces(self, body: bytes | bytearray) -> Inputs | None:
        """The inputs of a large request, a part of its rows after the other; None when it has to be read as a whole."""
        parts: list[Inputs] = []
        try:
            for piece in pieces(body):
                try:
                    parts.append(self._encode(self._typed_rows.decode(piece)))
                except NOT_TYPED:
                    parts.append(self.inputs({"instances": parse_json(piece)}))
        except UserError:  # it is refused below with the row's number in the whole
            return None
        if not parts:
            return None
        check_rows(sum(part.rows for part in parts), self._max_rows)
        return self._columns.joined(parts)

    def _encode(self, records: list[Any]) -> Inputs:
        check_rows(len(records), self._max_rows)
        return self._encoder.encode(list(zip(*map(msgspec.structs.astuple, records), strict=True)), len(records))

    def inputs(self, payload: Any) -> Inputs:
        """The inputs of a request that is parsed already, and is no more afterwards; see :meth:`parse`."""
        try:
            return self._inputs(payload)
        finally:
            discard(payload)

    def _inputs(self, payload: Any) -> Inputs:
        if not isinstance(payload, dict) or not ("instances" in payload or "inputs" in payload):
            raise UserError('a v1 request is {"instances": [row, …]}, each row a record or a list of values')
        key = "instances" if "instances" in payload else "inputs"
        rows = payload[key]
        if key == "inputs" and isinstance(rows, dict):
            return self._from_columns(rows)
        if not isinstance(rows, list):
            raise UserError(f'"{key}" is {kind_of(rows)}, but must be a list of rows')
        if not rows:
            raise UserError(f'"{key}" is empty; send at least one row')
        check_rows(len(rows), self._max_rows)
        values = self._from_records(rows) if isinstance(rows[0], dict) else self._from_lists(rows)
        columns = list(zip(*values, strict=True))
        refuse_booleans(self._signature.features, columns)
        return self._encoder.encode(columns, len(rows))

    def serialise(self, predictions: Predictions) -> bytes:
        """The answer: ``predictions``, and for classification ``classes`` and ``probabilities`` in their order."""
        answer: dict[str, Any] = {"predictions": predictions.values.tolist()}
        if predictions.probabilities is not None:
            answer["classes"] = self._signature.classes
            answer["probabilities"] = predictions.probabilities
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)

    def explained(self, names: list[str], explanations: Sequence[Explanation]) -> bytes:
        """The answer of ``:explain``: for each row what each column adds to the mean prediction of the golden rows.

        Of a classification it is about the probability of the positive class, or of the one predicted among several.
        """
        return orjson.dumps({"explanations": [self._explained(names, one) for one in explanations]})

    def _explained(self, names: list[str], one: Explanation) -> dict[str, Any]:
        classes = self._signature.classes
        of, answer = 0, {}
        if classes is not None:
            predicted = int(one.prediction.argmax())
            of = predicted if self._signature.positive_class is None else self._signature.positive_code
            answer = {"prediction": classes[predicted], "of": classes[of]}
        return {
            **answer,
            "value": float(one.prediction[of]),
            "base": float(one.base[of]),
            "contributions": dict(zip(names, one.contributions[:, of].tolist(), strict=True)),
            "standard_error": float(one.errors[:, of].max()),
        }

    def _from_records(self, rows: list[Any]) -> list[tuple[Any, ...]]:
        try:
            return list(map(self._row_of, rows))
        except (KeyError, TypeError, IndexError):
            for number, row in enumerate(rows):
                if not isinstance(row, dict):
                    raise UserError(
                        f"row {number} is {kind_of(row)}, but the first row is a record; send all rows in one form"
                    ) from None
                require(row, self._signature, where=f" in row {number}")
            raise

    def _from_lists(self, rows: list[Any]) -> list[list[Any]]:
        width = len(self._names)
        if set(map(type, rows)) == {list} and set(map(len, rows)) == {width}:
            return rows
        for number, row in enumerate(rows):
            if not isinstance(row, list):
                raise UserError(f"row {number} is {kind_of(row)}, but must be a record or a list of {width} values")
            if len(row) != width:
                raise UserError(
                    f"row {number} has {len(row)} values, but the model takes {width} in this order: "
                    f"{listed(self._names, 40)}"
                )
        return rows

    def _from_columns(self, columns: dict[str, Any]) -> Inputs:
        require(columns, self._signature)
        for name in self._names:
            if not isinstance(columns[name], list):
                raise UserError(f"column '{name}' is {kind_of(columns[name])}, but must be a list of values")
        rows = len(columns[self._names[0]])
        for name in self._names:
            if len(columns[name]) != rows:
                raise UserError(
                    f"column '{name}' has {len(columns[name])} values, but column '{self._names[0]}' has {rows}"
                )
        check_rows(rows, self._max_rows)
        values = [columns[name] for name in self._names]
        refuse_booleans(self._signature.features, values)
        return self._encoder.encode(values, rows)


def _typed_records(signature: Signature) -> "tuple[msgspec.json.Decoder[Any] | None, msgspec.json.Decoder[Any]]":
    """Decode requests, and lists, of records of the right types: the form that most have, in half the time of dicts.

    None are such when a column has a name that msgspec does not take: one with a quote, a backslash or a control
    character.
    """
    fields = [
        (f"column_{place}", json_type(feature), msgspec.field(name=feature.name))
        for place, feature in enumerate(signature.features)
    ]
    try:
        record = msgspec.defstruct("Record", fields, gc=False)
    except ValueError:
        return None, msgspec.json.Decoder(list[_Nothing])
    request = msgspec.defstruct("Request", [("instances", list[record])], gc=False)  # type: ignore[valid-type]
    return msgspec.json.Decoder(request), msgspec.json.Decoder(list[record])  # type: ignore[valid-type]
