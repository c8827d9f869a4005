"""Prometheus metrics of the served model; docs/monitoring.md lists them."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, get_args

import numpy as np
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from kubeline.model_package import ModelPackage, Predictions, version_of
from kubeline.typing import Array
from kubeline_serving.codec.inputs import InputColumns
from kubeline_serving.exchange import Exchange, PayloadOutcome, ProtocolName
from kubeline_serving.observability.counters import SharedCounters
from kubeline_serving.observability.number_bins import number_bounds

# Seconds. ONNX Runtime takes 20 µs for a row; the longest wait that the options allow by default is some seconds.
DURATIONS = [step * 10.0**power for power in range(-5, 1) for step in (1, 2.5, 5)] + [10.0]
PROBABILITIES = [tenth / 10 for tenth in range(1, 11)]
REQUEST_ROWS = [2**power for power in range(18)]  # up to more than a request may have by default

_PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
_PHASES = ("queue", "parse", "predict", "serialise")
_CODES = 600
_ALWAYS_SHOWN = (200, 400, 404, 413, 500, 503, 504)  # from 0 on, so that a rate sees the first one too
_OUTCOMES: tuple[PayloadOutcome, ...] = get_args(PayloadOutcome)
_MAX_UNCOUNTED = 64  # exchanges
_MAX_UNCOUNTED_ROWS = 2_000
_CLASSES_IN_METRICS = 100  # with more, a histogram for each would be thousands of time series
_QUEUE_LENGTH = SharedCounters.gauge(0)


class ServerMetrics(Collector):
    """Counts exchanges; an Observer.

    A record takes microseconds. The numbers stand in memory that all workers share, so that any of them answers a
    scrape for all. Label values come from the package and from fixed lists, never from a request.
    """

    def __init__(self, name: str, package: ModelPackage, folder: Path | None = None):
        """Start at 0, or where a dead worker ended.

        Args:
            name: of the model in URLs.
            package: what is served.
            folder: of :func:`kubeline_serving.observability.counters.shared_folder`; None when there is one worker.
        """
        signature, manifest = package.signature, package.manifest
        self._labels = {"model": name, "version": version_of(package.digest)}
        self._info = {
            "digest": package.digest,
            "task": signature.task,
            "estimator": manifest.estimator,
            "git_revision": manifest.git_revision,
        }
        self._names = signature.names
        self._columns = InputColumns(signature)
        known = [feature.name for feature in signature.features if feature.categories is not None]
        classes = signature.classes or []
        distributed = (
            classes[1:]
            if signature.task == "binary"
            else classes[: len(classes) * (len(classes) <= _CLASSES_IN_METRICS)]
        )

        layout = _Layout(SharedCounters.gauge(1))
        self._requests = {protocol: layout.take(_CODES) for protocol in _PROTOCOLS}
        self._duration = _Histogram(layout, DURATIONS, _PROTOCOLS)
        self._phase = _Histogram(layout, DURATIONS, _PHASES)
        self._rows = layout.take(1)
        self._request_rows = _Histogram(layout, REQUEST_ROWS, [""])
        self._first_predicted = layout.size
        self._predicted = {label: layout.take(1) for label in classes}
        self._probability = _Histogram(layout, PROBABILITIES, distributed)
        self._number = _Histogram(layout, _number_bounds(package), [""] if not classes else [])
        # missing values of columns of one form stand side by side, so that they are added in one step
        columns = self._columns
        self._missing = {name: layout.take(1) for name in [*columns.numbers, *columns.doubles, *columns.categories]}
        self._unseen = {name: layout.take(1) for name in columns.categories if name in known}
        self._with_vocabulary = np.array([name in known for name in columns.categories], dtype=bool)
        self._payload = {outcome: layout.take(1) for outcome in _OUTCOMES}
        self._payload_lock = Lock()
        self._queue_length: Callable[[], int] = int  # nothing waits

        size = layout.size - SharedCounters.gauge(1)
        self._counters = SharedCounters(1, size, folder, name=version_of(package.digest))
        self._values = self._counters.values
        self._uncounted: list[Exchange] = []
        self._uncounted_rows = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def record(self, exchange: Exchange) -> None:
        """Count an exchange, now or with the next ones: counting many together is much faster."""
        self._uncounted.append(exchange)
        self._uncounted_rows += exchange.rows
        if len(self._uncounted) >= _MAX_UNCOUNTED or self._uncounted_rows >= _MAX_UNCOUNTED_ROWS:
            self.flush()

    def flush(self) -> None:
        """Count what was recorded: statuses, and of answered requests durations, rows, inputs and predictions.

        To be called in the thread that records, before a page and a few times a second.
        """
        self._values[_QUEUE_LENGTH] = self._queue_length()
        found, self._uncounted, self._uncounted_rows = self._uncounted, [], 0
        for (protocol, status), count in Counter((each.protocol, each.status) for each in found).items():
            self._values[self._requests[protocol] + status] += count
        answered = [each for each in found if each.status == 200 and each.inputs is not None and each.predictions]
        if answered:
            self._count_durations(answered)
        filled = [each for each in answered if each.rows]
        if filled:
            rows = sum(each.rows for each in filled)
            inputs = self._columns.joined([each.inputs for each in filled if each.inputs is not None])
            self._values[self._rows] += rows
            self._request_rows.add_column(self._counters.array, np.array([each.rows for each in filled]))
            self._count_predictions([each.predictions for each in filled if each.predictions is not None])
            self._add_by_column(self._missing, self._columns.numbers, np.isnan(inputs.numbers))
            self._add_by_column(self._missing, self._columns.doubles, np.isnan(inputs.doubles))
            missing = self._columns.missing[:, None]
            self._add_by_column(self._missing, self._columns.categories, inputs.codes == missing)
            self._add_by_column(self._unseen, list(self._unseen), (inputs.codes > missing)[self._with_vocabulary])

    def _count_durations(self, answered: list[Exchange]) -> None:
        array = self._counters.array
        phases = [
            (each.queue_seconds, each.parse_seconds, each.predict_seconds, each.serialise_seconds) for each in answered
        ]
        self._phase.add_columns(array, np.array(phases))
        for series, protocol in enumerate(_PROTOCOLS):
            if totals := [each.total_seconds for each in answered if each.protocol == protocol]:
                self._duration.add_column(array, np.array(totals), series)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Set where the queue's length is read, at every exchange and at every page."""
        self._queue_length = length

    def count_payload_rows(self, outcome: PayloadOutcome, rows: int) -> None:
        """What became of rows in the payload log; safe to call in any thread."""
        with self._payload_lock:
            self._values[self._payload[outcome]] += rows

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics of all workers as text: the body and its content type.

        Takes some milliseconds: to be called in a thread.

        Args:
            accept: header ``Accept`` of the scrape; OpenMetrics when it asks for that.
        """
        self._values[_QUEUE_LENGTH] = self._queue_length()
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def close(self) -> None:
        """Count what is not counted yet; it stays in shared memory, for the other workers to report."""
        self.flush()

    def _count_predictions(self, answers: list[Predictions]) -> None:
        probabilities = [each.probabilities for each in answers if each.probabilities is not None]
        if not probabilities:
            self._number.add_column(self._counters.array, np.concatenate([each.values for each in answers]))
            return
        joined = np.concatenate(probabilities)
        first, classes = self._first_predicted, len(self._predicted)
        self._counters.array[first : first + classes] += np.bincount(joined.argmax(axis=1), minlength=classes)
        if len(self._predicted) > 2:
            self._probability.add_columns(self._counters.array, joined)
        else:
            self._probability.add_column(self._counters.array, joined[:, 1])

    def _add_by_column(self, counters: Mapping[str, int], columns: list[str], found: Array) -> None:
        """Count what is true in an array of shape (columns, rows); the counters of the columns stand side by side."""
        if columns:
            first = counters[columns[0]]
            self._counters.array[first : first + len(columns)] += found.sum(axis=1)

    def collect(self) -> Iterator[Metric]:
        """The families of the page, in its order."""
        total, workers = self._counters.total()
        numbers = total.tolist()
        yield InfoMetricFamily("kubeline_model", "The model that is served.", value=self._labels | self._info)
        yield self._request_counts(numbers)
        yield self._histogram(
            "kubeline_request_duration_seconds",
            "From arrival to answer, of answered requests.",
            "protocol",
            self._duration,
            numbers,
        )
        yield self._histogram(
            "kubeline_phase_duration_seconds",
            "Parts of it; predict is that of the whole batch.",
            "phase",
            self._phase,
            numbers,
        )
        yield self._counts("kubeline_rows", "Rows answered.", "", {"": self._rows}, numbers)
        yield self._histogram("kubeline_request_rows", "Rows of an answered request.", "", self._request_rows, numbers)
        if self._predicted:
            yield self._counts("kubeline_predictions", "Rows by predicted class.", "label", self._predicted, numbers)
            what = "Predicted probability; of the positive class for a binary model."
            yield self._histogram("kubeline_probability", what, "label", self._probability, numbers)
        else:
            yield self._histogram("kubeline_prediction", "Predicted numbers.", "", self._number, numbers)
        missing = {column: self._missing[column] for column in self._names}
        yield self._counts("kubeline_missing_values", "Missing values in answered rows.", "column", missing, numbers)
        what = "Values in answered rows that the column did not have in training."
        yield self._counts("kubeline_unseen_categories", what, "column", self._unseen, numbers)
        what = "What became of answered rows in the payload log."
        yield self._counts("kubeline_payload_rows", what, "outcome", self._payload, numbers)
        queue = GaugeMetricFamily("kubeline_queue_length", "Requests that wait.", labels=list(self._labels))
        queue.add_metric(list(self._labels.values()), numbers[_QUEUE_LENGTH])
        yield queue
        yield from _processes(workers)

    def _request_counts(self, numbers: list[float]) -> Metric:
        family = CounterMetricFamily(
            "kubeline_requests",
            "Requests by HTTP status (gRPC: the equivalent).",
            labels=[*self._labels, "protocol", "code"],
        )
        for protocol, start in self._requests.items():
            for code in range(_CODES):
                if numbers[start + code] or code in _ALWAYS_SHOWN:
                    family.add_metric([*self._labels.values(), protocol, str(code)], numbers[start + code])
        return family

    def _counts(self, name: str, what: str, label: str, positions: Mapping[Any, int], numbers: list[float]) -> Metric:
        family = CounterMetricFamily(name, what, labels=[*self._labels, label] if label else list(self._labels))
        for value, position in positions.items():
            family.add_metric([*self._labels.values(), value], numbers[position])
        return family

    def _histogram(self, name: str, what: str, label: str, histogram: "_Histogram", numbers: list[float]) -> Metric:
        family = HistogramMetricFamily(name, what, labels=[*self._labels, label] if label else list(self._labels))
        for value, buckets, sum_ in histogram.read(numbers):
            family.add_metric([*self._labels.values(), value], buckets, sum_)
        return family


class _Layout:
    """Gives out positions in the shared memory."""

    def __init__(self, first: int):
        self.size = first

    def take(self, count: int) -> int:
        """The first of `count` positions."""
        start, self.size = self.size, self.size + count
        return start


class _Histogram:
    """Where the histograms of one metric stand: the counts of the bins of each series, then the sum of each."""

    def __init__(self, layout: _Layout, bounds: Sequence[float], series: Sequence[str]):
        self._bounds = list(bounds)
        self._edges = np.array(bounds)
        self._series = list(series)
        self._bins = len(self._bounds) + 1
        self._counts = layout.take(self._bins * len(self._series))
        self._sums = layout.take(len(self._series))
        self._first_bins = np.arange(len(self._series)) * self._bins

    def add_column(self, array: Array, column: Array, series: int = 0) -> None:
        """Count the values of one series, each in the bin whose bound is not below it.

        NaN is in the last bin; what is not finite is in no sum.
        """
        bins = self._edges.searchsorted(column)
        start = self._counts + series * self._bins
        array[start : start + self._bins] += np.bincount(bins, minlength=self._bins)
        total = float(column.sum(dtype=np.float64))
        if not math.isfinite(total):
            total = float(column[np.isfinite(column)].sum(dtype=np.float64))
        array[self._sums + series] += total

    def add_columns(self, array: Array, columns: Array) -> None:
        """Count finite values of shape (rows, series)."""
        if not self._series:
            return
        bins = self._edges.searchsorted(columns) + self._first_bins
        size = self._bins * len(self._series)
        array[self._counts : self._counts + size] += np.bincount(bins.ravel(), minlength=size)
        array[self._sums : self._sums + len(self._series)] += columns.sum(axis=0, dtype=np.float64)

    def read(self, numbers: list[float]) -> Iterator[tuple[str, list[tuple[str, float]], float]]:
        """Label, cumulative buckets and sum of each series."""
        bounds = [floatToGoString(bound) for bound in [*self._bounds, math.inf]]
        for series, label in enumerate(self._series):
            start = self._counts + series * self._bins
            counts = np.cumsum(numbers[start : start + self._bins]).tolist()
            yield label, list(zip(bounds, counts, strict=True)), numbers[self._sums + series]


def _number_bounds(package: ModelPackage) -> list[float]:
    """Bounds of the bins of predicted numbers, by the predictions that training recorded."""
    recorded: dict[str, Any] = package.reference().get("predictions", {}).get("prediction", {})
    return number_bounds(recorded.get("quantiles", []))


def _processes(workers: dict[int, int]) -> Iterable[Metric]:
    """Memory, processor time and files of each worker, labelled by its number, which its successor takes over."""
    families: dict[str, Metric] = {}
    for worker, pid in workers.items():
        for found in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
            for sample in found.samples:
                family.add_sample(sample.name, {"worker": str(worker)}, sample.value)
    return families.values()
