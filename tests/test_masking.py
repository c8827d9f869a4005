"""What sentences say of values: their form, and where it is found in the words of others."""

import datetime
import decimal

import numpy as np
import pytest

from kubeline.masking import form_of, trace_of, without_values, words_of

FORMS = {
    "'Aaaa-Aaaa 99'": "Anna-Lena 12",
    "'99.99.9999'": "13.10.1973",
    "'€ 9.999,99'": "€ 1.234,50",
    "'aaaa9@aaaaaaa.aaa'": "anna1@example.org",
    "'?'": "?",
    "'Aaaa'": "Ægil",
    "'aa'": "東京",
    "'a·a'": "a\nb",
    "99.9": 37.5,
    "-9e-99": -1e-12,
    "inf": float("inf"),
    "999": np.int64(123),
    "99.99": decimal.Decimal("12.50"),
    "true or false": True,
    "9999-99-99 99:99:99": datetime.datetime.fromisoformat("1973-10-13 06:30:00"),
    "None": None,
    "[9, 'aaa']": [1, "abc"],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_shown_by_its_form(form: str) -> None:
    assert form_of(FORMS[form]) == form


def test_the_form_of_what_is_long_or_deep_is_short() -> None:
    assert form_of("x" * 10_000) == f"'{'a' * 39}…'"
    assert form_of(7**5_000) == "a whole number of 14037 bits"
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert len(form_of(nested)) <= 40


# Of DuckDB, PostgreSQL, MySQL, BigQuery, Snowflake, Spark, Arrow, pandas, NumPy and Python.
WORDS = {
    "Invalid: CSV parse error: Row #3: Expected 2 columns, got 3: zqxj,1,zqxj": (
        "Invalid: CSV parse error: Row #3: Expected 2 columns, got 3: …"
    ),
    "CSV Error on Line: 3\nOriginal Line: 3,zqxj\nToo many": "CSV Error on Line: 3\nOriginal Line: …\nToo many",
    "Could not convert string 'zqxj 1' to INT64": "Could not convert string 'aaaa 9' to INT64",
    "Could not convert the value: Zqxj, O' Zqxj to 1": "Could not convert the value: Aaaa, A' Aaaa aa 9",
    "Could not convert string 'O' Zqxj, \"Zqxj\"' to INT64 when casting": (
        "Could not convert string 'A' Aaaa, \"Aaaa\"' to INT64 when casting"
    ),
    "Type INT64 with value 73519 can't be cast because it is out of range": (
        "Type INT64 with value 99999 can't be cast because it is out of range"
    ),
    'Could not parse string "zqxj" according to format specifier "%d/%m/%Y"': (
        'Could not parse string "aaaa" according to format specifier "%d/%m/%Y"'
    ),
    'invalid timestamp field format: "zqxj", expected format is (YYYY-MM-DD)': (
        'invalid timestamp field format: "aaaa", expected format is (YYYY-MM-DD)'
    ),
    'invalid input syntax for type integer: "zqxj"': 'invalid input syntax for type integer: "aaaa"',
    "Incorrect datetime value: 'zqxj' for column 'born' at row 1": (
        "Incorrect datetime value: 'aaaa' for column 'born' at row 1"
    ),
    "Bad double value: zqxj": "Bad double value: aaaa",
    "Numeric value 'zqxj' is not recognized": "Numeric value 'aaaa' is not recognized",
    'The value \'zqxj\' of the type "STRING" cannot be cast to "BIGINT"': (
        'The value \'aaaa\' of the type "STRING" cannot be cast to "BIGINT"'
    ),
    "CSV conversion error to double: invalid value 'zqxj'": "CSV conversion error to double: invalid value 'aaaa'",
    "Integer value 73519 not in range: -128 to 127": "Integer value 99999 not in range: -128 to 127",
    "Unknown datetime string format, unable to parse: zqxj, at position 0": (
        "Unknown datetime string format, unable to parse: aaaa, at position 0"
    ),
    "could not convert string to float: 'O'Zqxj'": "could not convert string to float: 'A'Aaaa'",
    "invalid literal for int() with base 10: 'zqxj'": "invalid literal for int() with base 10: 'aaaa'",
}
NAMES = [
    'column "mail" does not exist',
    "Unknown column 'mail' in the query",
    "Table 'people' has no such partition",
    "cannot open file '/data/people.csv'",
    "Could not open CSV input source '/data/people.csv'",
    "No module named 'xgboost'",
    'could not translate host name "db.example" to address',
    'Table with name "peple" does not exist! Did you mean "people"',
    "cannot convert float NaN to integer",
    "Rescaling Decimal value would cause data loss",
]


@pytest.mark.parametrize("said", WORDS)
def test_the_words_of_others_have_forms_in_the_place_of_values(said: str) -> None:
    assert without_values(said) == WORDS[said]


@pytest.mark.parametrize("said", NAMES)
def test_names_and_formats_stay_in_the_words_of_others(said: str) -> None:
    assert without_values(said) == said


def failing() -> None:
    try:
        float("zqxj")
    except ValueError:
        raise KeyError("zqxj") from None


def test_an_exception_that_nobody_expected_has_no_value_in_its_words_or_its_traceback() -> None:
    with pytest.raises(KeyError) as caught:
        failing()
    assert words_of(caught.value) == "'aaaa'"
    trace = trace_of(caught.value)
    assert "zqxj" not in trace.replace('float("zqxj")', "").replace('KeyError("zqxj")', "")  # the test's own lines
    assert "in failing" in trace
    assert (
        words_of(AttributeError("'NoneType' object has no attribute 'x'")) == "'NoneType' object has no attribute 'x'"
    )
