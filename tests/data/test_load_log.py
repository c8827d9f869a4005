"""Logs by time: partitions, windows, and what users get wrong."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubeline.data.timespan import Timespan, timespan
from kubeline.errors import UserError
from tests.support.file_servers import S3, serving_files
from tests.support.loading import Load

NOW = datetime(2013, 11, 1, tzinfo=UTC)
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


def test_the_partitions_of_a_folder_are_one_table(log: Path, load: Load) -> None:
    assert load(log).frame["x"].tolist() == [0, 1, 10]


@pytest.mark.parametrize(
    ("at", "length", "rows"),
    [
        ("2013-10-03", "1d", [1, 10]),
        ("2013-10-02T09:00:00Z", "510m", [1]),
        ("2013-10-02T02:30:00+02:00", "", [0]),
        ("2013-10-03", "48h", [0, 1, 10]),
        ("2013-11-01", "1mo", [0, 1, 10]),
        ("20131002003000", "24h", [0]),
        ("2013-10-02T00:31:00Z - 1m", "24h", [0]),
    ],
)
def test_a_window_takes_the_requests_of_its_time(log: Path, load: Load, at: str, length: str, rows: list[int]) -> None:
    assert load(log, at=at, length=length).frame["x"].tolist() == rows


def test_a_run_that_is_late_or_repeated_or_made_up_for_reads_the_same_rows(log: Path, load: Load) -> None:
    first = load(log, at="2013-10-02T01:00:00Z", length="24h")
    late = pd.DataFrame({"x": [99], "request.time": pd.to_datetime(["2013-10-02T01:00Z"])})  # the next window's
    late.to_parquet(log / "date=2013-10-02" / "part-late.parquet", index=False)
    again = load(log, at="2013-10-02T01:00:00Z", length="24h")
    assert again.metadata == first.metadata
    assert first.metadata["window"] == "2013-10-01T01:00:00+00:00/2013-10-02T01:00:00+00:00"
    assert load(log, at="2013-10-03T01:00:00Z", length="24h").frame["x"].tolist() == [10, 99]  # none twice


def test_a_table_has_windows_of_its_own_column_of_times(tmp_path: Path, load: Load) -> None:
    (tmp_path / "date=2020-01-01").mkdir()  # no log's: the folder says nothing of these times
    (tmp_path / "date=2020-01-01" / "t.csv").write_text("departure,x\n2013-10-01 06:00,1\n2013-10-02 06:00,2\n")
    assert load(tmp_path, at="2013-10-02", length="1d", time="departure", columns=["x"]).frame["x"].tolist() == [1]


def test_a_window_goes_with_a_filter_and_needs_no_column_of_its_own(log: Path, load: Load) -> None:
    found = load(log, at="2013-10-03", length="1d", where="x < 5 OR x = 10 -- of any day", columns=["x"]).frame
    assert found.to_dict("list") == {"x": [1, 10]}


def test_partitions_out_of_the_window_are_not_read(log: Path, load: Load) -> None:
    (log / "date=2013-10-02" / "part-9.parquet").write_bytes(b"not Parquet at all")
    assert load(log, at="2013-10-02").frame["x"].tolist() == [0]
    with pytest.raises(UserError, match=r"part-9\.parquet' is not a whole Parquet file"):
        load(log)


def test_a_payload_log_with_a_cut_last_file_is_refused_by_its_name_where_the_window_needs_it(
    log: Path, load: Load
) -> None:
    """Servers write whole files only: what is cut was copied badly, and losing its rows in silence would be worse."""
    whole = (log / "date=2013-10-02" / "part-1.parquet").read_bytes()
    cut = log / "date=2013-10-02" / "part-2.parquet"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"part-2\.parquet' is not a whole Parquet file; copy or write it again"):
        load(log, at="2013-10-03", length="1d")
    assert load(log, at="2013-10-02", length="1d").frame["x"].tolist() == [0]
    cut.unlink()
    assert load(log, at="2013-10-03", length="1d").frame["x"].tolist() == [1, 10]


def test_partitions_are_read_from_an_object_store(log: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {f"bucket/log/{file.relative_to(log)}": file.read_bytes() for file in log.rglob("*.parquet")}
    with serving_files(S3, objects) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert load("s3://bucket/log", at="2013-10-03", length="23h").frame["x"].tolist() == [10]


@pytest.mark.parametrize(
    ("at", "length", "sentence"),
    [
        ("yesterday", "", "^at is 'yesterday'; expected the end of the window as an ISO 8601 time, such as"),
        ("", "99999999d", "^length is '99999999d'; expected a length of time: 90m"),
        ("", "0h", "^length is '0h'; expected a length"),
        ("2013-10-02", "999999d", "^999999d before 2013-10-02 .* is before the year 1"),
        (
            "[[ScheduledTime]]",
            "1d",
            r"^at is '\[\[ScheduledTime\]\]', which this platform did not fill in; give an ISO",
        ),
        ("2020-01-01", "1d", r"^no file of '.*' is of a day in the window of `at` and `length`; choose another$"),
        ("2013-10-03T12:00", "2h", r"^no row of '.*' is in the window 2013-10-03T10:00:00\+00:00/.* passes `w"),
    ],
)
def test_a_window_that_holds_nothing_or_is_none_is_reported(
    log: Path, load: Load, at: str, length: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        load(log, at=at, length=length)


def test_a_window_of_a_table_without_times_is_refused(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"^the window is one of the times 'request\.time', which this table"):
        load(tmp_path / "t.csv", length="24h")


def test_without_an_end_a_window_ends_at_the_present() -> None:
    now = datetime(2013, 10, 2, 12, tzinfo=UTC)
    assert timespan("", "36h", now=now) == Timespan(datetime(2013, 10, 1, tzinfo=UTC), now)
    assert timespan("", "1mo", now=datetime(2013, 3, 31, tzinfo=UTC)).since == datetime(2013, 2, 28, tzinfo=UTC)
    assert timespan("", "", now=now).is_open


@pytest.mark.parametrize(
    ("at", "until"),
    [
        (" | 2013-10-02T06:00:00.123456789Z", datetime(2013, 10, 2, 6, 0, 0, 123456, tzinfo=UTC)),
        ("2013-10-01 | 2013-10-02T06:00:00Z", datetime(2013, 10, 1, tzinfo=UTC)),
        (" | {{$.pipeline_job_schedule_time_utc}}", NOW),
        (" | 1970-01-01T00:00:00Z", NOW),
    ],
)
def test_the_time_of_a_schedule_stands_in_for_an_end_that_is_not_given(at: str, until: Any) -> None:
    assert timespan(at, "1d", now=NOW).until == until
