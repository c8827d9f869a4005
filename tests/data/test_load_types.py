"""Types of text columns come from all values, and no value is changed or made missing silently."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from tests.support.loading import Load


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "0"], "int64"),
        ([" 1", "2 "], "int64"),
        (["1", "NA", "3"], "float64"),  # pandas has no missing integer
        (["1.5", "2", "-.5e-3", "1."], "float64"),
        (["inf", "-Infinity", "1"], "float64"),
        (["true", "FALSE", "True"], "bool"),
        (["2013-01-01", "2013-12-31"], "datetime64[us]"),
        (["2013-01-01T05:00", "2013-01-01 05:00:00.123456"], "datetime64[us]"),
        (["2013-01-01T05:00:00Z", "2013-01-01T05:00:00+02:00"], "datetime64[us, UTC]"),
    ],
)
def test_a_column_has_the_type_of_all_its_values(values: list[str], kind: str, tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["a,b", *(f"{value},x" for value in values)]))
    assert str(load(tmp_path / "t.csv").frame["a"].dtype) == kind


@pytest.mark.parametrize(
    "values",
    [
        ["007", "10001"],  # postal codes
        ["12345678901234567890", "1"],  # beyond 64 bits
        ["+4930123456", "+4930123457"],  # telephone numbers
        ["1_000", "2_000"],
        ["0x10", "0x11"],
        ["NA", "DE", "None"],  # Namibia, and a surname
        ["2013-02-30", "2013-02-31"],  # no such days
        ["03/04/2013", "04/03/2013"],  # the month is anyone's guess
        ["12:00", "13:00"],
        ["yes", "no"],
        ["1,234", "2,345"],  # thousands, or fractions
        ["NA", "NA"],
    ],
)
def test_text_that_would_lose_something_stays_text(values: list[str], tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["a|b", *(f"{value}|x" for value in values)]))
    assert load(tmp_path / "t.csv").frame["a"].tolist() == values


def test_an_offset_from_utc_is_applied(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("t\n2013-01-01T05:00:00+02:00\n")
    assert load(tmp_path / "t.csv").frame["t"].tolist() == [pd.Timestamp("2013-01-01 03:00", tz="UTC")]


def test_the_last_of_many_values_decides_as_much_as_the_first(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,x\n" * 50_000 + "1.5,x\n")
    frame = load(tmp_path / "t.csv").frame
    assert frame["a"].dtype == np.float64
    assert frame["a"].iloc[-1] == 1.5


def test_a_string_far_down_a_number_column_is_an_error_that_shows_it(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("delay,b\n" + "1,x\n" * 50_000 + "late,x\n")
    with pytest.raises(
        UserError, match="'delay' holds numbers, but 1 of its 50,001 values are none, such as 'aaaa' in row 50,000"
    ):
        load(tmp_path / "t.csv")


def test_types_can_be_said_where_inference_is_not_wanted(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("code,flag,when,n\n007,1,2013-01-01,12\n010,x,2013-01-02,NA\n")
    types = {"code": "integer", "flag": "text", "when": "text", "n": "number"}
    frame = load(tmp_path / "t.csv", types=types).frame
    expected = {"code": [7, 10], "flag": ["1", "x"], "when": ["2013-01-01", "2013-01-02"], "n": [12.0, None]}
    pd.testing.assert_frame_equal(frame, pd.DataFrame(expected))


def test_a_json_string_is_text_even_if_it_looks_like_a_number(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": "1", "b": "03-04-2013"}\n{"a": "2", "b": "04-03-2013"}\n')
    assert load(tmp_path / "t.jsonl").frame.to_dict("list") == {"a": ["1", "2"], "b": ["03-04-2013", "04-03-2013"]}


def test_json_fields_that_a_line_lacks_are_missing(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n' * 30_000 + '{"a": 2, "late": "x"}\n')
    frame = load(tmp_path / "t.jsonl").frame
    assert frame["late"].notna().sum() == 1


def test_a_json_field_of_several_types_can_be_kept_as_text(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{"a": "x"}\n')
    assert load(tmp_path / "t.jsonl", types={"a": "text"}).frame["a"].tolist() == ["1", "x"]


def test_columns_are_renamed_after_they_were_chosen_filtered_and_typed_by_their_own_names(
    tmp_path: Path, load: Load
) -> None:
    (tmp_path / "t.csv").write_text("dep,zip,x\n1,10115,a\n2,20095,b\n", encoding="utf-8")
    loaded = load(
        str(tmp_path / "t.csv"),
        columns=["zip", "dep"],
        where="dep > 1 and x = 'b'",
        types={"zip": "text"},
        rename={"zip": "postal", "x": "unused"},
    )
    assert loaded.frame.to_dict("list") == {"postal": ["20095"], "dep": [2]}


@pytest.mark.parametrize(
    ("rename", "sentence"),
    [
        ({"dap": "a"}, "renamed column 'dap' is not a column of this table; it has: dep, zip"),
        ({"dep": "zip"}, "'the table, renamed,' has two columns 'zip'; rename one of them"),
        ({"dep": " "}, "column 1 of 'the table, renamed,' has no name"),
        ({"dep": 1}, "rename gives column 'dep' the name 1; expected a text"),
    ],
)
def test_a_new_name_that_cannot_be_is_refused(
    rename: dict[str, Any], sentence: str, tmp_path: Path, load: Load
) -> None:
    (tmp_path / "t.csv").write_text("dep,zip\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load(str(tmp_path / "t.csv"), rename=rename)
    assert sentence in str(caught.value)


def test_a_renamed_column_takes_the_type_that_the_reference_has_for_its_new_name(tmp_path: Path, load: Load) -> None:
    pd.DataFrame({"postal": ["01067", "20095"]}).to_parquet(tmp_path / "reference.parquet")
    reference = load(str(tmp_path / "reference.parquet"))
    (tmp_path / "t.csv").write_text("zip\n10115\n20095\n", encoding="utf-8")
    loaded = load(str(tmp_path / "t.csv"), rename={"zip": "postal"}, types_from=str(reference.path))
    assert loaded.frame["postal"].tolist() == ["10115", "20095"]
