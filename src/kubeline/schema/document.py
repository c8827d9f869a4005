"""The schema artifact: JSON that a user edits and reviews, checked when it is read."""

import hashlib
import json
import re
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from kubeline import json_files
from kubeline.addresses import redact, refuse_credentials
from kubeline.columns import Type
from kubeline.errors import UserError, listed
from kubeline.mounted import refuse_irregular

Value = bool | int | float | str
SchemaTask = Literal["classification", "regression"]

ABOUT = [
    "A table schema. Edit it, keep it under version control, and give it to validate as schema_uri.",
    "Everything is enforced except 'about', 'description' and 'observed'. 'observed' records the table this schema was "
    "inferred from; a later table that differs from it gets a warning in the report and passes.",
    "To enforce a range or a set of categories, copy it out of 'observed' into min, max or categories.",
    "max_missing is the largest share of missing values; 0 makes each missing value a bad row.",
    "unique lists keys: lists of columns whose values together occur once. rules are SQL conditions that each row must "
    "meet, such as distance > 0; one that is unknown because a value is missing passes.",
    "allow_infinite and allow_leak accept infinite values, and a column that gives the target away.",
    "personal says whether a column holds personal data, where validate shall not guess.",
]


# What a category of a column may be; a time has too many values to be one.
_CATEGORY: dict[Type, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
    "datetime": (),
    "any": (bool, int, float, str),
}
_RANGED = ("integer", "number", "datetime")


class Observed(BaseModel, frozen=True, extra="forbid"):
    """What a column held when the schema was inferred; for the reader, never enforced."""

    missing: float = 0.0
    distinct: int | None = None
    min: Value | None = None
    max: Value | None = None
    categories: list[Value] | None = None


class Column(BaseModel, frozen=True, extra="forbid"):
    """What is expected of one column.

    Attributes:
        type: ``integer`` (any width; whole floats too), ``number``, ``boolean``, ``string``, ``datetime`` or ``any``.
        required: Whether the table must have the column.
        max_missing: Largest share of missing values, 0 to 1; 0 makes each missing value a bad row.
        min: Smallest value allowed, of a number or an ISO 8601 time; None for no limit.
        max: Largest value allowed.
        categories: The only values allowed; None for any.
        allow_infinite: Whether infinite numbers are accepted.
        allow_leak: Whether the column may give the target away.
        personal: Whether the column holds personal data; None to guess by its name and values.
    """

    type: Type = "any"
    required: bool = True
    max_missing: Annotated[float, Field(ge=0, le=1)] = 1.0
    min: Value | None = None
    max: Value | None = None
    categories: Annotated[list[Value], Field(min_length=1)] | None = None
    allow_infinite: bool = False
    allow_leak: bool = False
    personal: bool | None = None
    description: str = ""
    observed: Observed | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, limit in (("min", self.min), ("max", self.max)):
            _check_limit(name, limit, self.type)
        if self.min is not None and self.max is not None and self.limit(self.min) > self.limit(self.max):
            raise ValueError(f"min {self.min} is greater than max {self.max}")
        for value in self.categories or []:
            if not isinstance(value, _CATEGORY[self.type]):
                raise ValueError(  # noqa: TRY004 -- pydantic collects it
                    f"category {value!r} is not a value of a column of type {self.type}"
                )
        return self

    def limit(self, value: Value) -> Any:
        """A limit in the form of the column's values."""
        return _time(value) if self.type == "datetime" else value


class Target(BaseModel, frozen=True, extra="forbid"):
    """The column to be predicted."""

    column: str
    task: SchemaTask


class RowLimits(BaseModel, frozen=True, extra="forbid"):
    """How many rows the table may have."""

    min: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=0)] | None = None


