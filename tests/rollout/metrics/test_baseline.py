"""From where a counter grew is known, or it is an error: nothing that was counted before a step is a part of it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from kubeline.rollout.analysis.metrics import Addresses, MetricsError, MetricsSource, MetricsSpec, open_source
from tests.support.metrics_servers import Pod, PrometheusServer


@pytest.fixture
def prometheus() -> PrometheusServer:
    return PrometheusServer()


@pytest.fixture
def source(prometheus: PrometheusServer) -> Iterator[MetricsSource]:
    with prometheus.serving() as url:
        yield open_source(MetricsSpec(source="prometheus", url=url), "m", "s1", "c1", Addresses())


def count(prometheus: PrometheusServer, version: str, good: int, bad: int = 0, pod: str = "") -> None:
    """A scrape of one pod: requests in all since it began, and their latencies."""
    labels: dict[str, Any] = {"model": "m", "version": version, "pod": pod or version}
    prometheus.add("kubeline_requests_total", good, **labels, code="200")
    prometheus.add("kubeline_requests_total", bad, **labels, code="503")
    for bound in ("0.1", "+Inf"):
        prometheus.add("kubeline_request_duration_seconds_bucket", good, **labels, le=bound)


def test_after_a_gap_of_70_seconds_the_old_95000_and_5000_requests_are_not_the_steps(
    prometheus: PrometheusServer, source: MetricsSource
) -> None:
    count(prometheus, "s1", 95_000, 5_000)
    prometheus.now += 70
    since = source.start()
    count(prometheus, "c1", 0)
    prometheus.now += 30
    count(prometheus, "s1", 95_500, 5_000)
    count(prometheus, "c1", 480, 20)  # 4 % of its requests fail
    with pytest.raises(MetricsError, match=r"stable version had counted .* 70 s before, but 60 s are allowed"):
        source.evidence(since)


def test_a_step_does_not_begin_while_the_stable_version_is_not_scraped(
    prometheus: PrometheusServer, source: MetricsSource
) -> None:
    with pytest.raises(MetricsError, match="no samples of the stable version"):
        source.check()
    count(prometheus, "s1", 95_000, 5_000)
    prometheus.now += 70
    with pytest.raises(MetricsError, match="70 s old"):
        source.check()
    count(prometheus, "s1", 95_100, 5_000)
    source.check()  # a canary that was not scraped yet begins at 0
    since = source.start()
    prometheus.now += 30
    count(prometheus, "s1", 95_600, 5_000)
    count(prometheus, "c1", 480, 20)
    evidence = source.evidence(since)
    assert evidence.stable is not None
    assert (evidence.stable.requests, evidence.stable.errors) == (500, 0)
    assert (evidence.canary.requests, evidence.canary.errors) == (500, 20)


def test_a_prometheus_that_was_started_anew_without_its_samples_is_an_error(
    prometheus: PrometheusServer, source: MetricsSource
) -> None:
    count(prometheus, "s1", 95_000, 5_000)
    since = source.start()
    prometheus.series.clear()
    for _ in range(3):
        prometheus.now += 15
        count(prometheus, "s1", 95_100, 5_000)
        count(prometheus, "c1", 100)
    with pytest.raises(MetricsError, match="no sample of the stable version from before the step"):
        source.evidence(since)


@pytest.mark.parametrize(("history", "sentence"), [(100_000, "100,500 requests"), (400, "900 requests")])
def test_a_process_that_goes_on_under_other_labels_is_an_error(
    prometheus: PrometheusServer, source: MetricsSource, history: int, sentence: str
) -> None:
    count(prometheus, "s1", history, pod="10.0.0.1")
    since = source.start()
    for step in (1, 2):
        prometheus.now += 15
        count(prometheus, "s1", history + 500 * step, pod="stable-0")
        count(prometheus, "c1", 100 * step)
    with pytest.raises(MetricsError, match=f"pod=stable-0 .* in the middle of the step with {sentence}"):
        source.evidence(since)


def test_a_pod_that_is_scraped_from_the_middle_of_the_step_on_and_had_counted_before_is_an_error(
    prometheus: PrometheusServer, source: MetricsSource
) -> None:
    count(prometheus, "s1", 1_000)
    since = source.start()
    for step in (1, 2, 3):
        prometheus.now += 15
        count(prometheus, "s1", 1_000 + 150 * step)
        count(prometheus, "c1", 50 * step)
        if step > 1:
            count(prometheus, "s1", 95_000 + 150 * step, 5_000, pod="forgotten")
    with pytest.raises(MetricsError, match=r"pod=forgotten .* with 100,300 requests"):
        source.evidence(since)


def test_new_pods_count_in_full_also_where_they_take_over_from_others(
    prometheus: PrometheusServer, source: MetricsSource
) -> None:
    count(prometheus, "s1", 5_000, pod="old")
    since = source.start()
    prometheus.now += 15
    count(prometheus, "s1", 5_300, pod="old")
    count(prometheus, "c1", 200)
    for step in (1, 2):
        prometheus.now += 15
        count(prometheus, "s1", 300 * step, pod="new")
        count(prometheus, "c1", 200 + 200 * step)
    evidence = source.evidence(since)
    assert evidence.stable is not None
    assert evidence.stable.requests == 300 + 600


def test_a_container_that_restarts_where_it_was_not_scraped_counts_in_full(
    prometheus: PrometheusServer, source: MetricsSource
) -> None:
    count(prometheus, "s1", 95_000, 5_000)
    prometheus.now += 70
    since = source.start()
    prometheus.now += 30
    count(prometheus, "s1", 50, 1)
    count(prometheus, "c1", 40)
    evidence = source.evidence(since)
    assert evidence.stable is not None
    assert (evidence.stable.requests, evidence.stable.errors) == (51, 1)


def test_a_code_that_left_the_page_with_a_restart_begins_at_0_when_it_comes_back(
    prometheus: PrometheusServer, source: MetricsSource
) -> None:
    labels: dict[str, Any] = {"model": "m", "version": "s1", "pod": "s1"}
    prometheus.add("kubeline_requests_total", 5, **labels, code="500")
    prometheus.now += 200  # and the process restarts
    count(prometheus, "s1", 100)
    since = source.start()
    prometheus.now += 15
    count(prometheus, "s1", 200)
    count(prometheus, "c1", 200)
    prometheus.add("kubeline_requests_total", 7, **labels, code="500")
    evidence = source.evidence(since)
    assert evidence.stable is not None
    assert (evidence.stable.requests, evidence.stable.errors) == (107, 7)


def scrape(*urls: str, processes: dict[str, str], unready: tuple[str, ...] = ()) -> MetricsSource:
    where = Addresses(pages=urls, unready=unready, processes=processes)
    return open_source(MetricsSpec(timeout_seconds=2), "m", "s1", "c1", where)


def test_a_pod_that_takes_over_the_address_of_another_counts_in_full() -> None:
    canary, stable = Pod("c1"), Pod("s1")
    stable.answer(50)
    with ExitStack() as stack:
        urls = [stack.enter_context(pod.serving()) for pod in (canary, stable)]
        before = dict(zip(urls, ("c/0", "s/0"), strict=True))
        since = json.loads(json.dumps(scrape(*urls, processes=before).start()))
        stable.restart()
        stable.answer(80)  # all counters are beyond what the old pod's were
        replaced = dict(zip(urls, ("c/0", "another/0"), strict=True))
        evidence = scrape(*urls, processes=replaced).evidence(since)
    assert evidence.stable is not None
    assert evidence.stable.requests == 80


def test_what_a_pod_counted_before_it_was_unready_is_not_the_steps() -> None:
    canary, stable, flapping = Pod("c1"), Pod("s1"), Pod("s1")
    flapping.answer(95)
    with ExitStack() as stack:
        urls = [stack.enter_context(pod.serving()) for pod in (canary, stable, flapping)]
        processes = dict(zip(urls, ("c/0", "s/0", "f/0"), strict=True))
        since = scrape(*urls[:2], processes=processes, unready=tuple(urls[2:])).start()
        flapping.answer(7)
        evidence = scrape(*urls, processes=processes).evidence(since)
    assert evidence.stable is not None
    assert evidence.stable.requests == 7


def test_a_pod_whose_page_did_not_answer_when_the_step_began_is_an_error_and_one_that_did_not_listen_is_new() -> None:
    from tests.support.misbehaving_servers import answer, lying

    canary, stable, late = Pod("c1"), Pod("s1"), Pod("s1")
    late.answer(9)
    with ExitStack() as stack:
        urls = [stack.enter_context(pod.serving()) for pod in (canary, stable, late)]
        hung = stack.enter_context(lying(answer(b"", "503 Service Unavailable")))
        now = dict(zip(urls, ("c/0", "s/0", "late/0"), strict=True))
        begun = {url: process for url, process in now.items() if process != "late/0"}
        nobody = "http://127.0.0.1:1/metrics"
        refused = scrape(*urls[:2], processes={**begun, nobody: "late/0"}, unready=(nobody,)).start()
        unknown = scrape(*urls[:2], processes={**begun, hung: "late/0"}, unready=(hung,)).start()
        counted = scrape(*urls, processes=now).evidence(refused).stable
        with pytest.raises(MetricsError, match="could not be read when the step began"):
            scrape(*urls, processes=now).evidence(unknown)
    assert counted is not None
    assert counted.requests == 9
