"""Sources that never end are given up: by their bytes, or by the time that they take, each in one sentence."""

import json
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.data.limits import SETTING
from kubeline.errors import PlatformError, UserError
from tests.data.kserve_events import V1, V1_ANSWER, event, pair, write
from tests.support.file_servers import Files, Handler, endless_listing, serving_files
from tests.support.loading import Load

MEANT = "; if that is meant, set KUBELINE_LOAD_LIMITS=10, which makes every limit of load ten times as large"
FILES: Files = {}


class Endless(Handler):
    """Sends rows for ever, in chunks: at once at `/fast.csv`, seldom at `/slow.csv`; `/head.csv` does not end its head,
    and `/great.csv` promises more than any disk holds.
    """

    def do_GET(self) -> None:  # noqa: N802
        self.send_response(200)
        self.close_connection = True
        try:
            if self.path == "/great.csv":
                self.send_header("Content-Length", str(1 << 60))
                self.end_headers()
                self.wfile.write(b"a,b\n")
            elif self.path == "/head.csv":
                self.flush_headers()
                self._go_on(b"", 0.1, b"X-More: more\r\n")
            else:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                rows = b"1,2\n" * (20_000 if self.path == "/fast.csv" else 1)
                chunk = f"{len(rows):x}\r\n".encode() + rows + b"\r\n"
                self._go_on(b"4\r\na,b\n\r\n", 0.0 if self.path == "/fast.csv" else 0.1, chunk)
        except OSError:  # the reader has left
            return

    def _go_on(self, first: bytes, seconds: float, again: bytes) -> None:
        self.wfile.write(first)
        end = time.monotonic() + 30  # of the test that hangs
        while time.monotonic() < end:
            self.wfile.write(again)
            time.sleep(seconds)


@pytest.fixture
def endless() -> Iterator[str]:
    with serving_files(Endless, FILES) as address:
        yield address


def test_a_download_that_never_ends_is_limited_by_its_bytes(
    endless: str, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SETTING, "0.00001")
    with pytest.raises(UserError) as refused:
        load(f"{endless}/fast.csv")
    assert str(refused.value) == f"'{endless}/fast.csv' sends more than 3 MB{MEANT}"
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("name", ["slow.csv", "head.csv"])
def test_a_download_that_drips_is_limited_by_its_time(
    name: str, endless: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, "0.00003")
    with pytest.raises(UserError) as refused:
        load(f"{endless}/{name}")
    assert str(refused.value) == f"'{endless}/{name}' has not sent all within 1 s{MEANT}"


def test_a_download_for_which_there_is_no_room_is_refused_before_it_comes(endless: str, load: Load) -> None:
    with pytest.raises(
        UserError, match=r"/great.csv' says that it is 1,048,576 TB and the temporary folder has room for"
    ):
        load(f"{endless}/great.csv")


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n{}) SELECT {} FROM n"


@pytest.mark.parametrize("source", ["s3://bucket/flights", "s3://bucket/flights/*.csv"])
def test_a_store_that_lists_files_for_ever_is_given_up(
    source: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, "0.01")
    with endless_listing(monkeypatch), pytest.raises(UserError) as refused:
        load(source)
    assert str(refused.value) == f"'{source}' has not listed all its files within 1 s{MEANT}"


@pytest.mark.parametrize(
    ("limits", "query", "sentence"),
    [
        ("0.0001", NUMBERS.format(" LIMIT 100", "zeroblob(1000000) AS b"), "sends more than 26 MB"),
        ("0.00003", NUMBERS.format("", "i"), "has not sent all within 1 s"),
    ],
    ids=["bytes", "time"],
)
def test_a_query_that_never_ends_is_limited(
    limits: str, query: Any, sentence: str, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sqlite3.connect(tmp_path / "t.db").execute("CREATE TABLE t (a)")
    monkeypatch.setenv(SETTING, limits)
    with pytest.raises(UserError) as refused:
        load(f"sqlite:////{tmp_path}/t.db", query=query)
    assert str(refused.value) == f"'the query's result' {sentence}{MEANT}"


def test_a_huge_line_of_kserves_log_is_left_out_and_never_held(
    tmp_path: Path, load: Load, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, "0.01")
    events = write(tmp_path / "events.jsonl", pair("a", V1, V1_ANSWER))
    with events.open("a") as file:
        file.write(json.dumps(event("b", "request", "x" * 50_000_000)) + "\n")
        for one in pair("c", V1, V1_ANSWER):
            file.write(json.dumps(one) + "\n")
    tracemalloc.start()
    try:
        found = load(events, format="kserve").frame
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found["request.id"].tolist() == ["a", "a", "c", "c"]
    assert f"1 x a line is longer than 164 kB ({MEANT.removeprefix('; ')})" in caplog.text
    assert peak < 20_000_000


def test_a_huge_body_that_stands_for_many_rows_of_kserves_log_is_left_out(
    tmp_path: Path, load: Load, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, "0.01")
    records = pair("a", V1, V1_ANSWER)
    values = [*(json.dumps(one["data"]).encode() for one in records), b"x" * 1_000_000]
    bodies = pa.DictionaryArray.from_arrays(pa.array([0, 1] + [2] * 500, pa.int32()), pa.array(values))
    kinds = [one["type"] for one in records] + [records[0]["type"]] * 500
    identities = ["a", "a", *map(str, range(500))]
    pq.write_table(pa.table({"bytes": bodies, "req_type": kinds, "id": identities}), tmp_path / "log.parquet")
    tracemalloc.start()
    try:
        found = load(tmp_path / "log.parquet", format="kserve").frame
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found["request.id"].tolist() == ["a", "a"]
    assert "500 x a body is longer than 164 kB" in caplog.text
    assert peak < 20_000_000


def test_a_parquet_file_that_lies_about_its_size_is_refused_in_one_sentence(tmp_path: Path, load: Load) -> None:
    """Its footer says less than what its pages hold."""
    path: Path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"a": ["x" * 300_000_000]}), path, compression="zstd", use_dictionary=False, write_statistics=False
    )
    size = pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
    content = path.read_bytes()
    assert content.count(_varint(size)) >= 1
    path.write_bytes(content.replace(_varint(size), _varint(size - (1 << 27))))
    assert pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size < size
    with pytest.raises((UserError, PlatformError)) as refused:
        load(path)
    assert "\n" not in str(refused.value)


def _varint(number: int) -> bytes:
    """A number as Thrift's compact protocol writes it."""
    number, found = number << 1, bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
