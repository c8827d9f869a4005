"""A business metric from a server that speaks Prometheus' HTTP API: by intervals, and never a pass without data."""

import json
import math
from collections.abc import Callable, Iterator

import pytest

from kubeline.errors import UserError
from kubeline.rollout.analysis.judge import BusinessMetric
from kubeline.rollout.analysis.metrics import Addresses, MetricsError, MetricsSource, MetricsSpec, open_source
from kubeline.rollout.analysis.metrics.source import BusinessQuery
from tests.support.metrics_servers import Pod, PrometheusServer

QUERY = 'sum(increase(revenue_total{version="$version"}[$interval]))'
MINE, THEIRS = (f'sum(increase(revenue_total{{version="{version}"}}[60000ms]))' for version in ("c1", "s1"))


@pytest.fixture
def prometheus() -> PrometheusServer:
    return PrometheusServer()


@pytest.fixture
def source(prometheus: PrometheusServer) -> Iterator[MetricsSource]:
    with prometheus.serving() as url:
        spec = MetricsSpec(source="prometheus", url=url, business=BusinessQuery(query=QUERY, name="revenue"))
        yield open_source(spec, "m", "s1", "c1", Addresses())


def scraped(prometheus: PrometheusServer) -> None:
    for version in ("c1", "s1"):
        prometheus.scrape(Pod(version), version)


def after(prometheus: PrometheusServer, source: MetricsSource, seconds: float) -> BusinessMetric:
    """The metric that many seconds after the step began."""
    prometheus.expressions.setdefault(MINE, [])
    scraped(prometheus)
    since = source.start()
    prometheus.now += seconds
    scraped(prometheus)
    found = source.evidence(since).business
    assert found is not None
    return found


def test_each_whole_interval_in_which_both_have_a_value_is_a_sample(
    prometheus: PrometheusServer, source: MetricsSource
) -> None:
    began = prometheus.now
    interval: Callable[[float], int] = lambda at: round((at - began) / 60)  # noqa: E731
    # without requests in the third interval, 0 by 0 is NaN, and in the fourth a scrape was missed; what both have in
    # common varies more than they differ
    missing = {3: math.nan, 4: math.inf}
    prometheus.expressions = {
        MINE: [lambda at: missing.get(interval(at), 100.0 * interval(at) - 2)],
        THEIRS: [lambda at: 100.0 * interval(at)],
    }
    found = after(prometheus, source, 12.5 * 60)
    assert (found.name, found.samples, found.problem) == ("revenue", "intervals", "")
    assert (found.canary.n, found.stable.n) == (10, 10)
    assert found.stable.mean == pytest.approx(100 * (12 * 13 / 2 - 3 - 4) / 10)
    assert found.difference is not None
    assert (found.difference.mean, found.difference.variance) == pytest.approx((-2, 0))


def test_a_step_that_is_younger_than_an_interval_has_no_sample_yet(
    prometheus: PrometheusServer, source: MetricsSource
) -> None:
    found = after(prometheus, source, 59)
    assert (found.canary.n, found.problem) == (0, "")


def steady(value: float) -> Callable[[float], float]:
    return lambda _: value


@pytest.mark.parametrize(
    ("mine", "sentence"),
    [
        ([], "Prometheus has no value of revenue of the canary: sum"),
        ([steady(math.nan)], "has no value of revenue of the canary"),
        ([steady(math.inf)], "revenue of the canary is infinite in 10 of 10 intervals: the query divides by 0"),
        ([steady(1), steady(2)], "finds 2 series of the canary, but one number is expected: sum or average them"),
    ],
)
def test_what_is_no_number_of_a_version_is_an_error_of_the_check(
    prometheus: PrometheusServer, source: MetricsSource, mine: list[Callable[[float], float]], sentence: str
) -> None:
    prometheus.expressions = {MINE: [*mine], THEIRS: [steady(1)]}
    assert sentence in after(prometheus, source, 600).problem


def test_a_metric_that_has_ended_is_an_error_of_the_check(prometheus: PrometheusServer, source: MetricsSource) -> None:
    began = prometheus.now
    prometheus.expressions = {MINE: [lambda at: 1.0 if at < began + 400 else None], THEIRS: [steady(1)]}
    assert (
        "newest value of revenue of the canary is 240 s old, but 60 s are allowed"
        in after(prometheus, source, 600).problem
    )


@pytest.mark.parametrize("partly", [{"warnings": ["a store is missing"]}, {"isPartial": True}])
def test_a_warning_or_an_answer_in_part_is_an_error_of_the_check(
    prometheus: PrometheusServer, source: MetricsSource, partly: dict[str, object]
) -> None:
    prometheus.expressions = {MINE: [steady(1)], THEIRS: [steady(1)]}
    answer = prometheus.answer

    def warned(given: dict[str, str]) -> tuple[int, bytes]:
        status, body = answer(given)
        return status, json.dumps({**json.loads(body), **(partly if "step" in given else {})}).encode()

    prometheus.answer = warned  # type: ignore[method-assign]
    assert "Prometheus answers in part only" in after(prometheus, source, 600).problem


def test_a_query_that_prometheus_rejects_is_known_when_the_rollout_begins(source: MetricsSource) -> None:
    with pytest.raises(MetricsError, match="Prometheus rejects the query sum"):
        source.start()


def test_a_query_that_does_not_distinguish_the_versions_is_refused() -> None:
    spec = MetricsSpec(source="prometheus", url="http://prometheus", business=BusinessQuery(query="sum(revenue_total)"))
    with pytest.raises(UserError, match="queries of business are the same for the canary and the stable version"):
        open_source(spec, "m", "s1", "c1", Addresses())
