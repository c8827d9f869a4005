"""What a model needs and what it answers: the columns of ``schema.json`` and their form as ONNX inputs."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kubeline.errors import UserError, listed

Kind = Literal["number", "category", "boolean", "datetime"]
Task = Literal["binary", "multiclass", "regression"]
Array = np.ndarray[Any, np.dtype[Any]]

MISSING_CATEGORY = ""  # a missing category and an empty text are the same value to a model


class Feature(BaseModel):
    """One column that the model reads.

    `categories` are the values a category column had in training, most frequent first; any other value is
    answered too, as an unseen one. It is None for the other kinds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    kind: Kind
    categories: list[str] | None = None


class Signature(BaseModel):
    """The inputs and the answer of a model.

    For a binary task ``classes[1]`` is the positive class. `classes` is None for regression.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: Annotated[list[Feature], Field(min_length=1)]
    target: str
    task: Task
    classes: list[str] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [feature.name for feature in self.features]
        if len(set(names)) != len(names):
            raise ValueError("two features have the same name")
        if (self.task == "regression") != (self.classes is None):
            raise ValueError("classes belong to classification, and only there")
        if self.classes is not None and (len(set(self.classes)) != len(self.classes) or len(self.classes) < 2):
            raise ValueError("classification needs at least two different classes")
        if self.task == "binary" and len(self.classes or ()) != 2:
            raise ValueError("a binary task has two classes")
        return self

    @property
    def names(self) -> list[str]:
        """The feature columns, in the order of the model."""
        return [feature.name for feature in self.features]

    def encode(self, frame: pd.DataFrame) -> dict[str, Array]:
        """The ONNX inputs of `frame`, by column name, each of shape (rows, 1).

        Numbers and booleans become float32 (missing: NaN), categories text in an object array (missing: ``""``),
        datetimes float64 seconds since 1970-01-01 UTC (missing: NaN; without a time zone they are taken as UTC; text
        is read as ISO 8601). Other columns are ignored, and the order of columns does not matter.

        Raises:
            UserError: names the column that is missing or holds a value of another type.
        """
        absent = [name for name in self.names if name not in frame.columns]
        if absent:
            raise UserError(
                f"column '{absent[0]}' is missing; the model needs {listed(self.names, 40)} and was given "
                f"{listed(frame.columns)}"
            )
        return {feature.name: encode_column(frame[feature.name], feature.kind)[:, None] for feature in self.features}

    def encoded_frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The same as :meth:`encode` as a frame: what the scikit-learn pipeline of ``model.joblib`` reads."""
        return pd.DataFrame({name: column[:, 0] for name, column in self.encode(frame).items()})

    def truth(self, frame: pd.DataFrame) -> Array:
        """The target column in the form of predictions: labels as str, or float64 for regression; shape (rows,).

        Raises:
            UserError: when there is no such column, a value is missing, or a number is expected and not found.
        """
        if self.target not in frame.columns:
            raise UserError(f"target '{self.target}' is not a column of this table; it has: {listed(frame.columns)}")
        column = frame[self.target]
        missing = int(column.isna().sum())
        if missing:
            raise UserError(f"target '{self.target}' is missing in {missing:,} of {len(column):,} rows; remove them")
        return labels(column) if self.classes is not None else encode_column(column, "number", np.float64)

    def codes(self, frame: pd.DataFrame) -> Array:
        """The target column of a classification as int64 positions in `classes`, shape (rows,).

        Raises:
            UserError: as :meth:`truth`, and when a label is not one of `classes`.
        """
        found = self.truth(frame)
        codes = pd.Index(self.classes or []).get_indexer(pd.Index(found))
        if (codes < 0).any():
            raise UserError(
                f"target '{self.target}' holds '{found[codes < 0][0]}', which is not a class of this model; "
                f"it has: {listed(self.classes)}"
            )
        return codes.astype(np.int64)


def labels(column: pd.Series) -> Array:
    """Class labels as text in an object array; whole floats lose their ``.0``, so that 1, 1.0 and "1" are one class."""
    values = column.to_numpy(dtype=object)
    unique, codes = np.unique([_label(value) for value in values], return_inverse=True)
    return unique.astype(object)[codes]


def _label(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def encode_column(column: pd.Series, kind: Kind, number: type = np.float32) -> Array:
    """One column in the form of an ONNX input, shape (rows,); see :meth:`Signature.encode`."""
    if kind == "category":
        return _categories(column)
    if kind == "datetime":
        return _seconds(column)
    if kind == "boolean":
        return _booleans(column)
    return _numbers(column, number)


def _numbers(column: pd.Series, number: type) -> Array:
    wide = _floats(column, "a number")
    with np.errstate(over="ignore"):  # what is too large for float32 is told as infinite below
        values: Array = wide.astype(number)
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise UserError(
            f"column '{column.name}' holds {wide[row]:g} in row {row}, which is infinite as "
            f"{np.dtype(number).name}; make infinite values finite or missing"
        )
    return values


def _booleans(column: pd.Series) -> Array:
    values = _floats(column, "true or false")
    others = ~((values == 0) | (values == 1) | np.isnan(values))
    if others.any():
        raise _wrong_type(column, column.iloc[int(others.argmax())], "true or false")
    return values.astype(np.float32)


def _floats(column: pd.Series, expected: str) -> Array:
    """Numbers and booleans as float64, missing ones as NaN. A server calls this for every request: no pandas inside."""
    raw = column.to_numpy()
    if raw.dtype.kind in "fiub":
        return raw.astype(np.float64)
    values = np.full(len(raw), np.nan)
    for row, value in enumerate(raw):
        if isinstance(value, (int, float, np.number, np.bool_, Decimal)):
            values[row] = _float(value)
        elif not _missing(value):
            raise _wrong_type(column, value, expected)
    return values


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return np.inf


def _categories(column: pd.Series) -> Array:
    if isinstance(column.dtype, pd.CategoricalDtype):
        known = _categories(pd.Series(column.cat.categories, name=column.name))
        return np.append(known, MISSING_CATEGORY)[column.cat.codes.to_numpy()]
    values = column.to_numpy(dtype=object, copy=True)
    for row, value in enumerate(values):
        if isinstance(value, str):
            continue
        if not _missing(value):
            raise _wrong_type(column, value, "text")
        values[row] = MISSING_CATEGORY
    return values


def _seconds(column: pd.Series) -> Array:
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        return np.array([_moment(column, value) for value in column.to_numpy(dtype=object)], dtype=np.float64)
    times = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
    micros = times.astype("datetime64[us]").to_numpy()
    seconds: Array = micros.astype(np.int64) / 1e6
    seconds[np.isnat(micros)] = np.nan
    return seconds


def _moment(column: pd.Series, value: Any) -> float:
    """Seconds since 1970 of one text, date or datetime.

    Value by value, because pandas 2 reads texts of nanosecond range only (9999-12-31 is not), and gives the time zone
    of one text to the next ones without a zone.
    """
    if _missing(value):
        return np.nan
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    try:
        if isinstance(value, date):
            value = value.isoformat()
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError) as error:
        raise _wrong_type(column, value, "a date or time (ISO 8601)") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _missing(value: Any) -> bool:
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, (float, np.floating)) and math.isnan(value))
    )


def _wrong_type(column: pd.Series, value: Any, expected: str) -> UserError:
    value = value.item() if isinstance(value, np.generic) else value
    return UserError(
        f"column '{column.name}' holds {value!r} of type {type(value).__name__} where {expected} is expected"
    )
