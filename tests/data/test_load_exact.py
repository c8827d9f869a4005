"""Numbers keep their value on the way, or a warning counts those that do not."""

import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from components.validate.component import validate
from kubeline.data.dataset import read_frame, to_frame
from kubeline.errors import UserError
from tests.support.artifacts import Maker
from tests.support.loading import Load

LARGE = 2**53 + 1  # the first whole number that no double has


def parquet(folder: Path, **columns: pa.Array) -> Any:
    pq.write_table(pa.table(columns), folder / "t.parquet")
    return folder / "t.parquet"


def test_numbers_of_json_that_lose_digits_are_counted_with_what_they_merge(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.jsonl").write_text(
        "".join(
            f'{{"amount": 1234567890.123456{number}, "share": {number / 97!r}, "half": 0.50000000000000000000, '
            f'"text": "1234567890.12345678"}}\n'
            for number in (78, 79, 81) * 20
        )
    )
    loaded = load(tmp_path / "t.jsonl")
    (warning,) = [each for each in loaded.metadata["warnings"] if "digits" in each]
    assert warning.startswith("column 'amount' has 60 numbers of more digits than JSON's readers keep")
    merged = 3 - loaded.frame["amount"].nunique()
    assert merged > 0
    assert f"rounded, {merged} of its different values equal another one" in warning


def test_numbers_within_lists_and_records_of_json_that_lose_digits_are_reported_too(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.jsonl").write_text('{"id": 1, "where": {"at": [1234567890.12345678]}}\n' * 3)
    assert any(
        "column 'where' has 3 numbers of more digits" in each
        for each in load(tmp_path / "t.jsonl").metadata["warnings"]
    )


@pytest.mark.parametrize("source", ["decimal", "JSON", "CSV", "SQL"])
def test_four_hundred_ids_beyond_64_bits_stay_four_hundred_and_unique_quarantines_none(
    source: str, tmp_path: Path, load: Load, artifact: Maker
) -> None:
    ids = [Decimal(12345678901234567890123 + number) for number in range(400)]
    if source == "decimal":
        path: Any = parquet(tmp_path, id=pa.array(ids, pa.decimal128(38, 0)))
    elif source == "JSON":
        path = tmp_path / "t.jsonl"
        path.write_text("".join(f'{{"id": {each}}}\n' for each in ids))
    else:
        path = tmp_path / "t.csv"
        path.write_text("id\n" + "".join(f"{each}\n" for each in ids))
    if source == "SQL":
        with sqlite3.connect(tmp_path / "t.db") as database:
            database.execute("CREATE TABLE t (id TEXT)")
            database.executemany("INSERT INTO t VALUES (?)", [(str(each),) for each in ids])
        database.close()
        loaded = load(
            f"sqlite:///{tmp_path}/t.db".replace("///", "////", 1).replace("/////", "////"), query="SELECT * FROM t"
        )
    else:
        loaded = load(path)
        assert "column 'id' has whole numbers beyond 64 bits and is kept as text" in loaded.metadata["warnings"][0]
    assert loaded.frame["id"].tolist() == [str(each) for each in ids]
    made = {name: artifact("Dataset", name) for name in ("valid", "quarantine", "schema", "report")}
    table = artifact("Dataset", "table")
    table.uri = str(loaded.path)
    schema = tmp_path / "unique.json"
    schema.write_text('{"columns": {"id": {}}, "unique": [["id"]]}')
    assert validate.python_func(table, **made, schema_uri=str(schema), mode="quarantine").problems == 0
    assert len(read_frame(made["quarantine"].path)) == 0


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([Decimal(LARGE), None], pa.decimal128(38, 0)), [LARGE, None]),
        (pa.array([Decimal(2**64 - 1), Decimal(3)], pa.decimal128(38, 0)), [2**64 - 1, 3]),
        (pa.array([Decimal(LARGE), Decimal(1)], pa.decimal128(38, 10)), [LARGE, 1]),  # a scale, but no fractions
        (pa.array([Decimal("0.1"), Decimal("12.34")], pa.decimal128(38, 10)), [0.1, 12.34]),
        (pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
        (pa.array([LARGE, None], pa.int64()), [LARGE, None]),
        (pa.array([-(2**63), 2**63 - 1], pa.int64()), [-(2**63), 2**63 - 1]),
        (pa.array([1, 2], pa.int64()).dictionary_encode(), [1, 2]),
    ],
    ids=str,
)
def test_numbers_of_typed_files_keep_their_value(array: Any, expected: list[Any], tmp_path: Path, load: Load) -> None:
    loaded = load(parquet(tmp_path, a=array))
    found = loaded.frame["a"].astype(object)
    assert [None if pd.isna(each) else each for each in found] == expected
    assert "warnings" not in loaded.metadata


