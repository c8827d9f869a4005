"""Answered requests as Arrow tables: the columns of the payload log.

Arrays are made from buffers: pyarrow's conversions import pandas to check whether a value is of pandas.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from kubeline.columns import Kind
from kubeline.errors import UserError
from kubeline.model_package.signature import Feature, Signature
from kubeline.typing import Array
from kubeline_serving.codec.inputs import InputColumns, Inputs
from kubeline_serving.exchange import Exchange

_TIME = pa.timestamp("us", "UTC")
_KINDS: dict[Kind, pa.DataType] = {
    "number": pa.float32(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "datetime": _TIME,
}
_ABOUT = [
    ("request.id", pa.string()),
    ("request.time", _TIME),
    ("request.row", pa.int32()),
    ("request.trace_id", pa.string()),
    ("model.name", pa.string()),
    ("model.version", pa.string()),
]


class PayloadTable:
    """The schema of the log of one model, and exchanges in that form.

    Columns: the features under their own names (number float32 or float64, boolean bool, category string, datetime
    timestamp[us, UTC]; a missing value is null), ``request.id``, ``request.time`` (arrival, timestamp[us, UTC]),
    ``request.row`` (int32, from 0), ``request.trace_id`` (null without one), ``model.name``, ``model.version``,
    ``output.prediction`` (string, for regression float64) and ``output.probability.<class>`` (float32).

    Raises:
        UserError: when a feature has the name of another column of the log.
    """

    def __init__(self, model: str, version: str, signature: Signature):
        self._model, self._version = model, version
        self._features = {feature.name: feature for feature in signature.features}
        self._columns = InputColumns(signature)
        self._vocabularies = [_texts(known.tolist(), empty_is_missing=True) for known in self._columns.vocabularies]
        self._labels = None if signature.classes is None else _texts(signature.classes)
        answer = [("output.prediction", pa.float64() if signature.classes is None else pa.string())]
        answer += [(f"output.probability.{label}", pa.float32()) for label in signature.classes or ()]
        own = [*_ABOUT, *answer]
        for name in sorted({name for name, _ in own} & set(signature.names)):
            raise UserError(
                f"the payload log cannot hold the feature '{name}', which is the name of a column of its own; rename "
                "the feature, or serve without --payload_log"
            )
        self.schema = pa.schema([*((name, _stored(feature)) for name, feature in self._features.items()), *own])

    def batch(self, exchanges: Sequence[Exchange]) -> pa.RecordBatch:
        """The rows of answered exchanges, in their order."""
        rows = np.array([exchange.rows for exchange in exchanges])
        inputs = self._columns.joined([exchange.inputs for exchange in exchanges if exchange.inputs is not None])
        total = inputs.rows
        columns = self._features_of(inputs)
        starts = np.repeat(rows.cumsum() - rows, rows)
        times = np.array([round(exchange.time * 1e6) for exchange in exchanges])
        columns += [
            _repeated([exchange.request_id for exchange in exchanges], rows),
            _array(_TIME, np.repeat(times, rows).astype(np.int64)),
            _array(pa.int32(), (np.arange(total) - starts).astype(np.int32)),
            _repeated([exchange.traceparent[3:35] for exchange in exchanges], rows, empty_is_missing=True),
            _repeated([self._model], rows.sum(keepdims=True)),
            _repeated([self._version], rows.sum(keepdims=True)),
            *self._answers(exchanges),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _features_of(self, inputs: Inputs) -> list[pa.Array]:
        """The features of some rows, in the order of the signature."""
        found: dict[str, Any] = dict(zip(self._columns.numbers, inputs.numbers, strict=True))
        found.update(zip(self._columns.doubles, inputs.doubles, strict=True))
        columns = {name: _feature(self._features[name], values) for name, values in found.items()}
        for place, (name, known) in enumerate(zip(self._columns.categories, self._vocabularies, strict=True)):
            unseen = inputs.unseen[place] if inputs.unseen else ()
            texts = pa.concat_arrays([known, _texts(unseen)]) if unseen else known
            columns[name] = texts.take(_array(pa.int32(), inputs.codes[place]))
        return [columns[name] for name in self._features]

    def _answers(self, exchanges: Sequence[Exchange]) -> list[pa.Array]:
        predictions = [exchange.predictions for exchange in exchanges if exchange.predictions is not None]
        if self._labels is None:
            return [_array(pa.float64(), np.concatenate([each.values for each in predictions]).astype(np.float64))]
        probabilities = np.concatenate([each.probabilities for each in predictions if each.probabilities is not None])
        labels = self._labels.take(_array(pa.int64(), probabilities.argmax(axis=1)))
        return [labels, *(_array(pa.float32(), np.ascontiguousarray(p)) for p in probabilities.T)]


def first_time(table: pa.Table) -> int:
    """The earliest ``request.time`` of some rows, microseconds since 1970 UTC."""
    chunks = table.column("request.time").chunks
    return min(int(np.frombuffer(c.buffers()[1], np.int64)[c.offset : c.offset + len(c)].min()) for c in chunks)


def _stored(feature: Feature) -> pa.DataType:
    return pa.float64() if feature.dtype == "float64" else _KINDS[feature.kind]


def _feature(feature: Feature, values: Array) -> pa.Array:
    """Encoded numbers or times of a feature as what they were: see :class:`kubeline_serving.codec.inputs.Inputs`."""
    present = ~np.isnan(values)
    if feature.kind == "boolean":
        return _array(pa.bool_(), np.packbits(values == 1, bitorder="little"), present)
    if feature.kind == "datetime":
        return _array(_TIME, np.where(present, np.rint(values * 1e6), 0).astype(np.int64), present)
    return _array(_stored(feature), values, present)


def _repeated(texts: Sequence[str], rows: Array, empty_is_missing: bool = False) -> pa.Array:
    """Each text for so many rows."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    lengths = np.repeat(np.fromiter(map(len, encoded), np.int64, len(encoded)), rows)
    characters = b"".join([text * count for text, count in zip(encoded, rows.tolist(), strict=True)])
    return _strings(characters, lengths, empty_is_missing)


def _texts(values: Sequence[str], empty_is_missing: bool = False) -> pa.Array:
    joined = "".join(values)
    if joined.isascii():  # then there are as many characters as bytes
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        return _strings(joined.encode("ascii"), lengths, empty_is_missing)
    encoded = [value.encode("utf-8", "replace") for value in values]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return _strings(b"".join(encoded), lengths, empty_is_missing)


def _strings(characters: bytes, lengths: Array, empty_is_missing: bool) -> pa.Array:
    if len(characters) >= 2**31:
        raise OverflowError("a column of text of more than 2 GB")
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return _array(pa.string(), characters, lengths > 0 if empty_is_missing else None, offsets)


def _array(kind: pa.DataType, values: Any, present: Array | None = None, offsets: Array | None = None) -> pa.Array:
    """An Arrow array over `values`; rows that are not `present` are null."""
    validity = None
    if present is not None and not present.all():
        validity = pa.py_buffer(np.packbits(present, bitorder="little"))
    buffers = [validity, *([] if offsets is None else [pa.py_buffer(offsets)]), pa.py_buffer(values)]
    rows = len(offsets) - 1 if offsets is not None else len(values if present is None else present)
    return pa.Array.from_buffers(kind, rows, buffers)
