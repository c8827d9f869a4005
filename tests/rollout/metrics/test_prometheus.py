"""Evidence from a loopback server that speaks Prometheus' HTTP API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kubeline.errors import UserError
from kubeline.rollout.analysis.metrics import Addresses, MetricsError, MetricsSource, MetricsSpec, open_source
from tests.support.metrics_servers import Pod, PrometheusServer

NAMES = Addresses(namespace="shop", canary="rev-2", stable="rev-1")


@pytest.fixture
def prometheus() -> PrometheusServer:
    return PrometheusServer()


@pytest.fixture
def url(prometheus: PrometheusServer) -> Iterator[str]:
    with prometheus.serving() as url:
        yield url


def source(url: str, stable: str = "s1", **settings: Any) -> MetricsSource:
    return open_source(MetricsSpec(source="prometheus", url=url, **settings), "m", stable, "c1", NAMES)


def test_the_evidence_is_exact_over_scrapes_restarts_and_pods_that_come_and_go(
    prometheus: PrometheusServer, url: str
) -> None:
    canary, old, new = Pod("c1"), Pod("s1"), Pod("s1")
    old.answer(9)
    old.answer(1, code="503")

    def scraped(*pods: Pod) -> None:
        prometheus.now += 15
        for pod in pods:
            prometheus.scrape(pod, f"10.0.0.{id(pod)}")

    scraped(canary, old)
    since = source(url).start()
    old.answer(4)
    canary.answer(2, seconds=0.07)
    scraped(canary, old)
    canary.answer(1, code="500")  # the first sample of this series is inside the window
    old.restart()
    old.answer(3)
    old.answer(2, code="503")  # more than before the restart
    scraped(canary, old)
    new.answer(6)
    scraped(canary, new)
    evidence = source(url).evidence(since)
    assert (evidence.canary.requests, evidence.canary.errors) == (3, 1)
    assert evidence.canary.latency.counts == (0, 0, 0, 2, 0)
    assert evidence.stable is not None
    assert (evidence.stable.requests, evidence.stable.errors) == (4 + 3 + 2 + 6, 2)
    assert evidence.stable.predictions == {"yes": 13}
    assert evidence.seconds == pytest.approx(45)


def test_a_gap_between_scrapes_loses_no_request(prometheus: PrometheusServer, url: str) -> None:
    canary = Pod("c1")
    prometheus.scrape(canary, "a")
    since = source(url, stable="").start()
    canary.answer(40)
    prometheus.now += 900
    prometheus.scrape(canary, "a")
    assert source(url, stable="").evidence(since).canary.requests == 40


def test_samples_that_are_too_old_are_an_error_and_no_zero(prometheus: PrometheusServer, url: str) -> None:
    prometheus.scrape(Pod("c1"), "a")
    since = source(url, stable="").start()
    assert source(url, stable="").evidence(since).canary.requests == 0
    prometheus.now += 61
    with pytest.raises(MetricsError, match="61 s old, but 60 s"):
        source(url, stable="").evidence(since)


def test_a_version_without_samples_is_an_error_and_no_zero(prometheus: PrometheusServer, url: str) -> None:
    prometheus.scrape(Pod("c1"), "a")
    with pytest.raises(MetricsError, match="no samples of the stable version"):
        source(url).evidence(source(url).start())


@pytest.mark.parametrize(
    ("queries", "requests", "latency", "code", "labels"),
    [
        (
            "knative",
            "kn_serving_invocation_duration_seconds_count",
            "kn_serving_invocation_duration_seconds_bucket",
            "http_response_status_code",
            {"k8s_namespace_name": "shop", "kn_revision_name": "rev-2"},
        ),
        (
            "knative-opencensus",
            "revision_app_request_count",
            "revision_app_request_latencies_bucket",
            "response_code",
            {"namespace_name": "shop", "revision_name": "rev-2"},
        ),
        (
            "istio",
            "istio_requests_total",
            "istio_request_duration_milliseconds_bucket",
            "response_code",
            {
                "reporter": "destination",
                "destination_workload_namespace": "shop",
                "destination_workload": "rev-2",
            },
        ),
        (
            "envoy-gateway",
            "envoy_cluster_upstream_rq",
            "envoy_cluster_upstream_rq_time_bucket",
            "envoy_response_code",
            {"envoy_cluster_name": "rev-2"},
        ),
    ],
)
def test_meshes_and_gateways_are_asked_by_their_own_names_and_units(
    prometheus: PrometheusServer, url: str, queries: str, requests: str, latency: str, code: str, labels: dict[str, Any]
) -> None:
    since = source(url, stable="").start()
    prometheus.now += 10
    prometheus.add(requests, 8, **{**labels, code: "200"})
    prometheus.add(requests, 2, **{**labels, code: "502"})
    unit = 1 if queries == "knative" else 1000
    for seconds, count in ((0.1, 6), (1.0, 9), (float("inf"), 10)):
        prometheus.add(latency, count, **labels, le=str(seconds * unit))
    side = source(url, stable="", queries=queries).evidence(since).canary
    assert (side.requests, side.errors) == (10, 2)
    assert side.latency.bounds == pytest.approx((0.1, 1.0))
    assert side.latency.counts == (6, 3, 1)
    assert side.predictions is None


def test_a_query_can_be_replaced(prometheus: PrometheusServer, url: str) -> None:
    canary = Pod("c1")
    prometheus.scrape(canary, "a")
    prometheus.add("my_requests", 5, app="c1", status="200")
    mine = {"requests": 'my_requests{app="$version"}', "code": "status"}
    since = source(url, stable="", override=mine).start()
    prometheus.now += 10
    prometheus.add("my_requests", 12, app="c1", status="200")
    assert source(url, stable="", override=mine).evidence(since).canary.requests == 7


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ({"request": "x"}, "override has request, but may only have requests"),
        ({"requests": "x{pod='$pod'}"}, r"need \$pod"),
        ({"requests": "x$"}, "no template"),
    ],
)
def test_queries_that_cannot_work_are_reported_before_the_rollout(override: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        source("http://127.0.0.1:1", override=override)


def test_queries_that_do_not_tell_the_versions_apart_are_refused() -> None:
    same = dict.fromkeys(("requests", "latency", "labels", "probabilities", "numbers"), "x")
    with pytest.raises(UserError, match="must differ: name each"):
        source("http://127.0.0.1:1", override=same)
    with pytest.raises(UserError, match="queries of requests are the same"):  # of which the others are not
        source("http://127.0.0.1:1", override={"requests": "x"})


def test_a_name_cannot_leave_its_place_in_a_query(prometheus: PrometheusServer, url: str) -> None:
    spec = MetricsSpec(source="prometheus", url=url)
    evil = open_source(spec, 'm"} or x{a="', "", "c1", NAMES)
    with pytest.raises(MetricsError, match="no samples"):
        evil.evidence(evil.start())
    assert any(r'model="m\"} or x{a=\""' in query for query, _ in prometheus.asked)


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (401, b"", "refuses this client"),
        (302, b"", "not as Prometheus does"),
        (200, b"<html>", "not as Prometheus does"),
        (400, b'{"status":"error","error":"parse error"}', r"rejects the query time\(\) \(parse error\)"),
        (200, b'{"status":"success","data":{"result":[]}}', "does not answer its time"),
    ],
)
def test_another_answer_is_an_error(
    prometheus: PrometheusServer, url: str, status: int, body: bytes, sentence: str
) -> None:
    prometheus.answers.append((status, body))
    with pytest.raises(MetricsError, match=sentence):
        source(url).start()


@pytest.mark.parametrize("value", ["NaN", "-1"])
def test_a_value_that_is_no_count_is_an_error(prometheus: PrometheusServer, url: str, value: str) -> None:
    prometheus.add("kubeline_requests_total", float(value), model="m", version="c1", code="200")
    with pytest.raises(MetricsError, match="no count"):
        source(url, stable="").evidence({"time": prometheus.now})


def test_a_server_that_is_busy_for_a_moment_is_asked_again(prometheus: PrometheusServer, url: str) -> None:
    prometheus.answers.append((503, b""))
    assert source(url).start() == {"time": prometheus.now}


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(MetricsError, match=r"127\.0\.0\.1:1 could not be read"):
        source("http://127.0.0.1:1").start()


def test_the_token_is_read_anew_for_each_look(prometheus: PrometheusServer, url: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    asking = source(url, token_file=str(token))
    asking.start()
    token.write_text("second\n")
    asking.start()
    assert [header for _, header in prometheus.asked] == ["Bearer first", "Bearer second"]
    token.unlink()
    with pytest.raises(MetricsError, match="token_file"):
        asking.start()
    with pytest.raises(MetricsError, match="KUBELINE_NO_SUCH_TOKEN"):
        source(url, token_env="KUBELINE_NO_SUCH_TOKEN").start()  # noqa: S106 a name, not a token


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "prometheus"},
        {"source": "prometheus", "url": "ftp://x"},
        {"source": "prometheus", "url": "http://prometheus:9090", "token_file": "t"},
        {"source": "prometheus", "url": "https://x", "token_file": "t", "token_env": "T"},
        {"error_codes": "5("},
        {"verify": False},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MetricsSpec.model_validate(wrong)
