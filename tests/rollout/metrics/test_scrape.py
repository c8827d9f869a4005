"""Two scrapes of metrics pages of real loopback servers."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from kubeline.rollout.analysis.metrics import Addresses, MetricsError, MetricsSource, MetricsSpec, open_source
from tests.support.http_servers import serving
from tests.support.metrics_servers import Handler, Pod


def scrape(*urls: str, stable: str = "s1") -> MetricsSource:
    return open_source(MetricsSpec(), "m", stable, "c1", Addresses(pages=urls))


@contextmanager
def pages(*pods: Pod) -> Iterator[list[str]]:
    with ExitStack() as stack:
        yield [stack.enter_context(pod.serving()) for pod in pods]


def test_the_evidence_is_what_happened_between_the_scrapes_on_all_pods() -> None:
    canary, first, second = Pod("c1"), Pod("s1"), Pod("s1")
    for pod in (canary, first, second):
        pod.answer(7)
    with pages(canary, first, second) as urls:
        since = json.loads(json.dumps(scrape(*urls).start(), allow_nan=False))
        canary.answer(3, seconds=0.5)
        canary.answer(2, code="503")
        first.answer(4)
        second.answer(5, protocol="grpc")
        evidence = scrape(*urls).evidence(since)
    assert (evidence.canary.requests, evidence.canary.errors) == (5, 2)
    assert evidence.canary.latency.bounds == (0.01, 0.02, 0.05, 0.1)
    assert evidence.canary.latency.counts == (0, 0, 0, 0, 3)
    assert evidence.canary.predictions == {"yes": 3}
    assert evidence.stable is not None
    assert (evidence.stable.requests, evidence.stable.errors) == (9, 0)
    assert evidence.stable.latency.counts == (0, 9, 0, 0, 0)
    assert evidence.seconds > 0


def test_faults_of_clients_are_requests_but_no_errors_unless_asked() -> None:
    canary = Pod("c1")
    with pages(canary) as urls:
        since = scrape(*urls, stable="").start()
        canary.answer(3, code="400")
        assert scrape(*urls, stable="").evidence(since).canary.errors == 0
        strict = open_source(MetricsSpec(error_codes="[45].."), "m", "", "c1", Addresses(pages=tuple(urls)))
        assert strict.evidence(since).canary.errors == 3


def test_a_restarted_pod_counts_in_full_even_where_a_counter_has_passed_its_old_value() -> None:
    canary = Pod("c1")
    canary.answer(20)
    canary.answer(1, code="503")
    with pages(canary) as urls:
        since = scrape(*urls, stable="").start()
        canary.restart()
        canary.answer(4)
        canary.answer(3, code="503")
        side = scrape(*urls, stable="").evidence(since).canary
    assert (side.requests, side.errors) == (7, 3)


def test_a_pod_that_is_new_counts_in_full_and_one_that_left_is_left_out() -> None:
    canary, old, new = Pod("c1"), Pod("s1"), Pod("s1")
    old.answer(50)
    with pages(canary, old, new) as urls:
        since = scrape(*urls[:2]).start()
        canary.answer(1)
        new.answer(6)
        stable = scrape(urls[0], urls[2]).evidence(since).stable
    assert stable is not None
    assert stable.requests == 6


def test_a_listed_page_that_cannot_be_read_is_an_error_and_no_zero() -> None:
    canary, stable = Pod("c1"), Pod("s1")
    with pages(canary) as urls:
        with pages(stable) as gone:
            since = scrape(*urls, *gone).start()
        with pytest.raises(MetricsError, match="could not be read"):
            scrape(*urls, *gone).evidence(since)


def test_a_version_that_no_page_counts_is_an_error_and_no_zero() -> None:
    expected = pytest.raises(MetricsError, match="counts requests to version s1 of model m")
    with pages(Pod("c1"), Pod("s1", model="another")) as urls, expected:
        scrape(*urls).evidence(scrape(*urls).start())
    with pytest.raises(MetricsError, match="no metrics page"):
        scrape().start()


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [(404, b"", "status 404"), (302, b"", "status 302"), (200, b"<html>{", "not in Prometheus' text format")],
)
def test_a_page_that_is_none_is_an_error(status: int, body: bytes, sentence: str) -> None:
    class Page(Handler):
        def do_GET(self) -> None:  # noqa: N802 the library's name
            self.send(status, body, "text/html")

    with serving(Page) as url, pytest.raises(MetricsError, match=sentence):
        scrape(url).start()
