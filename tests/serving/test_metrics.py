"""Metrics of the model server: right for one worker, for several at once, and when one of them dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from kubeline.model_package import ModelPackage
from kubeline_serving.observability.counters import SharedCounters, shared_folder
from kubeline_serving.observability.metrics import ServerMetrics
from tests.serving.exchanges import answered, refused
from tests.support.packages import ROWS, write_tiny_package

WORKER = """
import sys, time
from pathlib import Path
from kubeline.model_package import ModelPackage
from kubeline_serving.observability.metrics import ServerMetrics
from tests.serving.exchanges import answered
package, folder, times, queue = sys.argv[1:]
package = ModelPackage.open(package)
metrics = ServerMetrics("tiny", package, Path(folder))
exchange = answered(package)
print("started", flush=True)
sys.stdin.readline()
metrics.watch_queue(lambda: int(queue))
for _ in range(int(times)):
    metrics.record(exchange)
metrics.flush()
print("recorded", flush=True)
sys.stdin.readline()
"""


class Page:
    """A scraped page: the value of each sample by name and labels other than model and version."""

    def __init__(self, metrics: ServerMetrics) -> None:
        metrics.flush()
        body, content_type = metrics.page()
        assert content_type.startswith("text/plain")
        self.families = list(text_string_to_metric_families(body.decode()))
        self._values = {
            (sample.name, frozenset((k, v) for k, v in sample.labels.items() if k not in ("model", "version"))): sample
            for family in self.families
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return float(self._values[name, frozenset(labels.items())].value)

    def labels(self, name: str) -> list[dict[str, str]]:
        return [sample.labels for (found, _), sample in self._values.items() if found == name]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_tiny_package(tmp_path_factory.mktemp("binary") / "package")


@pytest.fixture
def metrics(package: ModelPackage) -> ServerMetrics:
    return ServerMetrics("tiny", package)


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder() as place:
        yield place


def test_answered_requests_are_counted_by_protocol_and_code_with_their_rows(
    metrics: ServerMetrics, package: ModelPackage
) -> None:
    metrics.record(answered(package, protocol="v1"))
    metrics.record(answered(package, ROWS.head(1), protocol="grpc"))
    metrics.record(answered(package, ROWS.head(1), protocol="grpc"))
    page = Page(metrics)
    assert page("kubeline_requests_total", protocol="v1", code="200") == 1
    assert page("kubeline_requests_total", protocol="grpc", code="200") == 2
    assert page("kubeline_requests_total", protocol="v2", code="200") == 0
    assert page("kubeline_rows_total") == len(ROWS) + 2
    (labels, *_) = page.labels("kubeline_rows_total")
    assert labels == {"model": "tiny", "version": package.digest[:12]}


def test_refused_requests_count_by_their_code_and_nothing_else(metrics: ServerMetrics) -> None:
    for status in (400, 404, 503, 503, 500, 431):
        metrics.record(refused(status, "no"))
    page = Page(metrics)
    assert page("kubeline_requests_total", protocol="v2", code="503") == 2
    assert page("kubeline_requests_total", protocol="v2", code="431") == 1
    assert page("kubeline_request_duration_seconds_count", protocol="v2") == 0
    assert page("kubeline_rows_total") == 0


def test_a_request_that_failed_after_it_was_read_counts_no_rows(metrics: ServerMetrics, package: ModelPackage) -> None:
    exchange = answered(package)
    exchange.status = 504
    metrics.record(exchange)
    page = Page(metrics)
    assert page("kubeline_requests_total", protocol="v2", code="504") == 1
    assert page("kubeline_rows_total") == 0
    assert page("kubeline_missing_values_total", column="amount") == 0


def test_durations_fall_into_the_bins_of_their_size(metrics: ServerMetrics, package: ModelPackage) -> None:
    metrics.record(answered(package, total_seconds=0.004))
    metrics.record(answered(package, total_seconds=0.005))
    metrics.record(answered(package, total_seconds=70.0))
    page = Page(metrics)
    buckets = {
        bound: page("kubeline_request_duration_seconds_bucket", protocol="v2", le=bound)
        for bound in ("0.0025", "0.005", "10.0", "+Inf")
    }
    assert buckets == {"0.0025": 0, "0.005": 2, "10.0": 2, "+Inf": 3}
    assert page("kubeline_request_duration_seconds_sum", protocol="v2") == pytest.approx(70.009)


def test_each_phase_has_its_own_time(metrics: ServerMetrics, package: ModelPackage) -> None:
    metrics.record(answered(package))
    page = Page(metrics)
    times = {
        phase: page("kubeline_phase_duration_seconds_sum", phase=phase)
        for phase in ("queue", "parse", "predict", "serialise")
    }
    assert times == pytest.approx({"queue": 0.00002, "parse": 0.0004, "predict": 0.003, "serialise": 0.0002})


@pytest.mark.parametrize("one_by_one", [True, False])
def test_missing_values_and_unseen_categories_are_counted_by_column(
    metrics: ServerMetrics, package: ModelPackage, one_by_one: bool
) -> None:
    parts = [ROWS.iloc[[row]] for row in range(len(ROWS))] if one_by_one else [ROWS]
    for part in parts:
        metrics.record(answered(package, part))
    page = Page(metrics)
    columns = ("amount", "carrier", "rush", "departure")
    assert {column: page("kubeline_missing_values_total", column=column) for column in columns} == {
        "amount": 1,
        "carrier": 1,
        "rush": 1,
        "departure": 1,
    }
    assert page("kubeline_unseen_categories_total", column="carrier") == 1
    assert [labels["column"] for labels in page.labels("kubeline_unseen_categories_total")] == ["carrier"]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("one_by_one", [True, False])
def test_predictions_are_counted_by_class_and_probability(tmp_path: Path, task: str, one_by_one: bool) -> None:
    package = write_tiny_package(tmp_path / "package", task)  # type: ignore[arg-type]
    metrics = ServerMetrics("tiny", package)
    parts = [ROWS.iloc[[row]] for row in range(len(ROWS))] if one_by_one else [ROWS]
    for part in parts:
        metrics.record(answered(package, part))
    page = Page(metrics)
    expected = package.predictor(threads=1).predict(ROWS)
    assert expected.probabilities is not None
    for label in package.signature.classes or []:
        assert page("kubeline_predictions_total", label=label) == list(expected.values).count(label)
    shown = {labels["label"] for labels in page.labels("kubeline_probability_count")}
    assert shown == ({"True"} if task == "binary" else set(package.signature.classes or []))
    for place, label in enumerate(package.signature.classes or []):
        if label not in shown:
            continue
        column = expected.probabilities[:, place]
        assert page("kubeline_probability_sum", label=label) == pytest.approx(column.sum(), rel=1e-6)
        for bound in ("0.2", "0.6", "1.0"):
            assert page("kubeline_probability_bucket", label=label, le=bound) == (column <= float(bound)).sum()


def test_predicted_numbers_fall_into_bins_of_the_recorded_distribution(tmp_path: Path) -> None:
    recorded = {"predictions": {"prediction": {"quantiles": [float(value) for value in range(100, 201)]}}}
    package = write_tiny_package(tmp_path / "package", "regression", reference=recorded)
    metrics = ServerMetrics("tiny", package)
    exchange = answered(package)
    exchange.predictions = type(exchange.predictions)(np.array([99.0, 104.0, 105.0, np.nan]), None)  # type: ignore[misc]
    metrics.record(exchange)
    page = Page(metrics)
    bounds = [labels["le"] for labels in page.labels("kubeline_prediction_bucket")]
    assert bounds[0] == "0.0"
    assert bounds[-1] == "+Inf"
    assert set(bounds) > {"64.0", "96.0", "128.0", "104.0", "108.0", "132.0", "256.0"}
    found = [page("kubeline_prediction_bucket", le=bound) for bound in ("96.0", "104.0", "108.0", "+Inf")]
    assert found == [0, 2, 3, 4]
    assert page("kubeline_prediction_sum") == 308


def test_without_a_recorded_distribution_numbers_of_every_size_have_bins(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package", "regression")
    metrics = ServerMetrics("tiny", package)
    metrics.record(answered(package))
    values = package.predictor(threads=1).predict(ROWS).values
    page = Page(metrics)
    for bound in ("-1048576.0", "0.0", "1.0", "+Inf"):
        assert page("kubeline_prediction_bucket", le=bound) == (values <= float(bound)).sum()


def test_model_information_states_what_is_served(metrics: ServerMetrics, package: ModelPackage) -> None:
    (labels,) = Page(metrics).labels("kubeline_model_info")
    assert labels == {
        "model": "tiny",
        "version": package.digest[:12],
        "digest": package.digest,
        "task": "binary",
        "estimator": "by hand",
        "git_revision": "",
    }


def test_payload_rows_and_the_queue_are_shown(metrics: ServerMetrics) -> None:
    metrics.count_payload_rows("written", 10)
    metrics.count_payload_rows("dropped", 3)
    waiting = [1, 2, 3]
    metrics.watch_queue(lambda: len(waiting))
    assert Page(metrics)("kubeline_queue_length") == 3
    waiting.clear()
    page = Page(metrics)
    assert page("kubeline_payload_rows_total", outcome="written") == 10
    assert page("kubeline_payload_rows_total", outcome="dropped") == 3
    assert page("kubeline_queue_length") == 0


def test_requests_never_add_label_values(metrics: ServerMetrics, package: ModelPackage) -> None:
    def series() -> set[tuple[str, frozenset[tuple[str, str]]]]:
        families = Page(metrics).families
        return {(sample.name, frozenset(sample.labels.items())) for family in families for sample in family.samples}

    before = series()
    for number in range(50):
        metrics.record(refused(404, f"there is no model 'model-{number}' here", request_id=f"id-{number}"))
        metrics.record(answered(package, ROWS.assign(carrier=f"never seen {number}")))
    assert series() == before


def test_a_scraper_that_asks_for_openmetrics_gets_it(metrics: ServerMetrics, package: ModelPackage) -> None:
    metrics.record(answered(package))
    body, content_type = metrics.page("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(body.decode())}
    assert families["kubeline_requests"].type == "counter"
    assert families["kubeline_model"].type == "info"
    assert families["kubeline_request_duration_seconds"].type == "histogram"


def test_memory_and_processor_time_are_those_of_the_worker(metrics: ServerMetrics) -> None:
    page = Page(metrics)
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert page("process_resident_memory_bytes", worker="0") == pytest.approx(resident, rel=0.2)
    assert page("process_cpu_seconds_total", worker="0") > 0


class Worker:
    """A process that records on command."""

    def __init__(self, package: ModelPackage, folder: Path, times: int, queue: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(package.path), str(folder), str(times), str(queue)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.expect("started")

    def expect(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def record(self) -> "Worker":
        self.go()
        self.expect("recorded")
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.mark.slow
def test_several_workers_at_once_are_summed_and_a_killed_one_keeps_its_counts_but_not_its_queue(
    package: ModelPackage, folder: Path
) -> None:
    metrics = ServerMetrics("tiny", package, folder)
    metrics.record(answered(package))
    workers = [Worker(package, folder, times=3000, queue=5) for _ in range(3)]
    try:
        for worker in workers:
            worker.go()
        for worker in workers:
            worker.expect("recorded")
        page = Page(metrics)
        assert page("kubeline_requests_total", protocol="v2", code="200") == 9001
        assert page("kubeline_rows_total") == 9001 * len(ROWS)
        assert page("kubeline_missing_values_total", column="carrier") == 9001
        assert page("kubeline_queue_length") == 15
        assert {labels["worker"] for labels in page.labels("process_resident_memory_bytes")} == {"0", "1", "2", "3"}

        workers[1].kill()
        page = Page(metrics)
        assert page("kubeline_requests_total", protocol="v2", code="200") == 9001
        assert page("kubeline_queue_length") == 10
        assert len(page.labels("process_resident_memory_bytes")) == 3

        workers.append(Worker(package, folder, times=10, queue=1).record())  # takes the place of the dead one
        page = Page(metrics)
        assert page("kubeline_requests_total", protocol="v2", code="200") == 9011
        assert page("kubeline_queue_length") == 11
        assert len(list(folder.glob(f"{package.digest[:12]}.*"))) == 4
    finally:
        for worker in workers:
            worker.kill()
    assert Page(metrics)("kubeline_requests_total", protocol="v2", code="200") == 9011


def test_any_worker_reports_for_all(package: ModelPackage, folder: Path) -> None:
    first = ServerMetrics("tiny", package, folder)
    second = ServerMetrics("tiny", package, folder)
    first.record(answered(package))
    second.record(answered(package))
    first.flush()
    second.flush()
    assert Page(first)("kubeline_rows_total") == Page(second)("kubeline_rows_total") == 2 * len(ROWS)


def test_a_file_that_a_worker_is_just_making_is_no_error(package: ModelPackage, folder: Path) -> None:
    metrics = ServerMetrics("tiny", package, folder)
    metrics.record(answered(package))
    (folder / f"{package.digest[:12]}.9").touch()
    assert Page(metrics)("kubeline_rows_total") == len(ROWS)


def test_the_shared_folder_is_private_and_goes_with_its_server() -> None:
    with shared_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        SharedCounters(gauges=1, counters=1, folder=folder)
    assert not folder.exists()


def test_the_folder_of_a_killed_server_is_removed_and_that_of_a_living_one_is_not() -> None:
    with shared_folder() as living:
        abandoned = living.with_name("kubeline-metrics-of-a-killed-server")
        abandoned.mkdir()
        (abandoned / "owner").touch()
        for folder in (living, abandoned):
            os.utime(folder, (0, 0))
        with shared_folder():
            assert not abandoned.exists()
            assert living.exists()


def test_a_young_folder_is_left_alone() -> None:
    with shared_folder() as living:
        young = living.with_name("kubeline-metrics-of-a-starting-server")
        young.mkdir()
        (young / "owner").touch()
        try:
            with shared_folder():
                assert young.exists()
        finally:
            (young / "owner").unlink()
            young.rmdir()


def test_a_model_without_number_columns_is_counted_too(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    only = package.signature.model_copy(update={"features": [package.signature.features[1]]})
    metrics = ServerMetrics("tiny", type(package)(package.path, package.manifest, only, package.digest))
    metrics.record(answered(package))
    assert Page(metrics)("kubeline_missing_values_total", column="carrier") == 1
