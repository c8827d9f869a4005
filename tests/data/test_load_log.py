"""Logs by time: partitions, windows, and what users get wrong."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from kubeline.data.timespan import timespan
from kubeline.errors import UserError
from tests.data.servers import S3, serving

DAYS = {"date=2013-10-01": ["2013-10-01T22:00Z", "2013-10-02T00:30Z"], "date=2013-10-02": ["2013-10-02T09:00Z"]}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A folder of two partitions; the file of the first day reaches into the second."""
    folder = tmp_path / "log"
    for number, (day, times) in enumerate(DAYS.items()):
        (folder / day).mkdir(parents=True)
        frame = pd.DataFrame({"x": range(10 * number, 10 * number + len(times)), "request.time": pd.to_datetime(times)})
        frame.to_parquet(folder / day / f"part-{number}.parquet", index=False)
        (folder / day / f".part-{number}.parquet.partial").write_bytes(b"PAR1 cut off")
    return folder


def test_the_partitions_of_a_folder_are_one_table(log, load):
    assert load(log).frame["x"].tolist() == [0, 1, 10]


@pytest.mark.parametrize(
    ("since", "until", "rows"),
    [
        ("2013-10-02", "", [1, 10]),
        ("2013-10-02T00:30:00Z", "2013-10-02T09:00:00Z", [1]),
        ("", "2013-10-02T02:30:00+02:00", [0]),
        ("2013-10-01", "2013-10-03", [0, 1, 10]),
    ],
)
def test_a_window_takes_the_requests_of_its_time(log, load, since, until, rows):
    assert load(log, since=since, until=until).frame["x"].tolist() == rows


def test_a_window_goes_with_a_filter_and_needs_no_column_of_its_own(log, load):
    found = load(log, since="2013-10-02", where="x < 5 OR x = 10 -- of any day", columns=["x"]).frame
    assert found.to_dict("list") == {"x": [1, 10]}


def test_partitions_out_of_the_window_are_not_read(log, load):
    (log / "date=2013-10-02" / "part-9.parquet").write_bytes(b"not Parquet at all")
    assert load(log, until="2013-10-02").frame["x"].tolist() == [0]
    with pytest.raises(UserError, match=r"part-9\.parquet' is not a whole Parquet file"):
        load(log)


def test_partitions_are_read_from_an_object_store(log, load, monkeypatch):
    objects = {f"bucket/log/{file.relative_to(log)}": file.read_bytes() for file in log.rglob("*.parquet")}
    with serving(S3, objects) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert load("s3://bucket/log", since="2013-10-02T01:00:00Z").frame["x"].tolist() == [10]


@pytest.mark.parametrize(
    ("since", "until", "sentence"),
    [
        ("yesterday", "", "^since is 'yesterday'; expected an ISO 8601 time, such as"),
        ("", "99999999d", "^until is '99999999d'; expected"),
        ("2013-10-02", "2013-10-01", r"^since \(2013-10-02\) is not before until \(2013-10-01\)"),
        ("2020-01-01", "", r"^no file of '.*' is of the time that since and until ask for; widen it$"),
        ("2013-10-03", "", r"^no row of '.*' is of the time that since and until ask for, and passes `where`; widen"),
    ],
)
def test_a_window_that_holds_nothing_or_is_none_is_told(log, load, since, until, sentence):
    with pytest.raises(UserError, match=sentence):
        load(log, since=since, until=until)


def test_a_window_of_a_table_without_times_is_refused(tmp_path, load):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"^since and until are times of the column 'request\.time', which this table"):
        load(tmp_path / "t.csv", since="24h")


def test_an_age_is_counted_from_now():
    now = datetime(2013, 10, 2, 12, tzinfo=UTC)
    span = timespan("36h", "30m", now)
    assert span.since == datetime(2013, 10, 1, tzinfo=UTC)
    assert span.until == datetime(2013, 10, 2, 11, 30, tzinfo=UTC)
    assert timespan("7d", "", now).since == datetime(2013, 9, 25, 12, tzinfo=UTC)
