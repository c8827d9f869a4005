"""Features as they were known at the time of each row, of any source that load reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from kubeline.schema.validate import run as validate
from tests.support.artifacts import make_artifact
from tests.support.loading import Load

ROWS = {
    "flight": [1, 2, 3, 4],
    "origin": ["EWR", "JFK", "EWR", "LGA"],
    "departs": ["01T06:00", "01T06:30", "01T09:00", ""],
}
SEEN = {"station": ["EWR", "EWR", "JFK"], "seen": ["01T05:00", "01T06:00", "01T07:00"], "temp": [1.5, 2.5, 3.5]}


def times(days: list[str], offset: str = "") -> "pd.Series[Any]":
    return pd.to_datetime(pd.Series([f"2013-01-{day}{offset}" if day else None for day in days]))


def written(folder: Path, name: str, columns: dict[str, Any], offset: str = "") -> str:
    """A Parquet file; its times have the offset."""
    frame = pd.DataFrame(columns)
    for column in {"departs", "seen", "known"} & {*frame}:
        frame[column] = times(columns[column], offset)
    frame.to_parquet(folder / f"{name}.parquet", index=False)
    return str(folder / f"{name}.parquet")


def weather(folder: Path, offset: str = "", **more: Any) -> dict[str, Any]:
    """Features of the airports, of `SEEN` where `columns` does not say otherwise."""
    columns = more.pop("table", SEEN)
    source = written(folder, "weather", columns, offset)
    return {"source": source, "keys": {"origin": "station"}, "time": "seen", **more}


def of(load: Load, folder: Path, *tables: dict[str, Any]) -> Any:
    return load(written(folder, "rows", ROWS), time="departs", features=list(tables))


def test_a_row_has_the_latest_features_of_its_keys_that_are_not_newer_than_itself(tmp_path: Path, load: Load) -> None:
    loaded = of(load, tmp_path, weather(tmp_path))
    assert [*loaded.frame] == ["flight", "origin", "departs", "temp"]
    assert loaded.frame["flight"].tolist() == [1, 2, 3, 4]
    assert loaded.frame["temp"].fillna(-1).tolist() == [2.5, -1, 2.5, -1]
    (joined,) = loaded.metadata["features"]
    assert (joined["found"], joined["missing"], joined["oldest"], joined["rows"]) == (0.5, 2, "3:00:00", 3)
    assert (joined["since"], joined["until"]) == ("2013-01-01T05:00:00+00:00", "2013-01-01T07:00:00+00:00")
    assert loaded.metadata["warnings"] == [
        f"1 of 4 rows have no 'departs', and so no features of '{tmp_path}/weather.parquet'"
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"max_age": "2h"}, [2.5, -1, -1, -1]),
        ({"max_age": "3h"}, [2.5, -1, 2.5, -1]),
        ({"delay": "30m"}, [1.5, -1, 2.5, -1]),
        ({"delay": "61m", "max_age": "60m"}, [-1, -1, -1, -1]),
        ({"keys": []}, [2.5, 2.5, 3.5, -1]),
        ({"zone": "America/New_York"}, [2.5, -1, 2.5, -1]),
    ],
)
def test_features_have_an_age_a_delay_and_keys(
    tmp_path: Path, load: Load, more: dict[str, Any], expected: list[float]
) -> None:
    assert of(load, tmp_path, weather(tmp_path, **more)).frame["temp"].fillna(-1).tolist() == expected


def test_times_with_and_without_a_zone_meet_when_the_zone_is_named(tmp_path: Path, load: Load) -> None:
    table = weather(tmp_path, offset="+00:00")
    with pytest.raises(
        UserError, match=r"the times of the rows have no time zone, and those of .* name the zone of the"
    ):
        of(load, tmp_path, table)
    local = of(load, tmp_path, {**table, "zone": "America/New_York"}).frame["temp"]
    assert local.fillna(-1).tolist() == [2.5, 3.5, 2.5, -1]  # departures are five hours later
    assert of(load, tmp_path, {**table, "zone": "UTC"}).frame["temp"].fillna(-1).tolist() == [2.5, -1, 2.5, -1]


def test_what_was_written_later_is_reported_and_can_be_left_out(tmp_path: Path, load: Load) -> None:
    columns = {
        "station": ["EWR"] * 3,
        "seen": ["01T05:00", "01T06:00", "01T06:00"],
        "known": ["01T05:10", "01T08:00", "01T09:30"],
        "temp": [1.0, 2.0, 3.0],
    }
    table = weather(tmp_path, table=columns, created="known")
    late = of(load, tmp_path, table)
    assert late.frame["temp"].fillna(-1).tolist() == [3, -1, 3, -1]
    assert "2 of 2 rows have features of" in late.metadata["warnings"][1]
    assert "that were created after the row's own 'departs' (by 'known'); by_created" in late.metadata["warnings"][1]
    in_time = of(load, tmp_path, {**table, "by_created": True})
    assert in_time.frame["temp"].fillna(-1).tolist() == [1, -1, 2, -1]
    assert len(in_time.metadata["warnings"]) == 1


def test_several_features_of_one_time_and_days_are_reported(tmp_path: Path, load: Load) -> None:
    columns = {"station": ["EWR", "EWR", "JFK"], "seen": ["01"] * 3, "temp": [1.0, 2.0, 3.0]}
    loaded = of(load, tmp_path, weather(tmp_path, table=columns))
    assert loaded.frame["temp"].fillna(-1).tolist() == [2, 3, 2, -1]
    assert "2 rows found several features of" in loaded.metadata["warnings"][1]
    assert 'where they sum up the day, give them a delay of "1d"' in loaded.metadata["warnings"][2]


def test_drawn_tables_are_joined_as_a_loop_over_all_rows_joins_them(tmp_path: Path, load: Load) -> None:
    rng = np.random.default_rng(5)
    start = pd.Timestamp("2020-01-01")

    def drawn(rows: int) -> "pd.Series[Any]":
        return pd.Series(start + pd.to_timedelta(rng.integers(0, 400, rows), unit="m"))

    rows = pd.DataFrame({"key": rng.integers(0, 4, 300), "departs": drawn(300)})
    seen = drawn(300)
    table = pd.DataFrame({"key": rng.integers(0, 5, 300), "seen": seen, "value": range(300)})
    table["known"] = seen + pd.to_timedelta(rng.integers(0, 90, 300), unit="m")
    rows.to_parquet(tmp_path / "rows.parquet")
    table.to_csv(tmp_path / "table.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S")
    features: dict[str, Any] = {"source": str(tmp_path / "table.csv"), "keys": ["key"], "time": "seen"}
    features |= {"columns": ["value"], "created": "known", "by_created": True, "max_age": "70m", "delay": "5m"}
    found = load(tmp_path / "rows.parquet", time="departs", features=[features]).frame["value"].fillna(-1).tolist()
    expected = []
    for row in rows.itertuples():
        age = row.departs - table["seen"]
        fits = table[(table["key"] == row.key) & (age >= pd.Timedelta("5m")) & (age <= pd.Timedelta("70m"))]
        fits = fits[fits["known"] <= row.departs].sort_values(["seen", "known", "value"])
        expected.append(fits["value"].iloc[-1] if len(fits) else -1)
    # an older feature does not stand in for a newer one that is too old: both are
    assert found == expected
    assert 0 < expected.count(-1) < 300


def test_nanoseconds_decide(tmp_path: Path, load: Load) -> None:
    moments = pd.Series(pd.to_datetime([1_600_000_000_000_000_000, 1_600_000_000_000_000_200]))
    pd.DataFrame({"departs": moments}).to_parquet(tmp_path / "rows.parquet")
    pd.DataFrame({"seen": moments[1:], "v": [7]}).to_parquet(tmp_path / "f.parquet", index=False)
    table = {"source": str(tmp_path / "f.parquet"), "keys": [], "time": "seen"}
    assert load(tmp_path / "rows.parquet", time="departs", features=[table]).frame["v"].fillna(-1).tolist() == [-1, 7]


def test_features_of_several_tables_labels_filter_columns_and_names(tmp_path: Path, load: Load) -> None:
    """Keys of text keep their zeros in files that have none themselves; what rows are chosen by is of all tables."""
    log = pd.DataFrame({"request.id": ["1", "2", "3"], "zip": ["07", "7", "07"], "departs": times(["02", "02", "03"])})
    log.to_parquet(tmp_path / "log.parquet", index=False)
    pd.DataFrame({"request.id": ["1", "3"], "late": [True, False]}).to_csv(tmp_path / "labels.csv", index=False)
    seen = ["2013-01-01", "2013-01-01", "2013-01-02T12:00:00"]
    pd.DataFrame({"zip": ["07", "7", "07"], "seen": seen, "size": [1, 2, 3]}).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"code": ["7"], "seen": seen[:1], "size": [9]}).to_json(
        tmp_path / "b.jsonl", orient="records", lines=True
    )
    tables = [
        {"source": str(tmp_path / "a.csv"), "keys": ["zip"], "time": "seen", "prefix": "town_"},
        {"source": str(tmp_path / "b.jsonl"), "keys": {"zip": "code"}, "time": "seen", "rename": {"size": "size_b"}},
    ]
    loaded = load(
        tmp_path / "log.parquet",
        time="departs",
        labels=str(tmp_path / "labels.csv"),
        features=tables,
        where="town_size < 3",
        columns=["late", "town_size", "size_b"],
        rename={"town_size": "size"},
    )
    rows = json.loads(loaded.frame.to_json(orient="records"))
    assert rows == [{"late": True, "size": 1, "size_b": None}, {"late": None, "size": 2, "size_b": 9}]
    assert [joined["columns"] for joined in loaded.metadata["features"]] == [["town_size"], ["size_b"]]


def test_a_database_is_asked_for_the_times_of_the_rows_alone(tmp_path: Path, load: Load) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "w.db") as database:
        database.execute("CREATE TABLE w (station TEXT, seen TEXT, temp REAL)")
        rows = [("EWR", f"20{year}-01-01T05:00:00", year) for year in range(10, 20)]
        database.executemany("INSERT INTO w VALUES (?, ?, ?)", rows)
    query = "SELECT * FROM w WHERE seen >= '{since}' AND seen < replace('{until}', ' ', 'T')"
    table = {**weather(tmp_path), "source": f"sqlite:///{tmp_path}/w.db", "query": query, "max_age": "400d"}
    loaded = of(load, tmp_path, table)
    assert loaded.frame["temp"].fillna(-1).tolist() == [13, -1, 13, -1]
    assert loaded.metadata["features"][0]["rows"] == 2


def test_the_report_of_validate_says_what_was_joined(tmp_path: Path, load: Load) -> None:
    loaded = of(load, tmp_path, weather(tmp_path, max_age="2h"))
    dataset = make_artifact(tmp_path, "Dataset", "given")
    dataset.path, dataset.metadata = str(loaded.path), loaded.metadata
    outputs = {name: make_artifact(tmp_path, "Artifact", name) for name in ("report", "schema", "valid", "quarantine")}
    validate(dataset, **outputs)
    page = Path(outputs["report"].path).read_text()
    assert "Features that were joined by time" in page
    assert "75.00%" in page
    assert loaded.metadata["features"][0]["fingerprint"][:12] in page
    assert "have no &#39;departs&#39;" in page


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("weather", r"features\[0\] is 'weather'; expected a table of features such as"),
        ({"keys": []}, r"features\[0\] has no source"),
        ({"source": "w", "keys": ["a"]}, r"features\[0\] has no time, the column that says when a feature came to be"),
        (
            {"source": "w", "time": "seen"},
            r"features\[0\] has keys None; expected the columns that rows and features sh",
        ),
        ({"source": "w", "keys": [], "time": "t", "ttl": "1d"}, r"features\[0\] has 'ttl'; there are: source, time,"),
        ({"source": "w", "keys": [], "time": "t", "max_age": "1mo"}, "months differ in length: give days, such as 30d"),
        (
            {"source": "w", "keys": [], "time": "t", "delay": "soon"},
            r"features\[0\].delay is 'soon'; expected a length",
        ),
        ({"source": "w", "keys": [], "time": "t", "zone": "Mars"}, "has zone 'Mars'; expected a name of the IANA data"),
        (
            {"source": "w", "keys": [], "time": "t", "by_created": True},
            "has by_created and no created; name the column",
        ),
        (
            {"time": "hour"},
            r"features of '.*', whose time is 'hour': the window is .* 'hour', which this table does not have",
        ),
        (
            {"keys": ["carrier"]},
            r"the keys of '.*' names the column 'carrier', which is not there; the table of rows has: flight",
        ),
        ({"prefix": "or", "rename": {"temp": "origin"}}, r"the feature 'origin' of '.*' is there twice \(beside 'orig"),
        ({"time": "temp"}, r"the features of '.*', whose time is 'temp': a value of .* .DOUBLE -> TIMESTAMP"),
        ({"keys": {"flight": "station"}}, "the key 'flight' is BIGINT in the rows, and 'station' is VARCHAR in"),
    ],
)
def test_what_cannot_be_joined_is_one_sentence(tmp_path: Path, load: Load, table: Any, sentence: str) -> None:
    if isinstance(table, dict) and "source" not in table and table != {"keys": []}:
        table = {**weather(tmp_path), **table}
    with pytest.raises(UserError, match=sentence):
        of(load, tmp_path, table)