def test_decimals_that_doubles_merge_are_counted_in_a_warning(tmp_path: Path, load: Load) -> None:
    values = [Decimal(1), *(Decimal("0.12345678901234567800") + Decimal(number) / 10**20 for number in range(9))]
    loaded = load(parquet(tmp_path, a=pa.array(values, pa.decimal128(38, 20))))
    assert loaded.metadata["warnings"] == [
        "column 'a' has 9 values of more digits than a number keeps (a double, 15 to 17); rounded, 8 of its 10 "
        'different values equal another one: keep them by types={"a": "text"}'
    ]
    assert load(loaded.path.parent.parent / "t.parquet", types={"a": "text"}).frame["a"].nunique() == 10


def test_numbers_in_text_that_doubles_merge_are_counted_in_a_warning(tmp_path: Path, load: Load) -> None:
    values = ["0.12345678901234567891", "0.12345678901234567892", "0.5", "0.1", "0.10", "1e-5", "123456789.12345678"]
    (tmp_path / "t.csv").write_text("a\n" + "\n".join(values) + "\n")
    (reported,) = load(tmp_path / "t.csv").metadata["warnings"]
    assert reported.startswith("column 'a' has 2 values of more digits than a number keeps")
    assert "rounded, 1 of its 6 different values equal another one" in reported


def test_the_digits_that_a_double_is_printed_with_are_no_warning(tmp_path: Path, load: Load) -> None:
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=500), "b": np.geomspace(1e-300, 1e300, 500)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    loaded = load(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(loaded.frame, frame, check_exact=True)
    assert "warnings" not in loaded.metadata


@pytest.mark.parametrize("first", ["integers", "doubles"])
def test_part_files_of_integers_and_of_doubles_lose_no_digit(first: str, tmp_path: Path, load: Load) -> None:
    """A missing value makes pandas write integers as doubles."""
    parts = [pa.table({"id": [LARGE, LARGE + 1]}), pa.table({"id": [7.0, None, float("nan")]})]
    for number, part in enumerate(parts if first == "integers" else parts[::-1]):
        pq.write_table(part, tmp_path / f"{number}.parquet")
    found = load(tmp_path).frame["id"]
    assert sorted(found.dropna()) == [7, LARGE, LARGE + 1]
    assert found.isna().sum() == 2


def test_part_files_whose_integers_doubles_merge_are_reported(tmp_path: Path, load: Load) -> None:
    pq.write_table(pa.table({"a": [LARGE - 1, LARGE]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [0.5]}), tmp_path / "2.parquet")
    (reported,) = load(tmp_path).metadata["warnings"]
    assert "column 'a' has 1 values of more digits" in reported
    assert "1 of its 3 different values equal another one" in reported


def test_unsigned_and_signed_part_files_become_what_holds_both(tmp_path: Path, load: Load) -> None:
    pq.write_table(
        pa.table({"a": pa.array([2**63], pa.uint64()), "b": pa.array([1], pa.uint64())}), tmp_path / "1.parquet"
    )
    pq.write_table(pa.table({"a": [-1], "b": [2]}), tmp_path / "2.parquet")
    loaded = load(tmp_path)
    assert loaded.frame.to_dict("list") == {"a": [str(2**63), "-1"], "b": [1, 2]}
    assert len(loaded.metadata["warnings"]) == 1


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["9007199254740993", "1.0"], [LARGE, 1]),
        (["18446744073709551615", "-1"], ["18446744073709551615", "-1"]),
        (["9223372036854775807", "null"], [2**63 - 1, None]),
        (["-0", "1"], [0, 1]),
        (["-0.0", "1.5"], [-0.0, 1.5]),
        (["1e3", "2.5e-1"], [1000.0, 0.25]),
    ],
)
def test_json_numbers_keep_their_digits(lines: list[str], expected: list[Any], tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.jsonl").write_text("".join(f'{{"a": {each}}}\n' for each in lines))
    found = load(tmp_path / "t.jsonl").frame["a"].astype(object)
    assert [None if pd.isna(each) else each for each in found] == expected


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_number_that_no_double_reaches_is_refused(name: str, tmp_path: Path, load: Load) -> None:
    numbers = ["1.5"] * 99 + ["1e400"]
    lines = [json.dumps({"a": 0}).replace("0", each) for each in numbers] if "jsonl" in name else ["a", *numbers]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="holds numbers, but 1 of its 100 values are none, such as '9e999' in row 99"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("column", "asked"),
    [
        (pa.array([1.5, 2.0]), "integer"),
        (pa.array(["1.5", "2"]), "integer"),
        (pa.array([Decimal("1.5")]), "integer"),
        (pa.array([0, 2]), "boolean"),
        (pa.array(["12", "x"]), "number"),
        (pa.array(["31/12/2013", "2013-12-31"]), "%d/%m/%Y"),
    ],
    ids=str,
)
def test_a_type_that_would_change_a_value_is_refused(column: Any, asked: str, tmp_path: Path, load: Load) -> None:
    with pytest.raises(
        UserError, match=r"a value of '.*t.parquet' does not have the type that `types` or `where` takes"
    ):
        load(parquet(tmp_path, a=column), types={"a": asked})