class TableSchema(BaseModel, frozen=True, extra="forbid"):
    """Expectations on a table."""

    about: list[str] = ABOUT
    version: Literal[1] = 1
    target: Target | None = None
    rows: RowLimits = RowLimits()
    extra_columns: Literal["refuse", "allow"] = "allow"
    unique: list[Annotated[list[str], Field(min_length=1)]] = []
    rules: list[str] = []
    columns: Annotated[dict[str, Column], Field(min_length=1)]

    @field_validator("unique")
    @classmethod
    def _keys_once(cls, keys: list[list[str]]) -> list[list[str]]:
        if any(len(set(key)) != len(key) for key in keys):
            raise ValueError("a key names a column twice")
        return keys

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        for key in self.unique:
            for name in key:
                if name not in self.columns:
                    raise ValueError(f"unique names '{name}', which is not among columns")
        if self.target is not None and self.target.column not in self.columns:
            raise ValueError(f"target names '{self.target.column}', which is not among columns")
        return self

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that is enforced, whatever the layout of the file."""
        enforced = self.model_dump(
            exclude={"about": True, "columns": {"__all__": {"observed", "description", "personal"}}}
        )
        return hashlib.sha256(json.dumps(enforced, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The document as indented JSON, without the fields that say nothing about a column of its type."""
        document = self.model_dump(exclude_defaults=False)
        for column in document["columns"].values():
            idle = {"description", "allow_infinite", "allow_leak", "observed"}
            idle |= set() if column["type"] in _RANGED else {"min", "max"}
            idle |= set() if column["type"] in ("string", "integer") else {"categories"}
            for name in idle:
                if not column[name]:
                    del column[name]
            if column["personal"] is None:
                del column["personal"]
            if "observed" in column:
                observed = column.pop("observed")
                column["observed"] = {key: value for key, value in observed.items() if value is not None}
        return _layout(document) + "\n"

    @classmethod
    def from_json(cls, content: str, name: str) -> Self:
        """Read a document.

        Args:
            content: The JSON text.
            name: What to call it in an error: its path or URI.

        Raises:
            UserError: names the line that is no JSON, or the field that is wrong and what is wrong with it.
        """
        try:
            document = json_files.parse(
                content, f"schema '{name}'", object_pairs_hook=_object, parse_constant=_no_number
            )
            return cls.model_validate(document)
        except _DocumentError as error:
            raise UserError(f"schema '{name}' is wrong: {error}; correct it and run again") from error
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise UserError(f"schema '{name}' is not JSON ({error.msg} at {place}); correct it there") from error
        except ValidationError as error:
            raise UserError(f"schema '{name}' is wrong: {_faults(error)}; correct it and run again") from error


class _DocumentError(Exception):
    """A fault that JSON itself allows."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        raise _DocumentError(f"field '{twice}' stands twice in one place")
    return found


def _no_number(word: str) -> None:
    raise _DocumentError(f"{word} is not a number that a schema can hold")


def _time(value: Value) -> pd.Timestamp:
    time = pd.Timestamp(str(value))
    return time.tz_convert("UTC").tz_localize(None) if time.tzinfo else time


def _check_limit(name: str, limit: Value | None, column_type: Type) -> None:
    if limit is None:
        return
    if column_type in ("integer", "number"):
        if isinstance(limit, (bool, str)):
            raise ValueError(f"{name} of a column of type {column_type} must be a number, not {limit!r}")
        return
    if column_type != "datetime":
        raise ValueError(f"{name} is for columns of type integer, number and datetime, not {column_type}")
    try:
        valid = isinstance(limit, str) and not pd.isna(_time(limit))
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{name} of a column of type datetime must be an ISO 8601 time, not {limit!r}")


def _faults(error: ValidationError, limit: int = 3) -> str:
    """The first faults of a document, each with the path of its field."""
    faults: dict[str, str] = {}
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"] if not _is_branch(part)) or "the document"
        faults.setdefault(path, _words(fault["type"], fault["msg"]))
    found = [f"{path} {words}" for path, words in faults.items()]
    more = len(found) - limit
    return "; ".join(found[:limit]) + (f"; and {more} more" if more > 0 else "")


def _is_branch(part: str | int) -> bool:
    """Whether a part of a pydantic path names a branch of a union rather than a field."""
    return part in ("bool", "int", "float", "str") or (isinstance(part, str) and "[" in part)


def _words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is not a field of a schema"
    message = re.sub(r"^Value error, ", "", message)
    return f"({message[0].lower()}{message[1:]})"


def _layout(value: Any, indent: int = 0, width: int = 110) -> str:
    """JSON with a line for each entry that fits in one, and an indented block for what does not."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or (indent >= 3 and len(flat) + 2 * indent <= width):
        return flat
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value) and len(flat) <= 60:
        return flat
    inner = "  " * (indent + 1)
    if isinstance(value, list):
        entries = [inner + _layout(item, indent + 1, width) for item in value]
        brackets = "[]"
    else:
        entries = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_layout(item, indent + 1, width)}"
            for key, item in value.items()
        ]
        brackets = "{}"
    return f"{brackets[0]}\n" + ",\n".join(entries) + f"\n{'  ' * indent}{brackets[1]}"


def read_schema(uri: str) -> TableSchema:
    """Read a schema from a path or an fsspec URI (``s3://…``, ``gs://…``, ``https://…``).

    Raises:
        UserError: when there is no such file, or it is not a schema, or larger than one can be.
    """
    import fsspec

    name = redact(uri)
    refuse_credentials(uri, "schema_uri")
    refuse_irregular(uri, "the schema")
    try:
        with fsspec.open(uri, "rb") as stream:
            content = json_files.contents(stream, f"schema '{name}'").decode("utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"there is no schema at '{name}'; give the path or URI of a schema's JSON file") from error
    except (ValueError, ImportError) as error:  # an unknown protocol, or bytes that are no text
        raise UserError(f"cannot read a schema from '{name}' ({listed([error])}); give a JSON file") from error
    return TableSchema.from_json(content, name)
