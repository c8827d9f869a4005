"""Numbers and times as people write them are read where one way fits, and reported where they only resemble one."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.errors import UserError
from tests.support.artifacts import make_artifact
from tests.support.loading import Load
from tests.support.training import trained


def column(folder: Path, load: Load, values: Any, **parameters: Any) -> Any:
    """The column that the values become in a CSV file, and what was warned of."""
    (folder / "t.csv").write_text("a|b\n" + "".join(f"{value}|x\n" for value in values), encoding="utf-8")
    loaded = load(folder / "t.csv", **parameters)
    return loaded.frame["a"], loaded.metadata.get("warnings", [])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1,5", "2,25", "3"], [1.5, 2.25, 3.0]),
        (["0,125", "-1,250"], [0.125, -1.25]),  # no thousands begin with 0
        (["1.234,56", "2,5"], [1234.56, 2.5]),
        (["1,234.56", "950"], [1234.56, 950.0]),
        (["1,234,567", "12"], [1234567, 12]),
        (["1.234.567", "1.234"], [1234567, 1234]),
        (["1 234", "12"], [1234, 12]),
        (["1\u00a0234,5", "12"], [1234.5, 12.0]),
        (["1'234.50", "12"], [1234.5, 12.0]),
        (["$1,234.50", "-$2.25", "$-3.00"], [1234.5, -2.25, -3.0]),
        (["1.234,50 €", "2,00 €"], [1234.5, 2.0]),
        (["EUR 1.5", "EUR 2.25"], [1.5, 2.25]),
        (["12%", "3.5 %", "NA"], [12.0, 3.5, None]),
    ],
    ids=str,
)
def test_numbers_of_one_notation_are_read_and_reported(
    values: list[str], expected: list[Any], tmp_path: Path, load: Load
) -> None:
    found, (reported,) = column(tmp_path, load, values)
    assert [None if pd.isna(each) else each for each in found] == expected
    assert found.dtype.kind in ("i" if expected == [1234567, 12] else "if")
    assert reported.startswith("column 'a' is read as numbers")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["1,234", "2,345"], "whether ',' parts thousands or a fraction is not clear; give load decimal or thousands"),
        (["1,5", "2.5"], "1 of its 2 values are not of one notation, the first is '9,9' in row 0; fix them, or say"),
        (["$1.50", "€2.50"], "its values bear different units ('$', '€')"),
        (["50%", "0.5"], "its values bear different units ('%', none)"),
        (["03/04/2013", "04/03/2013"], "which number is the month is not clear; give types="),
        (
            ["31/12/2013", "12/31/2013"],
            "1 of its 2 values are not of one notation, the first is '99/99/9999' in row 1; fix them",
        ),
        (["1", "2", "many"], "is kept as text, though 2 of its 3 values are numbers; fix the others, or say that it"),
        (["2013-01-01", "2013-01-02", "later"], "is kept as text, though 2 of its 3 values are times; fix"),
    ],
    ids=str,
)
def test_what_looks_like_numbers_or_times_and_is_not_clear_is_text_with_a_warning(
    values: list[str], sentence: str, tmp_path: Path, load: Load
) -> None:
    found, (reported,) = column(tmp_path, load, values)
    assert found.tolist() == values
    assert reported.startswith("column 'a' ")
    assert sentence in reported


@pytest.mark.parametrize(
    "values",
    [
        ["1,2,3", "4,5,6"],
        ["UA", "B6"],
        ["1.2.3", "1.2.4"],
        ["007,5", "008,5"],
        ["A 1", "B 2"],
        ["N14228", "N24211"],
        ["12A", "3B", "7C", "8D"],
        ["UA 1", "B6 2"],
        ["555-1234"],
    ],
)
def test_other_text_is_text_without_a_word(values: list[str], tmp_path: Path, load: Load) -> None:
    found, reported = column(tmp_path, load, values)
    assert found.tolist() == values
    assert reported == []


@pytest.mark.parametrize(
    ("parameters", "values", "expected"),
    [
        ({"decimal": ","}, ["1,234", "5"], [1.234, 5.0]),
        ({"thousands": ","}, ["1,234", "5"], [1234, 5]),
        ({"thousands": "."}, ["1.234", "5"], [1234, 5]),
        ({"decimal": ",", "thousands": "."}, ["1.234", "5,5"], [1234.0, 5.5]),
        ({"decimal": ","}, ["1.5", "2.5"], ["1.5", "2.5"]),  # none of that notation
        ({"decimal": ","}, ["007", "2"], ["007", "2"]),
        ({"thousands": ","}, ["1.5e3", "2,000"], [1500.0, 2000.0]),
        ({"decimal": ","}, ["5%", "5"], ["5%", "5"]),
        ({"types": {"a": "number"}}, ["1,5", "2"], [1.5, 2.0]),
        ({"types": {"a": "text"}}, ["1,5", "2"], ["1,5", "2"]),
        (
            {"types": {"a": "time"}},
            ["31/12/2013", "01/02/2013"],
            [pd.Timestamp("2013-12-31"), pd.Timestamp("2013-02-01")],
        ),
        ({"types": {"a": "%m/%d/%Y"}}, ["03/04/2013"], [pd.Timestamp("2013-03-04")]),
        ({"types": {"a": "%d.%m.%Y %H:%M%z"}}, ["03.04.2013 05:00+0200"], [pd.Timestamp("2013-04-03 03:00Z")]),
        ({"types": {"a": "%Y%m%d"}}, ["20130304"], [pd.Timestamp("2013-03-04")]),
    ],
    ids=str,
)
def test_a_notation_that_is_asked_for_is_followed(
    parameters: dict[str, Any], values: list[str], expected: list[Any], tmp_path: Path, load: Load
) -> None:
    found, _ = column(tmp_path, load, values, **parameters)
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"decimal": ";"}, "^decimal is ';'; expected '.' or ','$"),
        ({"thousands": "x"}, "^thousands is 'x'; expected one of"),
        (
            {"decimal": ",", "thousands": ","},
            "^decimal and thousands are both ','; a number cannot be read so, so change",
        ),
        ({"types": {"a": "%H:%M"}}, "^types has '%H:%M', which is no format of a date; expected such as %d/%m/%Y"),
    ],
)
def test_a_notation_that_is_none_is_refused(
    parameters: dict[str, Any], sentence: str, tmp_path: Path, load: Load
) -> None:
    with pytest.raises(UserError, match=sentence):
        column(tmp_path, load, ["1"], **parameters)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["31/12/2013", "01/02/2013"], ["2013-12-31", "2013-02-01"]),
        (["12/31/2013", "01/02/2013"], ["2013-12-31", "2013-01-02"]),
        (["31.12.2013", "01.02.2013"], ["2013-12-31", "2013-02-01"]),
        (["31-12-2013 17:05", "01-02-2013 05:00"], ["2013-12-31 17:05", "2013-02-01 05:00"]),
        (["12/31/2013 5:06:07 PM", "1/2/2013 5:00:00 AM"], ["2013-12-31 17:06:07", "2013-01-02 05:00"]),
        (["31/12/2013 05:06:07.25"], ["2013-12-31 05:06:07.25"]),
        (["2013/12/31", "2013/01/02"], ["2013-12-31", "2013-01-02"]),
        (["31 Dec 2013", "1 Feb 2013"], ["2013-12-31", "2013-02-01"]),
        (["31-Dec-2013"], ["2013-12-31"]),
        (["December 31, 2013", "May 1, 2013"], ["2013-12-31", "2013-05-01"]),
        (["01/01/2013", "02/02/2013"], ["2013-01-01", "2013-02-02"]),  # both ways are one
    ],
    ids=str,
)
def test_times_of_one_notation_are_read_and_reported(
    values: list[str], expected: list[str], tmp_path: Path, load: Load
) -> None:
    found, (reported,) = column(tmp_path, load, values)
    assert found.tolist() == [pd.Timestamp(each) for each in expected]
    assert reported.startswith("column 'a' is read as times, ")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2013-01-01T05:00:00.1234567", "2013-01-01"], "datetime64[ns]"),
        (["2013-01-01 05:00:00.123456789"], "datetime64[ns]"),
        (["2013-01-01 05:00:00.123456789Z", "2013-01-01 05:00:00+02:00"], "datetime64[ns, UTC]"),
        (["2013-01-01 05:00:00.123456000"], "datetime64[us]"),
    ],
    ids=str,
)
def test_all_digits_of_a_second_are_read(values: list[str], kind: str, tmp_path: Path, load: Load) -> None:
    found, reported = column(tmp_path, load, values)
    assert str(found.dtype) == kind
    expected = pd.to_datetime(values, format="ISO8601", utc="UTC" in kind)
    assert found.astype("int64").tolist() == expected.as_unit(found.dt.unit).astype("int64").tolist()
    assert reported == []


def test_times_of_typed_files_that_are_text_are_reported(tmp_path: Path, load: Load) -> None:
    pq.write_table(pa.table({"a": ["2024-01-13T05:00:00Z"]}), tmp_path / "t.parquet")
    (reported,) = load(tmp_path / "t.parquet").metadata["warnings"]
    assert 'read it by types={"a": "time"}' in reported


def test_times_with_the_name_of_universal_time_are_read(tmp_path: Path, load: Load) -> None:
    found, reported = column(
        tmp_path, load, ["2013-01-01 05:00:00 UTC", "2013-01-01 05:00:00.5 GMT", "2013-01-01 06:00+01"]
    )
    assert found.tolist() == [pd.Timestamp(f"2013-01-01 05:00:0{each}Z") for each in ("0", "0.5", "0")]
    assert reported == []


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (["2024-01-01 10:00:00 +0100"], "times"),
        (["2024-01-01 10:00:00,123"], "times"),
        (["20240101T100000Z"], "times"),
        (["Mon, 01 Jan 2024 10:00:00 +0000"], "times"),
        (["01/Jan/2024:10:00:00 +0000"], "times"),
        (["13/01/2024 10:30:15 +01:00"], "times"),
        (["13. Januar 2024", "2. März 2024"], "times"),
        (["1/13/2024 10:30 p.m."], "times"),
        (["2024-01", "2024-02"], "months"),
        (["2024Q1", "2024Q2"], "times"),
        (["10:30", "11:40:10"], "times of day or lengths of time"),
        (["PT5M", "PT1H3M"], "times of day or lengths of time"),
        (["+1.5", "+2", "-3"], "numbers"),
        (["(1.5)", "2.5", "(3)"], "numbers"),
        (["1_234", "5_678"], "numbers"),
        (["1,23,456", "12,34,567.5"], "numbers"),
        (["R$ 5,00", "R$ 7,50"], "numbers"),
        (["5 kr", "7,5 kr"], "numbers with a unit"),
        (["170cm", "182cm"], "numbers with a unit"),
        (["1.5k", "2.5M"], "numbers with a unit"),
        (["\uff11\uff12", "\uff13\uff14"], "numbers"),
    ],
    ids=str,
)
def test_what_looks_like_numbers_or_times_of_a_kind_that_is_not_read_is_reported(
    values: list[str], what: str, tmp_path: Path, load: Load
) -> None:
    found, (reported,) = column(tmp_path, load, values)
    assert found.tolist() == values
    assert reported.startswith(f"column 'a' looks like {what} (")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["13/01/98", "02/02/24"], ["1998-01-13", "2024-02-02"]),
        (["1/25/98 10:30", "12/31/13 9:05"], ["1998-01-25 10:30", "2013-12-31 09:05"]),
        (["98-01-13", "24-02-02"], ["1998-01-13", "2024-02-02"]),
        (["13/01/24", "02/02/24"], "which number is the month is not clear; give types="),
    ],
    ids=str,
)
def test_years_of_two_digits_are_read_where_one_way_alone_fits(
    values: list[str], expected: list[Any], tmp_path: Path, load: Load
) -> None:
    """They were categories without a word."""
    found, (reported,) = column(tmp_path, load, values)
    if isinstance(expected, str):
        assert found.tolist() == values
        assert expected in reported
    else:
        assert found.tolist() == [pd.Timestamp(each) for each in expected]


@pytest.mark.parametrize("word", ["#N/A", "n/a", "<NA>", "-nan", "NaT", "\\N"])
@pytest.mark.parametrize("value", ["1.5", "2013-01-01"])
def test_words_for_missing_that_pandas_and_databases_write_are_missing(
    word: str, value: str, tmp_path: Path, load: Load
) -> None:
    found, reported = column(tmp_path, load, [value, word, value])
    assert found.isna().tolist() == [False, True, False]
    assert reported == []


def test_times_finer_than_a_nanosecond_are_refused_not_cut(tmp_path: Path, load: Load) -> None:
    with pytest.raises(
        UserError, match=r"column 'a' holds times, but 1 of its 10 values are none, such as '9999.*9999999999' in row 9"
    ):
        column(tmp_path, load, ["2013-01-01"] * 9 + ["2013-01-01T00:00:00.1234567891"])


@pytest.mark.parametrize(
    ("values", "reported"),
    [
        (["1,5", "2,5"], "looks like numbers ('9,9') and is kept as text, each value a category: read it by types"),
        (["1.5", "-2.25"], "looks like numbers ('-9.99')"),
        (["13/01/2024", "14/01/2024"], "looks like times ('99/99/9999')"),
        (["12345", "90210"], ""),  # codes, which a typed file has as text for good reason
        (["UA", "B6"], ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_text_of_typed_files_stays_text_and_what_looks_like_none_is_reported(
    ending: str, values: list[str], reported: str, tmp_path: Path, load: Load
) -> None:
    """Prices with a comma in a Parquet file became categories without a word."""
    table, file = pa.table({"a": values}), tmp_path / f"t.{ending}"
    pq.write_table(table, file) if ending == "parquet" else table.to_pandas().to_json(
        file, orient="records", lines=True
    )
    loaded = load(file)
    assert loaded.frame["a"].tolist() == values
    assert reported in loaded.metadata.get("warnings", [""])[0]
    assert bool(reported) == ("warnings" in loaded.metadata)
    assert "warnings" not in load(file, types={"a": "text"}).metadata


def test_prices_with_a_decimal_comma_and_days_first_predict_as_well_as_plain_ones(tmp_path: Path, load: Load) -> None:
    """As 254 categories they gave an AUC of .549 where .990 is right."""
    rng = np.random.default_rng(0)
    price = rng.uniform(100, 9_999, 2_000).round(2)
    day = pd.Timestamp("2013-01-01") + pd.to_timedelta(rng.integers(0, 254, 2_000), "D")
    late = price + 40 * (day - day.min()).days + rng.normal(0, 300, 2_000) > 9_000
    table = pd.DataFrame({"price": [f"{each:,.2f} €".translate(str.maketrans(",.", ".,")) for each in price]})
    table["day"], table["late"] = day.strftime("%d.%m.%Y"), late
    table.to_csv(tmp_path / "t.csv", sep=";", index=False)
    loaded = load(tmp_path / "t.csv")
    assert loaded.frame["price"].tolist() == price.tolist()
    assert loaded.frame["day"].tolist() == day.tolist()
    assert auc(loaded, tmp_path) > 0.97


@pytest.mark.parametrize("digits", [7, 9])
def test_times_of_all_digits_of_a_second_keep_what_they_say(digits: int, tmp_path: Path, load: Load) -> None:
    """As a category of other texts in each row they gave an AUC of .500, as times .942."""
    rng = np.random.default_rng(0)
    hours = rng.uniform(0, 24 * 365, 2_000)
    nanoseconds = (hours * 3.6e12).astype("int64") // 10 ** (9 - digits) * 10 ** (9 - digits)
    times = pd.Timestamp("2013-01-01") + pd.to_timedelta(nanoseconds, "ns")
    late = (hours % 24 > 12) ^ (rng.random(2_000) < 0.05)
    texts = times.strftime("%Y-%m-%dT%H:%M:%S.") + pd.Series(nanoseconds % 10**9).map("{:09d}".format).str[:digits]
    pd.DataFrame({"when": texts, "late": late}).to_csv(tmp_path / "t.csv", index=False)
    assert auc(load(tmp_path / "t.csv"), tmp_path) > 0.9


def auc(loaded: Any, folder: Path) -> Any:
    """The ROC AUC on the rows that `train` holds out, of a small model of what was loaded."""
    source = make_artifact(folder, "Dataset", "source")
    source.uri = str(loaded.path)
    return trained(folder, source, "late", params={"max_iter": 30})["metrics"].metadata["roc_auc"]
