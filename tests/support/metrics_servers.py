"""Servers on the loopback interface: pods with a metrics page, and one that speaks Prometheus' HTTP API."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from tests.support.http_servers import serving

BUCKETS = [0.01, 0.02, 0.05, 0.1]


class Pod:
    """A model server's metrics, made with the library that it uses."""

    def __init__(self, version: str, model: str = "m") -> None:
        self._labels = (model, version)
        self.restart()

    def restart(self) -> None:
        """Begin at 0."""
        self._registry = CollectorRegistry()
        names = ["model", "version"]
        self._requests = Counter("kubeline_requests", "", [*names, "protocol", "code"], registry=self._registry)
        self._seconds = Histogram(
            "kubeline_request_duration_seconds", "", [*names, "protocol"], buckets=BUCKETS, registry=self._registry
        )
        self._labelled = Counter("kubeline_predictions", "", [*names, "label"], registry=self._registry)
        for protocol in ("v1", "grpc"):
            self._requests.labels(*self._labels, protocol, "200")
            self._seconds.labels(*self._labels, protocol)

    def answer(self, times: int = 1, seconds: float = 0.015, code: str = "200", protocol: str = "v1") -> None:
        """Count requests."""
        for _ in range(times):
            self._requests.labels(*self._labels, protocol, code).inc()
            if code == "200":
                self._seconds.labels(*self._labels, protocol).observe(seconds)
                self._labelled.labels(*self._labels, "yes").inc()

    def page(self) -> bytes:
        """The text of the metrics page."""
        return generate_latest(self._registry)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve the page; yields its URL."""
        pod = self

        class Page(Handler):
            def do_GET(self) -> None:
                self.send(200, pod.page(), "text/plain; version=0.0.4")

        with serving(Page) as url:
            yield f"{url}/metrics"


class PrometheusServer:
    """Answers ``time()`` and selections of raw samples, as Prometheus does.

    `samples` are appended to by the test as (name, labels, time, value); `now` is the server's clock. `expressions` are
    what other queries give: series, each a function of the time that gives its value, or None where it has none.
    """

    def __init__(self) -> None:
        self.now = time.time() - 5000.0  # its own clock
        self.series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        self.expressions: dict[str, list[Callable[[float], float | None]]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.answers: list[tuple[int, bytes]] = []

    def add(self, name: str, value: float, at: float | None = None, **labels: str) -> None:
        """A sample, now by default."""
        key = tuple(sorted({"__name__": name, **labels}.items()))
        self.series.setdefault(key, []).append((self.now if at is None else at, value))

    def scrape(self, pod: Pod, instance: str) -> None:
        """Keep what a pod's page shows now."""
        from prometheus_client.parser import text_string_to_metric_families

        for family in text_string_to_metric_families(pod.page().decode()):
            for sample in family.samples:
                labels: dict[str, Any] = {**sample.labels, "instance": instance}
                self.add(sample.name, sample.value, **labels)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve the API; yields its URL."""
        prometheus = self

        class Api(Handler):
            def do_GET(self) -> None:
                given = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
                prometheus.asked.append((given["query"], self.headers.get("Authorization")))
                status, body = prometheus.answers.pop(0) if prometheus.answers else prometheus.answer(given)
                self.send(status, body, "application/json")

        with serving(Api) as url:
            yield url

    def answer(self, given: dict[str, str]) -> tuple[int, bytes]:
        """Status and body for the parameters of a query."""
        if given["query"] == "time()":
            return _success("scalar", [self.now, str(self.now)])
        if given["query"] in self.expressions:
            return self._evaluated(self.expressions[given["query"]], given)
        found = re.fullmatch(r"(\w+)\{(.*)\}\[(\d+)ms\]", given["query"])
        if not found:
            error = {"status": "error", "errorType": "bad_data", "error": "parse error: unexpected end of input"}
            return 400, json.dumps(error).encode()
        name, matchers, reach = found.groups()
        wanted = {("__name__", name), *re.findall(r'(\w+)="([^"]*)"', matchers)}
        end = float(given["time"])
        result = []
        for labels, points in self.series.items():
            values = [[at, str(value)] for at, value in points if end - int(reach) / 1000 <= at <= end]
            if wanted <= set(labels) and values:
                result.append({"metric": dict(labels), "values": values})
        return _success("matrix", result)

    def _evaluated(self, series: list[Callable[[float], float | None]], given: dict[str, str]) -> tuple[int, bytes]:
        """Of an instant, or of a range: at its start and each step later, in milliseconds as Prometheus counts."""
        if "step" not in given:
            return _success("vector", [{"metric": {}, "value": [self.now, str(each(self.now))]} for each in series])
        times = [float(given["start"])]
        while times[-1] + float(given["step"]) <= float(given["end"]) + 1e-4:
            times.append(times[-1] + float(given["step"]))
        found = [[[round(at, 3), str(value)] for at in times if (value := each(at)) is not None] for each in series]
        return _success("matrix", [{"metric": {}, "values": values} for values in found if values])


class Handler(BaseHTTPRequestHandler):
    def send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
        """Quiet."""


def _success(kind: str, result: object) -> tuple[int, bytes]:
    return 200, json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()
