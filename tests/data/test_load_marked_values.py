"""Nothing that `load` says quotes a value: before `validate`, no one knows which columns hold personal data."""

import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.errors import KubelineError
from tests.data.bad_input import one
from tests.support.loading import Load

MARKS = ("zqxj", "73519", "73,519", "1973")  # in every value below


def lines(*values: str) -> Callable[[Path], str]:
    """A CSV file of one column beside another."""
    return one("people.csv", "id;cell\n" + "".join(f"{place};{value}\n" for place, value in enumerate(values)))


def parquet(**columns: list[Any]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        pq.write_table(pa.table(columns), folder / "people.parquet")
        return str(folder / "people.parquet")

    return make


def database(folder: Path) -> str:
    with sqlite3.connect(folder / "people.db") as connection:
        connection.execute("CREATE TABLE people (id INTEGER, cell INTEGER)")
        connection.execute("INSERT INTO people VALUES (1, 2), (2, 'zqxj')")
    connection.close()
    return f"sqlite:///{folder}/people.db"


def many(good: str, *others: str) -> list[str]:
    return [good.format(number % 10) for number in range(20)] + list(others)


WARNED: dict[str, tuple[Callable[[Path], str], dict[str, Any], str]] = {
    "numbers with a comma": (lines(*many("73519,5{}")), {}, "such as '99999,99'; give load decimal=','"),
    "numbers with a comma and a word": (
        lines(*many("73519,5{}", "zqxj")),
        {},
        "looks like numbers ('99999,99') and is kept as text: 1 of its 21 values are not of one notation, the first is "
        "'aaaa' in row 20",
    ),
    "numbers of an unclear notation": (lines("73,519", "73,518"), {}, "is not clear"),
    "numbers with other units": (lines(*many("€ 73519,5{}", "73519,5 %")), {}, "different units ('%', '€')"),
    "days": (lines(*many("1{}.07.1973")), {}, "such as '99.99.9999'; give the format in types"),
    "days and a word": (lines(*many("1{}.07.1973", "zqxj")), {}, "the first is 'aaaa' in row 20"),
    "days whose month is not clear": (lines(*many("0{}/07/1973")[1:10]), {}, "which number is the month is not clear"),
    "text that looks like times": (parquet(cell=many("1{} July 1973")), {}, "looks like times ('99 Aaaa 9999')"),
    "text that looks like numbers": (parquet(cell=many("73519.5{}")), {}, "looks like numbers ('99999.99')"),
    "codes of other digits": (parquet(cell=many("(73519){}")), {}, ""),
}
REFUSED: dict[str, tuple[Callable[[Path], str], dict[str, Any], str]] = {
    "a word among numbers": (lines(*many("73519{}"), "zqxj"), {}, "such as 'aaaa' in row 20 of"),
    "a word among times": (lines(*many("1973-07-1{}"), "zqxj"), {}, "such as 'aaaa' in row 20 of"),
    "a word for a number": (lines("1", "zqxj"), {"types": {"cell": "integer"}}, "does not have the type"),
    "a word for a fraction": (lines("1", "zqxj"), {"types": {"cell": "number"}}, "does not have the type"),
    "a word for a time": (lines("1", "zqxj"), {"types": {"cell": "time"}}, "does not have the type"),
    "a word for a time of a format": (lines("1973.7.1", "zqxj"), {"types": {"cell": "%Y.%m.%d"}}, "%Y.%m.%d"),
    "a number for true or false": (parquet(cell=[1, 73519]), {"types": {"cell": "boolean"}}, "does not have the type"),
    "a fraction for a whole number": (parquet(cell=[1.0, 73519.5]), {"types": {"cell": "integer"}}, "99999.9"),
    "a text for a number": (parquet(cell=["1", "zqxj"]), {"types": {"cell": "integer"}}, "does not have the type"),
    "a filter that casts": (lines("x", "zqxj"), {"where": "CAST(cell AS INTEGER) > 1"}, "does not have the type"),
    "a field too many": (one("people.csv", "id;cell\n1;2\n3;zqxj;73519\n"), {}, "has 3 fields"),
    "a quote that does not end": (one("people.csv", 'id;cell\n1;2\n3;"zqxj\n'), {}, "quote"),
    "a line that is no object": (one("people.jsonl", '{"cell": 1}\n"zqxj"\n'), {}, "is not JSON lines"),
    "a broken line": (one("people.jsonl", '{"cell": 1}\n{"cell": "zqxj"\n'), {}, "is not a JSON object"),
    "values of several types": (one("people.jsonl", '{"cell": 1}\n{"cell": "zqxj"}\n{"cell": {}}\n'), {}, "types"),
    "a word in a column of a database": (database, {"query": "SELECT * FROM people"}, ""),
    "features without times": (
        lines("1973-07-01", "1973-07-02"),
        {
            "time": "cell",
            "features": [{"source": "{folder}/features.csv", "keys": {"id": "id"}, "time": "when"}],
        },
        "does not have the type",
    ),
}


def said(load: Load, folder: Path, caplog: pytest.LogCaptureFixture, case: Any) -> tuple[str, str]:
    """The metadata and the error of loading a case, and everything with the log."""
    caplog.set_level(logging.DEBUG)
    make, parameters, _ = case
    pd.DataFrame({"id": [0, 1], "when": ["zqxj", "zqxj73519"], "size": [1, 2]}).to_csv(
        folder / "features.csv", index=False
    )
    given = json.loads(json.dumps(parameters).replace("{folder}", str(folder)))
    try:
        sentence = str(load(make(folder), **given).metadata.get("warnings", ""))
    except KubelineError as error:
        sentence = str(error)
    return sentence.replace("\\'", "'"), f"{sentence}\n{caplog.text}"


@pytest.mark.parametrize("name", [*WARNED, *REFUSED])
def test_a_sentence_about_values_names_the_column_and_their_form_and_quotes_none(
    name: str, load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case = {**WARNED, **REFUSED}[name]
    sentence, everything = said(load, tmp_path, caplog, case)
    assert case[2] in sentence
    assert [mark for mark in MARKS if mark in everything] == []
