"""The example data is honest: known before departure, one file a month."""

from pathlib import Path

import pandas as pd
import pytest

import pipelines
from examples.flights.demo import HERE
from examples.flights.prepare import COLUMNS, prepare
from kubeline.local.parameters import check, read_parameters

KNOWN_ONLY_LATER = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"}


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return prepare(tmp_path_factory.mktemp("flights"))


def test_there_is_one_file_a_month_and_no_flight_is_lost(months: list[Path]) -> None:
    assert [file.name for file in months] == [f"2013-{month:02d}.parquet" for month in range(1, 13)]
    assert sum(len(pd.read_parquet(file, columns=["late"])) for file in months) == 327_346


def test_each_file_holds_its_own_month(months: list[Path]) -> None:
    for number, file in enumerate(months, start=1):
        table = pd.read_parquet(file, columns=["departure", "month"])
        assert set(table["month"]) == {number}
        assert set(table["departure"].dt.month) == {number}


def test_nothing_known_only_after_departure_is_a_column(months: list[Path]) -> None:
    assert list(pd.read_parquet(months[0]).columns) == COLUMNS
    assert not KNOWN_ONLY_LATER & set(COLUMNS)


def test_no_single_column_gives_the_target_away(months: list[Path]) -> None:
    from sklearn.metrics import roc_auc_score

    table = pd.read_parquet(months[0])
    for column in table.columns.drop(["late", "departure"]):
        values = table[column]
        numbers = values if values.dtype != object else values.astype("category").cat.codes
        score = roc_auc_score(table["late"], numbers.fillna(numbers.median()))
        assert 0.25 < score < 0.75, column


def test_the_weather_is_that_of_the_hour_of_departure_at_the_origin(months: list[Path]) -> None:
    january = pd.read_parquet(months[0])
    first = january[(january["departure"] == "2013-01-01 05:15") & (january["origin"] == "EWR")].iloc[0]
    assert (first["temp"], first["wind_dir"]) == (39.02, 260.0)  # weather.csv, EWR, 2013-01-01T10:00:00Z


def test_preparing_twice_writes_the_same_files(months: list[Path], tmp_path: Path) -> None:
    again = prepare(tmp_path)
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in months]


@pytest.mark.parametrize("pipeline", ["training", "monitoring"])
def test_the_parameters_of_the_example_are_taken_as_they_are_written(pipeline: str) -> None:
    compiled = Path(pipelines.__file__).with_name(pipeline) / "kubeflow.yaml"
    assert check(compiled, read_parameters(HERE / f"{pipeline}.yaml", {}))["data"] == "examples/flights/data"
