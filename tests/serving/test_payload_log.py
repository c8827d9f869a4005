"""The payload log: what it writes, what it leaves out, and that it never takes more memory or time than it may."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.errors import PlatformError, UserError
from kubeline.model_package import Feature, ModelPackage, Signature
from kubeline_serving.payload_log.log import PayloadLog, PayloadOptions
from tests.serving.exchanges import TRACE, TRACEPARENT, answered, refused
from tests.support.file_servers import S3, Files, serving_files
from tests.support.packages import ROWS, Task, write_tiny_package
from tests.support.waiting import wait_for


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "package")


def open_log(uri: object, package: ModelPackage, **options: Any) -> PayloadLog:
    return PayloadLog(str(uri), "tiny", package.digest[:12], package.signature, PayloadOptions(**options))


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("date=*/part-*.parquet"))


def read(folder: Path) -> pd.DataFrame:
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in parts(folder)]).to_pandas()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_rows_are_logged_as_they_were_asked_and_answered(tmp_path: Path, task: Task) -> None:
    package = write_tiny_package(tmp_path / "package", task)
    exchanges = [answered(package, request_id=f"r-{k}", traceparent=TRACEPARENT * (k == 0)) for k in range(2)]
    log = open_log(tmp_path / "log", package)
    for exchange in exchanges:
        log.record(exchange)
    log.close()

    found = read(tmp_path / "log")
    asked = pd.concat([ROWS, ROWS], ignore_index=True)
    pd.testing.assert_series_equal(found["amount"], asked["amount"].astype("float32"))
    assert found["carrier"].tolist() == asked["carrier"].tolist()
    assert found["rush"].tolist() == [True, False, None, True] * 2
    pd.testing.assert_series_equal(found["departure"], asked["departure"].dt.tz_localize("UTC").astype("M8[us, UTC]"))
    assert found["request.id"].tolist() == ["r-0"] * 4 + ["r-1"] * 4
    assert found["request.row"].tolist() == [0, 1, 2, 3] * 2
    assert found["request.trace_id"].tolist() == [TRACE] * 4 + [None] * 4
    assert set(found["model.name"] + found["model.version"]) == {"tiny" + package.digest[:12]}
    times = found["request.time"].astype("int64").to_numpy() / 1e6
    assert times == pytest.approx(np.repeat([exchange.time for exchange in exchanges], 4), abs=1e-6)
    answers = [exchange.predictions for exchange in exchanges]
    assert found["output.prediction"].tolist() == [value for each in answers for value in each.values]
    for place, label in enumerate(package.signature.classes or []):
        expected = np.concatenate([each.probabilities[:, place] for each in answers])
        assert found[f"output.probability.{label}"].to_numpy() == pytest.approx(expected, abs=0)


def test_only_answered_requests_are_logged(tmp_path: Path, package: ModelPackage) -> None:
    log = open_log(tmp_path / "log", package)
    log.record(refused(400, "column 'amount' is missing"))
    log.record(refused(503))
    log.record(answered(package, request_id="good"))
    log.close()
    assert set(read(tmp_path / "log")["request.id"]) == {"good"}
    assert log.counts == {"written": 4, "dropped": 0, "failed": 0, "sampled_out": 0}


def test_a_sample_is_of_whole_requests_and_the_same_in_every_worker(tmp_path: Path, package: ModelPackage) -> None:
    exchanges = [answered(package, request_id=f"request {k}") for k in range(400)]
    logs = [open_log(tmp_path / name, package, sample=0.25) for name in ("one", "two")]
    for log in logs:
        for exchange in exchanges:
            log.record(exchange)
        log.close()
    one, two = (read(tmp_path / name).groupby("request.id").size() for name in ("one", "two"))
    assert one.to_dict() == two.to_dict()
    assert set(one) == {4}
    assert 60 <= len(one) <= 140  # 100 expected, standard deviation 9
    assert logs[0].counts["sampled_out"] == 4 * (400 - len(one))


def test_a_file_has_no_more_rows_than_asked_and_files_sort_by_time(tmp_path: Path, package: ModelPackage) -> None:
    log = open_log(tmp_path / "log", package, rows=6)
    for k in range(5):
        log.record(answered(package, request_id=f"r-{k}", time=1.7e9 + 40_000 * k))  # over two midnights
    log.close()
    assert [pq.read_metadata(file).num_rows for file in parts(tmp_path / "log")] == [6, 6, 6, 2]
    assert read(tmp_path / "log")["request.id"].tolist() == [f"r-{k}" for k in range(5) for _ in range(4)]
    assert [file.parent.name for file in parts(tmp_path / "log")] == [
        *("date=2023-11-14", "date=2023-11-15", "date=2023-11-16", "date=2023-11-16")
    ]


def test_a_few_rows_do_not_wait_for_a_full_file(tmp_path: Path, package: ModelPackage) -> None:
    log = open_log(tmp_path / "log", package, seconds=0.2)
    log.record(answered(package))
    wait_for(lambda: log.counts["written"] == 4)
    assert len(parts(tmp_path / "log")) == 1
    log.close()


def test_several_workers_write_side_by_side(tmp_path: Path, package: ModelPackage) -> None:
    logs = [open_log(tmp_path / "log", package) for _ in range(3)]
    for log in logs:
        log.record(answered(package, time=1.7e9))
    for log in logs:
        log.close()
    assert len(parts(tmp_path / "log")) == 3
    assert not list((tmp_path / "log").rglob(".*"))


def test_a_request_id_that_is_no_unicode_is_logged_all_the_same(tmp_path: Path, package: ModelPackage) -> None:
    log = open_log(tmp_path / "log", package)
    log.record(answered(package, ROWS.head(1).assign(carrier="Zürich"), request_id="\udcff"))
    log.close()
    assert read(tmp_path / "log")[["carrier", "request.id"]].to_numpy().tolist() == [["Zürich", "?"]]


def test_a_feature_with_the_name_of_a_column_of_the_log_is_refused(tmp_path: Path) -> None:
    signature = Signature(features=[Feature(name="request.id", kind="category")], target="y", task="regression")
    with pytest.raises(UserError, match=r"^the payload log cannot hold the feature 'request\.id'"):
        PayloadLog(str(tmp_path), "m", "v", signature)


# --- stores that fail, or take their time ---------------------------------------------------------------------------


class Bucket(S3):
    """Takes objects too: none while `closed` is set, and each only when `open_` is."""

    open_: ClassVar[Event] = Event()
    closed: ClassVar[Event] = Event()
    refused: ClassVar[Event] = Event()

    def do_PUT(self) -> None:  # noqa: N802 - the name that http.server calls
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.lstrip("/").partition("?")[0].replace("%3D", "=")
        if not name.partition("/")[2].startswith("log/.writable"):
            self.open_.wait(60)
            if self.closed.is_set():
                self.refused.set()
                self.answer(500, b"<Error><Code>InternalError</Code></Error>", "application/xml")
                return
        self.files[name] = body
        self.answer(200)

    def do_DELETE(self) -> None:  # noqa: N802
        self.files.pop(self.path.lstrip("/"), None)
        self.answer(204)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """The objects of a loopback S3, which `s3://bucket` names; it stands still until `Bucket.open_` is set."""
    Bucket.open_.clear()
    Bucket.closed.clear()
    Bucket.refused.clear()
    files: Files = {}
    with serving_files(Bucket, files) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield files
        Bucket.open_.set()


def test_a_log_is_written_to_an_object_store_and_read_from_there(
    bucket: Files, tmp_path: Path, package: ModelPackage
) -> None:
    Bucket.open_.set()
    log = open_log("s3://bucket/log", package)
    log.record(answered(package))
    log.close()
    (name,) = [name for name in bucket if "part-" in name]
    (tmp_path / "copy.parquet").write_bytes(bucket[name])
    assert name.startswith("bucket/log/date=")
    assert pq.read_table(tmp_path / "copy.parquet").num_rows == 4
    assert log.counts["written"] == 4


def test_while_a_store_stands_still_memory_is_bounded_and_what_does_not_fit_is_counted(
    bucket: Files, package: ModelPackage
) -> None:
    log = open_log("s3://bucket/log", package, rows=50, memory_bytes=200_000)
    exchange = answered(package)
    for _ in range(2_000):
        log.record(exchange)
    assert 100_000 < log.waiting_bytes <= 200_000
    assert log.counts["dropped"] > 0
    assert log.counts["written"] == 0
    Bucket.open_.set()
    log.close()
    assert log.counts["written"] + log.counts["dropped"] == 8_000
    assert log.counts["written"] > 0
    assert log.waiting_bytes == 0


def test_the_estimate_of_memory_is_not_below_the_truth(bucket: Files, package: ModelPackage) -> None:
    import gc
    import tracemalloc

    frame = pd.concat([ROWS] * 25, ignore_index=True).assign(carrier=[f"carrier {k}" * 3 for k in range(100)])
    for rows in (1, 100):
        log = open_log("s3://bucket/log", package)
        tracemalloc.start()
        exchanges = [answered(package, frame.head(rows), request_id=f"request {k}") for k in range(200)]
        for exchange in exchanges:
            unseen = exchange.inputs.unseen  # as they come from a body: each is one of its own
            unseen[:] = [["".join(list(value)) for value in values] for values in unseen]
        gc.collect()  # of what only answering took
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert sum(map(log.size_of, exchanges)) >= used
        assert sum(map(log.size_of, exchanges)) <= 3 * used


def test_a_store_that_fails_is_tried_again(bucket: Files, package: ModelPackage) -> None:
    Bucket.open_.set()
    Bucket.closed.set()
    log = open_log("s3://bucket/log", package, seconds=0.1)
    log.record(answered(package))
    assert Bucket.refused.wait(60)
    Bucket.closed.clear()
    wait_for(lambda: log.counts["written"] == 4)
    log.close()
    assert log.counts["failed"] == 0


def test_rows_that_cannot_be_written_before_the_end_are_counted_as_failed(
    tmp_path: Path, package: ModelPackage
) -> None:
    log = open_log(tmp_path / "log", package, grace=1.0)
    (tmp_path / "log").rmdir()
    (tmp_path / "log").write_text("a file where the folder was")
    log.record(answered(package))
    log.close()
    assert log.counts == {"written": 0, "dropped": 0, "failed": 4, "sampled_out": 0}
    assert log.waiting_bytes == 0


def test_when_memory_is_full_the_oldest_file_that_cannot_be_written_is_given_up(
    tmp_path: Path, package: ModelPackage
) -> None:
    reported: list[tuple[str, int]] = []
    options = PayloadOptions(rows=4, memory_bytes=30_000)
    log = PayloadLog(
        str(tmp_path / "log"), "tiny", "v", package.signature, options, lambda what, rows: reported.append((what, rows))
    )
    (tmp_path / "log").rmdir()
    (tmp_path / "log").write_text("a file where the folder was")
    exchange = answered(package)
    while not log.counts["failed"]:
        log.record(exchange)
        time.sleep(0.001)
    (tmp_path / "log").unlink()
    log.record(answered(package, request_id="after"))
    wait_for(lambda: log.counts["written"] > 0)
    log.close()
    assert {what for what, _ in reported} == {"failed", "dropped", "written"}
    assert sum(rows for what, rows in reported if what == "failed") == log.counts["failed"]


@pytest.mark.parametrize(
    ("uri", "error", "sentence"),
    [
        ("nowhere://bucket/log", UserError, "^the payload log cannot be written to 'nowhere://bucket/log': Protocol"),
        ("/proc/no/such", PlatformError, "^the payload log cannot be written to '/proc/no/such' \\(.*; give this"),
    ],
)
def test_a_log_that_cannot_be_written_is_reported_at_start(
    package: ModelPackage, uri: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        open_log(uri, package)


def test_logging_imports_no_pandas(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from kubeline_serving.codec.columns import Encoder
from kubeline_serving.exchange import Exchange
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.payload_log.log import PayloadLog
model = ServedModel("m", Path(sys.argv[1]))
log = PayloadLog(sys.argv[2], "m", "v", model.signature)
inputs = Encoder(model.signature).encode([[1.5], ["AA"], [True], ["2013-01-01"]], 1)
predictions = model.predict([inputs])
log.record(Exchange("v1", "r", "", "", time.time(), 0.0, 200, rows=1, inputs=inputs, predictions=predictions))
log.close()
print(log.counts["written"], "pandas" in sys.modules)
"""
    write_tiny_package(tmp_path / "package")
    command = [sys.executable, "-c", script, str(tmp_path / "package"), str(tmp_path / "log")]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=240).stdout == "1 False\n"
