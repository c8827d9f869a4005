"""JSON and tensor values to the inputs of a model: whole columns at a time, without a DataFrame."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from math import inf, nan
from operator import itemgetter
from struct import pack
from types import NoneType
from typing import Any

import numpy as np

from kubeline.columns import MISSING_CATEGORY
from kubeline.errors import UserError
from kubeline.masking import form_of
from kubeline.model_package.signature import Feature, Signature
from kubeline.typing import Array
from kubeline_serving.codec.doubles import doubles
from kubeline_serving.codec.inputs import InputColumns, Inputs
from kubeline_serving.codec.refusals import refusal

Values = Sequence[Any] | Array

_NUMBERS = {int, float, bool}
_BOOLEANS = (0, 1, nan)
_TEXT_OR_MISSING = {str, NoneType}
_NOT_PACKED = (struct.error, OverflowError)  # no number, or too large
_NO_NUMBERS = np.empty((0, 0), dtype=np.float32)
_NO_DOUBLES = np.empty((0, 0))


class Encoder:
    """Makes inputs of the columns of a request, equal to those of :meth:`Signature.encode`.

    Numbers and booleans are checked in one block, because one numpy call costs as much as fifty values.
    """

    def __init__(self, signature: Signature):
        self.features = signature.features
        kinds = [feature.kind for feature in self.features]
        self._doubles = [place for place, feature in enumerate(self.features) if feature.is_double]
        self._block = [
            place for place, kind in enumerate(kinds) if kind in ("number", "boolean") and place not in self._doubles
        ]
        self._booleans = [row for row, place in enumerate(self._block) if kinds[place] == "boolean"]
        self._categories = [place for place, kind in enumerate(kinds) if kind == "category"]
        self._block_of, self._categories_of = getter(self._block), getter(self._categories)
        self._pack_row = struct.Struct(f"={len(self._block)}f").pack
        self._codes_of: list[dict[str | None, int]] = []  # of the values of each category
        for vocabulary in InputColumns(signature).vocabularies:
            codes = {value: code for code, value in enumerate(vocabulary.tolist())}
            self._codes_of.append({**codes, None: codes[MISSING_CATEGORY]})
        self._code_for = [code_of.__getitem__ for code_of in self._codes_of]

    def encode(self, columns: Sequence[Values], rows: int) -> Inputs:
        """The inputs of some columns.

        Args:
            columns: the values of each feature, in their order, all of the same length. None and NaN are missing, and
                so is ``""`` in text.
            rows: their length, 1 or more.

        Raises:
            UserError: names the column and the row of a value of another type, or of one that its dtype does not hold.
        """
        numbers, doubles = _NO_NUMBERS, _NO_DOUBLES
        if self._block:
            numbers = self._numbers(self._block_of(columns), rows)
        codes, unseen = self._codes(self._categories_of(columns), rows)
        if self._doubles:
            doubles = np.array([_of_doubles(self.features[place], columns[place]) for place in self._doubles])
        return Inputs(rows, numbers, codes, unseen, doubles)

    def _numbers(self, columns: Sequence[Values], rows: int) -> Array:
        """Columns of numbers as float32, shape (columns, rows)."""
        if rows == 1 and (usual := self._one_row(columns)) is not None:
            return usual
        parts: Any = [self._packed(place, values) for place, values in enumerate(columns)]
        block = np.frombuffer(b"".join(parts), np.float32).reshape(len(columns), rows)
        if np.isinf(block).any():
            place, row = (int(found[0]) for found in np.nonzero(np.isinf(block)))
            feature = self._feature(place)
            value = form_of(columns[place][row])
            raise UserError(f"column '{feature.name}' holds {value} in row {row}, which is no finite float32")
        if self._booleans:
            values = block[self._booleans]
            wrong = ~((values == 0) | (values == 1) | np.isnan(values))
            if wrong.any():
                place, row = (int(found[0]) for found in np.nonzero(wrong))
                place = self._booleans[place]
                raise refusal(self._feature(place), row, columns[place][row])
        return block

    def _one_row(self, columns: Sequence[Values]) -> Array | None:
        """The numbers of a single row, converted without numpy; None when the general path must handle it."""
        values = [nan if value is None else value for (value,) in columns]
        try:  # with = it also refuses what is too large, where it would else make it infinite
            packed = self._pack_row(*values)
        except _NOT_PACKED:
            return None
        if inf in values or -inf in values:
            return None
        if self._booleans and any(values[place] not in _BOOLEANS for place in self._booleans):
            return None
        return np.ndarray((len(values), 1), np.float32, packed)

    def _codes(self, columns: Sequence[Values], rows: int) -> tuple[Array, Sequence[Sequence[str]]]:
        """Codes of categories, int32 of shape (columns, rows), and the unseen values of each column, if there are any.

        Codes are all that is stored: memory that a request has used is then still in the cache for the next one.
        """
        try:  # also a check of the types, as only text is in there
            codes = pack(f"{len(columns) * rows}i", *chain.from_iterable(map(map, self._code_for, columns)))
        except (KeyError, TypeError):
            return self._codes_with_unseen(columns, rows)
        return np.ndarray((len(columns), rows), np.int32, codes), ()

    def _codes_with_unseen(self, columns: Sequence[Values], rows: int) -> tuple[Array, Sequence[Sequence[str]]]:
        packed, unseen = [], []
        for place, code_of, values in zip(self._categories, self._codes_of, columns, strict=True):
            codes, others = _codes_of_any(self.features[place], values, code_of)
            packed.append(pack(f"{rows}i", *codes))
            unseen.append(others)
        block = np.frombuffer(b"".join(packed), np.int32).reshape(len(columns), rows)
        return block, unseen if any(unseen) else ()

    def _packed(self, place: int, values: Values) -> bytes | Array:
        """The numbers of a column as float32, too large ones as infinite; `place` is its row in the block."""
        if isinstance(values, np.ndarray) and values.dtype == np.float32:
            return values
        numbers = values
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
            for missing in (False, True):  # most columns of a request have no missing value
                try:  # packing checks the types as it converts, takes no text, and is the fastest way
                    return pack(f"{len(values)}f", *(_with_nan(values) if missing else values))
                except _NOT_PACKED:
                    continue
            numbers = np.array([self._double(place, row, value) for row, value in enumerate(values)])
        with np.errstate(over="ignore"):
            return np.asarray(numbers).astype(np.float32, copy=False).tobytes()

    def _double(self, place: int, row: int, value: Any) -> float:
        if value is None:
            return nan
        if type(value) not in _NUMBERS:
            raise refusal(self._feature(place), row, value)
        try:
            return float(value)
        except OverflowError:  # an integer of more than 308 digits
            return inf

    def _feature(self, place: int) -> Feature:
        return self.features[self._block[place]]


def getter(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Takes some items out of a record or a list, as a tuple."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda holder: tuple(holder[key] for key in keys)  # of one key, itemgetter would give the bare value


def refuse_booleans(features: Iterable[Feature], columns: Iterable[Values | None]) -> None:
    """Refuse true and false in columns of numbers: Python counts them among these, as 1 and 0.

    Args:
        features: of a model.
        columns: the values of each; None where it is absent.

    Raises:
        UserError: names the column and the row.
    """
    for feature, values in zip(features, columns, strict=True):
        if values is None or feature.kind != "number":
            continue
        if isinstance(values, np.ndarray):
            if values.dtype.kind == "b" and len(values):
                raise refusal(feature, 0, bool(values[0]))
        elif bool in map(type, values):
            row = next(row for row, value in enumerate(values) if type(value) is bool)
            raise refusal(feature, row, values[row])


def _with_nan(values: Values) -> list[Any]:
    return [nan if value is None else value for value in values]


def _codes_of_any(feature: Feature, values: Values, code_of: Mapping[str | None, int]) -> tuple[list[int], list[str]]:
    """The codes of values of which some are unseen, and these values."""
    unseen: dict[str, int] = {}
    first = code_of[None] + 1
    codes = []
    for value in _texts(feature, values, set(map(type, values))):
        code = code_of.get(value)
        codes.append(unseen.setdefault(value, first + len(unseen)) if code is None else code)
    return codes, list(unseen)


def _of_doubles(feature: Feature, values: Values) -> Array | list[float]:
    return doubles(feature, values) if feature.kind == "number" else _seconds(feature, values)


def _seconds(feature: Feature, values: Values) -> list[float]:
    """Seconds since 1970-01-01 UTC; a time without an offset is UTC."""
    texts = _texts(feature, values, set(map(type, values)))
    return [_moment(feature, row, text) if text else nan for row, text in enumerate(texts)]


def _moment(feature: Feature, row: int, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise refusal(feature, row, text) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _texts(feature: Feature, values: Values, types: set[type]) -> Values:
    """The values when all are text or missing; a NaN stands for a missing value in every kind of column."""
    if types <= _TEXT_OR_MISSING:
        return values
    texts: list[str | None] = []
    for row, value in enumerate(values):
        if isinstance(value, float) and np.isnan(value):
            texts.append(None)
        elif type(value) in _TEXT_OR_MISSING:
            texts.append(value)
        else:
            raise refusal(feature, row, value)
    return texts
