"""The component `transform`: what it writes, and what it refuses in one sentence."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.transform.component import transform
from kubeline.errors import UserError
from tests.support.artifacts import Maker
from tests.support.training_tables import for_task, mixed_table

TABLE = for_task(mixed_table(60), "binary").assign(empty=pd.Series([None] * 60, dtype="float64"))
DERIVE = {
    "log_size": "ln(1 + size)",
    "place": "city || '/' || probabilities",
    "sold/at": "",
    "night": 'hour("sold/at") < 6',
    "next": 'case when rooms > 4 then "sold/at" end',
}


def test_the_declaration_and_a_page_of_its_values_are_written(dataset: Maker, artifact: Maker) -> None:
    declared, report = artifact("Artifact", "transform"), artifact("HTML", "report")
    transform.python_func(dataset=dataset(TABLE), transform=declared, report=report, derive=DERIVE, target="y")
    written = json.loads(Path(declared.path).read_text(encoding="utf-8"))
    assert {each["name"]: (each["kind"], each["expression"]) for each in written["derived"]} == {
        "log_size": ("number", "ln(1 + size)"),
        "place": ("category", "city || '/' || probabilities"),
        "night": ("boolean", 'hour("sold/at") < 6'),
        "next": ("datetime", 'case when rooms > 4 then "sold/at" end'),
    }
    assert written["only_read"] == ["sold/at"]
    assert sorted(declared.metadata["columns"]) == ["log_size", "next", "night", "place"]
    page = Path(report.path).read_text(encoding="utf-8")
    for words in ("Bern/a", "ln(1 + size)", "true in ", "missing", "No features themselves: sold/at"):
        assert words in page


REFUSED: list[tuple[Any, str]] = [
    ({}, "derive is empty"),
    ({"x": 1}, "expected the name of a column and an SQL expression"),
    ({"x": "ln(size"}, "the derived column 'x', 'ln.size', is not an SQL expression"),
    ({"x": "size; drop table t"}, "is not an SQL expression|more than one expression"),
    ({"x": "sice * 2"}, "reads the column 'sice', which the table does not have .*; did you mean 'size'"),
    ({"x": "empty + 1"}, "reads the column 'empty', which the table does not have or has no value of"),
    ({"x": "city + 1"}, r"has text \('city'\) where a number is expected"),
    ({"x": "city = 1"}, r"compares text \('city'\) with a number"),
    ({"x": "case when size then 1 end"}, "has a number where true or false is expected"),
    ({"x": "case when rooms > 1 then city else size end"}, "chooses between text .* and a number"),
    ({"x": "size > 'many'"}, "compares a number with text"),
    ({"x": "\"sold/at\" > 'many'"}, "has 'many' where a time is expected"),
    ({"x": '"sold/at" - "sold/at"'}, "write epoch"),
    ({"x": "size / 0"}, "is missing in every row"),
    ({"x": "coalesce(size, 0) * 0"}, "is the same in every row"),
    ({"x": "1 + 1"}, "reads no column"),
    ({"x": "null"}, "reads no column"),
    ({"x": "log1p(size)"}, r"calls log1p, which is no function of it; SQL writes ln\(1 \+ x\)"),
    ({"x": "flor(size)"}, "did you mean 'floor'"),
    ({"x": "sum(size) over ()"}, "what reads other rows, such as windows, belongs to the query of load"),
    ({"x": "(select max(size) from data)"}, "uses a subquery"),
    ({"x": "size + 1e-60"}, "has the number 1e-60"),
    ({"x": "y::int + size"}, "reads 'y', which is the target"),
    ({"x": "rooms + 1"}, "reads 'rooms', which is excluded"),
    ({"x": "if(\"has garden\", size, 0)"}, "reads 'has garden', which is the weight column"),
    ({"y": "size + 1"}, "derive names 'y', which is the target"),
    ({"size": "ln(size)"}, "derive gives an expression for 'size', which the table has"),
    ({"size": ""}, "says that others read it, and none does"),
    ({"siz": ""}, "has no expression for 'siz', which is no column"),
    ({"x": "city < 'b'"}, "texts are compared by =, <> and in"),
    ({"x": "city = ''"}, "an empty text, which is a missing value"),
    ({"x": "size ** 0.5"}, "raises to a power that is not 2, 3 or 4"),
    ({"x": "-" * 600 + "size"}, "is nested too deeply|is not an SQL expression"),
    ({"x": "size" + " + size" * 2_000}, "at most 10,000 are read"),
    ({"x": "size" + " + size" * 400}, "is nested too deeply"),
    ({"x": "abs(size) filter (where size > 0)"}, "calls abs with filter, which belongs to aggregates"),
    ({"x": "abs(distinct size)"}, "calls abs with distinct"),
    ({"x": "abs(size order by size)"}, "calls abs with order by"),
    ({"x": "main.abs(size)"}, "calls abs of a schema"),
    ({"x": "city = '\ud800'"}, "holds half of a surrogate pair"),
    ({"\ud800": "size"}, "expected the name of a column"),
    ({"x": " || ".join(["city"] * 8) + " || '" + "x" * 9_000 + "'"}, "makes texts of .* characters|different texts"),
]  # fmt: skip


@pytest.mark.parametrize(("derive", "words"), REFUSED)
def test_what_cannot_be_derived_is_refused_in_one_sentence(
    derive: Any, words: str, dataset: Maker, artifact: Maker
) -> None:
    declared, report = artifact("Artifact", "transform"), artifact("HTML", "report")
    with pytest.raises(UserError, match=words):
        transform.python_func(
            dataset=dataset(TABLE), transform=declared, report=report, derive=derive, target="y",
            exclude=["rooms"] if "rooms +" in str(derive) else [],
            weight_column="has garden" if "has garden" in str(derive) else "",
        )  # fmt: skip
    assert not Path(declared.path).exists()