@pytest.mark.parametrize(
    ("column", "asked", "expected"),
    [
        (pa.array([1.0, 2.0, float("nan")]), "integer", [1, 2, None]),
        (pa.array(["1.0", "+2", "007", "NA"]), "integer", [1, 2, 7, None]),
        (pa.array([1, 0, None]), "boolean", [True, False, None]),
        (pa.array([Decimal("1.50"), Decimal("2.00")]), "text", ["1.5", "2"]),
        (pa.array([True, False]), "number", [1.0, 0.0]),
    ],
    ids=str,
)
def test_a_type_that_is_asked_for_is_exact(
    column: Any, asked: str, expected: list[Any], tmp_path: Path, load: Load
) -> None:
    found = load(parquet(tmp_path, a=column), types={"a": asked}).frame["a"].astype(object)
    assert [None if pd.isna(each) else each for each in found] == expected


def test_asking_for_numbers_that_round_is_reported(tmp_path: Path, load: Load) -> None:
    reported = load(parquet(tmp_path, a=pa.array([LARGE - 1, LARGE])), types={"a": "number"}).metadata["warnings"]
    assert "1 of its 2 different values equal another one" in reported[0]


def test_integers_and_reals_of_sqlite_lose_no_digit(tmp_path: Path, load: Load) -> None:
    with sqlite3.connect(tmp_path / "t.db") as database:
        database.execute("CREATE TABLE t (a, b)")
        database.executemany("INSERT INTO t VALUES (?, ?)", [(LARGE, LARGE), (2.0, 0.5), (None, 1)])
    database.close()
    loaded = load(f"sqlite:////{tmp_path}/t.db".replace("/////", "////"), query="SELECT * FROM t")
    assert loaded.frame["a"].dropna().tolist() == [LARGE, 2]
    (reported,) = loaded.metadata["warnings"]
    assert reported.startswith("column 'b' has 1 values of more digits")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_and_zone_keep_their_instant(unit: str, tmp_path: Path, load: Load) -> None:
    stamps = pa.array([1_357_002_000_123_456_789 // 10 ** {"s": 9, "ms": 6, "us": 3, "ns": 0}[unit]])
    table = pa.table({"a": stamps.cast(pa.timestamp(unit)), "b": stamps.cast(pa.timestamp(unit, "America/New_York"))})
    feather.write_feather(table, tmp_path / "t.feather")
    frame = load(tmp_path / "t.feather").frame
    assert frame["a"].tolist() == table["a"].to_pandas().tolist()
    assert frame["b"].tolist() == table["b"].to_pandas().dt.tz_convert("UTC").tolist()


def test_missing_values_do_not_make_doubles_of_large_integers() -> None:
    table = pa.table({"a": [LARGE, None], "b": [1, None], "c": pa.array([2**64 - 1, None], pa.uint64())})
    frame = to_frame(table)
    assert [str(kind) for kind in frame.dtypes] == ["Int64", "float64", "UInt64"]
    assert (frame["a"][0], frame["c"][0]) == (LARGE, 2**64 - 1)


def test_decimals_of_more_digits_than_the_engine_has_are_refused(tmp_path: Path, load: Load) -> None:
    """Of 60 digits, two that differ in the last became one double without a word."""
    values = pa.array([Decimal(10) ** 50 + 1, Decimal(10) ** 50 + 2], pa.decimal256(60, 0))
    pq.write_table(pa.table({"a": values, "b": [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"^column 'a' has decimals of 60 digits, and at most 38 are read"):
        load(tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet", columns=["b"]).frame["b"].tolist() == [1, 2]


def test_lengths_of_time_are_read_in_their_unit_and_reported(tmp_path: Path, load: Load) -> None:
    """Seconds and milliseconds in two files were the same number."""
    for number, unit in enumerate(["s", "s", "ms"]):
        pq.write_table(pa.table({"a": pa.array([5], pa.duration(unit))}), tmp_path / f"{number}.parquet")
    loaded = load(tmp_path / "[01].parquet")
    assert loaded.frame["a"].tolist() == [5, 5]
    assert loaded.metadata["warnings"] == [
        "column 'a' holds lengths of time, and is read as whole numbers of seconds; requests send them so"
    ]
    with pytest.raises(UserError, match=r"not in one unit in all files \(found: ms, s\); write one unit$"):
        load(tmp_path)


def test_times_of_day_are_text_and_reported(tmp_path: Path, load: Load) -> None:
    pq.write_table(pa.table({"a": pa.array([1_000], pa.time64("us"))}), tmp_path / "t.parquet")
    (reported,) = load(tmp_path / "t.parquet").metadata["warnings"]
    assert reported.startswith("column 'a' holds times of day or lengths of time and is kept as text")
