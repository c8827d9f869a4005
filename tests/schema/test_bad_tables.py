"""A matrix of bad tables, each refused with one sentence and without data passed on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError

Change = Callable[[pd.DataFrame], pd.DataFrame]


def put(column: str, values: dict[int, Any]) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame[column].astype(object if any(not isinstance(v, float) for v in values.values()) else float)
        for row, value in values.items():
            changed[row] = value
        return frame.assign(**{column: changed})

    return change


def words_in_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    text = frame["amount"].astype(str)
    text[[3, 7]] = ["n/a", "?"]
    return frame.assign(amount=text)


INTRINSIC: dict[str, tuple[Change, str]] = {
    "one class": (lambda f: f.assign(y=True), "target 'y' has only one class (True) in 1,000 rows"),
    "one value": (lambda f: f.assign(y=0.5), "target 'y' has only one value (0.5) in 1,000 rows"),
    "no label": (put("y", {5: None, 9: None}), "target 'y' is missing in 2 of 1,000 rows (first in row 5)"),
    "imbalance": (
        lambda f: pd.concat([f] * 3, ignore_index=True).assign(y=[True] * 2 + [False] * 2_998),
        "class 'True' of target 'y' has 2 of 3,000 rows (0.0667%), less than min_class_share 0.1000%",
    ),
    "identifier as target": (
        lambda f: f.assign(y=[f"id-{row}" for row in range(len(f))]),
        "target 'y' has 1,000 classes in 1,000 rows, which is an identifier or a quantity rather than a class",
    ),
    "all missing": (lambda f: f.assign(amount=np.nan), "column 'amount' is missing in all 1,000 rows"),
    "all missing text": (lambda f: f.assign(shop=None), "column 'shop' is missing in all 1,000 rows"),
    "infinite": (put("amount", {2: np.inf, 4: -np.inf}), "column 'amount' is infinite in 2 of 1,000 rows (first in ro"),
    "string in a number column": (
        words_in_numbers,
        "column 'amount' is text, but all except 2 of its 1,000 values are numbers (the others are such as '?', 'n/a')",
    ),
    "leak": (
        lambda f: f.assign(delay=np.where(f["y"], 20.0, 3.0) + f["amount"] / 10),
        "column 'delay' gives target 'y' away: alone it predicts it with AUC 1.000 (leak_threshold 0.99)",
    ),
    "leak of a quantity": (
        lambda f: f.assign(y=f["amount"] * 7 + 1),
        "column 'amount' gives target 'y' away: alone it predicts it with rank R² 1.000",
    ),
    "no row": (lambda f: f.head(0), "there are 0 rows, and at least 1 are needed"),
}


@pytest.mark.parametrize("name", INTRINSIC)
def test_a_bad_table_is_refused_without_any_schema(
    name: str, clean: pd.DataFrame, check: Any, outputs: dict[str, Any]
) -> None:
    change, sentence = INTRINSIC[name]
    with pytest.raises(UserError) as error:
        check(change(clean), target="y")
    assert str(error.value).startswith(f"the table has 1 problem: {sentence}")
    assert "\n" not in str(error.value)
    assert not Path(outputs["valid"].path).exists()
    assert not Path(outputs["quarantine"].path).exists()
    assert sentence.split("'")[0] in Path(outputs["report"].path).read_text()


AGAINST: dict[str, tuple[Change, str]] = {
    "missing column": (
        lambda f: f.drop(columns="shop"),
        "column 'shop' of the schema is not in the table, which has amount, count, when, y",
    ),
    "extra column": (lambda f: f.assign(new=1), "column 'new' is not in the schema"),
    "extra columns": (lambda f: f.assign(new=1, more=2), "columns 'new', 'more' are not in the schema"),
    "number became text": (
        lambda f: f.assign(shop=f["count"] + 0.5),
        "column 'shop' is not text in 1,000 of 1,000 rows (such as ",
    ),
    "time became number": (
        lambda f: f.assign(when=1.5),
        "column 'when' holds numbers (double), and the schema expects datetime; correct the source, or name this "
        "schema in types_from",
    ),
    "fractions": (
        lambda f: f.assign(count=f["count"] + 0.5),
        "column 'count' is not a whole number in 1,000 of 1,000 rows (such as ",
    ),
    "stray words": (words_in_numbers, "column 'amount' is not a number in 2 of 1,000 rows (such as 'n/a', '?')"),
    "missing share": (
        lambda f: f.assign(amount=f["amount"].where(f.index % 2 == 0)),
        "column 'amount' is missing in 50.0% of the rows, more than max_missing 10%",
    ),
    "new class": (
        lambda f: f.assign(y=f["y"].astype(int).replace(1, 2)),
        "column 'y' is not true or false in 500 of 1,000 rows (such as 2)",
    ),
}


@pytest.mark.parametrize("name", AGAINST)
def test_a_table_that_breaks_a_schema_is_refused(
    name: str, clean: pd.DataFrame, check: Any, schema_file: Any, outputs: dict[str, Any]
) -> None:
    change, sentence = AGAINST[name]
    schema = schema_file(check(clean, target="y").schema)
    with pytest.raises(UserError) as error:
        check(change(clean.assign(y=clean.index % 2 == 0)), schema_uri=schema)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


ENFORCED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "range": ({"amount": {"type": "number", "min": 9}}, {}, "column 'amount' is below 9 in"),
    "time range": (
        {"when": {"type": "datetime", "max": "2024-02-01"}},
        {},
        "column 'when' is above 2024-02-01 in 255 of",
    ),
    "categories": ({"shop": {"categories": ["north", "west"]}}, {}, "column 'shop' is none of its 2 categories in 3"),
    "never missing": ({"gap": {"max_missing": 0}}, {}, "column 'gap' is missing in 10 of 1,000 rows (first in row 0)"),
    "key": (
        {"count": {}, "shop": {}},
        {"unique": [["count", "shop"]]},
        "key 'count, shop' repeats an earlier row in 8",
    ),
    "rule": ({"amount": {}}, {"rules": ["amount > 10"]}, "rule 'amount > 10' is broken in"),
    "too many rows": ({"amount": {}}, {"rows": {"max": 5}}, "there are 1,000 rows, and at most 5 are expected"),
    "too few rows": ({"amount": {}}, {"rows": {"min": 5_000}}, "there are 1,000 rows, and at least 5,000 are needed"),
}


@pytest.mark.parametrize("name", ENFORCED)
def test_what_a_person_turns_on_is_enforced(name: str, clean: pd.DataFrame, check: Any, schema_file: Any) -> None:
    columns, rest, sentence = ENFORCED[name]
    gap = pd.Series(1.0, index=clean.index).where(clean.index % 100 != 0)
    with pytest.raises(UserError) as error:
        check(clean.assign(gap=gap), schema_uri=schema_file({"columns": columns, **rest}))
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"target": "nope"}, "target 'nope' is not a column of this table; it has: amount, count, shop, when, y"),
        ({"mode": "strict"}, "mode is 'strict'; expected one of: fail, warn, quarantine"),
        ({"rules": "amount > 0"}, "rules is 'amount > 0'; expected a list of SQL conditions"),
        ({"rules": ["price > 0"]}, "rule 'price > 0' reads 'price', which is not a column"),
        ({"min_rows": -1}, "min_rows is -1; expected a whole number of rows"),
        ({"max_quarantine": 5}, "max_quarantine is 5; expected a share of rows between 0 and 1"),
        ({"min_class_share": -0.1}, "min_class_share is -0.1; expected a share"),
        ({"leak_threshold": 0}, "leak_threshold is 0; expected a score above 0"),
    ],
)
def test_a_wrong_argument_is_reported_before_anything_is_written(
    arguments: dict[str, Any], sentence: str, clean: pd.DataFrame, check: Any, outputs: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as error:
        check(clean, **arguments)
    assert str(error.value).startswith(sentence)
    assert not any(Path(output.path).exists() for output in outputs.values())


def test_many_problems_are_counted_and_the_first_are_named(clean: pd.DataFrame, check: Any, schema_file: Any) -> None:
    schema = schema_file(check(clean, target="y").schema)
    with pytest.raises(UserError) as error:
        check(clean[["y"]].assign(new=1), schema_uri=schema)
    assert str(error.value).startswith("the table has 5 problems: column 'amount' of the schema is not in the table")
    assert "; and 2 more; " in str(error.value)


def test_ten_thousand_categories_are_a_warning(check: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user": [f"u{row % 10_000}" for row in range(20_000)], "y": rng.integers(0, 2, 20_000)})
    result = check(frame, target="y")
    assert result.passed
    assert "10,000 different values in 20,000 rows: text or an identifier rather than a category" in result.report


def test_a_numeric_identifier_is_a_warning(clean: pd.DataFrame, check: Any) -> None:
    numbers = np.random.default_rng(1).permutation(len(clean)) + 10**6
    some = pd.Series(numbers, dtype=float).where(clean.index != 5)
    result = check(clean.assign(account=numbers, some=some, measured=clean["amount"] + numbers / 7), target="y")
    assert result.passed
    assert (
        "Column &#39;account&#39; has a different whole number in each of its 1,000 rows: an identifier"
        in result.report
    )
    assert "Column &#39;some&#39; has a different whole number in each of its 999 rows: an identifier" in result.report
    assert result.report.count("has a different whole number") == 2


@pytest.mark.parametrize(
    ("written", "what"),
    [
        (lambda row: f"{row},50", "numbers"),
        (lambda row: f"${row}.50", "numbers"),
        (lambda row: f"{row % 28 + 1:02d}/12/2013", "times"),
    ],
)
def test_text_that_looks_like_numbers_or_times_is_a_warning(
    written: Any, what: str, clean: pd.DataFrame, check: Any
) -> None:
    result = check(clean.assign(text=[written(row) for row in range(len(clean))]), target="y")
    assert result.passed
    assert f"Column &#39;text&#39; is text, and its values look like {what}, such as" in result.report


def test_a_constant_column_is_a_warning(clean: pd.DataFrame, check: Any) -> None:
    result = check(clean.assign(year=2024), target="y")
    assert result.passed
    assert "Column &#39;year&#39; is constant (2024)" in result.report
