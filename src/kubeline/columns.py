"""The kinds of columns: what `load` reads, what a schema checks, what a model takes; and how one is had from another.

| of a table's file (`types` of `load`) | of a schema | of a model |
|---|---|---|
| text | string | category |
| integer | integer | number |
| number | number | number |
| boolean | boolean | boolean |
| time | datetime | datetime |
| | any (lists, bytes, …) | |
"""

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # the model server knows the kinds of a signature without pyarrow
    import pyarrow as pa

Type = Literal["integer", "number", "boolean", "string", "datetime", "any"]  # of a schema
Kind = Literal["number", "category", "boolean", "datetime"]  # of a model's feature
LoadType = Literal["text", "integer", "number", "boolean", "time"]  # of the parameter `types`

KIND_OF_TYPE: dict[Type, Kind] = {
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "string": "category",
    "datetime": "datetime",
}
MISSING_CATEGORY = ""  # a missing category and an empty text are the same value to a model

# As what a stored column is read to become a kind.
TYPE_OF_KIND: dict[Kind, Type] = {
    "category": "string",
    "number": "number",
    "boolean": "boolean",
    "datetime": "datetime",
}
LOAD_TYPE: dict[Type, LoadType] = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "datetime": "time",
}
# What a value of the kind is called in a message.
NOUN: dict[Kind, str] = {
    "category": "text",
    "number": "a number",
    "boolean": "true or false",
    "datetime": "a time",
}
TO_BE_A_FEATURE = "exclude it, or convert it to numbers, text, booleans or dates"


def type_of(stored: "pa.DataType") -> Type:
    """The schema type of an Arrow type; nested and other special types are ``any``."""
    from pyarrow import types

    if types.is_dictionary(stored):
        return type_of(stored.value_type)
    if types.is_boolean(stored):
        return "boolean"
    if types.is_integer(stored):
        return "integer"
    if types.is_floating(stored) or types.is_decimal(stored):
        return "number"
    if types.is_string(stored) or types.is_large_string(stored) or types.is_string_view(stored):
        return "string"
    return "datetime" if types.is_timestamp(stored) or types.is_date(stored) else "any"


def kind_of(stored: "pa.DataType") -> Kind | None:
    """The kind of feature that a column of this Arrow type is; None when it can be none (lists, bytes, …)."""
    return KIND_OF_TYPE.get(type_of(stored))


def why_no_feature(name: str, stored: "pa.DataType") -> str:
    """What is said of a column that can be no feature; empty when it can."""
    from pyarrow import types

    if kind_of(stored):
        return ""
    values = stored.value_type if types.is_dictionary(stored) else stored
    return f"column '{name}' has the type {values}, which is no feature"


def label_text(value: Any) -> str:
    """A class label as text; whole floats lose their ``.0``, so that 1, 1.0 and "1" are one class."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
