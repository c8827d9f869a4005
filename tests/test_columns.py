"""The three vocabularies for columns, of files, schemas and models, name the same things."""

from typing import get_args

import pyarrow as pa
import pytest

from kubeline.columns import KIND_OF_TYPE, LOAD_TYPE, NOUN, TYPE_OF_KIND, Kind, LoadType, Type, kind_of, type_of
from kubeline.data.inference import KINDS


def test_each_kind_of_a_feature_is_read_as_a_type_that_is_of_this_kind() -> None:
    assert set(TYPE_OF_KIND) == set(NOUN) == set(get_args(Kind))
    assert {kind: KIND_OF_TYPE[stored] for kind, stored in TYPE_OF_KIND.items()} == {kind: kind for kind in NOUN}


def test_each_type_of_a_schema_is_one_that_load_reads() -> None:
    assert set(LOAD_TYPE) == set(KIND_OF_TYPE) == set(get_args(Type)) - {"any"}
    assert set(LOAD_TYPE.values()) == set(get_args(LoadType)) == set(KINDS)


@pytest.mark.parametrize(
    ("stored", "type_", "kind"),
    [
        (pa.int8(), "integer", "number"),
        (pa.decimal128(10, 2), "number", "number"),
        (pa.float32(), "number", "number"),
        (pa.bool_(), "boolean", "boolean"),
        (pa.string_view(), "string", "category"),
        (pa.dictionary(pa.int32(), pa.large_string()), "string", "category"),
        (pa.date32(), "datetime", "datetime"),
        (pa.timestamp("ns", "UTC"), "datetime", "datetime"),
        (pa.list_(pa.int64()), "any", None),
        (pa.null(), "any", None),
    ],
)
def test_a_stored_column_is_of_one_type_and_one_kind(stored: pa.DataType, type_: str, kind: str | None) -> None:
    assert (type_of(stored), kind_of(stored)) == (type_, kind)
