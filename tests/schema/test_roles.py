"""What the columns that are no features must hold is known before anything is trained on them."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1.5, "weight column 'w' is below 0 in 1 of 1,000 rows (such as -1.5)"),
        (np.inf, "weight column 'w' is infinite in 1 of 1,000 rows"),
        (None, "weight column 'w' is missing in 1 of 1,000 rows"),
    ],
    ids=["negative", "infinite", "missing"],
)
def test_a_weight_that_train_would_refuse_is_refused_at_the_start_and_quarantined_where_asked(
    check: Any, clean: pd.DataFrame, value: Any, words: str
) -> None:
    weighted = clean.assign(w=np.where(np.arange(1_000) == 7, value, 2.0).astype(float))
    with pytest.raises(UserError, match=re.escape(words)):
        check(weighted, target="y", weight_column="w")
    found = check(weighted, target="y", weight_column="w", mode="quarantine")
    assert found.passed
    assert found.valid["w"].tolist() == [2.0] * 999
    assert found.quarantine["quarantine_row"].tolist() == [7]


def test_a_weight_of_another_type_or_of_nothing_is_one_sentence(check: Any, clean: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"weight column 'when' holds timestamp\[ns\], and expected are numbers"):
        check(clean, target="y", weight_column="when")
    with pytest.raises(UserError, match="weight column 'w' is 0 in every row, and at least one row must count"):
        check(clean.assign(w=0), target="y", weight_column="w")
    with pytest.raises(UserError, match="column 'w' is not a number in 1,000 of 1,000 rows"):
        check(clean.assign(w="much"), target="y", weight_column="w")


def test_a_group_that_is_missing_is_refused_in_one_row_and_in_all(check: Any, clean: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="group column 'g' is missing in 1,000 of 1,000 rows"):
        check(clean.assign(g=pd.Series([None] * 1_000, dtype=object)), target="y", group_column="g")
    with pytest.raises(UserError, match="group column 'shop' is missing in 1 of 1,000 rows"):
        check(clean.assign(shop=clean["shop"].where(clean.index != 3)), target="y", group_column="shop")
    with pytest.raises(UserError, match=r"group column 'h' holds list<.*>, and expected are single values"):
        check(clean.assign(h=[[1]] * 1_000), target="y", group_column="h")


def test_a_time_column_that_is_no_time_is_refused_and_text_of_times_is_read(check: Any, clean: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="column 'shop' is not an ISO 8601 time in 1,000 of 1,000 rows"):
        check(clean, target="y", time_column="shop")
    with pytest.raises(UserError, match="time column 'flag' holds bool, and expected are times, dates or numbers"):
        check(clean.assign(flag=clean["count"] > 9), target="y", time_column="flag")
    found = check(clean.assign(when=clean["when"].astype(str)), target="y", time_column="when")
    assert found.valid["when"].tolist() == clean["when"].tolist()
    assert check(clean, target="y", time_column="count").passed


@pytest.mark.parametrize("role", ["weight_column", "group_column", "time_column", "exclude"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(check: Any, clean: pd.DataFrame, role: str) -> None:
    with pytest.raises(UserError, match=r"column 'gone' is not a column of this table; it has: amount, count"):
        check(clean, target="y", **{role: ["gone"] if role == "exclude" else "gone"})


def test_a_column_with_two_roles_is_refused(check: Any, clean: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="column 'y' is given as target and as weight column"):
        check(clean, target="y", weight_column="y")


def test_columns_that_are_no_features_are_neither_leaks_nor_identifiers(
    check: Any, clean: pd.DataFrame, outputs: Any
) -> None:
    reported = clean.assign(
        copy=clean["y"].astype(int), id=range(1_000), customer=range(1_000), one=1, far=np.inf, w=1.0 + clean["y"]
    )
    with pytest.raises(UserError, match="column 'copy' gives target 'y' away"):
        check(reported.drop(columns="far"), target="y")
    found = check(
        reported, target="y", exclude=["copy", "id", "one", "far"], group_column="customer", weight_column="w"
    )
    assert (found.passed, found.problems) == (True, 0)
    assert outputs["report"].metadata["warnings"] == []


def test_a_schema_that_was_given_still_holds_for_columns_that_are_no_features(
    check: Any, clean: pd.DataFrame, schema_file: Any
) -> None:
    check(clean, target="y")
    given = schema_file({"columns": {"amount": {"type": "number", "max": 5}}})
    with pytest.raises(UserError, match="column 'amount' is above 5"):
        check(clean, target="y", schema_uri=given, exclude=["amount"])
    with pytest.raises(UserError, match="weight column 'count' is below 10"):
        check(
            clean, target="y", weight_column="count",
            schema_uri=schema_file({"columns": {"count": {"type": "integer", "min": 10}}}),
        )  # fmt: skip
