"""The schema file: written for people, and checked with the name of the field that is wrong."""

import json
from typing import Any

import pytest

from kubeline.errors import UserError
from kubeline.schema.document import Column, Observed, TableSchema, read_schema

COLUMN: dict[str, Any] = {"type": "number"}


def test_a_schema_that_is_written_and_read_again_is_the_same() -> None:
    schema = TableSchema(
        unique=[["id"]],
        rules=['"amount" > 0'],
        columns={
            "id": Column(type="string", max_missing=0, observed=Observed(distinct=3)),
            "amount": Column(type="number", min=0, max=1.5, allow_leak=True, description="euros"),
            "when": Column(type="datetime", min="2024-01-01"),
        },
    )
    assert TableSchema.from_json(schema.to_json(), "x") == schema


def test_the_fingerprint_is_of_what_is_enforced() -> None:
    plain = TableSchema(columns={"a": Column(type="number")})
    noted = TableSchema(about=["mine"], columns={"a": Column(type="number", observed=Observed(max=3), description="x")})
    stricter = TableSchema(columns={"a": Column(type="number", max=3)})
    assert plain.fingerprint == noted.fingerprint != stricter.fingerprint


def test_fields_that_say_nothing_about_a_column_are_not_written() -> None:
    document = json.loads(TableSchema(columns={"a": Column(type="string"), "b": Column(type="number")}).to_json())
    assert set(document["columns"]["a"]) == {"type", "required", "max_missing", "categories"}
    assert set(document["columns"]["b"]) == {"type", "required", "max_missing", "min", "max"}


def test_a_column_needs_nothing_but_its_name() -> None:
    schema = TableSchema.from_json('{"columns": {"a": {}}}', "x")
    assert schema.columns["a"] == Column()
    assert schema.extra_columns == "allow"


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("{", "is not JSON (Expecting property name enclosed in double quotes at line 1, column 2)"),
        ([], "is wrong: the document (input should be a valid dictionary"),
        ({}, "is wrong: columns (field required)"),
        ({"columns": {}}, "is wrong: columns (dictionary should have at least 1 item"),
        ({"columns": {"a": {"type": "nmber"}}}, "is wrong: columns.a.type (input should be 'integer', 'number'"),
        ({"columns": {"a": {"max_mising": 0}}}, "is wrong: columns.a.max_mising is not a field of a schema"),
        ({"columns": {"a": {"max_missing": 3}}}, "is wrong: columns.a.max_missing (input should be less than or equal"),
        (
            {"columns": {"a": COLUMN | {"min": "x"}}},
            "is wrong: columns.a (min of a column of type number must be a num",
        ),
        ({"columns": {"a": COLUMN | {"min": 3, "max": 1}}}, "is wrong: columns.a (min 3 is greater than max 1)"),
        ({"columns": {"a": {"type": "string", "max": 3}}}, "is wrong: columns.a (max is for columns of type integer"),
        (
            {"columns": {"a": {"type": "datetime", "min": "soon"}}},
            "(min of a column of type datetime must be an ISO 86",
        ),
        (
            {"columns": {"a": {"type": "string", "categories": [1]}}},
            "(category 1 is not a value of a column of type st",
        ),
        (
            {"columns": {"a": {}}, "rows": {"min": -1}},
            "is wrong: rows.min (input should be greater than or equal to 0)",
        ),
        ({"columns": {"a": {}}, "unique": [["b"]]}, "is wrong: the document (unique names 'b', which is not among col"),
        ({"columns": {"a": {}}, "target": {"column": "b", "task": "regression"}}, "(target names 'b', which is not am"),
        ({"columns": {"a": {}}, "version": 2}, "is wrong: version (input should be 1)"),
        ('{"columns": {"a": {"min": 1, "min": 2}}}', "is wrong: field 'min' stands twice in one place"),
        ('{"columns": {"a": {"type": "number", "min": NaN}}}', "is wrong: NaN is not a number that a schema can hold"),
    ],
)
def test_a_broken_schema_is_refused_with_the_name_of_the_field(schema_file: Any, document: Any, fault: str) -> None:
    path = schema_file(document)
    with pytest.raises(UserError) as error:
        read_schema(path)
    assert str(error.value).startswith(f"schema '{path}' ")
    assert fault in str(error.value)


@pytest.mark.parametrize("uri", ["/nowhere/schema.json", "memory://nothing.json", "file:///nowhere/schema.json"])
def test_a_schema_that_is_not_there_is_reported(uri: str) -> None:
    with pytest.raises(UserError, match=f"there is no schema at '{uri}'"):
        read_schema(uri)


def test_a_schema_of_an_unknown_protocol_is_reported() -> None:
    with pytest.raises(UserError, match="cannot read a schema from 'zz://x'") as caught:
        read_schema("zz://me:secret@x?signature=secret")
    assert "secret" not in str(caught.value)


def test_a_schema_is_read_from_a_uri() -> None:
    import fsspec

    with fsspec.open("memory://here.json", "w") as stream:
        stream.write('{"columns": {"a": {"type": "number"}}}')
    assert read_schema("memory://here.json").columns["a"].type == "number"
